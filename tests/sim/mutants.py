"""Bugs made on purpose: each is one wrong order or one forgotten check, and the simulation has to find it.

To add one: a subclass of what it spoils, and a line in ``MUTANTS``.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from gateway.exchange.exchange import Exchange, Exchanges
from gateway.exchange.ports import Client, Response
from gateway.jobs.expire import Sweeper
from gateway.jobs.flush import BATCH_MAX, Flusher
from gateway.kernel.clock import Clock
from gateway.ledger.entry import Entry, Outcome
from gateway.providers.contract import Call, Provider
from gateway.quota.hold import CounterKey, Exhausted, Granted, Hold, Verdict
from gateway.storage.backlog import Pending
from gateway.storage.disk import LOCK, Disk
from gateway.storage.orphans import Orphan
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.spool import Spool
from gateway.wire.messages import Inbound
from tests.sim.store import SimBooks, SimLedger
from tests.sim.worker import Parts


class Hasty(Spool):
    """Releases the last byte when the settlement is written, not when it is durable."""

    async def settle(self, entry: Entry) -> None:
        waiting = asyncio.ensure_future(super().settle(entry))
        await asyncio.sleep(0)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())


class Forgetful(Spool):
    """Lets a segment go without carrying its open intents."""

    def _roll(self) -> object:  # type: ignore[override]  # what it returns is the same
        kept, self._intents = self._intents, {}
        try:
            return super()._roll()
        finally:
            self._intents = kept


class Silent(Spool):
    """Never writes an intent: what was sent is known only once it is settled."""

    def intent(self, entry: Entry) -> None:
        return


def lockless(root: Path, own: str, *, clock: Clock, disk: Disk) -> Iterator[Orphan]:
    """Adopts every other directory, that of the living too."""
    for home in sorted(root.iterdir()):
        if home.name != own:
            yield Orphan(home, os.open(home / LOCK, os.O_RDWR), disk, clock)


class MarksFirst(Flusher[Pending]):
    """Marks a batch before it is committed."""

    async def flush(self) -> int:
        batch = self._journal.take(BATCH_MAX)
        self._journal.flushed(batch)
        await self._books.append([waiting.entry for waiting in batch])
        return len(batch)


class Drops(Flusher[Pending]):
    """Forgets a batch that could not be committed."""

    async def flush(self) -> int:
        batch = self._journal.take(BATCH_MAX)
        try:
            await self._books.append([waiting.entry for waiting in batch])
        finally:
            self._journal.flushed(batch)
        return len(batch)


class _Doubling(SimBooks):
    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        await super().insert(entries)
        return {entry.id for entry in entries}


class Doubles(SimLedger):
    """Rolls up what it was given, not what was really inserted: a replay counts twice."""

    def _begun(self) -> SimBooks:
        return _Doubling(self._store, self._is_alive)


class _Keeping(SimBooks):
    async def give_back(self, amounts: Mapping[CounterKey, int]) -> None:
        await self._statement()


class KeepsPending(SimLedger):
    """Removes holds and forgets what they had pending."""

    def _begun(self) -> SimBooks:
        return _Keeping(self._store, self._is_alive)


class Unswept(Sweeper):
    """Leaves the holds of the dead as they are."""

    async def sweep(self) -> int:
        return 0


class Naive(BatchedQuotas):
    """Looks at what is posted, then lets it pass: the check of most gateways, two steps instead of one."""

    async def reserve(self, hold: Hold) -> Verdict:
        balances = await self.balances(hold.lines)
        limits = [(one, line) for one, line in zip(balances, hold.lines, strict=True)]
        short = [
            one
            for one, line in limits
            if line.enforce and line.rate is None and one.posted >= one.limit
        ]
        return Exhausted(tuple(short)) if short else Granted(balances)


class _Late(Exchange):
    async def settle(self, outcome: Outcome, *, saw_all: bool = False) -> None:
        """After the last byte, as a background step."""
        task = asyncio.ensure_future(super().settle(outcome, saw_all=saw_all))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


class SettlesLate(Exchanges):
    """Answers first and books afterwards."""

    def open(
        self, provider: Provider, call: Call, inbound: Inbound, request_id: UUID, client: Client
    ) -> Exchange:
        return _Late(self, provider, call, inbound, request_id, client)


class _Voiding(Exchange):
    async def forward(self, placed: Callable[[], None] | None = None) -> Response:
        """Voids whatever fails, also what had reached the provider."""
        try:
            return await super().forward(placed)
        except Exception:
            self.attempt.is_settled = True
            self._shared.spool.void(self.attempt.id)
            self._withdraw()
            raise


class VoidsTooMuch(Exchanges):
    """Takes every failure for one where nothing was consumed."""

    def open(
        self, provider: Provider, call: Call, inbound: Inbound, request_id: UUID, client: Client
    ) -> Exchange:
        return _Voiding(self, provider, call, inbound, request_id, client)


MUTANTS: Final = {
    "last byte before the sync": Parts(spool=Hasty),
    "intents not carried into a new segment": Parts(spool=Forgetful),
    "no intent before forwarding": Parts(spool=Silent),
    "the living adopted": Parts(orphans=lockless),
    "marked before the commit": Parts(flusher=MarksFirst),
    "failed batches forgotten": Parts(flusher=Drops),
    "replays rolled up again": Parts(ledger=Doubles),
    "booked after the answer": Parts(exchanges=SettlesLate),
    "every failure void": Parts(exchanges=VoidsTooMuch),
    "holds removed, pending kept": Parts(ledger=KeepsPending),
    "holds of the dead kept": Parts(sweeper=Unswept),
    "checked, then added": Parts(quotas=Naive),
}
