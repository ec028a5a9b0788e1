"""Spool → ledger: what is durable on this disk is booked, in batches, in the order it was settled."""

import asyncio
from collections.abc import Sequence
from typing import Final, Generic

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Books, Journal, W
from gateway.jobs.supervise import forever
from gateway.kernel.errors import Unavailable

BATCH_MAX: Final = 1_000
PAUSE_MS: Final = 250


class Flusher(Generic[W]):
    """One per spool. A batch is marked only after its commit, so whatever happens it is booked again."""

    def __init__(self, journal: Journal[W], books: Books, observer: Observer) -> None:
        self._journal = journal
        self._books = books
        self._observer = observer
        self._batch: Sequence[W] = ()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Flush until cancelled; while the database is away, entries wait on disk."""
        await forever("flush", self._step, self._observer, pause_ms=PAUSE_MS)

    async def drain(self) -> int:
        """At shutdown, after ``run`` was cancelled: book what is left; how much stays on disk."""
        try:
            while await self.flush():
                pass
        except Unavailable as error:
            self._observer.failed("flush", error)
        return self._journal.unflushed

    async def flush(self) -> int:
        """Book one batch; how many entries it had. Raises Unavailable, the batch then waits here."""
        async with self._one_at_a_time:
            if not self._batch:
                self._batch = self._journal.take(BATCH_MAX)
            if self._batch:
                await self._books.append([waiting.entry for waiting in self._batch])
            batch, self._batch = self._batch, ()
            self._journal.flushed(batch)
            return len(batch)

    async def _step(self) -> int:
        return 0 if await self.flush() == BATCH_MAX else PAUSE_MS
