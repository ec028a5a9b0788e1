"""What SQL knows of the counters, told to Valkey: cold ones when asked for, flushed ones at once, all of them
now and then.

A counter's version tells which of two sayings is the newer; those that engines made in SQL are 0, postings
and restatings count from 1. So it does not matter in which order, or how often, anything is told. A hold
goes only together with, or after, the row that takes its place. To tell something further: ``Truth``.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.quota.counters import Counter
from gateway.quota.hold import CounterKey
from gateway.quota.window import previous, window_of
from gateway.storage import valkey_scripts as scripts
from gateway.storage.among import among
from gateway.storage.books import Posted, posted as posted_of
from gateway.storage.budgets import loaded_now
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.holds import EXPIRED_PER_CALL_MAX, Expired, booked
from gateway.storage.posting import Effects
from gateway.storage.snapshots import BudgetSnapshot
from gateway.storage.tables import COUNTER
from gateway.storage.valkey_epoch import LOOK_MS, Epoch, key_of

RESYNC_MS: Final = 10_000
PER_CALL_MAX: Final = 500
FINISHED_MAX: Final = 100_000  # waiting to be told; further ones are found by the sweeper
_MS_PER_S: Final = 1_000
_T = TypeVar("_T")


class Truth:
    """One per process."""

    def __init__(
        self, epoch: Epoch, database: Database, *, clock: Clock, observer: Observer | None = None
    ) -> None:
        self._epoch = epoch
        self._database = database
        self._clock = clock
        self._observer = observer
        self._is_away = False
        self._posted: dict[CounterKey, Posted] = {}
        self._finished: dict[UUID, None] = {}
        self._telling = asyncio.Lock()
        self._roused = asyncio.Event()

    # From the ledger.

    def posted(self, effects: Effects) -> None:
        """A flush was committed (the ledger's ``on_posted``); told to Valkey by ``step``."""
        for one in effects.posted:
            known = self._posted.get(one.key)
            if known is None or known.version < one.version:
                self._posted[one.key] = one
        if len(self._finished) < FINISHED_MAX:
            self._finished.update(dict.fromkeys(effects.released))
        self._roused.set()

    @property
    def waiting(self) -> int:
        """Counters and finished requests that Valkey has not been told of."""
        return len(self._posted) + len(self._finished)

    async def told(self) -> None:
        """Tell what was posted, the rows before the holds they take the place of. Raises StoreUnavailable."""
        async with self._telling:
            posted, finished = list(self._posted.values()), list(self._finished)
            if len(posted) > PER_CALL_MAX:
                await self.say(posted)
            # Both in one call, mostly: then nothing is counted twice even for a moment.
            await self._end(finished[:PER_CALL_MAX], posted[:PER_CALL_MAX])
            for part in parts(finished[PER_CALL_MAX:], PER_CALL_MAX):
                await self._end(part)
            for one in posted:
                if self._posted.get(one.key) == one:
                    del self._posted[one.key]

    async def _end(self, finished: Sequence[UUID], posted: Sequence[Posted] = ()) -> None:
        said = [self._said(one) for one in posted]
        await self._epoch.ask(scripts.POST, [said, [str(one) for one in finished], -1])
        self._epoch.drop(finished)
        for one in finished:
            self._finished.pop(one, None)

    def _said(self, one: Posted) -> list[str | int]:
        return [self._epoch.name(one.key), str(one.posted), one.version]

    async def drain(self) -> None:
        """At shutdown: tell what is left; what Valkey does not take is found by the other processes."""
        try:
            await self.told()
        except StoreUnavailable as error:
            self._report(error)

    async def say(self, posted: Sequence[Posted], version: int = -1) -> None:
        """How counters stand in SQL; ``version``: of the budgets, where all of them are said."""
        said = [self._said(one) for one in posted]
        for part in parts(said, PER_CALL_MAX):
            await self._epoch.ask(scripts.POST, [part, [], -1])
        if version >= 0:
            await self._epoch.ask(scripts.POST, [[], [], version])

    async def tell(self, keys: Sequence[CounterKey]) -> None:
        """Counters that Valkey does not know, as SQL has them."""
        async with self._database.snapshot() as connection:
            known = {one.key: one for one in await standing(connection, keys)}
        await self.say([known.get(key) or Posted(key, 0, 0) for key in keys])

    async def resync(self) -> None:
        """Every counter that Valkey has, and the budgets' version; what is over is forgotten."""
        keys = await self._keys()
        now_us = self._clock.wall_us()
        async with self._database.snapshot() as connection:
            budgets = await loaded_now(connection)
            known = await standing(connection, keys)
        await self.say(known, budgets.version)
        over = [self._epoch.name(key) for key in keys if _is_over(key, budgets, now_us)]
        for part in parts(over, PER_CALL_MAX):
            await self._epoch.ask(scripts.FORGET, [now_us, part])

    # Reading.

    async def states(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter]:
        """How counters stand; what is posted comes from SQL where Valkey does not know it."""
        found, cold = await self._read(keys)
        if cold:
            async with self._database.snapshot() as connection:
                for one in await standing(connection, cold):
                    found[one.key].posted = one.posted
        return found

    async def all_states(self) -> dict[CounterKey, Counter]:
        """Every counter that Valkey has, with what is held of it."""
        return (await self._read(await self._keys()))[0]

    async def _read(
        self, keys: Sequence[CounterKey]
    ) -> tuple[dict[CounterKey, Counter], list[CounterKey]]:
        found: dict[CounterKey, Counter] = {}
        cold: list[CounterKey] = []
        for part in parts(keys, PER_CALL_MAX):
            names = [self._epoch.name(key) for key in part]
            _, told = await self._epoch.ask(scripts.READ, [names])
            for key, (posted, pending, tat_us, version) in zip(part, told, strict=True):
                found[key] = Counter(int(posted), pending, tat_us)
                if version < 0:
                    cold.append(key)
        return found, cold

    async def _keys(self) -> list[CounterKey]:
        _, names = await self._epoch.ask(scripts.NAMES)
        return [key_of(name) for name in names]

    # The job's side.

    async def step(self) -> int:
        """Tell what was posted as soon as it is, look at the epoch twice a second; 0, the pause after it.

        Never longer between two looks, whatever fails: the time of grace relies on it.
        """
        timer = asyncio.get_running_loop().call_later(LOOK_MS / _MS_PER_S, self._roused.set)
        try:
            await self._roused.wait()
        finally:
            timer.cancel()
        self._roused.clear()
        try:
            await self._attend()
            self._is_away = False
        except StoreUnavailable as error:
            if not self._is_away:
                self._report(error)
            self._is_away = True
        return 0

    def _report(self, error: StoreUnavailable) -> None:
        if self._observer is not None:
            self._observer.failed("quota.valkey", error)

    async def _attend(self) -> None:
        self._epoch.drop_expired(self._clock.wall_us())
        if self.waiting:
            await self.told()
        else:
            await self._epoch.ask(scripts.LOOK)
        if await self._epoch.first("resync", RESYNC_MS):
            await self.resync()


async def standing(connection: AsyncConnection, keys: Sequence[CounterKey]) -> list[Posted]:
    """How those of these counters stand that SQL has."""
    found: list[Posted] = []
    for part in parts(keys, PER_CALL_MAX):
        named = [(key.budget, key.subject, key.window_us) for key in part]
        ours = among(connection, (COUNTER.c.budget, COUNTER.c.subject, COUNTER.c.window_us), named)
        rows = (await connection.execute(sa.select(COUNTER).where(ours))).mappings()
        found += [posted_of(row) for row in rows]
    return found


def _is_over(key: CounterKey, budgets: BudgetSnapshot, now_us: int) -> bool:
    """Whether no request will ask for a counter again: its window is older than the one before this."""
    budget = budgets.budgets.get(key.budget)
    if budget is None:
        return True
    return 0 < key.window_us < previous(budget, window_of(budget, now_us)).start_us


def parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """In lists of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class ValkeyHolds:
    """The holds of every worker, as the sweeper sees them (jobs.ports.Holds). All raise StoreUnavailable."""

    def __init__(self, epoch: Epoch, truth: Truth, database: Database) -> None:
        self._epoch = epoch
        self._truth = truth
        self._database = database

    async def expired(self, now_us: int, limit: int = EXPIRED_PER_CALL_MAX) -> list[Expired]:
        """Holds that ended by then, the oldest first."""
        _, *found = await self._epoch.ask_raw(scripts.EXPIRED, [now_us, limit])
        held = {UUID(one.decode()): entry for one, entry in zip(found[::2], found[1::2], strict=True)}  # fmt: skip
        if not held:
            return []
        async with self._database.read() as connection:
            final = await booked(connection, held)
        return [Expired(one, entry, one in final) for one, entry in held.items()]

    async def free(self, request_ids: Collection[UUID]) -> None:
        """Remove holds, after what SQL has posted in their place; unknown ids are passed over."""
        for part in parts(list(request_ids), PER_CALL_MAX):
            ids = [str(one) for one in part]
            _, names = await self._epoch.ask(scripts.HELD, [ids])
            async with self._database.snapshot() as connection:
                known = await standing(connection, [key_of(name) for name in names])
            await self._truth.say(known)
            await self._epoch.ask(scripts.POST, [[], ids, -1])
            self._epoch.drop(part)
