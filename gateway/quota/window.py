"""Windows of budgets: where in calendar time a moment lies. A window is a key, so nothing is ever reset.

Bounds are local midnights in the budget's own zone, as epoch microseconds; a day may have 23 or 25 hours.
To add a window: its start and end in ``_calendar``, its word in quota.budget.Window.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from gateway.kernel.clock import epoch_us, instant
from gateway.quota.budget import Budget

DAYS_KEPT_MAX: Final = 4096
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_YEAR_MONTHS: Final = 12


class Span(msgspec.Struct, frozen=True):
    """A window, half-open, in epoch microseconds; ``end_us`` is None where it never ends (or rolls)."""

    start_us: int
    end_us: int | None


ENDLESS: Final = Span(0, None)


def window_of(budget: Budget, at_us: int) -> Span:
    """The window of a budget that a moment lies in; ENDLESS for ``minute`` and ``always``."""
    if budget.window in {"minute", "always"}:
        return ENDLESS
    zone = budget.timezone
    day = instant(at_us).astimezone(_zone(zone)).date()
    span = _calendar(budget.window, zone, budget.year_start, day)
    assert span.end_us is not None
    if at_us < span.start_us:
        # A midnight that does not exist: the clock jumped over it, so the day begins where it landed.
        return _calendar(budget.window, zone, budget.year_start, day - timedelta(days=1))
    return span


def previous(budget: Budget, span: Span) -> Span:
    """The window before one; ENDLESS of ENDLESS."""
    return ENDLESS if span.end_us is None else window_of(budget, span.start_us - 1)


@lru_cache(DAYS_KEPT_MAX)
def _calendar(window: str, zone: str, year_start: int, day: date) -> Span:
    if window == "day":
        first, after = day, day + timedelta(days=1)
    elif window == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        months = _MONTHS[window]
        index = day.year * _YEAR_MONTHS + day.month - 1
        begun = index - (index - (year_start - 1)) % months
        first, after = _month(begun), _month(begun + months)
    return Span(_midnight(zone, first), _midnight(zone, after))


def _month(index: int) -> date:
    return date(index // _YEAR_MONTHS, index % _YEAR_MONTHS + 1, 1)


def _midnight(zone: str, day: date) -> int:
    """Local midnight; where a day has none, the moment the clock before the gap would have called so: later that day."""
    return epoch_us(datetime.combine(day, time(), _zone(zone)))  # fold=0: the offset before a gap


@lru_cache(64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
