"""The laws of quotas on SQLite and Postgres, and what only an engine over SQL has to show."""

import asyncio
import gc
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.kernel.ids import new_id
from gateway.quota.hold import CounterKey, Granted, Rate
from gateway.storage import quota_batch
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.holds import Holds
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.quotas_postgres import postgres_quotas
from gateway.storage.quotas_sqlite import sqlite_quotas
from gateway.storage.tables import VERSION
from tests.prove.database import Postgres, postgres as started
from tests.storage.conftest import Hands, Recorder
from tests.storage.quota_laws import TTL_US, QuotaLaws, exhausted, granted, hold, line, state

pytestmark = pytest.mark.anyio


class SqlRig:
    """An engine on a database, with as many twins as are asked for."""

    def __init__(self, url: str, clock: Hands, tasks: asyncio.TaskGroup, asks: int) -> None:
        self.clock = clock
        self._url = url
        self._tasks = tasks
        self._asks = asks
        self._engines: list[BatchedQuotas] = []
        self._running: list[asyncio.Task[None]] = []
        self.database = Database(url)
        self.holds = Holds(self.database, Ledger(self.database))
        self.quotas = self._made()

    def _made(self, observer: Any = None) -> BatchedQuotas:
        make = postgres_quotas if self._url.startswith("postgres") else sqlite_quotas
        made = make(self._url, clock=self.clock, observer=observer, asks_per_call=self._asks)
        self._engines.append(made)
        self._running.append(self._tasks.create_task(made.run()))
        return made

    async def another(self, observer: Any = None) -> BatchedQuotas:
        return self._made(observer)

    async def done(self) -> None:
        while any(engine.waiting for engine in self._engines):  # noqa: ASYNC110 - the engines tell nobody
            await asyncio.sleep(0.0005)

    async def post(self, amounts: Mapping[CounterKey, int], *released: UUID) -> None:
        async with self.database.write() as connection:
            for key, amount in sorted(amounts.items()):
                await connection.execute(_POST, _named(key) | {"amount": amount})
        await self.holds.free(released)

    async def edit(self) -> int:
        async with self.database.write() as connection:
            raised = sa.update(VERSION).where(VERSION.c.name == "budgets")
            await connection.execute(raised.values(version=VERSION.c.version + 1))
            query = sa.select(VERSION.c.version).where(VERSION.c.name == "budgets")
            return int((await connection.execute(query)).scalar_one())

    async def expired(self) -> Collection[UUID]:
        return [one.request_id for one in await self.holds.expired(self.clock.wall_us())]

    async def free(self, *request_ids: UUID) -> None:
        await self.holds.free(request_ids)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        for engine in self._engines:
            await engine.close()
        await self.database.close()


_POST = sa.text(
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "VALUES (:budget, :subject, :window_us, :amount, 0, 0, 1) "
    "ON CONFLICT (budget, subject, window_us) DO UPDATE "
    "SET posted = quota_counter.posted + excluded.posted, version = quota_counter.version + 1"
)


def _named(key: CounterKey) -> dict[str, Any]:
    return {"budget": key.budget, "subject": key.subject, "window_us": key.window_us}


@pytest.fixture(params=[64, 1], ids=["batched", "single"])
def asks(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def rig(url: str, clock: Hands, asks: int) -> AsyncIterator[SqlRig]:
    async with asyncio.TaskGroup() as tasks:
        made = SqlRig(url, clock, tasks, asks)
        yield made
        await made.close()


class TestQuotas(QuotaLaws):
    """Every law, on both databases, many reservations at a time and one by one."""


async def test_two_processes_worth_of_engines_agree_while_they_race(rig: SqlRig) -> None:
    rivals = [rig.quotas, *[await rig.another() for _ in range(3)]]
    lines = line("team", 30, 1_000, rank=1), line("org", 30, 2_000, rank=2)

    async def client(at: int) -> int:
        passed = 0
        for _ in range(5):
            asked = hold(*lines)
            if isinstance(await rivals[at % 4].reserve(asked), Granted):
                passed += 1
                rivals[(at + 1) % 4].settle(asked.request_id, {one.key: 7 for one in lines})
        return passed

    passed = sum(await asyncio.gather(*map(client, range(40))))
    await rig.done()
    assert await state(rig.quotas, *lines) == [(0, 7 * passed), (0, 7 * passed)]
    assert 7 * passed <= 1_000


@pytest.mark.parametrize("asks", [64], indirect=False)
async def test_what_is_queued_while_a_call_is_in_flight_goes_in_the_next(
    url: str, clock: Hands, asks: int
) -> None:
    calls: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        rig = SqlRig(url, clock, tasks, asks)
        store = rig.quotas._store
        admit = store.admit

        async def counting(wishes: Any, now_us: int) -> Any:
            calls.append(len(wishes))
            return await admit(wishes, now_us)

        store.admit = counting  # type: ignore[method-assign]  # the store itself, watched
        await asyncio.gather(*(rig.quotas.reserve(hold(line("org", 1, 500))) for _ in range(150)))
        await rig.close()
    assert max(calls) == 64
    assert len(calls) <= 4


class Shut:
    """A store that can be away: it refuses, or it never answers."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_away = False
        self.is_deaf = False
        self.calls = 0

    async def _pass(self) -> None:
        self.calls += 1
        if self.is_deaf:
            await asyncio.Event().wait()
        if self.is_away:
            raise StoreUnavailable("away")

    async def admit(self, wishes: Any, now_us: int) -> Any:
        await self._pass()
        return await self._store.admit(wishes, now_us)

    async def fix(self, fixes: Any) -> None:
        await self._pass()
        await self._store.fix(fixes)

    async def extend(self, request_ids: Any, expires_us: int) -> None:
        await self._pass()
        await self._store.extend(request_ids, expires_us)

    async def balances(self, lines: Any, now_us: int) -> Any:
        return await self._store.balances(lines, now_us)

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
async def shut(rig: SqlRig, observer: Recorder) -> tuple[SqlRig, Shut]:
    """The rig's first engine with a door between it and its store."""
    rig.quotas._observer = observer
    door = rig.quotas._store = Shut(rig.quotas._store)
    rig.quotas._patience_s = 0.2
    return rig, door


@pytest.mark.parametrize("asks", [64])
async def test_while_the_store_is_away_it_says_so_and_settlements_wait(
    shut: tuple[SqlRig, Shut], observer: Recorder
) -> None:
    rig, door = shut
    org = line("org", 10, 1_000)
    held, left = hold(org), hold(org)
    for one in (held, left):
        granted(await rig.quotas.reserve(one))
    door.is_away = True
    with pytest.raises(Unavailable):
        await rig.quotas.reserve(hold(org))
    with pytest.raises(Unavailable):
        await rig.quotas.extend([held.request_id], 1)
    rig.quotas.settle(held.request_id, {org.key: 4})
    rig.quotas.void(left.request_id)
    await asyncio.sleep(0.05)
    assert set(observer.names) == {"quota.settle"}
    door.is_away = False
    granted(await rig.quotas.reserve(hold(org)))
    await rig.done()
    assert await state(rig.quotas, org) == [(0, 14)]


@pytest.mark.parametrize("asks", [64])
async def test_what_passed_without_its_hold_is_charged_once_when_the_store_is_back(
    shut: tuple[SqlRig, Shut],
) -> None:
    rig, door = shut
    rolling = line("pace", 30, rate=Rate(per_minute=60, burst=60))
    passed, late = hold(rolling), hold(rolling)
    door.is_away = True
    with pytest.raises(Unavailable):
        await rig.quotas.reserve(passed)
    rig.quotas.charge(late)
    rig.clock.us += 61_000_000  # too late for this one: its minute is over
    rig.quotas.charge(passed)
    rig.quotas.charge(passed)
    await asyncio.sleep(0.05)
    door.is_away = False
    while rig.quotas.waiting:  # noqa: ASYNC110 - the engine repeats by itself
        await asyncio.sleep(0.01)
    # 30 of the burst of 60 are gone: 31 have to wait, 30 pass.
    assert exhausted(await rig.quotas.reserve(hold(line("pace", 31, rate=Rate(60, 60)))))
    granted(await rig.quotas.reserve(hold(line("pace", 30, rate=Rate(60, 60)))))


@pytest.mark.parametrize("asks", [64])
async def test_a_store_that_never_answers_is_not_waited_for(shut: tuple[SqlRig, Shut]) -> None:
    rig, door = shut
    door.is_deaf = True
    with pytest.raises(Unavailable):
        await rig.quotas.reserve(hold(line("org", 10, 1_000)))


@pytest.mark.parametrize("asks", [64])
@pytest.mark.parametrize("how", ["is_away", "is_deaf"])
async def test_a_request_that_was_not_asked_for_leaves_nothing_to_collect(
    shut: tuple[SqlRig, Shut], how: str
) -> None:
    """An error that knows what waited for it, and is known by it, would stay for hours: with all that it knows."""
    rig, door = shut
    setattr(door, how, True)
    gc.collect()
    gc.disable()
    try:
        asked = [rig.quotas.reserve(hold(line("org", 10, 1_000))) for _ in range(5)]
        failures = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, StoreUnavailable) for one in failures)
        del asked, failures
        await asyncio.sleep(0.01)
        # What the engine itself waits for is still there: a settlement's error, a batch without an answer.
        kept: type = quota_batch._Ask if door.is_away else StoreUnavailable
        assert not [one for one in gc.get_objects() if isinstance(one, kept)]
    finally:
        gc.enable()


@pytest.mark.parametrize("asks", [64])
async def test_both_queues_are_bounded(
    shut: tuple[SqlRig, Shut], observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, door = shut
    door.is_deaf = True
    monkeypatch.setattr(quota_batch, "ASKS_MAX", 5)
    monkeypatch.setattr(quota_batch, "FIXES_MAX", 5)
    asked = [rig.quotas.reserve(hold(line("org", 10, 1_000))) for _ in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in answers)
    for _ in range(20):
        rig.quotas.void(new_id())
    assert rig.quotas.waiting <= 5 + 5 + 1
    assert observer.names == ["quota.settle"]


async def test_an_engine_of_the_wrong_kind_says_which_url_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        sqlite_quotas("postgresql://somebody@127.0.0.1/nowhere")
    with pytest.raises(ConfigurationError):
        postgres_quotas(f"sqlite:///{tmp_path / 'a.db'}")


async def test_a_database_that_is_not_migrated_is_unavailable(empty_url: str, clock: Hands) -> None:
    async with asyncio.TaskGroup() as tasks:
        rig = SqlRig(empty_url, clock, tasks, 64)
        with pytest.raises(Unavailable):
            await rig.quotas.reserve(hold(line("org", 1, 1)))
        await rig.close()


@pytest.fixture
def crashing() -> Iterator[Postgres]:
    with started("postgres") as server:
        assert server is not None
        upgrade(server.url())
        yield server


async def test_after_a_crash_of_postgres_under_load_no_posted_unit_is_lost(
    crashing: Postgres, clock: Hands
) -> None:
    async with asyncio.TaskGroup() as tasks:
        rig = SqlRig(crashing.url(), clock, tasks, 64)
        await _crash_under_load(rig, crashing)
        await rig.close()


async def _crash_under_load(rig: SqlRig, server: Postgres) -> None:
    org = line("org", 10, 10**9)
    posted, refused = 0, 0

    async def client() -> None:
        nonlocal posted, refused
        for _ in range(40):
            asked = hold(org)
            try:
                granted(await rig.quotas.reserve(asked))
                rig.quotas.settle(asked.request_id, {org.key: 3})
                await rig.post({org.key: 3}, asked.request_id)
            except Unavailable:
                refused += 1
                await asyncio.sleep(0.05)
            else:
                posted += 3

    async with asyncio.TaskGroup() as clients:
        for _ in range(20):
            clients.create_task(client())
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.crash)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
    assert refused
    await rig.done()
    rig.clock.us += 10 * TTL_US
    await rig.free(*await rig.expired())
    (found, pending), *_ = await state(rig.quotas, org)
    assert pending == 0
    assert found >= posted
