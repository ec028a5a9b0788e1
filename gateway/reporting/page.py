"""The statement as one HTML page, A4 in print; the source of the PDF. Charts are SVG with literal colours.

To add a section: a function from a statement to HTML, named in ``page``. Every text is escaped by ``_t``.
"""

import calendar
from html import escape
from typing import Final

from gateway.reporting.statement import Statement, Use, in_words

_HUES: Final = (("#1f4fd0", "#84a9ff"), ("#c2620a", "#f0a04b", "#f8d3a6"), ("#0d7f5a", "#7fcdb0"))
_TOPS: Final = (10, 12, 16, 20, 24, 32, 40, 60, 80, 100)
_CSS: Final = """
@page { size: A4; margin: 12mm 13mm 14mm; @bottom-right { content: "Page " counter(page) " of " counter(pages);
  font: 8pt Inter, Helvetica, Arial, sans-serif; color: #636c7b } }
* { box-sizing: border-box } body { font: 10.6px/1.45 Inter, "Helvetica Neue", Helvetica, Arial, sans-serif; color: #12161f;
  background: #fff; margin: 0; font-feature-settings: "tnum" }
@media screen { body { max-width: 794px; margin: 0 auto; padding: 38px 48px; font-size: 12px } }
h1 { font-size: 20px; font-weight: 600; letter-spacing: -.018em; margin: 6px 0 4px }
h2 { font-size: 11.5px; font-weight: 600; margin: 0 0 6px } p { margin: 0 } .soft { color: #636c7b }
.head { border-bottom: 1.5px solid #12161f; padding-bottom: 10px; margin-bottom: 10px }
.pair { display: flex; gap: 26px } .pair > * { flex: 1 } .block { margin-top: 14px }
.rule { border-top: 1px solid #d0d5dd; padding-top: 12px }
.total { font-size: 32px; font-weight: 600; letter-spacing: -.025em; line-height: 1.2 }
.pill { background: #fdf1dc; color: #9a5b00; border-radius: 9px; padding: 2px 8px; font-size: 9.5px; font-weight: 500 }
table { width: 100%; border-collapse: collapse } th { font-weight: 500; color: #636c7b; text-align: left }
td, th { padding: 2.6px 0 } td.n, th.n { text-align: right; padding-left: 8px; white-space: nowrap }
.lined th { border-bottom: 1px solid #d0d5dd } .lined tr.end td { border-bottom: 1px solid #e4e7ec }
.plain td { border-bottom: 1px solid #e4e7ec } .walk td { padding: 3px 0 }
tr.sum td { border-top: 1.5px solid #12161f; font-weight: 600 } b { font-weight: 600 } tr { break-inside: avoid }
thead { display: table-header-group } ol { margin: 0; padding-left: 15px; color: #4c5565 } li { margin-bottom: 2px }
.dot { display: inline-block; width: 7px; height: 7px; border-radius: 2px; margin-right: 6px } svg { width: 100% }
"""


def page(made: Statement, organisation: str = "Weighbridge") -> str:
    """A whole document without any reference to elsewhere."""
    title = f"Monthly statement {made.number}"
    left = f"<section><h2>Last twelve months</h2>{_chart(made)}</section>"
    ten = f"<section><h2>People with the highest use</h2>{_people(made)}</section>"
    method = "".join(f"<li>{_t(sentence)}</li>" for sentence in made.method)
    how = f"<section><h2>How the amount was reached</h2><ol>{method}</ol>{_journal(made)}</section>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_t(title)}</title>'
        f"<style>{_CSS}</style></head><body>{_head(made, organisation)}"
        f'<div class="pair"><section><p class="soft">Amount charged</p><p class="total">{in_words(made.cents)}</p>'
        f'<p class="soft">US dollars; {made.requests:,} requests</p></section>{_walk(made)}</div>'
        f'<div class="pair block rule">{left}{_budget(made)}</div>'
        f'<section class="block"><h2>Usage by application and model</h2>{_usage(made)}</section>'
        f'<div class="pair block">{ten}{how}</div></body></html>'
    )


def _t(text: str) -> str:
    return escape(text, quote=True)


def _name(made: Statement) -> str:
    return f"{made.centre.code} {made.centre.name}".strip() or "Unallocated"


def _month(period: int) -> str:
    return f"{calendar.month_name[period % 100]} {period // 100}"


def _head(made: Statement, organisation: str) -> str:
    days = calendar.monthrange(made.period // 100, made.period % 100)[1]
    mark = (
        '<svg style="width:13px;height:12px;margin-right:6px" viewBox="0 0 13 12" role="img" aria-label="Weighbridge">'
        '<title>Weighbridge</title><rect y="7" width="3" height="5" fill="#12161f"/><rect x="5" y="4" width="3" height="8" '
        'fill="#12161f"/><rect x="10" width="3" height="12" fill="#1d4ed8"/></svg>'
    )
    facts = (
        ("Statement", made.number),
        ("Charged to", _name(made)),
        ("Owner", made.centre.owner or "not named"),
    )
    rows = "".join(f'<tr><th scope="row">{k}</th><td class="n">{_t(v)}</td></tr>' for k, v in facts)
    status = '<tr><th scope="row">Status</th><td class="n"><span class="pill">Provisional</span></td></tr>'
    return (
        f'<header class="pair head"><div><p>{mark}<b>{_t(organisation)}</b></p><h1>Monthly statement</h1>'
        f'<p class="soft">Model inference, 1\N{EN DASH}{days} {_month(made.period)}</p></div>'
        f"<div><table>{rows}{status}</table></div></header>"
    )


def _walk(made: Statement) -> str:
    rows = "".join(
        f'<tr><td>{_t(line.text)} <span class="soft">{_t(line.note)}</span></td><td class="n">{in_words(line.cents)}</td></tr>'
        for line in made.lines
    )
    total = f'<tr class="sum"><td>Amount charged</td><td class="n">{in_words(made.cents)}</td></tr>'
    return f'<section><table class="walk">{rows}{total}</table></section>'


def _budget(made: Statement) -> str:
    year = made.period // 100
    to_date = sum(cents for period, cents in made.months if period // 100 == year)
    rows = [
        (f"{_month(made.period)} charged", in_words(made.cents)),
        (f"Year {year} to date", in_words(to_date)),
    ]
    if made.budget_cents is not None:
        left = made.budget_cents - made.cents
        rows.insert(0, (f"{_month(made.period)} budget", in_words(made.budget_cents)))
        rows.insert(2, ("Difference", f"{in_words(abs(left))} {'under' if left >= 0 else 'over'}"))
    cells = "".join(f'<tr><td>{k}</td><td class="n">{v}</td></tr>' for k, v in rows)
    return f'<section><h2>Budget year {year}</h2><table class="plain">{cells}</table></section>'


def _chart(made: Statement) -> str:
    top = _top(max([cents for _, cents in made.months] + [100]))
    bars, months = [], made.months[-12:]
    for at, (period, cents) in enumerate(months):
        is_last = at == len(months) - 1
        height, x = max(cents, 0) * 72 // top, 40 + at * 24
        fill = "#1d4ed8" if is_last else "#dfe3ea"
        label = calendar.month_abbr[period % 100][0]
        bars.append(
            f'<g><title>{_month(period)}: {in_words(cents)}</title><rect x="{x}" y="{86 - height}" width="17" height="{height}" '
            f'fill="{fill}"/></g><text x="{x + 8}" y="98" text-anchor="middle">{label}</text>'
        )
        if is_last:
            bars.append(
                f'<text x="{x + 17}" y="{82 - height}" text-anchor="end" fill="#12161f">{in_words(cents)}</text>'
            )
    grid = "".join(
        f'<line x1="38" x2="330" y1="{y}" y2="{y}" stroke="#eceef2"/><text x="33" y="{y + 3}" text-anchor="end">{in_words(value)[:-3]}</text>'
        for y, value in ((86, 0), (50, top // 2), (14, top))
    )
    return (
        f'<svg viewBox="0 0 330 102" role="img" aria-label="Amount charged in each of the last {len(months)} months" '
        f'font-family="Inter, Helvetica, Arial, sans-serif" font-size="8.5" fill="#636c7b">{grid}{"".join(bars)}</svg>'
    )


def _top(cents: int) -> int:
    """The smallest round number of cents that holds the data."""
    scale = 100
    while True:
        for step in _TOPS:
            if step * scale >= cents * 10:
                return step * scale // 10
        scale *= 10


def _usage(made: Statement) -> str:
    providers = sorted({use.provider for use in made.uses})
    seen: dict[str, int] = {}
    body, applications = [], sorted({use.app for use in made.uses})
    for app in applications:
        uses = [use for use in made.uses if use.app == app]
        for at, use in enumerate(uses):
            tints = _HUES[providers.index(use.provider) % len(_HUES)]
            tint = tints[seen.setdefault(use.model, len(seen)) % len(tints)]
            name = f"<b>{_t(app or 'no application')}</b>" if at == 0 else ""
            body.append(
                _row(
                    name,
                    f'<span class="dot" style="background:{tint}"></span>{_t(use.model or "unknown")}',
                    use,
                )
            )
        total = in_words(sum(use.cents for use in uses))
        body.append(
            f'<tr class="end"><td></td><td class="soft">{_t(app or "no application")}, total</td><td colspan="5"></td>'
            f'<td class="n"><b>{total}</b></td></tr>'
        )
    heads = "".join(
        f'<th scope="col" class="n">{head}</th>'
        for head in ("Requests", "Input", "Cache read", "Cache write", "Output", "Amount")
    )
    total = (
        f'<tr class="sum"><td>Metered usage</td><td></td><td class="n">{made.requests:,}</td><td colspan="4"></td>'
        f'<td class="n">{in_words(made.metered_cents)}</td></tr>'
    )
    return (
        f'<table class="lined"><thead><tr><th scope="col">Application</th><th scope="col">Model</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}{total}</tbody></table>"
    )


def _row(name: str, model: str, use: Use) -> str:
    counts = "".join(
        f'<td class="n">{_tokens(count)}</td>'
        for count in (use.uncached, use.cached, use.written, use.output)
    )
    return (
        f'<tr><td>{name}</td><td>{model}</td><td class="n">{use.requests:,}</td>{counts}'
        f'<td class="n">{in_words(use.cents)}</td></tr>'
    )


def _tokens(count: int) -> str:
    """Tokens as people read them: exact below a hundred thousand, else tenths of millions."""
    if count < 100_000:  # noqa: PLR2004  # from here on the tenth of a million says enough
        return f"{count:,}"
    tenths = (count + 50_000) // 100_000
    return f"{tenths // 10:,}.{tenths % 10} M"


def _people(made: Statement) -> str:
    named = [(use.user, use) for use in made.people]
    if made.others:
        named.append((f"{made.others} others", made.others_use))
    rows = "".join(
        f'<tr><td>{_t(name)}</td><td class="n soft">{use.requests:,} requests</td><td class="n">{in_words(use.cents)}</td></tr>'
        for name, use in named
    )
    return f'<table class="plain">{rows}</table>'


def _journal(made: Statement) -> str:
    if not made.centre.gl_account:
        return ""
    amount = in_words(made.cents)
    return (
        '<table class="plain block"><tr><th scope="col">Journal</th><th scope="col">Account</th><th scope="col" class="n">Debit</th>'
        f'<th scope="col" class="n">Credit</th></tr><tr><td>{_t(made.centre.code)}</td><td>{_t(made.centre.gl_account)}</td>'
        f'<td class="n">{amount}</td><td></td></tr><tr><td>platform</td><td>recharge</td><td></td><td class="n">{amount}</td></tr></table>'
    )
