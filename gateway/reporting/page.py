"""The statement as one HTML page, one A4 in print where it fits; the source of the PDF.

To add a section: a function from a statement to HTML, named in ``page``. Every text is escaped by ``_t``. Names of
people come beside the statement, since they are not part of what is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from gateway.reporting.amounts import in_words, month_name, percent, span, tokens
from gateway.reporting.chart import months_chart
from gateway.reporting.statement import NO_PRICE, Seal, Statement, Use
from gateway.reporting.style import ACCENT, CSS, INK, PILLS, SAID, region, shade, whole

NO_NAMES: Mapping[str, str] = {}


def page(made: Statement, names: Mapping[str, str] = NO_NAMES, faces: str = "") -> str:
    """A whole document without any reference to elsewhere. ``faces``: @font-face rules, where there are any."""
    title = f"Statement {made.number}, {made.organisation}"
    side = f"{_people(made, names)}<section><h2>How the amount was reached</h2>{_method(made)}{_journal(made)}</section>"
    body = (
        f'{_head(made)}<div class="pair">{_amount(made)}{_walk(made)}</div>{_unpriced(made)}'
        f'<div class="pair block rule">{_months(made)}{_budget(made)}</div>'
        f'<section class="block flows wide" {region("Usage by application and model")}>{_usage(made)}</section>'
        f'<div class="pair block">{side}</div>{_foot(made)}'
    )
    return sheet(title, made.organisation, faces, body)


def sheet(title: str, author: str, faces: str, body: str) -> str:
    """A document in the statements' look. ``body``: HTML; the rest is escaped here."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_t(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="author" content="{_t(author)}"><style>{faces}{CSS}</style></head><body>{body}</body></html>'
    )


def head(left: str, state: str, facts: Iterable[tuple[str, str]]) -> str:
    """The head of a sheet: HTML on the left, facts and the state's pill on the right."""
    text, ground = PILLS[state]
    pill = f'<span class="pill" style="color:{text};background:{ground}">{SAID[state]}</span>'
    return (
        f'<header class="pair head"><div>{left}</div><div class="less"><table class="facts"><tbody>'
        f"{_rows((*facts, ('Status', pill)))}</tbody></table></div></header>"
    )


def masthead(organisation: str, title: str, said: str) -> str:
    """Mark, organisation, title, and a line below."""
    mark = (
        '<svg style="width:14px;height:13px;display:inline-block;vertical-align:-2px;margin-right:7px" viewBox="0 0 14 13" '
        'role="img" aria-label="Weighbridge"><title>Weighbridge</title>'
        f'<rect y="7" width="3.4" height="6" rx="1" fill="{INK}"/><rect x="5.2" y="3.5" width="3.4" height="9.5" rx="1" '
        f'fill="{INK}"/><rect x="10.4" width="3.4" height="13" rx="1" fill="{ACCENT}"/></svg>'
    )
    return (
        f'<p class="mark">{mark}{_t(organisation)}</p><h1>{_t(title)}</h1>'
        f'<p class="soft">{_t(said)}</p>'
    )


def _t(text: str) -> str:
    return escape(text, quote=True)


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    """Rows of a name and a value that is already HTML."""
    return "".join(f'<tr><th scope="row">{k}</th><td class="n">{v}</td></tr>' for k, v in pairs)


def _head(made: Statement) -> str:
    revision = f" rev. {made.revision}" if made.revision else ""
    facts = [
        ("Statement", f"{_t(made.number)}{revision}"),
        ("Charged to", _t(made.title)),
        ("Owner", _t(made.centre.owner or "not named")),
    ]
    if made.seal.posted_at:
        facts.append(("Posting date", _t(made.seal.posted_at[:10])))
    said = f"Model inference, {span(made.period, made.zone, made.through)}"
    return head(masthead(made.organisation, "Monthly statement", said), made.state, facts)


def _amount(made: Statement) -> str:
    asked = f"US dollars, {made.requests:,} requests"
    other = made.converted
    if other is not None:
        amount = in_words(other.minor, f"{_t(other.currency)} ", other.digits)
        asked = f"{amount} at {_t(other.rate)} ({_t(other.source)}, {_t(other.day)})<br>{asked}"
    said = "Amount charged" if made.centre.posts else "Amount shown, not charged in the books"
    return f'<section class="less"><p class="soft">{said}</p><p class="total">{in_words(made.cents)}</p><p class="soft">{asked}</p></section>'


def _walk(made: Statement) -> str:
    rows = _rows(
        (f'{_t(line.text)} <span class="soft">{_t(line.note)}</span>', in_words(line.cents))
        for line in made.lines
    )
    total = f'<tr class="sum"><th scope="row">Amount charged</th><td class="n">{in_words(made.cents)}</td></tr>'
    return f'<section><table class="walk"><tbody>{rows}{total}</tbody></table></section>'


def _unpriced(made: Statement) -> str:
    if not made.unpriced:
        return ""
    return f'<p class="unpriced">{made.unpriced:,} of {made.requests:,} requests have no whole price yet; what of them has none is missing here; weighbridge prices missing tells which.</p>'


def _months(made: Statement) -> str:
    return f"<section><h2>Last twelve months</h2>{months_chart(made.months)}</section>"


def _budget(made: Statement) -> str:
    year, budget = made.period // 100, made.budget
    name = month_name(made.period).split()[0]
    charged = f"<b>{in_words(made.cents)}</b>"
    rows = [(f"{name} charged", charged)]
    if budget.month_cents is not None:
        left = budget.month_cents - made.cents
        word = "under" if left >= 0 else "over"
        rows = [
            (f"{name} budget", in_words(budget.month_cents)),
            *rows,
            ("Difference", f"{in_words(abs(left))} {word}"),
        ]
    to_date = in_words(made.year_to_date)
    if budget.year_cents:
        share = percent(made.year_to_date, budget.year_cents, 0)
        of = in_words(budget.year_cents)
        rows.append((f"Year to date, of {of}", f'{to_date} <span class="soft">{share}</span>'))
    else:
        rows.append(("Year to date", to_date))
    said = (
        "" if budget.month_cents or budget.year_cents else '<p class="soft">No budget is set.</p>'
    )
    return f'<section><h2>Budget year {year}</h2><table class="plain"><tbody>{_rows(rows)}</tbody></table>{said}</section>'


def _usage(made: Statement) -> str:
    heads = "".join(
        f'<th scope="col" class="n">{head}</th>'
        for head in ("Requests", "Input", "Cache read", "Cache write", "Output", "Amount")
    )
    counts = zip(*(_tokens_of(use) for use in made.uses), strict=True) if made.uses else ()
    total = _cells(made.requests, [sum(column) for column in counts], made.metered_cents)
    return (
        '<table class="lined"><caption>Usage by application and model</caption><thead><tr>'
        f'<th scope="col">Application</th><th scope="col">Model</th>{heads}</tr></thead>'
        f'<tbody>{"".join(_applications(made))}<tr class="sum"><th scope="row" colspan="2">Metered usage, list price</th>'
        f"{total}</tr></tbody></table>"
    )


def _applications(made: Statement) -> Iterable[str]:
    providers = sorted({use.provider for use in made.uses})
    seen: dict[str, list[str]] = {provider: [] for provider in providers}
    for app in sorted({use.app for use in made.uses}):
        uses = [use for use in made.uses if use.app == app]
        for at, use in enumerate(uses):
            models = seen[use.provider]
            if use.model not in models:
                models.append(use.model)
            tint = shade(use.provider, providers, models.index(use.model))
            name = _t(app or "No application") if at == 0 else ""
            ends = ' class="end"' if len(uses) == 1 else ""
            yield f"<tr{ends}>{_head_cell(name)}{_model(use, tint)}{_use(use)}</tr>"
        if len(uses) > 1:
            amount = in_words(sum(use.cents for use in uses))
            yield (
                f'<tr class="end"><td></td><th scope="row" class="soft" colspan="6">{_t(app or "No application")}, total</th>'
                f'<td class="n"><b>{amount}</b></td></tr>'
            )


def _head_cell(name: str) -> str:
    return f'<th scope="row">{name}</th>' if name else "<td></td>"


def _model(use: Use, tint: str) -> str:
    return (
        f'<td class="dotted{whole(use.model)}"><span class="dot" style="background:{tint}"></span>'
        f"{_t(use.model or NO_PRICE)}</td>"
    )


def _use(use: Use) -> str:
    return _cells(use.requests, _tokens_of(use), use.cents)


def _tokens_of(use: Use) -> tuple[int, ...]:
    return use.uncached, use.cached, use.written, use.output


def _cells(requests: int, counts: Sequence[int], cents: int) -> str:
    shown = (f"{requests:,}", *map(tokens, counts), in_words(cents))
    return "".join(f'<td class="n">{cell}</td>' for cell in shown)


def _people(made: Statement, names: Mapping[str, str]) -> str:
    named = [(names.get(use.user, use.user), use) for use in made.people]
    if made.others:
        named.append((f"{made.others:,} others", made.others_use))
    rows = "".join(
        f'<tr><th scope="row">{_t(name)}</th><td class="n soft">{use.requests:,} requests</td><td class="n">{in_words(use.cents)}</td></tr>'
        for name, use in named
    )
    return f'<section><table class="plain"><caption>People with the highest use</caption><tbody>{rows}</tbody></table></section>'


def _method(made: Statement) -> str:
    return "<ol>" + "".join(f"<li>{_t(sentence)}</li>" for sentence in made.method) + "</ol>"


def _journal(made: Statement) -> str:
    if not made.journal:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_t(line.centre)}</th><td>{_t(line.said)}</td>'
        f'<td class="n">{in_words(line.debit_cents) if line.debit_cents else ""}</td>'
        f'<td class="n">{in_words(line.credit_cents) if line.credit_cents else ""}</td></tr>'
        for line in made.journal
    )
    return (
        '<table class="lined plain block"><thead><tr><th scope="col">Journal</th><th scope="col">Account</th>'
        f'<th scope="col" class="n">Debit</th><th scope="col" class="n">Credit</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _foot(made: Statement) -> str:
    return foot(made.seal)


def foot(seal: Seal) -> str:
    """Who approved and posted, and the digest of the rows; '' before anything of it is known."""
    said = [
        f"Approved by {_t(seal.approved_by)}, {_t(seal.approved_at)}" if seal.approved_by else "",
        f"Posted by {_t(seal.posted_by)}, {_t(seal.posted_at)}" if seal.posted_by else "",
        f"SHA-256 of {seal.rows:,} ledger rows: {_t(seal.digest)}" if seal.digest else "",
    ]
    if seal.journal:
        said[1] += f", journal {_t(seal.journal)}"
    shown = "".join(f"<p>{text}</p>" for text in said if text)
    return f'<footer class="pair foot">{shown}</footer>' if shown else ""
