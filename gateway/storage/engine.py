"""The database: one engine for SQLite (WAL) or Postgres, transactions, and errors said our way.

To add a dialect: its URL in ``_driver_url``, its session settings in ``_engine``, its branch where
storage/ledger.py writes.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.exchange.ending import within
from gateway.kernel.errors import ConfigurationError
from gateway.storage.errors import translated
from gateway.storage.kinds import DRIVERS, EXPECTED
from gateway.storage.pooled import CACHES, checked, connecting

BUSY_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_S: Final = 5
COMMAND_TIMEOUT_S: Final = 60
CLOSE_S_MAX: Final = 2
CONNECTIONS_MAX: Final = 5
GLANCES_MAX: Final = 2  # who polls, and who looks for a key that is not known
ROWS_AT_A_TIME: Final = 64
# After the '?' of a Postgres URL: the driver's own words, and libpq's for TLS.
OPTIONS: Final = frozenset(
    {"ssl", "sslmode", "host", "port", "passfile", "target_session_attrs", "krbsrvname", "gsslib"}
).union(CACHES)
TLS_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_WRITES: Final = "weighbridge_writes"
_NOT_WRITTEN: Final = "a moment is not written: write the database it is of"
T = TypeVar("T")


class Database:
    """Transactions on one database. Raises ConfigurationError on a URL of an unknown kind.

    ``command_s``: how long a statement may take on Postgres; None: as long as it takes.
    """

    def __init__(self, url: str, *, command_s: int | None = COMMAND_TIMEOUT_S) -> None:
        self._url = driver_url(url)
        self._file = sqlite_path(self._url)
        self.engine: AsyncEngine = _engine(self._url, command_s)
        self._glancing = _glancing(self._url) if self.is_postgres else self.engine
        # SQLite has one writer: queue here, in order, instead of spinning on its busy handler.
        self._writer = asyncio.Lock()

    @property
    def is_postgres(self) -> bool:
        """Whether it is Postgres; else SQLite."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def file(self) -> Path | None:
        """SQLite's file; None of Postgres and of a database in memory."""
        return self._file

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes, committed on leaving. Raises StoreUnavailable, RowRefused."""
        with translated(self._file):
            if self.is_postgres:
                async with self.engine.begin() as connection, _cut_if_cancelled(connection):
                    yield connection
                return
            async with self._writer, self.engine.connect() as connection:
                await connection.execution_options(**{_WRITES: True})
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from. Raises StoreUnavailable."""
        with translated(self._file):
            async with self.engine.connect() as connection, _cut_if_cancelled(connection):
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose queries all see one state of the database. Raises StoreUnavailable."""
        with translated(self._file):
            async with self.engine.connect() as connection, _cut_if_cancelled(connection):
                if self.is_postgres:
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement that reads; to Postgres it costs one way there and back, and waits for nobody.

        Raises StoreUnavailable: once also where it was of a server that has been started again since.
        """
        with translated(self._file):
            async with self._glancing.connect() as connection:
                yield connection

    @asynccontextmanager
    async def moment(self) -> AsyncIterator["Database"]:
        """One state of the database, for who asks it several questions that have to fit together; never written.

        Its questions are asked one after the other. Raises StoreUnavailable.
        """
        async with self.snapshot() as connection:
            yield _Moment(self._url, self._file, self.engine, connection)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        """Postgres only: asyncpg's own connection in a transaction, for the flush. Raises as ``write``."""
        with translated(self._file):
            async with self.engine.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver = pooled.driver_connection
                assert driver is not None
                transaction = driver.transaction()
                try:
                    await transaction.start()
                    yield driver
                    await transaction.commit()
                except BaseException:
                    # Cancelled inside BEGIN or COMMIT it would go back with its transaction open, and what the
                    # next user commits inside that would never be committed. And a ROLLBACK would wait for the
                    # server, which may answer nobody: that its client has gone rolls back as well.
                    driver.terminate()
                    await connection.invalidate()
                    raise

    async def in_one_go(self, steps: Callable[[sqlite3.Connection], Coroutine[Any, Any, T]]) -> T:
        """SQLite only: a whole transaction that writes, for the flush, on its connection's own thread.

        ``steps`` never waits: every statement by itself would cost several switches of threads. Cancelled, the
        transaction goes on to its end all the same. Raises as ``write``.
        """
        with translated(self._file):
            async with self._writer, self.engine.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver: Any = pooled.driver_connection
                # Its own way to have something done on its thread has no public name.
                return await driver._execute(_transacted, driver._conn, steps)  # type: ignore[no-any-return]  # noqa: SLF001

    async def close(self) -> None:
        """Close every connection; those whose server does not answer in time are left to the end of the loop."""
        engines = {self.engine, self._glancing}
        if not await within(CLOSE_S_MAX, *[engine.dispose() for engine in engines]):
            for engine in engines:
                # Each connection would be told with a traceback: that the server does not answer is known.
                said: Any = engine.sync_engine.pool.logger
                said.disabled = True


@asynccontextmanager
async def _cut_if_cancelled(connection: AsyncConnection) -> AsyncIterator[None]:
    """Do not wait for a server's word on the end of a transaction whose user was cancelled: it may answer nobody."""
    try:
        yield
    except asyncio.CancelledError:
        if connection.dialect.name == "postgresql" and not connection.invalidated:
            pooled = await connection.get_raw_connection()
            driver: Any = pooled.driver_connection
            driver.terminate()
            await connection.invalidate()
        raise


class _Moment(Database):
    """A database as one connection's snapshot has it."""

    def __init__(
        self, url: URL, file: Path | None, engine: AsyncEngine, connection: AsyncConnection
    ) -> None:
        self._url, self._file, self.engine = url, file, engine
        self._connection = connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with translated(self._file):
            yield self._connection

    snapshot = read
    glance = read

    def write(self) -> NoReturn:
        raise TypeError(_NOT_WRITTEN)

    def raw(self) -> NoReturn:
        raise TypeError(_NOT_WRITTEN)

    def in_one_go(self, steps: Callable[[sqlite3.Connection], Coroutine[Any, Any, T]]) -> NoReturn:
        raise TypeError(_NOT_WRITTEN)


def driver_url(url: str) -> URL:
    """The URL with our async driver. Raises ConfigurationError where it is not SQLite or Postgres."""
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # which may quote a password
        raise ConfigurationError((f"storage.url: {_EXPECTED}",)) from None
    driver = DRIVERS.get(parsed.drivername)
    if driver is None:
        found = f"found {parsed.drivername!r}"
        raise ConfigurationError((f"storage.url: {_EXPECTED}, {found}",))
    if driver.startswith("sqlite") and not sqlite_path(parsed):
        raise ConfigurationError((f"storage.url: SQLite needs a file: {_EXPECTED}",))
    if driver.startswith("postgresql"):
        parsed = checked(_with_tls(parsed))
    return parsed.set(drivername=driver)


def _with_tls(url: URL) -> URL:
    """What stands after the '?', as the driver takes it. Raises ConfigurationError."""
    unknown = sorted(set(url.query) - OPTIONS)
    if unknown:
        known = ", ".join(sorted(OPTIONS))
        raise ConfigurationError(
            (f"storage.url: expected of {known} after '?', found {', '.join(unknown)}",)
        )
    mode = url.query.get("sslmode", url.query.get("ssl"))
    if mode is None:
        return url
    if mode not in TLS_MODES:
        raise ConfigurationError((f"storage.url: expected sslmode of {', '.join(TLS_MODES)}",))
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


_EXPECTED: Final = f"expected {EXPECTED}"


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL; None for Postgres or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database))


def _as_is(text: str) -> str:
    return text


# JSON columns hold text that we encode and decode ourselves, on both dialects.
_COMMON: Final[dict[str, Any]] = {
    "json_serializer": _as_is,
    "json_deserializer": _as_is,
    "max_overflow": 0,
    "hide_parameters": True,
}
_SETTINGS: Final = {"jit": "off", "application_name": "weighbridge"}


def _connecting(url: URL, command_s: int | None) -> dict[str, Any]:
    return connecting(url, CONNECT_TIMEOUT_S, command_s, _SETTINGS)


def _glancing(url: URL) -> AsyncEngine:
    """Connections of their own, each statement by itself, without asking first whether the server lives."""
    return create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=GLANCES_MAX,
        pool_reset_on_return=None,
        connect_args=_connecting(url, COMMAND_TIMEOUT_S),
        **_COMMON,
    )


def _engine(url: URL, command_s: int | None) -> AsyncEngine:
    common: dict[str, Any] = {
        "pool_size": CONNECTIONS_MAX,
        "pool_use_lifo": True,  # the one that was used last has its statements and pages at hand
        **_COMMON,
    }
    if url.get_backend_name() == "postgresql":
        how = _connecting(url, command_s)
        return create_async_engine(url, pool_pre_ping=True, connect_args=how, **common)
    engine = create_async_engine(url, async_creator=partial(_opened, url), **common)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back_sqlite)
    return engine


class _Opening:
    """Opens a file on the driver's thread; what nobody waits for any more is closed, on whichever thread sees it."""

    def __init__(self, url: URL) -> None:
        args, options = url.get_dialect()().create_connect_args(url)
        self._connect: Callable[[], sqlite3.Connection] = partial(sqlite3.connect, *args, **options)
        self._made: list[sqlite3.Connection] = []
        self._is_abandoned = False

    def __call__(self) -> sqlite3.Connection:
        made = self._connect()
        self._made.append(made)
        if self._is_abandoned:
            made.close()
        return made

    def abandon(self) -> None:
        self._is_abandoned = True
        for made in self._made:
            made.close()


async def _opened(url: URL) -> aiosqlite.Connection:
    """A connection to SQLite. The driver itself forgets one whose opening is cancelled, without closing it."""
    opening = _Opening(url)
    connection = aiosqlite.Connection(opening, ROWS_AT_A_TIME)
    connection._thread.daemon = True  # noqa: SLF001  # as SQLAlchemy has it: no thread may hold up our end
    is_open = False
    try:
        await connection
        is_open = True
    finally:
        if not is_open:
            opening.abandon()
    return connection


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control is off: it would begin late, and never IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock at once: upgrading a read lock later could only fail.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _transacted(
    connection: sqlite3.Connection, steps: Callable[[sqlite3.Connection], Coroutine[Any, Any, T]]
) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = _at_once(steps(connection))
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result


def _at_once(steps: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that never waits returns. Raises RuntimeError where it does."""
    try:
        steps.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    steps.close()
    raise RuntimeError("a step of SQLite's books waits: it has to run in one go")


def _roll_back_sqlite(connection: Any, _record: object, _error: object) -> None:
    # A cancelled statement leaves its cursor open, and SQLite then only pretends to close: without this
    # the write lock would be held until the cursor is collected.
    connection.rollback()
