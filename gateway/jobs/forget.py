"""Claims of what a provider has forgotten itself are removed, so that the table does not grow without end."""

from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Forgets
from gateway.jobs.supervise import forever
from gateway.kernel.clock import Clock

PAUSE_MS: Final = 60 * 60 * 1000
FAILED_PAUSE_MS: Final = 1_000


class Forgetter:
    """Any number may run, in any processes."""

    def __init__(self, claims: Forgets, clock: Clock, observer: Observer) -> None:
        self._claims = claims
        self._clock = clock
        self._observer = observer

    async def run(self) -> None:
        """Look at once and then every hour, until cancelled."""
        await forever("forget", self.step, self._observer, pause_ms=FAILED_PAUSE_MS)

    async def step(self) -> int:
        """Remove some; how long to pause: hardly while there may be more. Raises Unavailable."""
        return FAILED_PAUSE_MS if await self._claims.forget(self._clock.wall_us()) else PAUSE_MS
