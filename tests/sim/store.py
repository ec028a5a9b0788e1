"""A database in memory behind the real Ledger: transactions that are away, conflict, or commit and say they did not."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from gateway.kernel.clock import Clock
from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums, merge
from gateway.quota.counters import Counter, Counters
from gateway.quota.hold import CounterKey, HoldLine
from gateway.storage.books import Books, Posted
from gateway.storage.errors import StoreUnavailable
from gateway.storage.ledger import Ledger
from tests.sim.quotas import LATENCY_S_MAX, LOCK_LOOK_S, budgets_of

T = TypeVar("T")


class SimStore:
    """What is committed. ``away``: nobody reaches it; ``ambiguous``: share of commits whose answer is lost."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.rows: dict[UUID, Entry] = {}
        self.rollup: dict[Cell, Sums] = {}
        self.claims: dict[str, UUID] = {}
        self.quarantine: dict[UUID, str] = {}
        self.away = False
        self.ambiguous = 0.0
        self.lost_answers = 0
        self.budgets = budgets_of(chance)
        self.engine = Counters()
        self.chain: list[bytes] = []
        self._lock: tuple[object, Callable[[], bool]] | None = None

    def reach(self) -> None:
        """Raises StoreUnavailable where it is away."""
        if self.away:
            raise StoreUnavailable("the simulated store is away", retry_after_ms=1_000)

    def answer(self) -> None:
        """What was committed is told. Raises StoreUnavailable where that is what gets lost."""
        if self.chance.random() < self.ambiguous:
            self.lost_answers += 1
            raise StoreUnavailable("the connection broke after the commit", retry_after_ms=100)

    async def locked(self, owner: object, is_alive: Callable[[], bool]) -> None:
        """Lock the counters until ``unlock``; a dead worker's transaction holds nothing up."""
        while self._lock is not None and self._lock[1]():  # virtual time costs nothing
            await asyncio.sleep(LOCK_LOOK_S)
            self.reach()
        self._lock = (owner, is_alive)

    def unlock(self, owner: object) -> None:
        """The transaction is over."""
        if self._lock is not None and self._lock[0] is owner:
            self._lock = None


class SimBooks:
    """One transaction: sees what was committed when it began, is refused where somebody was faster."""

    def __init__(self, store: SimStore, is_alive: Callable[[], bool]) -> None:
        self._store = store
        self._is_alive = is_alive
        self._removed: list[UUID] = []
        self._given_back: dict[CounterKey, int] = {}
        self._new: dict[UUID, Entry] = {}
        self._cells: dict[Cell, Sums] = {}
        self._claimed: dict[str, UUID] = {}
        self._posted: dict[CounterKey, int] = {}
        self._linked: list[bytes] = []

    async def _statement(self) -> None:
        await asyncio.sleep(self._store.chance.random() * LATENCY_S_MAX)
        self._store.reach()

    async def claim(self, claims: Mapping[str, UUID]) -> dict[str, UUID]:
        await self._statement()
        for key, owner in claims.items():
            self._claimed[key] = self._store.claims.get(key, owner)
        return {key: self._claimed[key] for key in claims}

    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        await self._statement()
        known = self._store.rows.keys() | self._new.keys()
        new = {entry.id: entry for entry in entries if entry.id not in known}
        self._new.update(new)
        return set(new)

    async def estimates(self, ids: Sequence[UUID]) -> list[Entry]:
        await self._statement()
        rows = [self._store.rows[one] for one in ids if one in self._store.rows]
        return [row for row in rows if row.kind in ESTIMATES]

    async def corrections(self, ids: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        await self._statement()
        found: dict[UUID, list[Entry]] = {}
        for row in self._store.rows.values():
            if row.ref_id is not None and row.ref_id in ids:
                found.setdefault(row.ref_id, []).append(row)
        return found

    async def roll(self, cells: Mapping[Cell, Sums]) -> None:
        await self._statement()
        merge(self._cells, dict(cells))

    async def periods_version(self) -> int:
        return 0

    async def frozen_periods(self) -> Sequence[int]:
        return ()

    async def budgets_version(self) -> int:
        return 1

    async def budgets(self) -> Sequence[tuple[str, int]]:
        return [(msgspec.json.encode(budget).decode(), 0) for budget in self._store.budgets]

    async def holds(self, request_ids: Collection[UUID]) -> dict[UUID, tuple[HoldLine, ...]]:
        await self._statement()
        held = self._store.engine.holds
        return {one: held[one].lines for one in request_ids if one in held}

    async def post(self, amounts: Sequence[tuple[CounterKey, int]]) -> list[Posted]:
        await self._statement()
        await self._store.locked(self, self._is_alive)
        self._posted.update(amounts)
        return [Posted(key, 0, 0) for key, _ in amounts]

    async def release(self, request_ids: Collection[UUID]) -> list[tuple[HoldLine, ...]]:
        await self._statement()
        held = self._store.engine.holds
        self._removed += [one for one in request_ids if one in held]
        return [held[one].lines for one in self._removed]

    async def give_back(self, amounts: Mapping[CounterKey, int]) -> None:
        await self._statement()
        self._given_back.update(amounts)

    async def link(self, rows: bytes, ids: bytes, booked_us: int) -> None:
        await self._statement()
        self._linked.append(ids)

    async def commit(self) -> None:
        """All at once. Raises StoreUnavailable where it did not, or where nobody will ever tell."""
        await self._statement()
        store = self._store
        if self._new.keys() & store.rows.keys():
            raise StoreUnavailable("somebody else was faster", retry_after_ms=100)
        store.rows.update(self._new)
        merge(store.rollup, self._cells)
        store.claims.update(self._claimed)
        store.chain += self._linked
        for key, added in self._posted.items():
            store.engine.counters.setdefault(key, Counter()).posted += added
        for key, back in self._given_back.items():
            store.engine.counters[key].pending -= back
        for one in self._removed:
            del store.engine.holds[one]
        store.answer()

    def close(self) -> None:
        """Committed or not, it is over."""
        self._store.unlock(self)


class SimLedger(Ledger):
    """The real ledger on simulated transactions; ``is_alive`` is asked before anything is committed."""

    def __init__(self, store: SimStore, clock: Clock, is_alive: Callable[[], bool]) -> None:
        super().__init__(None, clock=clock)  # type: ignore[arg-type]  # every use of it is overridden
        self._store = store
        self._is_alive = is_alive

    async def quarantine(self, record_id: UUID, reason: str, record: bytes) -> None:
        self._store.reach()
        self._store.quarantine[record_id] = reason

    async def creator(self, settles: str) -> Entry | None:
        return None

    def _begun(self) -> SimBooks:
        return SimBooks(self._store, self._is_alive)

    async def _within(self, steps: Callable[[Books], Coroutine[Any, Any, T]]) -> T:
        self._store.reach()
        books = self._begun()
        try:
            result = await steps(books)
            if self._is_alive():
                await books.commit()
        finally:
            books.close()
        return result
