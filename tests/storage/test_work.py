"""Batches that are to be asked: one asks at a time, none is forgotten, what never ends is given up once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.exchange import entries
from gateway.jobs import poll
from gateway.jobs.poll import GIVEN_UP_US, LATE_US, LOST_US, WAIT_US_MAX, Poller, wait_us
from gateway.kernel.errors import Unavailable, UpstreamUnreachable
from gateway.ledger.entry import Entry, EntryKind
from gateway.ledger.work import Due, Look, Told, Work
from gateway.storage import resources as resource_store
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.resources import FIRST_ASKED_US, ResourceStore
from gateway.storage.work import WorkStore
from tests.storage.conftest import NOW_US, make_entry

pytestmark = pytest.mark.anyio
MINUTE_US = 60_000_000


class Watch:
    def __init__(self) -> None:
        self.failures: list[str] = []

    def settled(self, entry: Any) -> None: ...
    def refused(self, provider: str, code: str) -> None: ...
    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what} {type(error).__name__}")


class Wall:
    def __init__(self) -> None:
        self.us = NOW_US

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        return self.us * 1000


def work(number: int = 1, **changes: Any) -> Work:
    name = f"azure/azure-main/batch_{number}"
    creator = entries.created(make_entry(team="core", tags=("a=b",)), f"{name}/created")
    path = f"/azure/openai/v1/batches/batch_{number}".encode()
    made = Work(name, "azure", "azure-main", path, b"api-version=1", creator, NOW_US)
    return msgspec.structs.replace(made, **changes)


async def kept(database: Database, *works: Work) -> None:
    store = ResourceStore(database, Watch())
    store.keep((), works)
    await store.flush()


async def test_work_is_read_back_as_it_was_written_and_is_due_after_a_minute(
    database: Database,
) -> None:
    await kept(database, work(), work())
    store = WorkStore(database)
    due_us = NOW_US + FIRST_ASKED_US
    assert await store.take(due_us - 1, 9, MINUTE_US) == []
    (due,) = await store.take(due_us, 9, MINUTE_US)
    expected = work(creator=due.work.creator)
    assert (due.work, due.attempts) == (expected, 1)
    assert due.work.creator.tags == ("a=b",)
    assert await store.take(due_us + MINUTE_US - 1, 9, MINUTE_US) == []
    (again,) = await store.take(due_us + MINUTE_US, 9, MINUTE_US)
    assert again.attempts == 2
    await store.done(due.work.work)
    assert await store.overdue(due_us * 2) == 0


async def test_of_many_who_take_each_has_its_own(url: str, database: Database) -> None:
    await kept(database, *(work(number) for number in range(40)))
    others = [Database(url) for _ in range(4)]
    try:
        stores = [WorkStore(one) for one in others]

        async def all_of(store: WorkStore) -> list[str]:
            found: list[str] = []
            while taken := await store.take(NOW_US + FIRST_ASKED_US, 3, MINUTE_US):
                found += [due.work.work for due in taken]
            return found

        shares = await asyncio.gather(*(all_of(store) for store in stores))
    finally:
        for one in others:
            await one.close()
    counted = Counter(name for share in shares for name in share)
    assert (len(counted), set(counted.values())) == (40, {1})


def poller(
    database: Database, ask: Callable[[Work], Awaitable[Look]], clock: Wall, watch: Watch
) -> Poller:
    return Poller(
        WorkStore(database),
        ask,
        Ledger(database),
        zone=lambda org, us: ("2026-11-30", 202611),
        clock=clock,
        observer=watch,
    )


async def test_it_is_asked_until_it_has_ended_and_then_no_more(database: Database) -> None:
    await kept(database, work())
    clock, asked = Wall(), []

    async def ask(one: Work) -> Look:
        asked.append(clock.us - NOW_US)
        return Look.ENDED if len(asked) == 4 else Look.OPEN

    polling = poller(database, ask, clock, Watch())
    for _ in range(60):
        await polling.poll()
        clock.us += MINUTE_US // 2
    assert len(asked) == 4
    gaps = [later - sooner for sooner, later in pairwise(asked)]
    for gap, minutes in zip(gaps, (1, 2, 4), strict=True):
        assert 0.8 * minutes * MINUTE_US <= gap <= 1.2 * minutes * MINUTE_US + MINUTE_US // 2
    assert await WorkStore(database).overdue(clock.us * 2) == 0


@pytest.mark.parametrize("way", ["unreachable", "silent", "broken"])
async def test_a_question_without_an_answer_is_reported_and_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(poll, "ASK_S_MAX", 0.05)
    await kept(database, work(1), work(2))
    clock, watch, asked = Wall(), Watch(), []
    clock.us += FIRST_ASKED_US

    async def ask(one: Work) -> Look:
        asked.append(one.work)
        if one.work.endswith("2"):
            return Look.ENDED
        if way == "silent":
            await asyncio.sleep(30)
        if way == "broken":
            raise KeyError("a fault of our own")
        raise UpstreamUnreachable("away")

    polling = poller(database, ask, clock, watch)
    assert await polling.poll() == 2
    expected = {
        "silent": "poll UpstreamTimeout",
        "unreachable": "poll UpstreamUnreachable",
        "broken": "poll KeyError",
    }
    assert watch.failures == [expected[way]]
    clock.us += 10 * MINUTE_US
    await polling.poll()
    assert [name[-1] for name in sorted(asked)] == ["1", "1", "2"]


async def test_a_database_that_fails_for_one_batch_leaves_none_running_unwatched(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(database, work(1), work(2))
    clock, ended = Wall(), []
    clock.us += FIRST_ASKED_US

    async def ask(one: Work) -> Look:
        await asyncio.sleep(0.1 if one.work.endswith("2") else 0)
        ended.append(one.work)
        return Look.ENDED

    done = WorkStore.done

    async def fails(store: WorkStore, name: str) -> None:
        if name.endswith("1"):
            raise Unavailable("away")
        await done(store, name)

    monkeypatch.setattr(WorkStore, "done", fails)
    with pytest.raises(Unavailable):
        await poller(database, ask, clock, Watch()).poll()
    assert len(ended) == 2


async def test_a_batch_whose_question_always_fails_is_given_up_too(
    database: Database, ledger: Ledger
) -> None:
    await kept(database, work())
    clock = Wall()

    async def ask(one: Work) -> Look:
        raise RecursionError("a fault of our own")

    clock.us += GIVEN_UP_US + 1
    await poller(database, ask, clock, Watch()).poll()
    (row,) = [row async for row in ledger.usage()]
    assert row.flags[-1] == "batch_unfinished"


async def test_what_never_ends_is_given_up_after_a_week_with_one_row(
    database: Database, ledger: Ledger
) -> None:
    await kept(database, work())
    clock = Wall()

    async def ask(one: Work) -> Look:
        return Look.OPEN

    pollers = [poller(database, ask, clock, Watch()) for _ in range(3)]
    clock.us = NOW_US + GIVEN_UP_US
    await asyncio.gather(*(each.poll() for each in pollers))
    assert [row async for row in ledger.usage()] == []
    clock.us += WAIT_US_MAX * 2
    await asyncio.gather(*(each.poll() for each in pollers))
    rows: list[Entry] = [row async for row in ledger.usage()]
    (row,) = rows
    assert (row.kind, row.net_pico, row.flags[-1], row.tags, row.team) == (
        EntryKind.UNCONFIRMED,
        0,
        "batch_unfinished",
        ("a=b",),
        "core",
    )
    assert await WorkStore(database).take(clock.us * 2, 9, 1) == []
    assert (await ledger.verify()).is_sound


async def test_what_is_wanted_is_due_at_once_and_asked_by_one(database: Database) -> None:
    await kept(database, work(1), work(2))
    store, resources = WorkStore(database), ResourceStore(database, Watch())
    now_us = NOW_US + 1
    assert await resources.is_unbooked(work(1).work, now_us)
    assert not await resources.is_unbooked("azure/azure-main/batch_9", now_us)
    (due,) = await store.take(now_us, 9, MINUTE_US)
    assert due.work.work == work(1).work
    assert await resources.is_unbooked(due.work.work, now_us + 1)
    assert await store.take(now_us + 2, 9, MINUTE_US) == []  # it is being asked
    await store.done(due.work.work)
    assert not await resources.is_unbooked(due.work.work, now_us + 3)


async def test_what_became_wanted_while_it_was_asked_is_asked_again_at_once(
    database: Database,
) -> None:
    await kept(database, work())
    resources, clock, asked = ResourceStore(database, Watch()), Wall(), []
    clock.us += FIRST_ASKED_US

    async def ask(one: Work) -> Look:
        asked.append(clock.us)
        clock.us += 1_000
        if len(asked) == 1:
            resources.keep((), (), [Told(one.work, clock.us, is_booked=False)])
            await resources.flush()
        clock.us += 1_000
        return Look.OPEN

    polling = poller(database, ask, clock, Watch())
    assert [await polling.poll() for _ in range(3)] == [1, 1, 0]


async def test_what_a_client_saw_booked_is_not_asked_any_more(database: Database) -> None:
    await kept(database, work(1), work(2))
    resources = ResourceStore(database, Watch())
    resources.keep((), (), [Told(work(1).work, NOW_US, is_booked=True)])
    await resources.flush()
    (due,) = await WorkStore(database).take(NOW_US + FIRST_ASKED_US, 9, MINUTE_US)
    assert due.work.work == work(2).work


async def test_work_that_is_open_is_told_by_where_and_when_it_was_made(
    database: Database,
) -> None:
    await kept(database, work(1), work(2, upstream="azure-other"), work(3, made_us=NOW_US + 9))
    store, resources = WorkStore(database), ResourceStore(database, Watch())

    async def is_open(at_us: int, upstream: str = "azure-main", **wanted: int) -> bool:
        return await resources.is_open("azure", upstream, at_us, **wanted)

    assert await is_open(NOW_US)
    assert not await is_open(NOW_US - 1)
    assert not await is_open(NOW_US, "azure-third")
    assert not await resources.is_open("google", "azure-main", NOW_US)
    assert await store.take(NOW_US + 5, 9, MINUTE_US) == []  # to look is not to want
    assert await is_open(NOW_US, wanted_us=NOW_US + 5)
    (due,) = await store.take(NOW_US + 5, 9, MINUTE_US)
    assert due.work.work == work(1).work
    await store.done(due.work.work)
    assert not await is_open(NOW_US, wanted_us=NOW_US + 6)
    assert await is_open(NOW_US + 9)


async def test_work_whose_results_are_gone_is_given_up_after_an_hour(
    database: Database, ledger: Ledger
) -> None:
    await kept(database, work(1), work(2))
    clock, looks = Wall(), 0

    async def ask(one: Work) -> Look:
        nonlocal looks
        looks += one.work == work(1).work
        return Look.LOST if one.work == work(1).work else Look.OPEN

    polling = poller(database, ask, clock, Watch())
    clock.us += FIRST_ASKED_US
    await polling.poll()
    first_us = clock.us
    while clock.us - first_us <= LOST_US:
        assert [row async for row in ledger.usage()] == []
        clock.us += 10 * MINUTE_US
        await polling.poll()
    while looks and not (rows := [row async for row in ledger.usage()]):
        clock.us += 10 * MINUTE_US
        await polling.poll()
    (row,) = rows
    assert (row.kind, row.net_pico, row.flags[-1]) == (
        EntryKind.UNCONFIRMED,
        0,
        "batch_output_lost",
    )
    assert row.settles == f"{work(1).work}/unconfirmed"
    assert clock.us - first_us <= LOST_US + WAIT_US_MAX * 2
    assert not await ResourceStore(database, Watch()).is_unbooked(work(1).work, clock.us)
    assert await ResourceStore(database, Watch()).is_unbooked(work(2).work, clock.us)


async def test_what_is_queued_and_not_written_makes_the_question_unanswerable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_store, "KEPT_S_MAX", 0.01)
    resources = ResourceStore(database, Watch())
    resources.keep((), [work()])  # nobody writes it
    with pytest.raises(Unavailable):
        await resources.is_unbooked(work().work, NOW_US)
    with pytest.raises(Unavailable):
        await resources.is_open("azure", "azure-main", NOW_US)


async def test_what_nobody_asks_is_counted(database: Database) -> None:
    await kept(database, work(1), work(2))
    clock = Wall()

    async def ask(one: Work) -> Look:
        return Look.OPEN

    polling = poller(database, ask, clock, Watch())
    clock.us += FIRST_ASKED_US + LATE_US + 1
    assert await WorkStore(database).overdue(clock.us - LATE_US) == 2
    await polling.poll()
    assert polling.overdue == 0


@given(attempts=st.integers(1, 10_000), number=st.integers(1, 10**6))
def test_waits_double_to_half_an_hour_each_a_fifth_more_or_less(attempts: int, number: int) -> None:
    creator = WORK.creator
    due = Due(msgspec.structs.replace(WORK, work=f"batch_{number}", creator=creator), attempts)
    plain = min(MINUTE_US * 2 ** min(attempts - 1, 20), WAIT_US_MAX)
    assert plain * 4 // 5 <= wait_us(due) <= plain * 6 // 5


WORK = work()
