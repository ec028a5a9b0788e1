"""The database's edges: broken connections, cancelled transactions, foreign errors in our words."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.ledger.entry import Entry
from gateway.storage.engine import BUSY_TIMEOUT_MS, Database
from gateway.storage.errors import RowRefused, StoreUnavailable, translated
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dialect", ["postgres"], indirect=True)
async def test_connections_that_broke_are_replaced(
    url: str, ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    await ledger.append([entry()])
    killer = await asyncpg.connect(url)
    await killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await killer.close()
    assert await ledger.append([entry()]) == 1
    assert (await ledger.verify()).entries == 2


@pytest.mark.parametrize("dialect", ["postgres"], indirect=True)
async def test_a_connection_that_breaks_in_a_transaction_books_nothing(
    ledger: Ledger, database: Database, entry: Callable[..., Entry]
) -> None:
    async def cut_short() -> None:
        async with database.raw() as driver:
            await driver.execute("INSERT INTO usage_settled VALUES ('batch-1', gen_random_uuid())")
            with suppress(asyncpg.PostgresError):
                await driver.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable):
        await cut_short()
    assert await ledger.settled(["batch-1"]) == frozenset()
    assert await ledger.append([entry()]) == 1


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_a_transaction_in_one_go_that_fails_or_waits_leaves_nothing_and_frees_the_writer(
    ledger: Ledger, database: Database, entry: Callable[..., Entry]
) -> None:
    claim = "INSERT INTO usage_settled VALUES ('batch-1', zeroblob(16))"

    async def failing(connection: sqlite3.Connection) -> None:
        connection.execute(claim)
        connection.execute("SELECT missing FROM usage_settled")

    async def waiting(connection: sqlite3.Connection) -> None:
        connection.execute(claim)
        await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="weighbridge migrate"):
        await database.in_one_go(failing)
    with pytest.raises(RuntimeError, match="waits"):
        await database.in_one_go(waiting)
    assert await ledger.settled(["batch-1"]) == frozenset()
    assert await ledger.append([entry()]) == 1


async def test_a_booking_cancelled_at_any_moment_is_whole_or_not_there(
    ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    batches = [[entry(user=f"user-{n:04}") for n in range(40)] for _ in range(24)]
    held_s = 0.0
    for number, batch in enumerate(batches):
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            booking = group.create_task(ledger.append(batch))
            await asyncio.sleep(number / 3_000)
            booking.cancel()
        held_s += time.monotonic() - started
        verification = await ledger.verify()
        assert verification.is_sound
        assert verification.entries % 40 == 0
    started = time.monotonic()
    for batch in batches:
        await ledger.append(batch)
    held_s += time.monotonic() - started
    assert (await ledger.verify()).entries == 960
    # A cancelled booking that kept its lock would have held the next one up until this.
    assert held_s < BUSY_TIMEOUT_MS / 1_000


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (sqlite3.OperationalError("database is locked"), StoreUnavailable),
        (sqlite3.OperationalError("no such table: usage_ledger"), StoreUnavailable),
        (sqlite3.IntegrityError("refused"), RowRefused),
        (OverflowError("int too large"), RowRefused),
        (ConnectionRefusedError("no"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncpg.DeadlockDetectedError("again"), StoreUnavailable),
        (asyncpg.CheckViolationError("row"), RowRefused),
        (asyncpg.UndefinedTableError("none"), StoreUnavailable),
        (asyncpg.InterfaceError("closed"), StoreUnavailable),
    ],
)
def test_foreign_errors_are_said_in_our_words(error: Exception, ours: type[Exception]) -> None:
    with pytest.raises(ours) as caught, translated():
        raise error
    assert caught.value.__cause__ is error


def test_a_message_never_quotes_a_row_of_postgres() -> None:
    with pytest.raises(RowRefused) as caught, translated():
        raise asyncpg.UniqueViolationError("Key (digest)=(secret) exists")
    assert "secret" not in str(caught.value)


async def test_an_opening_that_is_cancelled_at_any_moment_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def watched(*args: Any, **options: Any) -> sqlite3.Connection:
        time.sleep(0.002)
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    database = Database(f"sqlite:///{tmp_path}/a.db")
    for number in range(40):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(database))
            await asyncio.sleep(number / 10_000)
            reading.cancel()
    await database.close()
    await asyncio.sleep(0.1)
    assert made
    for one in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            one.execute("SELECT 1")


async def _read(database: Database) -> None:
    async with database.read():
        pass
