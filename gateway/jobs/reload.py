"""Snapshots kept in memory follow the database: a revoked key is refused within seconds, everywhere."""

from collections.abc import Sequence
from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Snapshot
from gateway.jobs.supervise import forever
from gateway.kernel.errors import Unavailable

PAUSE_MS: Final = 2_000  # the promise is 5 s


class Reloader:
    """Refreshes every snapshot; one that fails keeps its last state and does not hold up the others."""

    def __init__(self, snapshots: Sequence[Snapshot], observer: Observer) -> None:
        self._snapshots = snapshots
        self._observer = observer

    async def run(self) -> None:
        """Refresh every two seconds, until cancelled."""
        await forever("reload", self.reload, self._observer, pause_ms=PAUSE_MS)

    async def reload(self) -> int:
        """Refresh each once; how many ms to pause."""
        for snapshot in self._snapshots:
            try:
                await snapshot.refresh()
            except Unavailable as error:
                self._observer.failed("reload", error)
        return PAUSE_MS
