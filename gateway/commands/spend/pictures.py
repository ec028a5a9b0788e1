"""The running month drawn for people: figures that sum, bars with a word beside their colour.

To add a column: in ``_centres``; the width of 104 is what a terminal beside an editor has.
"""

import re
from calendar import month_abbr
from collections.abc import Sequence
from functools import partial
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.commands.output import Table, fitting, named, plain, styled, table
from gateway.commands.spend.asked import Centre, Outlook
from gateway.kernel.money import apportion, round_cents
from gateway.ledger.period import previous_period
from gateway.reporting.amounts import CENT, MINUS, in_cents, in_words, month_name, percent, tokens
from gateway.reporting.anomalies import Cause, Unusual
from gateway.reporting.forecast import month_end
from gateway.reporting.organisation import UNALLOCATED
from gateway.reporting.outlook import Pace

BLOCKS: Final = "▁▂▃▄▅▆▇█"
BAR: Final = 10
_GAP: Final = 3  # columns between two figures
_NAME_MAX: Final = 22  # at the least width that has room; wider ones give a name more
_NAME_WIDEST: Final = 40
_NAME_NARROW: Final = 14
_OVER, _RISK = 105, 97  # percent of the budget that the forecast reaches
_STEEP: Final = 25  # percent of growth that is worth a colour
ROOMY: Final = 106  # columns of a terminal that has room for pictures
MODELS_ROOMY: Final = 128
_SHOWN_UNUSUAL: Final = 3
_CENTS_SHOWN_TO: Final = 100_00


def drawn(found: Outlook, width: int) -> Group:
    """The screen: title, figures, cost centres, what is unusual, how the forecast was made."""
    parts: list[RenderableType] = [_title(found), "", _figures(found, width), ""]
    if not found.centres:
        said = (
            "No complete day of this month has spend yet: weighbridge usage shows today's requests."
        )
        return Group(*parts, plain(said))
    parts.append(_centres(found, width))
    parts += [_sentence(one, why) for one, why in found.unusual[:_SHOWN_UNUSUAL]]
    return Group(*parts, _method(found))


def _title(found: Outlook) -> Text:
    last = found.today.toordinal() - 1
    day = type(found.today).fromordinal(last)
    left = _days_left(found)
    said = f"AI spend, {month_name(found.period)}"
    until = (
        f" to {day.day} {day:%B}, {left} {'day' if left == 1 else 'days'} left"
        if left
        else ", complete"
    )
    if found.so_far_pico:
        until += f"; today so far {_dollars(found.so_far_pico)}, not counted below"
    text = plain(said, style="bold") + plain(until, style="dim")
    return text + plain("  SIMULATED", style="bold yellow") if found.simulated else text


def _days_left(found: Outlook) -> int:
    return max((month_end(found.period) - found.today).days, 0)


def _figures(found: Outlook, width: int) -> Table:
    """The five figures a controller asks for, each with what it is compared with."""
    totals, seen = found.totals, found.forecast
    range_80 = (
        f"80 % range {_dollars(seen.low)}\N{EN DASH}{_dollars(seen.high)}"
        if seen.low is not None and seen.high is not None
        else "no past month to try it on"
    )
    if not _days_left(found):
        range_80 = "the month is complete"
    saved, share = totals.cache_saved(), totals.cached_share
    budget = found.budget_cents
    left = (budget or 0) * CENT - seen.pico
    cells = (
        ("Spend to date", _dollars(totals.pico), _change(totals.pico, found.before.pico)),
        ("Forecast", _dollars(seen.pico), range_80),
        ("Budget", "none" if budget is None else _dollars(budget * CENT), "" if budget is None else f"{_dollars(abs(left))} {'left' if left >= 0 else 'over'} at forecast"),
        ("Per 1,000 requests", _amount(totals.per_thousand), f"{totals.requests:,} requests, {found.people:,} people"),
        ("Saved by caches", _dollars(saved), "" if share is None else f"{share} % of input from cache"),
    )  # fmt: skip
    styles = ("dim", "bold", "dim")
    shown = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    if sum(max(map(len, cell)) + _GAP for cell in cells) <= width + _GAP:
        for row, style in enumerate(styles):
            shown.add_row(*(plain(cell[row], style=style) for cell in cells))
        return shown
    # Where there is no room side by side: a line each.
    shown.add_column()
    shown.add_column(justify="right")
    for cell in cells:
        shown.add_row(*(plain(one, style=style) for one, style in zip(cell, styles, strict=True)))
    return shown


def _centres(found: Outlook, width: int) -> Table:
    """Figures are never cut: where there is no room, the twelve months and the bar stay away."""
    has_room = width >= ROOMY
    room = min(_NAME_MAX + width - ROOMY, _NAME_WIDEST) if has_room else _NAME_NARROW
    month = month_abbr[previous_period(found.period) % 100]
    is_barred = any(one.budget_cents for one in found.centres)
    pictures = (("12 months", "left"), ("budget", "left"))[: (1 + is_barred) * has_room]
    amounts = (("spend", "right"), ("share", "right"), (f"vs {month}", "right"))
    ahead = (("forecast", "right"), ("status", "left"))
    shown = table("", (("cost centre", "left"), *amounts, *pictures, *ahead))
    shown.title, shown.box, shown.show_edge = None, SIMPLE_HEAD, False
    for column in shown.columns:
        column.no_wrap = True
    whole = sum(one.pico for one in found.centres)
    cents = in_cents([one.pico for one in found.centres], round_cents(whole))
    ends = whole_dollars([one.forecast_pico for one in found.centres])
    for one, amount, end in zip(found.centres, cents, ends, strict=True):
        hue, word = status(one)
        shown.add_row(
            named(one.name, "" if one.name == one.code else one.code, room),
            in_words(amount),
            percent(one.pico, whole) or "0.0 %",
            _vs(one.pico, one.before_pico),
            *(plain(blocks(one.months)), _bar(one, hue))[: len(pictures)],
            in_words(end * 100)[:-3],
            plain(word, style=hue),
        )
    shown.add_section()
    total = (
        in_words(sum(cents)),
        "100.0 %" if whole else "",
        _vs(found.totals.pico, found.before.pico),
    )
    shown.add_row(*(plain(cell, style="bold") for cell in ("Total", *map(str, total), *("" for _ in pictures), in_words(sum(ends) * 100)[:-3], "")))  # fmt: skip
    return shown


def status(one: Centre) -> tuple[str, str]:
    """Colour and word of a row: never colour alone."""
    if one.code == UNALLOCATED:
        return "dim", "Assign"
    if not one.budget_cents:
        return "dim", "No budget" if one.budget_cents is None else "Over budget"
    reached = one.forecast_pico * 100 // (one.budget_cents * CENT)
    if reached > _OVER:
        return "red", "Over budget"
    return ("yellow", "At risk") if reached > _RISK else ("green", "On track")


def _bar(one: Centre, hue: str) -> Text:
    """Spent heavy, the way to the forecast light, the budget's end at the right; ▸ where it goes past."""
    if not one.budget_cents:
        return plain("")
    limit = one.budget_cents * CENT
    used = min(max(one.pico * BAR // limit, 0), BAR)
    end = min(max(-(-one.forecast_pico * BAR // limit), used), BAR)
    over = "▸" if one.forecast_pico > limit else " "
    bar = plain("━" * used, style=hue) + plain("╌" * (end - used), style=hue)
    return bar + plain("·" * (BAR - end) + over, style="dim" if over == " " else hue)


def blocks(amounts: Sequence[int]) -> str:
    """Months as block characters from zero, so that a small change looks small; a month without any is a blank."""
    high, steps = max(amounts, default=0), len(BLOCKS) - 1
    return "".join(" " if amount <= 0 else BLOCKS[amount * steps // high] for amount in amounts)


def whole_dollars(picos: Sequence[int]) -> tuple[int, ...]:
    """Amounts as whole dollars that sum to the whole's; negative ones (corrections) are not split."""
    total = (round_cents(sum(picos)) + 50) // 100
    if any(pico < 0 for pico in picos) or not any(picos):
        return tuple((round_cents(pico) + 50) // 100 for pico in picos)
    return apportion(total, list(picos))


def _sentence(one: Unusual, why: Cause | None) -> Text:
    head = f"▲ {one.day.day} {one.day:%B}, {one.app or 'no application'} of {one.team}: {_dollars(one.over_pico)} above the usual {_dollars(one.usual_pico)}."
    text = styled("\n[yellow]{}[/]", head)
    if why is None:
        return text
    return text + plain(
        f" One key, {why.key_id}, sent {why.requests:,} requests on {one.model or 'an unknown model'} "
        f"between {_time(why.first)} and {_time(why.until)} for {_dollars(why.pico)}."
    )


def _time(slot: int) -> str:
    return f"{slot // 2:02}:{slot % 2 * 30:02}"


def _method(found: Outlook) -> Text:
    seen = found.forecast
    said = "Forecast: spend so far and, for each day left, the mean of the same weekday of eight weeks."
    if not _days_left(found):
        said = "Every day of the month is counted."
    elif seen.error_ppm is not None:
        said += f" Its own mean error on the last {seen.tried} months at this day: {seen.error_ppm // 10_000}.{seen.error_ppm // 1_000 % 10} %."
    unpriced = found.totals.unpriced
    if unpriced:
        said += f" {unpriced:,} requests have no price yet and are in no amount."
    return styled("\n[dim]{}[/]", said)


def models_table(found: Outlook, width: int) -> Table:
    """Price, speed and reliability of every model in one table; token counts where there is room."""

    def laid_out(*left_out: str) -> Table:
        heads = [head for head in _MODEL_HEADS if head not in left_out]
        shown = table("\nModels: price, speed, reliability", (("model", "left"), *((head, "right") for head in heads)))  # fmt: skip
        for (provider, model), totals in found.models.items():
            cells = (
                f"{totals.requests:,}",
                tokens(totals.input),
                _share(totals.cached_share),
                tokens(totals.output),
                _amount(totals.pico),
                _amount(totals.per_thousand),
                *_pace(found.paces.get((provider, model))),
            )
            said = dict(zip(_MODEL_HEADS, cells, strict=True))
            shown.add_row(plain(_short(model), no_wrap=True), *(said[head] for head in heads))
        return shown

    counts, slow = ("input", "cached", "output"), ("tokens/s", "available")
    return fitting(
        laid_out,
        partial(laid_out, *counts),
        partial(laid_out, *counts, *slow),
        partial(laid_out, *counts, *slow, "first token p50/p95 s"),
        width=width,
    )


_MODEL_HEADS: Final = ("requests", "input", "cached", "output", "spend", "per 1,000", "first token p50/p95 s", "tokens/s", "errors", "available")  # fmt: skip


def _pace(pace: Pace | None) -> tuple[str, ...]:
    if pace is None:
        return ("n/a",) * 4
    times = " / ".join(map(_seconds, (pace.first_p50_ms, pace.first_p95_ms)))
    tokens_per_s = "n/a" if pace.tokens_per_s is None else str(pace.tokens_per_s)
    return times, tokens_per_s, _hundredths(pace.errors_bp), _hundredths(pace.available_bp)


def _share(percents: int | None) -> str:
    return "n/a" if percents is None else f"{percents} %"


def _short(model: str) -> str:
    """Without the vendor's word before the first point, which the family's name says as well."""
    return re.sub(r"^[a-z]+\.", "", model) or "unknown"


def changes_table(found: Outlook, width: int) -> Table:
    """What moved most against the same days of last month, and by what: the three parts sum to the change."""
    return fitting(
        lambda: _changes(found, has_parts=True),
        lambda: _changes(found, has_parts=False),
        width=width,
    )


def _changes(found: Outlook, *, has_parts: bool) -> Table:
    columns = (("application", "left"), ("cost centre", "left"), ("change", "right"))
    parts = (("volume", "right"), ("mix", "right"), ("price", "right")) if has_parts else ()
    shown = table("\nLargest changes against last month's days", (*columns, *parts, ("before", "right"), ("now", "right")))  # fmt: skip
    names = {one.code: one.name for one in found.centres}
    for one in found.changes:
        hue = "red" if one.before and one.change * 100 > one.before * _STEEP else "default"
        change = round_cents(one.change)
        split = in_cents([one.volume, one.mix, one.price], change)
        shown.add_row(
            one.names[0],
            names.get(one.names[1], "unallocated"),
            styled("[{}]{}[/]", hue, _signed(change)),
            *(_signed(part) for part in split[: len(parts)]),
            _amount(one.before),
            _amount(one.after),
        )
    return shown


def _vs(now: int, before: int) -> Text:
    if not before:
        return plain("new" if now else "", style="dim")
    change = (now - before) * 1000 // before
    said = f"{'+' if change >= 0 else MINUS}{abs(change) // 10}.{abs(change) % 10} %"
    return plain(said, style="red" if change > _STEEP * 10 else "")


def _change(now: int, before: int) -> str:
    if not before:
        return "none last month"
    change = (now - before) * 1000 // before
    return (
        f"{'up' if change >= 0 else 'down'} {abs(change) // 10}.{abs(change) % 10} % on last month"
    )


def _dollars(pico: int | None) -> str:
    """$1,234, with cents where it is small."""
    cents = round_cents(pico or 0)
    if abs(cents) < _CENTS_SHOWN_TO:
        return in_words(cents)
    return in_words((cents + 50) // 100 * 100)[:-3]


def _amount(pico: int | None) -> str:
    return "n/a" if pico is None else in_words(round_cents(pico))


def _signed(cents: int) -> str:
    return f"+{in_words(cents)}" if cents > 0 else in_words(cents)


def _seconds(ms: int | None) -> str:
    return "n/a" if ms is None else f"{ms // 1000}.{ms % 1000 // 10:02}"


def _hundredths(basis_points: int) -> str:
    return f"{basis_points // 100}.{basis_points % 100:02} %"
