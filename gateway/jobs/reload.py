"""Snapshots kept in memory follow the database: a revoked key is refused within seconds, everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Snapshot
from gateway.jobs.supervise import forever
from gateway.kernel.errors import Unavailable

PAUSE_MS: Final = 2_000  # the promise is 5 s
LOOK_PAUSE_MS: Final = 200  # after a look that failed by a fault of ours


class Reloader:
    """Refreshes every snapshot; one that fails keeps its last state and does not hold up the others."""

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        observer: Observer,
        look: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """``look``: waits until something is missed in a snapshot, refreshes that one; how many ms to pause."""
        self._snapshots = snapshots
        self._observer = observer
        self._look = look

    async def run(self) -> None:
        """Refresh every two seconds, and when something is missed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("reload", self.reload, self._observer, pause_ms=PAUSE_MS))
            if self._look is not None:
                looking = forever("renew", self._look, self._observer, pause_ms=LOOK_PAUSE_MS)
                group.create_task(looking)

    async def reload(self) -> int:
        """Refresh each once; how many ms to pause."""
        for snapshot in self._snapshots:
            try:
                await snapshot.refresh()
            except Unavailable as error:
                self._observer.failed("reload", error)
        return PAUSE_MS
