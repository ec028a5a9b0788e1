"""A Postgres that takes connections and answers nobody: who is cancelled there does not wait for it."""

import asyncio
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from gateway.storage.engine import Database
from gateway.storage.migrate import upgrade
from tests.prove.database import Postgres, postgres as started

ENDED_S_MAX = 4.0  # two for a library's own good-bye, the rest for a busy machine; before, a minute
WAITS_S = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with started("postgres") as server:
        assert server is not None
        upgrade(server.url())
        yield server


async def _raw(database: Database, begun: asyncio.Event) -> None:
    async with database.raw() as driver:
        await driver.fetchval("SELECT 1")
        begun.set()
        await driver.fetchval("SELECT pg_sleep(60)")


async def _written(database: Database, begun: asyncio.Event) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("SELECT 1"))
        begun.set()
        await connection.execute(sa.text("SELECT pg_sleep(60)"))


async def _between(database: Database, begun: asyncio.Event) -> None:
    """Cancelled while it does something of its own, inside its transaction."""
    async with database.write() as connection:
        await connection.execute(sa.text("SELECT 1"))
        begun.set()
        await asyncio.sleep(60)


@pytest.mark.parametrize("work", [_raw, _written, _between])
def test_a_cancelled_transaction_does_not_wait_for_a_server_that_is_paused(
    server: Postgres, work: object
) -> None:
    async def run() -> float:
        database, begun = Database(server.url()), asyncio.Event()
        task = asyncio.create_task(work(database, begun))  # type: ignore[operator]
        await begun.wait()
        server.pause()
        try:
            await asyncio.sleep(WAITS_S)
            asked = time.monotonic()
            task.cancel()
            await asyncio.wait([task], timeout=2 * ENDED_S_MAX)
            return time.monotonic() - asked
        finally:
            server.resume()
            await database.close()

    assert asyncio.run(run()) < ENDED_S_MAX
