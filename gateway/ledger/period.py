"""Day and period of an instant in an org's zone; intervals are half-open.

To add a calendar (weeks, fiscal months): one function from an instant to its name, one back to its bounds.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.kernel.clock import epoch_us, instant

_MONTHS = 12
_US_PER_MINUTE = 60_000_000


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ZoneInfoNotFoundError (a KeyError) on an unknown one."""
    try:
        return ZoneInfo(name)
    except (
        ValueError,
        OSError,
    ) as error:  # 'Europe' is a folder of zones, and a path may be too long
        raise ZoneInfoNotFoundError(name) from error


def day_and_period(us: int, zone_name: str = "UTC") -> tuple[str, int]:
    """The local day ('2026-11-30') and period (202611) of an epoch in microseconds."""
    local = instant(us).astimezone(zone(zone_name))
    return local.date().isoformat(), local.year * 100 + local.month


class Calendar:
    """Day and period in one zone, by org; zone arithmetic once a minute: no zone changes its offset within one."""

    def __init__(self, zone_name: str) -> None:
        self._zone_name = zone_name
        self._minute = -1
        self._found = ("", 0)

    def __call__(self, org: str, us: int) -> tuple[str, int]:
        """The day and period of an epoch in microseconds; every org of this gateway has the same zone."""
        minute = us // _US_PER_MINUTE
        if minute != self._minute:
            self._found = day_and_period(minute * _US_PER_MINUTE, self._zone_name)
            self._minute = minute
        return self._found


def next_period(period: int) -> int:
    """The period after: 202612 → 202701. Raises ValueError on a month that is none."""
    year, month = divmod(period, 100)
    if not 1 <= month <= _MONTHS:
        raise ValueError(f"{period} is not a period: write yyyymm")
    return (year + 1) * 100 + 1 if month == _MONTHS else period + 1


def previous_period(period: int) -> int:
    """The period before: 202701 → 202612. Raises ValueError on a month that is none."""
    next_period(period)  # refuses a month that is none
    year, month = divmod(period, 100)
    return (year - 1) * 100 + _MONTHS if month == 1 else period - 1


def period_start_us(period: int, zone_name: str = "UTC") -> int:
    """Epoch microseconds of the first instant of a period; it ends where the next one starts."""
    next_period(period)  # refuses a month that is none
    year, month = divmod(period, 100)
    return _midnight_us(date(year, month, 1), zone_name)


def day_bounds_us(day: str, zone_name: str = "UTC") -> tuple[int, int]:
    """[start, end) of a local day; 23, 24 or 25 hours long. Raises ValueError where it is not a date."""
    first = date.fromisoformat(day)
    return _midnight_us(first, zone_name), _midnight_us(first + timedelta(days=1), zone_name)


def _midnight_us(day: date, zone_name: str) -> int:
    # A zone may skip midnight: fold 0 then names the instant the clock would have shown it.
    local = datetime(day.year, day.month, day.day, tzinfo=zone(zone_name))
    return epoch_us(local.astimezone(UTC))
