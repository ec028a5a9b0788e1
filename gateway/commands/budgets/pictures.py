"""Budgets as people read them: bars, walks from limit to what is left, and words beside every colour.

A bar is the limit: spent ━, held by running requests ╍, left ╌, and │ where the forecast ends (▸ beyond).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.text import Text

from gateway.commands.budgets.words import DASH, MINUS, amount, local, none_yet, scope, unit
from gateway.commands.output import CONSOLE, Table, grid, plain, styled, table
from gateway.kernel.clock import US_PER_SECOND
from gateway.quota.alert import Alert
from gateway.quota.budget import CONCURRENT, Budget
from gateway.quota.form import mode_of
from gateway.quota.standing import Level, Standing
from gateway.storage.standings import Stand

COLOURS: Final[dict[Level, str]] = {
    "on track": "green",
    "at risk": "yellow",
    "near": "yellow",
    "spent": "red",
    "over": "bold red",
}
BAR_COLUMNS: Final = 16
LONG_BAR_COLUMNS: Final = 60
NAME_COLUMNS: Final = 36
NAME_COLUMNS_MIN: Final = 12
COLUMNS_MAX: Final = 1000
PADDING: Final = 2  # at the edges, which measuring leaves out
WIDE_COLUMNS: Final = 128


class Shown(msgspec.Struct, frozen=True):
    """What a detailed view is drawn from."""

    stands: Sequence[Stand]
    alerts: Sequence[Alert]


# -- how they stand -----------------------------------------------------------------------------------


def overview(stands: Sequence[Stand]) -> RenderableType:
    """Every budget on a line of its own; the fullest counters of split ones below it."""
    if not stands:
        return none_yet()
    shown = _overview(stands, NAME_COLUMNS)
    # Where it does not fit a name is cut, never a figure.
    endless = CONSOLE.options.update_width(COLUMNS_MAX)
    needed = Measurement.get(CONSOLE, endless, shown).maximum + PADDING
    if needed <= CONSOLE.width:
        return shown
    names = min(NAME_COLUMNS, max(len(one.budget.name) for one in stands))
    return _overview(stands, max(NAME_COLUMNS_MIN, names - (needed - CONSOLE.width)))


def _overview(stands: Sequence[Stand], name_columns: int) -> Table:
    everything = CONSOLE.width >= WIDE_COLUMNS
    counts = (("spent", "right"), ("held", "right"), ("limit", "right"))
    outlook = (("left", "right"), ("forecast", "right"), ("frees in", "left"))
    levels = (("", "left"), ("", "right"), ("", "left"))
    shown = table("How budgets stand", (("budget", "left"), *(counts if everything else counts[::2]), *levels, *(outlook if everything else ())))  # fmt: skip
    for column in shown.columns:
        column.no_wrap = True
    for one in stands:
        if one.budget.each:
            head = _cut(one.budget.name, name_columns)
            shown.add_row(head, *_nothing(one, everything=everything))
        for standing in one.fullest:
            name = f"  {standing.value or 'none'}" if one.budget.each else one.budget.name
            shown.add_row(_cut(name, name_columns), *_cells(standing, everything=everything))
    return shown


def _cut(name: str, columns: int) -> Text:
    drawn = plain(name)
    drawn.truncate(columns, overflow="ellipsis")
    return drawn


def _nothing(one: Stand, *, everything: bool) -> tuple[RenderableType, ...]:
    """The line above a split budget's counters: how many there are, and where the limit is of each."""
    limit = styled("[dim]{}[/]", amount(one.budget, one.budget.limit, short=True))
    told = styled("[dim]{}[/]", _counted(one))
    return ("", "", limit, told) if everything else ("", limit, told)


def _counted(one: Stand) -> str:
    word = one.budget.each.replace("_", " ")
    if not one.counters:
        return f"no {word} has used any"
    more = f", top {len(one.fullest)}" if one.counters > len(one.fullest) else ""
    return f"{one.counters:,} {word}{'s' * (one.counters != 1)}{more}"


def _cells(one: Standing, *, everything: bool) -> tuple[RenderableType, ...]:
    def short(value: int) -> str:
        return amount(one.budget, value, short=True)

    spent = "" if one.is_rate else short(one.posted)
    held = short(one.pending) if one.pending else DASH
    colour = COLOURS[one.level]
    mode = mode_of(one.budget)
    aside = "" if mode == "hard" else f" · {mode}"
    said = styled("[{}]{}[/][dim]{}[/]", colour, one.level, aside)
    level = (plain(f"{one.percent} %", style=colour), said)
    drawn = bar(one, BAR_COLUMNS if everything else BAR_COLUMNS // 2)
    if not everything:
        return (spent or held, short(_limit(one)), drawn, *level)
    expected = DASH if one.forecast is None else short(one.forecast)
    ahead = plain(expected, style="yellow" if _is_beyond(one) else "")
    return (spent, held, short(_limit(one)), drawn, *level, short(one.left), ahead, _frees_in(one))


def bar(one: Standing, columns: int) -> Text:
    """The limit as a line, in the colour of its level."""
    whole = max(1, one.limit)
    spent = _share(one.posted, whole, columns)
    used = max(spent, _share(one.posted + one.pending, whole, columns))
    colour = COLOURS[one.level]
    drawn = plain("━" * spent, style=colour)
    drawn.append("╍" * (used - spent), style=colour)
    drawn.append("╌" * (columns - used), style="dim")
    expected = one.forecast
    if expected is None or expected <= one.posted:
        return drawn
    at = _share(expected, whole, columns) - 1
    if _is_beyond(one):
        return styled("{}[bold yellow]▸[/]", drawn[: columns - 1])
    return styled("{}[bold]│[/]{}", drawn[:at], drawn[at + 1 :]) if at >= used else drawn


def _share(part: int, whole: int, columns: int) -> int:
    """Columns of a part: what is something is seen, and full is full only where it is."""
    if part <= 0:
        return 0
    found = part * columns // whole
    return min(columns, max(1, found))


def _is_beyond(one: Standing) -> bool:
    return one.forecast is not None and one.forecast > one.limit


def detail(shown: Shown) -> RenderableType:
    """One budget: its bar, the walk from its limit to what is left, its counters, its alerts."""
    (one,) = shown.stands
    parts: list[RenderableType] = [_headline(one.budget), ""]
    if one.budget.each:
        parts += [plain(_counted(one), style="dim"), "", _counters(one)]
    else:
        parts += [_long_bar(one.fullest[0]), "", _walk(one.fullest[0])]
    return Padding(Group(*parts, "", _terms(one, shown.alerts)), (1, 2))


def _headline(budget: Budget) -> Text:
    return styled("[bold]{}[/][dim]   {} · {}[/]", budget.name, mode_of(budget), budget.id)


def _long_bar(one: Standing) -> Text:
    drawn = bar(one, LONG_BAR_COLUMNS)
    return styled("{}[{}]  {} %  {}[/]", drawn, COLOURS[one.level], one.percent, one.level)


def _walk(one: Standing) -> Table:
    budget = one.budget
    rows = grid(padding=(0, 3, 0, 0))
    rows.add_column(style="dim")
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(style="dim")
    if not one.is_rate:
        rows.add_row("limit", amount(budget, budget.limit), unit(budget))
        for raised in budget.raises:
            if raised.from_us <= one.at_us < raised.to_us:
                why = f"until {local(raised.to_us, budget)}, by {raised.author}: {raised.reason}"
                rows.add_row("raised", f"+ {amount(budget, raised.amount)}", why)
        if budget.carry_over_percent:
            carried = f"unspent in the {budget.window} before, at most {budget.carry_over_percent} % of the limit"
            rows.add_row("carried over", f"+ {amount(budget, one.carried)}", carried)
        rows.add_row("spent", f"{MINUS} {amount(budget, one.posted)}", "booked")
    else:
        rows.add_row("limit", amount(budget, _limit(one)), unit(budget))
        if budget.window == "minute":
            rows.add_row("at once", amount(budget, one.limit), "the burst")
    if one.pending or one.is_rate:
        rows.add_row("in use" if one.is_rate else "held", f"{MINUS} {amount(budget, one.pending)}", "by running requests")  # fmt: skip
    rows.add_row(styled("[bold]left[/]"), styled("[bold]{}[/]", amount(budget, one.left)), "")
    if one.span.end_us is not None:
        rows.add_row("forecast", *_outlook(one))
    return rows


def _outlook(one: Standing) -> tuple[str, str | Text]:
    budget, expected = one.budget, one.forecast
    if expected is None:
        return DASH, f"too early in this {budget.window} to tell"
    gap = one.limit - expected
    said = f"{amount(budget, abs(gap))} {'left' if gap >= 0 else 'over the limit'} at this pace"
    return amount(budget, expected), said if gap >= 0 else styled("[yellow]{}[/]", said)


def _counters(one: Stand) -> Table:
    word = one.budget.each.replace("_", " ")
    columns = ((word, "left"), ("spent", "right"), ("held", "right"), ("limit", "right"), ("", "left"), ("", "right"), ("", "left"), ("left", "right"), ("forecast", "right"), ("frees in", "left"))  # fmt: skip
    shown = table("", columns)
    shown.title = None
    for standing in one.fullest:
        shown.add_row(standing.value or "none", *_cells(standing, everything=True))
    return shown


def _terms(one: Stand, alerts: Sequence[Alert]) -> Table:
    budget = one.budget
    rows = grid(padding=(0, 3, 0, 0))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    rows.add_row("scope", scope(budget))
    rows.add_row("window", _window(one))
    asked = [f"{percent} %" for percent in budget.alerts]
    asked += [f"forecast {percent} %" for percent in budget.forecast_alerts]
    if asked:
        rows.add_row("alerts at", ", ".join(asked))
    for alert in alerts[-3:]:
        of = f" of {alert.key.subject}" if alert.key.subject else ""
        rows.add_row("alerted", f"{alert.kind} {alert.percent} %{of}, {local(alert.at_us, budget)}")  # fmt: skip
    return rows


def _window(one: Stand) -> str:
    budget = one.budget
    spans = {standing.span for standing in one.fullest}
    if budget.window == "minute":
        return f"a rolling minute, {budget.burst_percent} % of it at once"
    if budget.measure == CONCURRENT:
        return "frees as requests end"
    if not spans or budget.window == "always":
        return budget.window
    span, standing = spans.pop(), one.fullest[0]
    assert span.end_us is not None
    ends = f"{local(span.start_us, budget)} to {local(span.end_us, budget)}, {budget.timezone}"
    return f"{budget.window}: {ends}; frees {frees(standing)}"


def frees(one: Standing) -> str:
    """When what is used comes back."""
    if one.span.end_us is not None:
        return f"in {_time(one.span.end_us - one.at_us)}"
    if one.budget.measure == CONCURRENT:
        return "as requests end"
    return "within the minute" if one.budget.window == "minute" else "never"


def _frees_in(one: Standing) -> str:
    return DASH if one.span.end_us is None else _time(one.span.end_us - one.at_us)


def _time(us: int) -> str:
    """'14 h': in the unit a person plans with."""
    minutes = max(1, -(-us // (60 * US_PER_SECOND)))
    hours, days = minutes // 60, minutes // 1440
    if days >= 2:  # noqa: PLR2004 - one day is said in hours
        return f"{days} days"
    return f"{hours} h" if hours else f"{minutes} min"


def _limit(one: Standing) -> int:
    return one.budget.limit + one.raised if one.is_rate else one.limit
