"""When the progress of a running stream is worth a record in the journal: now and then, not per chunk.

To record more often, lower the two bounds: a record costs about 20 us and 1 KB of the page cache.
"""

from typing import Final

PROGRESS_NS: Final = 5_000_000_000
PROGRESS_BYTES: Final = 256 * 1024


class Pace:
    """One per stream; ``started_ns`` of the monotonic clock."""

    __slots__ = ("_bytes", "_last_ns")

    def __init__(self, started_ns: int) -> None:
        self._last_ns = started_ns
        self._bytes = 0

    def due(self, size: int, now_ns: int) -> bool:
        """Count a chunk of ``size`` bytes; whether a record is due now (asking begins the next interval)."""
        self._bytes += size
        if self._bytes < PROGRESS_BYTES and now_ns - self._last_ns < PROGRESS_NS:
            return False
        self._bytes, self._last_ns = 0, now_ns
        return True
