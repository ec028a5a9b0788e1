"""The summary of a month as one HTML page: every cost centre, unallocated last, and what the total ties to.

To add a section: a function from a summary to HTML, named in ``summary_page``.
"""

from collections.abc import Sequence
from html import escape

from gateway.reporting.amounts import in_words, month_name, percent, span
from gateway.reporting.page import foot, head, masthead, sheet
from gateway.reporting.statement import Part, Share, Summary
from gateway.reporting.style import ACCENT, GRID, region, whole

BAR_WIDTH = 100


def summary_page(made: Summary, faces: str = "") -> str:
    """A whole document without any reference to elsewhere."""
    name = f"{made.period // 100}-{made.period % 100:02}"
    revision = f" rev. {made.revision}" if made.revision else ""
    facts = [
        ("Summary", f"{name}{revision}"),
        ("Cost centres", f"{len(made.shares):,}"),
        ("Requests", f"{made.requests:,}"),
    ]
    title = masthead(made.organisation, "Chargeback", f"Model inference, {span(made.period, made.zone, made.through)}")  # fmt: skip
    amount = (
        f'<section class="less"><p class="soft">All cost centres</p><p class="total">{in_words(made.cents)}</p>'
        f'<p class="soft">US dollars, {made.requests:,} requests</p></section>'
    )
    ties = f"{_ties('By provider', made.providers)}{_ties('By team', made.teams)}"
    body = (
        f'{head(title, made.state, facts)}<div class="pair">{amount}{_parts(made)}</div>'
        f'<section class="block rule flows wide" {region("By cost centre")}>{_shares(made)}</section>'
        f'<div class="pair block">{ties}</div>{foot(made.seal)}'
    )
    return sheet(f"Chargeback {month_name(made.period)}, {made.organisation}", made.organisation, faces, body)  # fmt: skip


def _parts(made: Summary) -> str:
    names = {
        "ledger": ("Metered usage", "the ledger's own sum"),
        "shared cost": ("Shared cost", "provisioned throughput, seats"),
        "markup": ("Platform markup", ""),
        "tax": ("Tax", ""),
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(text)} <span class="soft">{escape(note)}</span></th><td class="n">{in_words(part.cents)}</td></tr>'
        for part in made.parts
        for text, note in [names.get(part.name, (part.name, ""))]
    )
    total = f'<tr class="sum"><th scope="row">All cost centres</th><td class="n">{in_words(made.cents)}</td></tr>'
    return f'<section><table class="walk"><tbody>{rows}{total}</tbody></table></section>'


def _shares(made: Summary) -> str:
    heads = (("Cost centre", ""), ("Owner", ""), ("Requests", "n"), ("Charged", "n"), ("Share", "n"), ("Part of the whole", ""))  # fmt: skip
    shown = "".join(f'<th scope="col" class="{kind}">{text}</th>' for text, kind in heads)
    rows = "".join(_share(share, made.cents) for share in made.shares)
    return (
        f'<table class="lined"><caption>By cost centre</caption><thead><tr>{shown}</tr></thead><tbody>{rows}'
        f'<tr class="sum"><th scope="row" colspan="2">Total</th><td class="n">{made.requests:,}</td>'
        f'<td class="n">{in_words(made.cents)}</td><td class="n">{percent(made.cents, made.cents)}</td><td></td></tr></tbody></table>'
    )


def _share(share: Share, of: int) -> str:
    name = share.centre.name or ("" if share.centre.code else "Unallocated")
    missing = f' <span class="soft">{share.unpriced:,} unpriced</span>' if share.unpriced else ""
    length = max(0, min(BAR_WIDTH, share.cents * BAR_WIDTH // of)) if of > 0 else 0
    part = percent(share.cents, of)
    bar = (
        f'<svg style="width:{BAR_WIDTH}px;height:7px;display:inline-block" viewBox="0 0 {BAR_WIDTH} 7" role="img" '
        f'aria-label="{part}"><title>{part}</title><rect width="{BAR_WIDTH}" height="7" rx="2" fill="{GRID}"/>'
        f'<rect width="{length}" height="7" rx="2" fill="{ACCENT}"/></svg>'
    )
    return (
        f'<tr class="end"><th scope="row">{escape(name)} <span class="soft">{escape(share.centre.code)}</span>{missing}</th>'
        f'<td class="{whole(share.centre.owner)}">{escape(share.centre.owner)}</td><td class="n">{share.requests:,}</td><td class="n"><b>{in_words(share.cents)}</b></td>'
        f'<td class="n">{part}</td><td>{bar}</td></tr>'
    )


def _ties(title: str, parts: Sequence[Part]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(part.name or "none")}</th><td class="n">{in_words(part.cents)}</td></tr>'
        for part in parts
    )
    ledger = in_words(sum(part.cents for part in parts))
    total = f'<tr class="sum"><th scope="row">The ledger</th><td class="n">{ledger}</td></tr>'
    return f'<section class="flows"><table class="plain"><caption>{title}</caption><tbody>{rows}{total}</tbody></table></section>'
