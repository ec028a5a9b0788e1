"""Snapshots kept in memory follow the database: a revoked key is refused within seconds, everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Snapshot
from gateway.jobs.supervise import MS_PER_S, forever
from gateway.kernel.errors import Unavailable

PAUSE_MS: Final = 2_000  # from one look's beginning to the next one's; the promise is 5 s
PAUSE_MS_MIN: Final = 100  # where a look took as long
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
            for snapshot in self._snapshots:  # one that takes its time holds up no other
                step = partial(self.reload, snapshot)
                group.create_task(forever("reload", step, self._observer, pause_ms=PAUSE_MS))
            if self._look is not None:
                looking = forever("renew", self._look, self._observer, pause_ms=LOOK_PAUSE_MS)
                group.create_task(looking)

    async def reload(self, snapshot: Snapshot) -> int:
        """Refresh one; how many ms to pause."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await snapshot.refresh()
        except Unavailable as error:
            self._observer.failed("reload", error)
        took_ms = round((loop.time() - began) * MS_PER_S)
        return max(PAUSE_MS_MIN, PAUSE_MS - took_ms)
