"""Where the month will end: spend so far plus, for each day left, the mean of the same weekday of eight weeks.

The method is linear, so the forecasts of cost centres sum to the forecast of all. The range and the error that
is printed come from the same method's misses on this ledger's own past months. Whole numbers throughout.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from math import isqrt
from typing import Final

import msgspec

from gateway.ledger.period import previous_period

WEEKS: Final = 8
_WEEK: Final = 7
BACK_MONTHS: Final = 6  # whose forecasts are tried
_SHARES: Final = (
    840  # divisible by 1 to 8: a mean of that many weeks is whole in these parts of a pico-dollar
)
_SCALE: Final = 1_000_000
_Z80: Final = 128  # hundredths: 80 % of a normal distribution lie within 1.28 of its spread


class Forecast(msgspec.Struct, frozen=True):
    """A month's end, pico-USD. ``low``, ``high``: the 80 % range; None where no past month can be tried.

    error_ppm  mean absolute error of the tried months, in parts per million; ``tried``: how many
    """

    pico: int
    low: int | None = None
    high: int | None = None
    error_ppm: int | None = None
    tried: int = 0


def month_end(period: int) -> date:
    """The first day after a month."""
    year, month = divmod(period, 100)
    return date(year + month // 12, month % 12 + 1, 1)


def month_start(period: int) -> date:
    """The first day of a month."""
    return date(period // 100, period % 100, 1)


def rest(
    days: Mapping[date, int], first: date, today: date, until: date, begin: date | None = None
) -> int:
    """What the days [begin, until) will cost, in 840ths of a pico-dollar: linear in ``days``. They begin today, or later.

    ``first``: the first day there is a ledger of; the window is the 56 days before ``today``, or less.
    """
    start = max(first, today - timedelta(days=WEEKS * _WEEK))
    sums, counts = [0] * _WEEK, [0] * _WEEK
    for back in range((today - start).days):
        day = start + timedelta(days=back)
        sums[day.weekday()] += days.get(day, 0)
        counts[day.weekday()] += 1
    whole, seen = sum(sums), sum(counts)
    found = 0
    begin = begin or today
    for ahead in range((until - begin).days):
        weekday = (begin + timedelta(days=ahead)).weekday()
        if counts[weekday]:
            found += sums[weekday] * (_SHARES // counts[weekday])
        elif seen:
            found += (
                whole * _SHARES // seen
            )  # less than a week of history: any day is like the others
    return found


def forecast(days: Mapping[date, int], period: int, today: date) -> Forecast:
    """The end of a month as seen on the morning of ``today`` (its own usage is not looked at)."""
    first = min(days, default=today)
    pico = _end(days, first, period, today)
    misses = [
        miss
        for past in _earlier(period)
        if (miss := _miss(days, first, past, today.day)) is not None
    ]
    left = month_end(period) > today
    if not misses or not left:
        return Forecast(pico, tried=len(misses), error_ppm=_mean_error(misses))
    # The spread of the misses around zero: a method that is always too low is as wrong as one that varies.
    spread = isqrt(sum(miss * miss for miss in misses) // len(misses))
    reach = abs(pico) * spread * _Z80 // (100 * _SCALE)
    return Forecast(pico, pico - reach, pico + reach, _mean_error(misses), len(misses))


def split(whole: int, parts: Iterable[int]) -> list[int]:
    """Parts in 840ths as pico-USD that sum to ``whole`` by largest remainder."""
    parts = list(parts)
    floors = [part // _SHARES for part in parts]
    order = sorted(range(len(parts)), key=lambda at: (-(parts[at] % _SHARES), at))
    for at in order[: whole - sum(floors)]:
        floors[at] += 1
    return floors


def spent(days: Mapping[date, int], period: int, today: date) -> int:
    """What the month's days before ``today`` cost."""
    start, end = month_start(period), month_end(period)
    return sum(pico for day, pico in days.items() if start <= day < min(end, today))


def _end(days: Mapping[date, int], first: date, period: int, today: date) -> int:
    end = month_end(period)
    ahead = rest(days, first, today, end, max(today, month_start(period))) if today < end else 0
    return spent(days, period, today) + ahead // _SHARES


def _earlier(period: int) -> Iterable[int]:
    for _ in range(BACK_MONTHS):
        period = previous_period(period)
        yield period


def _miss(days: Mapping[date, int], first: date, period: int, day: int) -> int | None:
    """By how much, in millionths, the month would have been missed on the same day; None without history."""
    start, end = month_start(period), month_end(period)
    if first > start - timedelta(days=_WEEK):
        return None
    today = min(start + timedelta(days=day - 1), end)
    actual = spent(days, period, end)
    return (_end(days, first, period, today) - actual) * _SCALE // actual if actual else None


def _mean_error(misses: list[int]) -> int | None:
    return sum(abs(miss) for miss in misses) // len(misses) if misses else None
