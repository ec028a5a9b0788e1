"""Holds come to an end: extended while their request lives, given up with a row when nothing is known of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import permutations

import msgspec
import pytest

from gateway.jobs.expire import GRACE_US, SWEEP_PAUSE_MS, Extender, Sweeper
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind
from gateway.quota.budget import Budget, Scope
from gateway.quota.hold import CounterKey, Hold, HoldLine
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.holds import Expired, Holds, decode_lines, encode_lines
from gateway.storage.ledger import Ledger
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.quotas_postgres import postgres_quotas
from gateway.storage.quotas_sqlite import sqlite_quotas
from tests.storage.conftest import NOW_US, Hands, Recorder
from tests.storage.quota_laws import TTL_US, granted, line, state

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
ORG = line("requests", 1, 100)
FIRST_TWIN = EntryKind.ADJUSTMENT


@pytest.fixture
async def quotas(url: str, clock: Hands) -> AsyncIterator[BatchedQuotas]:
    make = postgres_quotas if url.startswith("postgres") else sqlite_quotas
    made = make(url, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        yield made
        running.cancel()
    await made.close()


@pytest.fixture
def holds(database: Database, ledger: Ledger) -> Holds:
    return Holds(database, ledger)


@pytest.fixture
def sweeper(holds: Holds, ledger: Ledger, clock: Hands, observer: Recorder) -> Sweeper:
    return Sweeper(holds, ledger, clock, observer)


async def held(quotas: BatchedQuotas, entry: Entry, text: bytes | None = None) -> None:
    made = Hold(
        entry.request_id, (ORG,), NOW_US + TTL_US, text or msgspec.json.encode(entry), version=9
    )
    granted(await quotas.reserve(made))


async def rows(ledger: Ledger) -> list[Entry]:
    return [one async for one in ledger.usage()]


async def test_a_hold_of_which_nothing_is_known_becomes_a_row_at_zero_cost(
    quotas: BatchedQuotas, sweeper: Sweeper, ledger: Ledger, clock: Hands, entry: Make
) -> None:
    asked = entry(status=0)
    await held(quotas, asked)
    assert await sweeper.sweep() == 0
    clock.us += TTL_US
    assert await sweeper.sweep() == 1
    (row,) = await rows(ledger)
    assert (row.id, row.kind, row.net_pico) == (asked.id, EntryKind.UNCONFIRMED, 0)
    assert row.lines == ()
    assert await state(quotas, ORG) == [(0, 0)]
    assert await sweeper.sweep() == 0
    await ledger.append([asked])
    assert [one.kind for one in await rows(ledger)] == [
        EntryKind.UNCONFIRMED,
        EntryKind.ADJUSTMENT,
    ]
    assert sum(one.net_pico or 0 for one in await rows(ledger)) == asked.net_pico


async def test_a_hold_whose_row_is_booked_is_only_freed(
    quotas: BatchedQuotas,
    sweeper: Sweeper,
    database: Database,
    ledger: Ledger,
    clock: Hands,
    entry: Make,
) -> None:
    first = entry(flags=(FAILED_OVER,))
    second = entry(request_id=first.request_id, attempt=2)
    await ledger.append([second])
    await held(quotas, first)
    clock.us += TTL_US
    assert await sweeper.sweep() == 1
    assert await rows(ledger) == [second]
    assert await state(quotas, ORG) == [(0, 0)]
    # The second attempt was never heard of: the first one's row says that the request was made.
    other = entry(flags=(FAILED_OVER,))
    await ledger.append([other])
    await held(quotas, other)
    assert await sweeper.sweep() == 1
    assert len(await rows(ledger)) == 2


@pytest.mark.parametrize("order", list(permutations(("expiry", "first", "second"))))
@pytest.mark.parametrize("kind", [EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED])
async def test_a_request_that_went_on_elsewhere_is_one_request_whenever_its_hold_ends(
    quotas: BatchedQuotas,
    sweeper: Sweeper,
    database: Database,
    ledger: Ledger,
    clock: Hands,
    entry: Make,
    order: tuple[str, ...],
    kind: EntryKind,
) -> None:
    """The hold names the first attempt; what became of that may be said by it, or by its dead worker's journal."""
    await BudgetStore(database, clock=clock).put(
        Budget(id="requests", name="requests", scope=Scope(), measure="requests", limit=100, window="always"),
        "test",
    )  # fmt: skip
    asked = entry(lines=(), list_pico=0, net_pico=0)
    first = msgspec.structs.replace(asked, kind=kind, status=429, flags=(FAILED_OVER,))
    second = entry(request_id=asked.request_id, attempt=2)
    await held(quotas, asked)
    clock.us += TTL_US
    for deed in order:
        if deed == "expiry":
            before = order[: order.index("expiry")]
            assert await sweeper.sweep() == int("second" not in before)  # whose row has ended it
        else:
            await ledger.append([first if deed == "first" else second])
    for _ in range(2):  # a replay changes nothing
        await ledger.append([first, second])
    await sweeper.sweep()
    found = await rows(ledger)
    assert sum(one.net_pico or 0 for one in found) == second.net_pico
    assert sum(row.requests for row in (await ledger.statement(asked.period)).rows) == 1
    assert [one for one, _ in await state(quotas, ORG)] == [1]
    assert (await ledger.verify()).is_sound
    assert (FIRST_TWIN in {one.kind for one in found}) == (order[0] == "expiry")


async def test_nothing_is_given_up_before_the_living_could_extend_theirs(
    quotas: BatchedQuotas,
    holds: Holds,
    ledger: Ledger,
    clock: Hands,
    observer: Recorder,
    entry: Make,
) -> None:
    """The store was away for longer than a hold lasts; then everybody's next step comes within seconds."""

    class Away(Holds):
        is_away = True

        async def expired(self, now_us: int, limit: int = 200) -> list[Expired]:
            if self.is_away:
                raise StoreUnavailable("away")
            return await super().expired(now_us, limit)

    there = Away(ledger._database, ledger)
    sweeper = Sweeper(there, ledger, clock, observer)
    alive, dead = entry(), entry()
    extender = Extender(lambda: {alive.request_id}, quotas, clock, observer, ttl_us=TTL_US)
    for each in (alive, dead):
        await held(quotas, each)
    with pytest.raises(StoreUnavailable):
        await sweeper.sweep()
    clock.us += 10 * TTL_US
    there.is_away = False
    assert await sweeper.sweep() == 0
    await extender.step()
    clock.us += GRACE_US - 1
    assert await sweeper.sweep() == 0
    clock.us += 1
    await extender.step()
    assert await sweeper.sweep() == 1
    assert [one.id for one in await rows(ledger)] == [dead.id]
    clock.us += TTL_US
    assert await sweeper.sweep() == 1  # no more grace than that


async def test_a_hold_with_a_torn_entry_is_quarantined_and_freed(
    quotas: BatchedQuotas, sweeper: Sweeper, ledger: Ledger, clock: Hands, entry: Make
) -> None:
    await held(quotas, entry(), b'{"id": "torn')
    clock.us += TTL_US
    assert await sweeper.sweep() == 1
    assert await ledger.quarantined() == 1
    assert await state(quotas, ORG) == [(0, 0)]


async def test_two_sweepers_book_an_expired_hold_once(
    quotas: BatchedQuotas,
    holds: Holds,
    database: Database,
    clock: Hands,
    entry: Make,
    observer: Recorder,
) -> None:
    budgets = BudgetStore(database, clock)
    await budgets.put(
        Budget(
            id=ORG.key.budget,
            name="requests",
            scope=Scope(org="org-1"),
            measure="requests",
            limit=100,
            window="day",
        ),
        "owner-4100",
    )
    for _ in range(20):
        await held(quotas, entry())
    clock.us += TTL_US
    sweepers = [Sweeper(holds, Ledger(database), clock, observer) for _ in range(2)]
    await asyncio.gather(*(one.sweep() for one in sweepers))
    assert len(await rows(Ledger(database))) == 20
    (balance,) = await budgets.counters([ORG.key.budget]) and [
        one for one in await budgets.counters([ORG.key.budget]) if one.key.window_us
    ]
    assert balance.posted == 20
    assert await state(quotas, ORG) == [(0, 0)]


async def test_the_sweeper_goes_on_at_once_while_there_is_more(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sweeper.step() == SWEEP_PAUSE_MS

    async def full() -> int:
        return 200

    monkeypatch.setattr(sweeper, "sweep", full)
    assert await sweeper.step() == 0


async def test_live_requests_keep_their_holds(
    quotas: BatchedQuotas, holds: Holds, clock: Hands, entry: Make, observer: Recorder
) -> None:
    living, dead = entry(), entry()
    for one in (living, dead):
        await held(quotas, one)
    live = {living.request_id}
    extender = Extender(lambda: live, quotas, clock, observer, ttl_us=TTL_US)
    for _ in range(6):
        pause_ms = await extender.step()
        assert pause_ms == TTL_US // 3000
        clock.us += pause_ms * 1000
    assert [one.request_id for one in await holds.expired(clock.us)] == [dead.request_id]
    live.clear()
    assert await extender.step() == TTL_US // 3000


def test_lines_are_kept_as_they_are() -> None:
    lines = (ORG, HoldLine(CounterKey("a", "b", 3), 4, 5, enforce=False, rank=2))
    assert decode_lines(encode_lines(lines)) == lines
    assert "carry" not in encode_lines(lines)
