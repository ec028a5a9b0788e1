"""Monthly partitions are there before the first row of the month, and rows that found none are reported."""

from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Months
from gateway.jobs.supervise import forever
from gateway.kernel.clock import Clock

PAUSE_MS: Final = 6 * 60 * 60 * 1000


class StrayRows(Exception):
    """Rows of a month without a partition lie in the default one: kept and counted, but not prunable."""


class Keeper:
    """Keeps the ledger's partitions ahead of the clock."""

    def __init__(self, months: Months, clock: Clock, observer: Observer) -> None:
        self._months = months
        self._clock = clock
        self._observer = observer

    async def run(self) -> None:
        """Look at once and then four times a day, until cancelled."""
        await forever("months", self.keep, self._observer, pause_ms=PAUSE_MS)

    async def keep(self) -> int:
        """Look once; how long to pause. Raises Unavailable where the database is away."""
        await self._months.ensure(self._clock.wall_us())
        strays = await self._months.strays()
        if strays:
            self._observer.failed(
                "months", StrayRows(f"{strays} rows lie in the default partition")
            )
        return PAUSE_MS
