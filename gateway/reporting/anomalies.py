"""Unusual days: a team's application on a model that cost far more than such days do, with its cause.

Robust: the distance from the median in median absolute deviations, working days and weekends apart. To find
other things unusual: another grain of ``series``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from statistics import median_low
from typing import Final

import msgspec

from gateway.kernel.money import PICO_PER_USD
from gateway.reporting.outlook import Hour

LOOK_BACK_DAYS: Final = 56
HISTORY_MIN: Final = 8  # days of the same kind, else nothing is usual yet
Z_MIN: Final = 4
OVER_MIN_PICO: Final = 25 * PICO_PER_USD
_SATURDAY: Final = 5
_MAD: Final = 14_826  # ten-thousandths: a deviation's median as a spread
_FLOOR_PERCENT: Final = 10  # a spread below this part of the median is luck
Key = tuple[str, str, str]  # team, app, model


class Unusual(msgspec.Struct, frozen=True):
    """A day of a team, application and model. Amounts in pico-USD; ``z`` in tenths."""

    day: date
    team: str
    app: str
    model: str
    pico: int
    usual_pico: int
    z: int

    @property
    def over_pico(self) -> int:
        """What is above the usual."""
        return self.pico - self.usual_pico


class Cause(msgspec.Struct, frozen=True):
    """The key that made it and when: half hours [first, until) of the day, from midnight."""

    key_id: str
    first: int
    until: int
    requests: int
    pico: int


def unusual(
    series: Mapping[Key, Mapping[date, int]],
    first: date,
    until: date,
    *,
    over_min_pico: int = OVER_MIN_PICO,
) -> list[Unusual]:
    """The unusual days among [first, until), the most expensive first."""
    found = [
        one
        for key, days in series.items()
        for ahead in range((until - first).days)
        if (one := _judged(key, days, first + timedelta(days=ahead))) is not None
        and one.over_pico > over_min_pico
    ]
    return sorted(found, key=lambda one: (-one.over_pico, one.day, one.team, one.app, one.model))


def _judged(key: Key, days: Mapping[date, int], day: date) -> Unusual | None:
    past = [
        days.get(before, 0)
        for back in range(1, LOOK_BACK_DAYS + 1)
        if _is_weekend(before := day - timedelta(days=back)) == _is_weekend(day)
        and before >= min(days)
    ]
    if len(past) < HISTORY_MIN:
        return None
    usual = median_low(past)
    spread = median_low([abs(each - usual) for each in past]) * _MAD // 10_000
    spread = max(spread, usual * _FLOOR_PERCENT // 100, 1)
    pico = days.get(day, 0)
    z = (pico - usual) * 10 // spread
    return Unusual(day, *key, pico, usual, z) if z > Z_MIN * 10 else None


def _is_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY


def cause(hours: Iterable[Hour]) -> Cause | None:
    """The key that was charged most, and the shortest window with four fifths of its amount."""
    by_key: dict[str, list[Hour]] = {}
    for hour in hours:
        by_key.setdefault(hour.key_id, []).append(hour)
    if not by_key:
        return None
    key_id, own = max(by_key.items(), key=lambda each: (sum(h.pico for h in each[1]), each[0]))
    whole = sum(hour.pico for hour in own)
    first, until = _window({hour.slot: hour.pico for hour in own}, whole)
    within = [hour for hour in own if first <= hour.slot < until]
    return Cause(key_id, first, until, sum(h.requests for h in within), sum(h.pico for h in within))


def _window(slots: Mapping[int, int], whole: int) -> tuple[int, int]:
    ordered: Sequence[int] = sorted(slots)
    best = (ordered[0], ordered[-1] + 1)
    for first in ordered:
        seen = 0
        for slot in (one for one in ordered if one >= first):
            seen += slots[slot]
            if seen * 5 >= whole * 4:
                if slot + 1 - first < best[1] - best[0]:
                    best = (first, slot + 1)
                break
    return best
