"""Budgets of a seed, and their counters and holds in the simulated store: the real batching in front of it.

What decides is quota.counters.Counters, the reference of every engine; what may go wrong is that the store is
away, slow, or carries out what it never answers. To give the seeds another budget: a line in ``budgets_of``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from gateway.ledger.entry import FAILED_OVER, Entry
from gateway.quota.budget import CONCURRENT, REQUESTS, TOKENS, USD_NET, Budget, Scope
from gateway.quota.hold import Balance, Hold, HoldLine, Verdict
from gateway.storage.holds import Expired
from gateway.storage.ledger import Ledger
from gateway.storage.quota_batch import Fix, Wish

if TYPE_CHECKING:
    from tests.sim.store import SimStore

LATENCY_S_MAX: Final = 0.02
LOCK_LOOK_S: Final = 0.001
HOLD_US: Final = 6_000_000
ROOMY: Final = 10**15
_ENTRY: Final = msgspec.json.Decoder(Entry)


def budgets_of(chance: Random) -> tuple[Budget, ...]:
    """Tight and roomy ones over everybody, each with its own word for a store that is away."""

    def budget(name: str, measure: str, limit: int, window: str, each: str = "") -> Budget:
        return Budget(
            id=name,
            name=name,
            scope=Scope(org="default"),
            each=each,
            measure=measure,
            limit=limit,
            window=window,  # type: ignore[arg-type]  # one of its words
            store_down=chance.choice(("allow", "allow", "allow_within", "deny")),
            shadow=chance.random() < 0.2,
        )

    return (
        budget("dollars", USD_NET, ROOMY, "month"),
        budget("calls", REQUESTS, chance.choice((4, 9, 40)), "month", "user"),
        budget("at-a-time", CONCURRENT, chance.choice((2, 4, 50)), "always", "key"),
        budget("tokens", TOKENS, ROOMY, "day", "team"),
        budget("pace", REQUESTS, chance.choice((30, 600)), "minute"),
    )


class SimQuotaStore:
    """The port quota_batch.Store on the world's store, for one worker."""

    def __init__(self, store: "SimStore", is_alive: Callable[[], bool]) -> None:
        self._store = store
        self._is_alive = is_alive

    async def admit(self, wishes: Sequence[Wish], now_us: int) -> Sequence[Verdict]:
        engine = self._store.engine
        async with self._transaction():
            return [
                engine.reserve(wish, now_us)
                if isinstance(wish, Hold)
                else engine.grow(wish.request_id, wish.lines, now_us)
                for wish in wishes
            ]

    async def fix(self, fixes: Sequence[Fix]) -> None:
        async with self._transaction():
            for request_id, used in fixes:
                if used is None:
                    self._store.engine.void(request_id)
                else:
                    self._store.engine.settle(request_id, used)

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        async with self._transaction():
            self._store.engine.extend(request_ids, expires_us)

    async def balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        async with self._transaction():
            return self._store.engine.balances(lines, now_us)

    async def close(self) -> None:
        return

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Whole or not at all; what was carried out may never be answered. Raises StoreUnavailable."""
        store = self._store
        await asyncio.sleep(store.chance.random() * LATENCY_S_MAX)
        store.reach()
        await store.locked(self, self._is_alive)
        try:
            yield
        finally:
            store.unlock(self)
        await asyncio.sleep(store.chance.random() * LATENCY_S_MAX)
        store.answer()


class SimHolds:
    """The sweeper's view of the holds."""

    def __init__(self, store: "SimStore", ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def expired(self, now_us: int, limit: int) -> list[Expired]:
        await asyncio.sleep(self._store.chance.random() * LATENCY_S_MAX)
        self._store.reach()
        found = sorted(self._store.engine.expired(now_us), key=lambda hold: hold.expires_us)
        return [
            Expired(hold.request_id, hold.entry, self._is_booked(hold)) for hold in found[:limit]
        ]

    def _is_booked(self, hold: Hold) -> bool:
        rows = self._store.rows
        final = {row.request_id for row in rows.values() if FAILED_OVER not in row.flags}
        return hold.request_id in final or _ENTRY.decode(hold.entry).id in rows

    async def free(self, request_ids: Collection[UUID]) -> None:
        if request_ids:
            await self._ledger.release(request_ids)
