"""Quotas on Postgres: a batch is one call of a function that locks, decides and writes on the server.

The functions are in migrations/versions/0004_quota_functions.py; what they are given is counters, distinct
and in lock order, and lines that name them by position. To hand over a further field of a line: a column
of ``_Packed`` and a parameter there.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.kernel.errors import ConfigurationError
from gateway.quota import gcra
from gateway.quota.counters import Counter, Counters
from gateway.quota.hold import (
    Balance,
    CounterKey,
    Exhausted,
    Granted,
    Hold,
    HoldLine,
    Stale,
    Verdict,
)
from gateway.storage.engine import driver_url
from gateway.storage.errors import StoreUnavailable, translated
from gateway.storage.holds import encode_lines
from gateway.storage.pooled import connecting
from gateway.storage.quota_batch import ASKS_PER_CALL_MAX, PATIENCE_S, BatchedQuotas, Fix, Wish

CALL_S_MAX: Final = 2
TRIES_MAX: Final = 3
_SETTINGS: Final = {
    "application_name": "weighbridge-quotas",
    # A crash of the server may lose the last moments of holds, never a row of the ledger.
    "synchronous_commit": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    # Few rows by key, of tables that are small when the plan is made and hot for ever after.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_EXHAUSTED: Final = 2
_STALE: Final = 3
_GONE: Final = 4
_ADMIT: Final = f"SELECT * FROM quota_admit({', '.join(f'${at}' for at in range(1, 24))})"  # noqa: S608 - parameters only
_FIX: Final = "SELECT quota_fix($1::uuid[], $2::text[])"
_MAKE: Final = (
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "SELECT budget, subject, window_us, 0, 0, 0, 0 "
    "FROM unnest($1::text[], $2::text[], $3::int8[]) WITH ORDINALITY AS t(budget, subject, window_us, n) "
    "ORDER BY n ON CONFLICT DO NOTHING"
)
# What is being settled or flushed now needs no extension: waiting for it could only deadlock.
_EXTEND: Final = (
    "UPDATE quota_hold SET expires_us = $2 WHERE request_id IN ("
    "SELECT request_id FROM quota_hold WHERE request_id = ANY($1::uuid[]) AND expires_us < $2 "
    "FOR UPDATE SKIP LOCKED)"
)
_READ: Final = (
    "SELECT c.budget, c.subject, c.window_us, c.posted, c.pending, c.tat_us "
    "FROM unnest($1::text[], $2::text[], $3::int8[]) AS t(budget, subject, window_us) "
    "JOIN quota_counter c ON c.budget = t.budget AND c.subject = t.subject AND c.window_us = t.window_us"
)
_ENCODER: Final = msgspec.json.Encoder()


def postgres_quotas(
    url: str,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    asks_per_call: int = ASKS_PER_CALL_MAX,
    patience_s: float = PATIENCE_S,
) -> BatchedQuotas:
    """The engine for a Postgres URL. Raises ConfigurationError where it is none."""
    if driver_url(url).get_backend_name() != "postgresql":
        raise ConfigurationError(("storage.url: quotas on Postgres need a postgresql:// URL",))
    store = PostgresStore(url)
    return BatchedQuotas(
        store,
        clock=clock,
        observer=observer,
        asks_per_call=asks_per_call,
        patience_s=patience_s,
    )


class PostgresStore:
    """Implements quota_batch.Store: one connection, kept while it is sound, with settings of its own."""

    def __init__(self, url: str) -> None:
        driver = driver_url(url)
        self._engine: AsyncEngine = create_async_engine(
            driver,
            pool_size=1,
            max_overflow=0,
            hide_parameters=True,
            connect_args=connecting(driver, CALL_S_MAX, CALL_S_MAX, _SETTINGS),
        )
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def admit(self, wishes: Sequence[Wish], now_us: int) -> Sequence[Verdict]:
        """Decide on each in turn. Raises StoreUnavailable, RowRefused."""
        packed = _Packed(wishes, now_us)
        async with self._held() as driver:
            row = await _tried(driver, _ADMIT, packed.arguments)
            if not row["status"]:
                await driver.execute(_MAKE, *_columns(packed.counters))
                row = await _tried(driver, _ADMIT, packed.arguments)
        if not row["status"]:
            raise StoreUnavailable("counters vanish while they are asked for: try again")
        return packed.verdicts(row)

    async def fix(self, fixes: Sequence[Fix]) -> None:
        """Settle or void. Raises StoreUnavailable, RowRefused."""
        ids = [request_id for request_id, _ in fixes]
        texts = [None if used is None else _used(used) for _, used in fixes]
        async with self._held() as driver:
            await _tried(driver, _FIX, (ids, texts))

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then. Raises StoreUnavailable."""
        async with self._held() as driver:
            await driver.execute(_EXTEND, list(request_ids), expires_us)

    async def balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        """How the counters of these lines stand. Raises StoreUnavailable."""
        keys = {line.key for line in lines}
        keys |= {key for key in map(_carry_key, lines) if key is not None}
        model = Counters()
        async with self._held() as driver:
            for row in await driver.fetch(_READ, *_columns(sorted(keys))):
                model.counters[CounterKey(*row[:3])] = Counter(*row[3:])
        return model.balances(lines, now_us)

    async def close(self) -> None:
        """Close the connection."""
        async with self._one_at_a_time:
            await self._let_go()
        await self._engine.dispose()

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Any]:
        """asyncpg's own connection, outside any transaction: every call is one by itself."""
        async with self._one_at_a_time:
            is_sound = False
            try:
                with translated():
                    yield await self._connected()
                is_sound = True
            finally:
                if not is_sound:
                    await self._let_go()

    async def _connected(self) -> Any:
        if self._driver is None or self._driver.is_closed():
            await self._let_go()
            self._connection = await self._engine.connect()
            pooled = await self._connection.get_raw_connection()
            self._driver = pooled.driver_connection
        return self._driver

    async def _let_go(self) -> None:
        """Cut the connection: what was under way on it is rolled back by the server, or was committed."""
        driver, self._driver = self._driver, None
        connection, self._connection = self._connection, None
        if driver is not None:
            driver.terminate()
        if connection is not None:
            await connection.invalidate()
            await connection.close()


async def _tried(driver: Any, call: str, arguments: Sequence[Any]) -> Any:
    """Make a call again that Postgres gave up for a deadlock (holds of budgets whose scope was edited)."""
    for _ in range(TRIES_MAX - 1):
        try:
            return await driver.fetchrow(call, *arguments)
        except asyncpg.DeadlockDetectedError:
            continue
    return await driver.fetchrow(call, *arguments)


def _used(used: Mapping[CounterKey, int]) -> str:
    return _ENCODER.encode([{"key": key, "amount": n} for key, n in used.items()]).decode()


def _columns(keys: Sequence[CounterKey]) -> list[list[Any]]:
    return [
        [key.budget for key in keys],
        [key.subject for key in keys],
        [key.window_us for key in keys],
    ]


def _carry_key(line: HoldLine) -> CounterKey | None:
    if line.carry is None:
        return None
    return CounterKey(line.key.budget, line.key.subject, line.carry.window_us)


class _Packed:
    """A batch as the function's arrays, and its answer as verdicts."""

    def __init__(self, wishes: Sequence[Wish], now_us: int) -> None:
        self._wishes = wishes
        self._now_us = now_us
        self._lines = [line for wish in wishes for line in wish.lines]
        ranks = {line.key: line.rank for line in self._lines}
        self.counters = sorted(ranks, key=lambda key: (ranks[key], key))
        carries = [_carry_key(line) for line in self._lines]
        self._carried = sorted({key for key in carries if key is not None})
        self.arguments = (
            now_us,
            *_columns(self.counters),
            *_columns(self._carried),
            *self._requests(),
            *self._columns_of_lines(carries),
        )

    def _requests(self) -> list[list[Any]]:
        rows, last = [], 0
        for wish in self._wishes:
            last += len(wish.lines)
            lines = encode_lines(wish.lines)
            if isinstance(wish, Hold):
                row = (False, wish.version, wish.expires_us, lines, wish.entry, last)
            else:
                row = (True, 0, 0, lines, b"", last)
            rows.append((wish.request_id, *row))
        return [list(column) for column in zip(*rows, strict=True)]

    def _columns_of_lines(self, carries: Sequence[CounterKey | None]) -> list[list[Any]]:
        counter_at = {key: at for at, key in enumerate(self.counters, start=1)}
        carry_at = {key: at for at, key in enumerate(self._carried, start=1)}
        lines = self._lines
        return [
            [counter_at[line.key] for line in lines],
            [line.amount for line in lines],
            [line.limit for line in lines],
            [0 if key is None else carry_at[key] for key in carries],
            [0 if line.carry is None else line.carry.limit for line in lines],
            [0 if line.carry is None else line.carry.most for line in lines],
            [0 if line.rate is None else line.rate.per_minute for line in lines],
            [0 if line.rate is None else gcra.burst_us(line.rate) for line in lines],
            [line.enforce for line in lines],
        ]

    def verdicts(self, row: Any) -> list[Verdict]:
        """The verdicts, in the wishes' order."""
        found: list[Verdict] = []
        columns = (row["posted"], row["pending"], row["allowed"], row["wait_us"], row["is_full"])
        answers = list(zip(*columns, strict=True))
        first = 0
        for wish, status in zip(self._wishes, row["status"], strict=True):
            last = first + len(wish.lines)
            if status == _STALE:
                found.append(Stale(row["version"]))
            elif status == _GONE:
                found.append(Granted(()))
            else:
                found.append(self._decided(status, wish.lines, answers[first:last]))
            first = last
        return found

    def _decided(
        self, status: int, lines: Sequence[HoldLine], answers: Sequence[tuple[Any, ...]]
    ) -> Granted | Exhausted:
        told = list(zip(lines, answers, strict=True))
        if status == _EXHAUSTED:
            full = [(line, one) for line, one in told if one[-1] and line.enforce]
            return Exhausted(tuple(self._balance(line, one, one[3]) for line, one in full))
        exceeded = tuple(line.key for line, one in told if one[-1])
        return Granted(tuple(self._balance(line, one, 0) for line, one in told), exceeded)

    def _balance(self, line: HoldLine, answer: tuple[Any, ...], wait_us: int) -> Balance:
        posted, pending, allowed, *_ = answer
        rate = line.rate
        if rate is None:
            return Balance(line.key, posted, pending, allowed)
        left = gcra.left(pending, self._now_us, rate)
        return Balance(line.key, 0, rate.burst - left, rate.burst, wait_us)
