"""Orphans → ledger: what dead workers left on this disk is booked; kill -9 and power cuts lose nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Books, Malformed, Orphan
from gateway.jobs.supervise import forever
from gateway.ledger.entry import Entry

BATCH_MAX: Final = 1_000
PAUSE_MS: Final = 1_000
Find: TypeAlias = Callable[[], Iterator[Orphan]]


class Damaged(Exception):
    """Bytes of a dead worker's spool that belong to no whole record: a torn end, or a disk that lies."""


class Adopter:
    """Any number may run, in any processes: a lock decides who adopts which directory."""

    def __init__(self, find: Find, books: Books, observer: Observer) -> None:
        """``find`` locks and yields the orphans that are there now."""
        self._find = find
        self._books = books
        self._observer = observer

    async def run(self) -> None:
        """Adopt at once and then every second, until cancelled."""
        await forever("adopt", self._step, self._observer, pause_ms=PAUSE_MS)

    async def adopt(self) -> int:
        """Adopt every orphan there is; how many. Raises Unavailable, the rest is then adopted later."""
        adopted = 0
        for orphan in self._find():
            await self._adopt(orphan)
            adopted += 1
        return adopted

    async def _step(self) -> int:
        await self.adopt()
        return PAUSE_MS

    async def _adopt(self, orphan: Orphan) -> None:
        is_booked = False
        try:
            for batch in orphan.batches(BATCH_MAX):
                await self._book(batch)
            is_booked = True
        finally:
            # Only a directory whose every record is committed may go; else somebody begins again.
            if is_booked:
                orphan.remove()
            else:
                orphan.release()
        if orphan.damaged_bytes:
            found = f"spool {orphan.name}: {orphan.damaged_bytes} bytes belong to no whole record"
            self._observer.failed("adopt", Damaged(found))

    async def _book(self, batch: Sequence[Entry | Malformed]) -> None:
        entries = [one for one in batch if isinstance(one, Entry)]
        await self._books.append(entries)
        for one in batch:
            if not isinstance(one, Entry):
                await self._books.quarantine(one.entry_id, one.reason, one.text)
