"""Quotas on SQLite: the reference engine over rows, in transactions of one writer thread.

What a batch touches is loaded into quota.counters.Counters, decided there, and what changed is written
back, all under the file's write lock: so any number of processes may share the file. Its connection is
its own, with synchronous=NORMAL: a power cut may lose the last moments of holds, never a row of the
ledger. To keep more of a counter: ``_Books`` loads and saves it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.kernel.errors import ConfigurationError
from gateway.quota.counters import Counter, Counters
from gateway.quota.hold import Balance, CounterKey, Hold, HoldLine, Verdict
from gateway.storage.engine import driver_url, sqlite_path
from gateway.storage.errors import translated
from gateway.storage.holds import decode_lines, encode_lines
from gateway.storage.quota_batch import ASKS_PER_CALL_MAX, PATIENCE_S, BatchedQuotas, Fix, Wish

BUSY_TIMEOUT_MS: Final = 2_000
_T = TypeVar("_T")
_VERSION: Final = "SELECT version FROM directory_version WHERE name = 'budgets'"
_COUNTER: Final = (
    "SELECT posted, pending, tat_us FROM quota_counter "
    "WHERE budget = ? AND subject = ? AND window_us = ?"
)
_SAVE: Final = (
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "VALUES (?, ?, ?, 0, ?, ?, 0) ON CONFLICT (budget, subject, window_us) "
    "DO UPDATE SET pending = excluded.pending, tat_us = excluded.tat_us"
)
_HOLD: Final = "SELECT lines, expires_us FROM quota_hold WHERE request_id = ?"
_PLACE: Final = (
    "INSERT INTO quota_hold (request_id, lines, expires_us, entry) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (request_id) DO UPDATE SET lines = excluded.lines"
)
_REMOVE: Final = "DELETE FROM quota_hold WHERE request_id = ?"
_EXTEND: Final = "UPDATE quota_hold SET expires_us = ? WHERE request_id = ? AND expires_us < ?"


def sqlite_quotas(
    url: str,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    asks_per_call: int = ASKS_PER_CALL_MAX,
    patience_s: float = PATIENCE_S,
) -> BatchedQuotas:
    """The engine for a SQLite URL. Raises ConfigurationError where it is none."""
    path = sqlite_path(driver_url(url))
    if path is None:
        raise ConfigurationError(("storage.url: quotas on SQLite need a file",))
    store = SqliteStore(path)
    return BatchedQuotas(
        store,
        clock=clock,
        observer=observer,
        asks_per_call=asks_per_call,
        patience_s=patience_s,
    )


class SqliteStore:
    """Implements quota_batch.Store: one connection, used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="quotas")
        self._connection: sqlite3.Connection | None = None

    async def admit(self, wishes: Sequence[Wish], now_us: int) -> Sequence[Verdict]:
        """Decide on each in turn. Raises StoreUnavailable, RowRefused."""
        return await self._in_thread(lambda: self._admit(wishes, now_us))

    async def fix(self, fixes: Sequence[Fix]) -> None:
        """Settle or void. Raises StoreUnavailable, RowRefused."""
        await self._in_thread(lambda: self._fix(fixes))

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then. Raises StoreUnavailable."""
        rows = [(expires_us, one.bytes, expires_us) for one in request_ids]
        await self._in_thread(lambda: self._extend(rows))

    async def balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        """How the counters of these lines stand. Raises StoreUnavailable."""
        return await self._in_thread(lambda: self._balances(lines, now_us))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._in_thread(self._disconnect)
        self._thread.shutdown()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # In the thread.

    def _admit(self, wishes: Sequence[Wish], now_us: int) -> list[Verdict]:
        with self._transaction("BEGIN IMMEDIATE") as cursor:
            books = _Books(cursor)
            books.load(wish.request_id for wish in wishes)
            for wish in wishes:
                books.load_counters(wish.lines)
            model = books.model
            verdicts = [
                model.reserve(wish, now_us)
                if isinstance(wish, Hold)
                else model.grow(wish.request_id, wish.lines, now_us)
                for wish in wishes
            ]
            books.save()
        return verdicts

    def _fix(self, fixes: Sequence[Fix]) -> None:
        with self._transaction("BEGIN IMMEDIATE") as cursor:
            books = _Books(cursor)
            books.load(request_id for request_id, _ in fixes)
            for request_id, used in fixes:
                if used is None:
                    books.model.void(request_id)
                else:
                    books.model.settle(request_id, used)
            books.save()

    def _extend(self, rows: Sequence[tuple[int, bytes, int]]) -> None:
        with self._transaction("BEGIN IMMEDIATE") as cursor:
            cursor.executemany(_EXTEND, rows)

    def _balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        with self._transaction("BEGIN") as cursor:
            books = _Books(cursor)
            books.load_counters(lines)
            return books.model.balances(lines, now_us)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Cursor]:
        connection = self._connected()
        try:
            cursor = connection.execute(begin)
            yield cursor
            connection.execute("COMMIT")
        except BaseException:
            # Begun afresh: whatever is wrong with the file, an old handle to it must not keep it wrong.
            self._disconnect()
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            # A file that is not there is no schema either: it is never made here.
            made = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)
            made.isolation_level = None
            made.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=NORMAL")
            self._connection = made
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # With a statement unfinished SQLite only pretends to close: the write lock would stay.
            with suppress(sqlite3.Error):
                connection.rollback()
            connection.close()


class _Books:
    """The part of the tables that one transaction touches, as the reference engine sees it."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.model = Counters()
        self.model.version = int((cursor.execute(_VERSION).fetchone() or (0,))[0])
        self._counters: dict[CounterKey, tuple[int, int]] = {}
        self._holds: dict[UUID, Hold] = {}

    def load(self, request_ids: Iterable[UUID]) -> None:
        """Holds, with their counters."""
        for request_id in request_ids:
            row = self._cursor.execute(_HOLD, (request_id.bytes,)).fetchone()
            if row is not None:
                found = Hold(request_id, decode_lines(row[0]), row[1], b"", 0)
                self._holds[request_id] = self.model.holds[request_id] = found
                self.load_counters(found.lines)

    def load_counters(self, lines: Iterable[HoldLine]) -> None:
        """The counters of lines, with those that their carry-over comes from."""
        for line in lines:
            self._load(line.key)
            if line.carry is not None:
                self._load(msgspec.structs.replace(line.key, window_us=line.carry.window_us))

    def _load(self, key: CounterKey) -> None:
        if key in self._counters:
            return
        row = self._cursor.execute(_COUNTER, (key.budget, key.subject, key.window_us)).fetchone()
        found = self.model.counters[key] = Counter(*(row or ()))
        self._counters[key] = (found.pending, found.tat_us)

    def save(self) -> None:
        """Write what changed."""
        counters, holds = self.model.counters, self.model.holds
        changed = [
            (key.budget, key.subject, key.window_us, counters[key].pending, counters[key].tat_us)
            for key, before in self._counters.items()
            if (counters[key].pending, counters[key].tat_us) != before
        ]
        placed = [
            (one.request_id.bytes, encode_lines(one.lines), one.expires_us, one.entry)
            for one in holds.values()
            if one is not self._holds.get(one.request_id)
        ]
        removed = [(one.bytes,) for one in self._holds.keys() - holds.keys()]
        if changed:
            self._cursor.executemany(_SAVE, changed)
        if placed:
            self._cursor.executemany(_PLACE, placed)
        if removed:
            self._cursor.executemany(_REMOVE, removed)
