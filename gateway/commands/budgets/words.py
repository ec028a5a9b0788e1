"""Amounts, units, scopes and moments of budgets in words for people."""

from typing import Final
from zoneinfo import ZoneInfo

from rich.text import Text

from gateway.commands.output import styled
from gateway.kernel.clock import instant
from gateway.kernel.money import PICO_PER_NANO, format_usd
from gateway.quota.budget import CONCURRENT, MONEY, REQUESTS, UNIT, Budget
from gateway.quota.form import SCOPE

DASH: Final = "–"  # noqa: RUF001 - nothing to say
MINUS: Final = "−"  # noqa: RUF001 - the true sign
_NANO_PER_USD: Final = 10**9
_NANO_PER_CENT: Final = 10**7
_SMALL_DECIMALS: Final = 6
_MILLION: Final = 1_000_000
_WHOLE: Final = 100


def amount(budget: Budget, value: int, *, short: bool = False) -> str:
    """An amount for people: cents, or the decimals that a small budget needs; counts with their thousands.

    ``short``: millions as 6.30M, where a column is narrow.
    """
    if budget.measure not in MONEY:
        return _millions(value) if short and abs(value) >= _MILLION else f"{value:,}"
    sign, size = (MINUS if value < 0 else ""), abs(value)
    if size and budget.limit < _NANO_PER_USD:
        whole, _, rest = format_usd(size * PICO_PER_NANO).partition(".")
        return f"{sign}{whole}.{rest[:_SMALL_DECIMALS].ljust(2, '0')}"
    cents = (size + _NANO_PER_CENT // 2) // _NANO_PER_CENT
    return f"{sign}{cents // 100:,}.{cents % 100:02}" if cents or not size else f"{sign}<0.01"


def _millions(value: int) -> str:
    hundredths = value * _WHOLE // _MILLION
    return f"{hundredths // _WHOLE:,}.{hundredths % _WHOLE:02}M"


def unit(budget: Budget) -> str:
    """What is counted."""
    if budget.measure in MONEY:
        return "USD" if budget.measure.endswith("net") else "USD, list price"
    if budget.measure == CONCURRENT:
        return "requests at a time"
    word = budget.measure.removeprefix(UNIT).replace("_", " ")
    return f"{word if budget.measure != REQUESTS else 'requests'}{' a minute' if budget.window == 'minute' else ''}"  # fmt: skip


def scope(budget: Budget) -> str:
    """Who and what a budget is over, in words."""
    named = [
        f"{name.replace('_', ' ')} {value}"
        for name in SCOPE
        if (value := getattr(budget.scope, name)) is not None
    ]
    split = [f"for each {budget.each.replace('_', ' ')} on its own"] if budget.each else []
    return ", ".join([*(named or ["every request"]), *split])


def local(us: int, budget: Budget) -> str:
    """A moment in the budget's own zone."""
    at = instant(us).astimezone(ZoneInfo(budget.timezone))
    return f"{at.day} {at:%b %Y %H:%M}"


def none_yet() -> Text:
    """What to do where there is no budget."""
    return styled(
        "No budgets yet: [bold]weighbridge budgets set --team search --usd 500 --window month[/]"
    )
