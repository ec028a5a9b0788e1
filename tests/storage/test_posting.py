"""Rows, rollup, counters, holds and chain change together, whoever else writes at the same time."""

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from gateway.kernel.clock import Clock
from gateway.kernel.ids import new_id
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line
from gateway.quota.budget import Budget, Scope
from gateway.quota.hold import CounterKey, HoldLine, Rate
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.posting import Effects
from gateway.storage.tables import COUNTER, HOLD

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
NOVEMBER_US = 1_793_491_200_000_000  # 2026-11-01T00:00:00Z
NET_NANO = 205_200  # of conftest's entry


def budget(name: str, **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": name,
        "name": name,
        "scope": Scope(),
        "measure": "usd_net",
        "limit": 10**12,
        "window": "month",
    }
    return Budget(**(fields | changes))


MANY = (
    budget("org"),
    budget("per-user", each="user", measure="tokens", window="day"),
    budget("team", scope=Scope(team="team-1"), measure="requests", window="week"),
    budget("model", scope=Scope(model="model-*"), measure="output_tokens", window="year"),
    budget("total", measure="unit:input_text", window="always"),
    budget("at-once", measure="concurrent", window="always"),
    budget("rate", measure="tokens", window="minute"),
)


async def counters(database: Database) -> dict[tuple[str, str], tuple[int, int]]:
    async with database.read() as connection:
        rows = (await connection.execute(sa.select(COUNTER))).mappings().all()
    return {(row["budget"], row["subject"]): (row["posted"], row["pending"]) for row in rows}


async def hold(database: Database, request_id: UUID, lines: tuple[HoldLine, ...]) -> None:
    """What an engine's reserve leaves in the tables."""
    async with database.write() as connection:
        text = msgspec.json.encode(lines).decode()
        row = {"request_id": request_id, "lines": text, "expires_us": 1, "entry": b"{}"}
        await connection.execute(sa.insert(HOLD), row)
        for line in lines:
            key = msgspec.structs.asdict(line.key)
            pending = 0 if line.rate else line.amount
            rest = {"posted": 0, "pending": pending, "tat_us": 0, "version": 0}
            await connection.execute(sa.insert(COUNTER), key | rest)


async def test_a_batch_twice_and_then_with_new_rows_counts_every_id_once(
    database: Database, ledger: Ledger, entry: Make, clock: Clock
) -> None:
    store = BudgetStore(database, clock)
    for one in MANY:
        await store.put(one, "owner-4100")
    first = [entry(user=f"user-{n % 9:04}") for n in range(500)]
    more = [entry(user=f"user-{n % 9:04}") for n in range(50)]
    assert [await ledger.append(part) for part in (first, first, first + more)] == [500, 0, 50]
    found = await counters(database)
    assert found["org", ""] == (550 * NET_NANO, 0)
    assert found["team", ""] == (550, 0)
    assert found["model", ""] == (550 * 80, 0)
    assert found["total", ""] == (550 * 1200, 0)
    users = [posted for (name, _), (posted, _) in found.items() if name == "per-user"]
    assert (len(users), sum(users)) == (9, 550 * 1280)
    assert not {"at-once", "rate"} & {name for name, _ in found}
    verification = await ledger.verify()
    assert verification.is_sound
    assert (verification.entries, verification.links) == (550, 2)


async def test_the_final_row_ends_the_hold_and_an_attempt_before_it_does_not(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = BudgetStore(database)
    await store.put(budget("org"), "owner-4100")
    request, other = new_id(), new_id()
    key, rolls = CounterKey("org", "", NOVEMBER_US), CounterKey("rate", "", 0)
    lines = (
        HoldLine(key, 700_000, 10**12, rank=6),
        HoldLine(rolls, 90, 0, rate=Rate(100, 10), rank=6),
    )
    await hold(database, request, lines)
    first = entry(request_id=request, flags=(FAILED_OVER,))
    await ledger.append([first, entry(request_id=other)])
    assert (await counters(database))["org", ""] == (2 * NET_NANO, 700_000)
    assert (await ledger.verify()).is_sound
    final = entry(request_id=request, attempt=2)
    assert [await ledger.append([final]) for _ in range(2)] == [1, 0]
    found = await counters(database)
    assert (found["org", ""], found["rate", ""]) == ((3 * NET_NANO, 0), (0, 0))
    assert (await ledger.verify()).is_sound


async def test_a_hold_ends_where_another_entry_owns_the_once_only_key(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await ledger.append([entry(settles="batch-1")])
    request = new_id()
    await hold(database, request, (HoldLine(CounterKey("gone", "", 0), 5, 10),))
    assert await ledger.append([entry(settles="batch-1", request_id=request)]) == 0
    assert (await counters(database))["gone", ""] == (0, 0)


async def test_an_estimate_and_its_truth_three_times_post_the_truth(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = BudgetStore(database)
    for one in MANY:
        await store.put(one, "owner-4100")
    truth = entry()
    guess = msgspec.structs.replace(
        truth,
        kind=EntryKind.INTERRUPTED,
        lines=(Line("output_text", 500, "p-output", 9_000, 9_000),),
        list_pico=9_000,
        net_pico=9_000,
    )
    await ledger.append([guess])
    assert (await counters(database))["org", ""][0] == 9
    assert [await ledger.append([truth]) for _ in range(3)] == [1, 0, 0]
    found = await counters(database)
    assert (found["org", ""][0], found["team", ""][0]) == (NET_NANO, 1)
    assert (found["model", ""][0], found["total", ""][0]) == (80, 1200)
    verification = await ledger.verify()
    assert verification.is_sound, verification


async def test_a_reversal_and_its_original_are_nothing(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = BudgetStore(database)
    for one in MANY:
        await store.put(one, "owner-4100")
    original = entry()
    lines = tuple(
        msgspec.structs.replace(
            line,
            quantity=-line.quantity,
            list_pico=-(line.list_pico or 0),
            net_pico=-(line.net_pico or 0),
        )
        for line in original.lines
    )
    reversal = msgspec.structs.replace(
        original,
        id=new_id(),
        kind=EntryKind.REVERSAL,
        ref_id=original.id,
        lines=lines,
        list_pico=-(original.list_pico or 0),
        net_pico=-(original.net_pico or 0),
    )
    assert await ledger.append([original, reversal]) == 2
    found = await counters(database)
    assert {name: posted for (name, _), (posted, _) in found.items() if posted} == {"team": 1}
    total = (await ledger.statement(202611)).total
    assert (total.list_pico, total.net_pico, sum(total.units.values())) == (0, 0, 0)
    assert (await ledger.verify()).is_sound


async def test_writers_on_shared_counters_never_deadlock_and_everything_is_equal(
    url: str, database: Database, entry: Make
) -> None:
    """Four writers as four processes would: each with connections and budgets of its own."""
    store = BudgetStore(database)
    for one in MANY:
        await store.put(one, "owner-4100")
    chance = random.Random(7)
    databases = [Database(url) for _ in range(4)]

    async def write(own: Database, size: int) -> int:
        ledger, booked = Ledger(own), 0
        for _ in range(4):
            users = [f"user-{chance.randrange(20):04}" for _ in range(size)]
            booked += await ledger.append(
                [entry(user=user, team=f"team-{chance.randrange(3)}") for user in users]
            )
        return booked

    counts = await asyncio.gather(*(write(own, 100 + 20 * n) for n, own in enumerate(databases)))
    assert sum(counts) == 4 * (100 + 120 + 140 + 160)
    verification = await Ledger(database).verify()
    assert verification.is_sound, verification
    assert (verification.entries, verification.links) == (sum(counts), 16)
    for own in databases:
        await own.close()


async def test_who_wants_to_know_hears_after_the_commit(database: Database, entry: Make) -> None:
    await BudgetStore(database).put(budget("org"), "owner-4100")
    heard: list[Effects] = []
    ledger = Ledger(database, on_posted=heard.append)
    request = new_id()
    await hold(database, request, (HoldLine(CounterKey("other", "", 0), 5, 10),))
    first, second = entry(request_id=request), entry()
    await ledger.append([first])
    await ledger.append([second])
    key = CounterKey("org", "", NOVEMBER_US)
    figures = [(one.posted, one.version) for told in heard for one in told.posted if one.key == key]
    assert [posted for posted, _ in figures] == [NET_NANO, 2 * NET_NANO]
    assert figures[0][1] < figures[1][1]
    assert [tuple(told.released) for told in heard] == [(request,), (second.request_id,)]
    await ledger.append([first])  # its answer had been lost: whoever asks again hears what it did
    again = [one for one in heard[-1].posted if one.key == key]
    assert [one.posted for one in again] == [2 * NET_NANO]
    assert again[0].version > figures[1][1]
    assert tuple(heard[-1].released) == (request,)


async def test_a_finished_request_that_posts_nothing_and_held_nothing_is_told_all_the_same(
    database: Database, entry: Make
) -> None:
    heard: list[Effects] = []
    one = entry()
    await Ledger(database, on_posted=heard.append).append([one])
    assert [(told.posted, tuple(told.released)) for told in heard] == [((), (one.request_id,))]
