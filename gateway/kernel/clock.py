"""Time as an argument: the one place that reads the system's clocks. Tests pass their own Clock."""

import time
from datetime import UTC, datetime
from typing import Protocol

US_PER_SECOND = 1_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Wall clock for rows, ticks for durations; both whole numbers."""

    def wall_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...

    def ticks_ns(self) -> int:
        """Nanoseconds of a monotonic clock; only differences mean anything."""
        ...


class SystemClock:
    """The real clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def ticks_ns(self) -> int:
        return time.monotonic_ns()


def instant(us: int) -> datetime:
    """The aware UTC datetime of an epoch in microseconds."""
    seconds, rest = divmod(us, US_PER_SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def epoch_us(at: datetime) -> int:
    """Microseconds since the epoch of an aware datetime. Raises ValueError on a naive one."""
    if at.tzinfo is None:
        raise ValueError("a naive time has no place on a ledger: give it a zone")
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * US_PER_SECOND + delta.microseconds
