"""Budgets listed, changed, and what became of them: diffs key by key, histories, alerts."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from gateway.commands.budgets.records import Raised, Told
from gateway.commands.budgets.words import DASH, MINUS, amount, local, none_yet, scope, unit
from gateway.commands.output import Listed, Table, styled, table
from gateway.kernel.clock import instant
from gateway.quota.budget import CONCURRENT, Budget
from gateway.quota.form import mode_of
from gateway.quota.plan import Difference, Edit

_SIGNS: Final = {
    "add": styled("[green]+[/]"),
    "change": styled("[yellow]~[/]"),
    "remove": styled("[red]{}[/]", MINUS),
}
_DONE: Final = {"add": "made", "change": "changed", "remove": "removed"}


def listed(found: Sequence[Budget]) -> RenderableType:
    """Budgets without their use."""
    if not found:
        return none_yet()
    columns = (("budget", "left"), ("scope", "left"), ("limit", "right"), ("of", "left"), ("window", "left"), ("zone", "left"), ("mode", "left"), ("alerts", "left"))  # fmt: skip
    shown = table("Budgets", columns, ("scope", "zone"))
    for budget in found:
        shown.add_row(
            budget.name,
            scope(budget),
            amount(budget, budget.limit),
            unit(budget).removesuffix(" a minute"),
            DASH if budget.measure == CONCURRENT else budget.window,
            "" if budget.window in {"minute", "always"} else budget.timezone,
            mode_of(budget),
            Listed(*(f"{percent} %" for percent in budget.alerts)),
        )
    return shown


def edit(one: Edit, *, dry_run: bool = False) -> Group:
    """One change and its keys."""
    done = f"would be {_DONE[one.action]}" if dry_run else _DONE[one.action]
    head = styled(
        "{} [bold]{}[/] {} [dim]{}[/]", _SIGNS[one.action], one.budget.name, done, one.budget.id
    )
    return Group(head, *(styled("    {}", line) for line in lines(one)))


def lines(one: Edit) -> Iterable[Text]:
    """The keys of a change; of a new budget those that say something."""
    if one.action == "remove":
        return ()
    made = one.action == "add"
    return [_line(each, made=made) for each in one.differences if each.key != "name" or not made]


def _line(one: Difference, *, made: bool) -> Text:
    after = _value(one.after)
    return (
        styled("[dim]{}[/] {}", one.key, after)
        if made
        else styled("[dim]{}[/] [red]{}[/] → [green]{}[/]", one.key, _value(one.before), after)
    )


def _value(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
    if isinstance(value, list):
        apart = "; " if any(isinstance(one, dict) for one in value) else ", "
        return apart.join(_value(one) for one in value)
    return str(value)


def raised(budget: Budget) -> Text:
    """A raise that was just granted."""
    one = budget.raises[-1]
    more = f"{amount(budget, one.amount)} {unit(budget)} more until {local(one.to_us, budget)}"
    return styled("[green]✓[/] [bold]{}[/]: {} ({}, {})", budget.name, more, one.reason, one.author)


def history(told: Sequence[Told]) -> Table:
    """Who changed what when."""
    name = told[-1].change.budget.name if told else ""
    columns = (("when, UTC", "left"), ("who", "left"), ("what", "left"), ("", "left"))
    shown = table(styled("History of {}", name), columns)
    for one in told:
        change = one.change
        at = instant(change.at_us).strftime("%Y-%m-%d %H:%M:%S")
        is_first = all(each.before is None for each in one.differences)
        said = Group(*(_line(each, made=is_first) for each in one.differences))
        shown.add_row(at, change.author, change.action, said)
    return shown


def alerts(found: Sequence[Raised]) -> RenderableType:
    """Alerts, oldest first."""
    if not found:
        return "No alert was raised."
    columns = (("when, UTC", "left"), ("budget", "left"), ("of", "left"), ("window from", "left"), ("alert", "left"), ("used", "right"))  # fmt: skip
    shown = table("Alerts", columns)
    for budget, one in found:
        begun = local(one.key.window_us, budget) if one.key.window_us else ""
        shown.add_row(
            instant(one.at_us).strftime("%Y-%m-%d %H:%M:%S"),
            budget.name,
            one.key.subject,
            begun,
            f"{one.kind} {one.percent} %",
            amount(budget, one.used),
        )
    return shown
