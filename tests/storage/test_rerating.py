"""Re-rating the ledger, on each store: booked once, whoever runs it how often; everything derived stays equal."""

import asyncio
import sys
from collections.abc import Callable

import msgspec
import pytest

from gateway.kernel.errors import BadRequest
from gateway.ledger.closing import State
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.reprice import Tariff, repriced
from gateway.pricing.book import Book
from gateway.pricing.row import Row
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.closing import ClosingStore, Step
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.queries import families_where
from gateway.storage.rebuild import rebuild
from gateway.storage.rerating import Rerating, alone, keep, kept, rerated, rows_between
from tests.storage.conftest import NOW_US, Hands

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]


def tariff(input_pico: int, output_pico: int) -> Tariff:
    terms = ("cloud", "model-a", "global", "", "", "standard")
    rows = [
        Row(terms=terms, unit=unit, pico=pico, per=1, source="s", evidence="manual")
        for unit, pico in (("input_text", input_pico), ("output_text", output_pico))
    ]
    return Tariff(Book.compile(rows))


async def run(database: Database, by: Tariff, *, dry_run: bool = False) -> list[Entry]:
    def reprice(row: Entry, corrections: object) -> tuple[Entry, ...]:
        return repriced(row, corrections, by, NOW_US + 5)  # type: ignore[arg-type]  # a sequence

    found = rerated(database, reprice, NOW_US - 1, NOW_US + 10**9, dry_run=dry_run)
    return [one async for _, _, made in found for one in made]


def net(entries: list[Entry]) -> int:
    return sum(line.net_pico or 0 for entry in entries for line in entry.lines)


async def all_of(ledger: Ledger) -> list[Entry]:
    return [entry async for entry in ledger.usage()]


# The fixture's entry: 1,200 input at 150,000 and 80 output at 600,000 pico-USD, less ten percent.
NEW = tariff(100_000, 700_000)
CHARGE = 1_200 * 100_000 + 80 * 700_000


async def test_every_row_is_charged_by_the_new_book_once(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    rows = [entry(scope="global") for _ in range(1_100)]
    await ledger.append(rows)
    assert await rows_between(database, NOW_US - 1, NOW_US + 1) == 1_100
    tried = await run(database, NEW, dry_run=True)
    assert len(tried) == 1_100
    assert net(await all_of(ledger)) == 1_100 * 205_200_000
    await run(database, NEW)
    after = await all_of(ledger)
    assert net(after) == 1_100 * CHARGE
    assert sum(one.kind is EntryKind.REPRICE for one in after) == 1_100
    assert await run(database, NEW) == []
    assert await all_of(ledger) == after
    assert (await ledger.verify()).is_sound


async def test_a_truth_that_comes_after_a_rerating_counts_no_request_twice(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    lines = (Line("input_text", 1200, None, None, None), Line("output_text", 80, None, None, None))
    lacking = {"scope": "global", "lines": lines, "list_pico": None, "net_pico": None}
    for status, lacks in (("priced", {"scope": "global"}), ("unpriced", lacking)):
        estimate = entry(kind=EntryKind.INTERRUPTED, price_status="unpriced", **lacking)
        truth = entry(id=estimate.id, request_id=estimate.request_id, price_status=status, **lacks)
        await ledger.append([estimate])
        await run(database, NEW)
        assert (await ledger.statement(estimate.period)).total.unpriced == 0
        await ledger.append([truth])
        await ledger.append([truth])
        told = (await ledger.statement(estimate.period)).total.unpriced
        assert told == (status == "unpriced")
        await run(database, NEW)
        assert await run(database, NEW) == []
        assert (await ledger.statement(estimate.period)).total.unpriced == 0
        assert (await ledger.verify()).is_sound
    assert net(await all_of(ledger)) == 2 * CHARGE


async def test_runs_that_race_book_each_correction_once(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await ledger.append([entry(scope="global") for _ in range(40)])
    await asyncio.gather(*(run(database, NEW) for _ in range(4)))
    after = await all_of(ledger)
    assert (len(after), net(after)) == (80, 40 * CHARGE)
    assert (await ledger.verify()).is_sound


async def test_of_two_by_different_books_one_is_refused_and_no_row_is_charged_by_both(
    database: Database, url: str, ledger: Ledger, entry: Make
) -> None:
    await ledger.append([entry(scope="global") for _ in range(40)])
    others = [Database(url) for _ in range(2)]

    async def one(at: Database, by: Tariff) -> None:
        async with alone(at):
            await run(at, by)

    books = (NEW, tariff(1, 1))
    done = await asyncio.gather(*map(one, others, books), return_exceptions=True)
    assert sorted(map(type, done), key=str) == [type(None), BadRequest] or done == [None, None]
    assert net(await all_of(ledger)) in {40 * CHARGE, 40 * 1_280}
    for at, by, charged in zip(others, books, (CHARGE, 1_280), strict=True):
        await one(at, by)  # each is free again
        assert net(await all_of(ledger)) == 40 * charged
        await at.close()


HOLDING = """
import asyncio, sys
from gateway.storage.engine import Database
from gateway.storage.rerating import alone

async def hold():
    async with alone(Database(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


async def test_a_rerating_that_is_killed_lets_go(database: Database, url: str) -> None:
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDING, url, stdout=asyncio.subprocess.PIPE)  # fmt: skip
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(BadRequest, match="another re-rating is running"):
        async with alone(database):
            pass
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(30):
        while True:  # Postgres sees it when it looks
            try:
                async with alone(database):
                    return
            except BadRequest:
                await asyncio.sleep(0.05)


async def test_back_and_forth_ends_where_the_last_book_is(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await ledger.append([entry(scope="global")])
    other = tariff(1, 1)
    for by, wanted in ((NEW, CHARGE), (other, 1_280), (NEW, CHARGE), (other, 1_280)):
        await run(database, by)
        assert net(await all_of(ledger)) == wanted
    assert (await ledger.verify()).is_sound


async def test_the_budgets_follow_and_a_rebuild_finds_nothing(
    database: Database, ledger: Ledger, entry: Make, clock: Hands
) -> None:
    store = BudgetStore(database, clock)
    budget = Budget(id="b", name="b", scope=Scope(), measure="usd_net", limit=10**12, window="month")  # fmt: skip
    await store.put(budget, "user-0001")
    lines = tuple(msgspec.structs.replace(x, price_id=None, list_pico=None, net_pico=None) for x in entry().lines)  # fmt: skip
    unpriced = entry(
        scope="global", lines=lines, list_pico=None, net_pico=None, price_status="unpriced"
    )
    await ledger.append([entry(scope="global"), unpriced])
    await run(database, NEW)
    (balance,) = await store.counters()
    assert balance.posted == 2 * CHARGE // 1_000
    rebuilt = await rebuild(database)
    assert (rebuilt.cells, rebuilt.posted, rebuilt.pending) == ((), (), ())
    gaps = await ledger.gaps(NEW.book)
    assert gaps.found() == []


async def test_a_price_that_a_rerating_took_away_is_missing_though_its_row_was_priced(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    long = entry(scope="global")
    long = msgspec.structs.replace(
        long, lines=(msgspec.structs.replace(long.lines[0], quantity=300_000), *long.lines[1:])
    )
    await ledger.append([long, entry(scope="global")])
    above = msgspec.structs.replace(NEW.book.rows[0], context_gt=200_000)
    without = Tariff(Book.compile([*NEW.book.rows, above]))
    assert (await ledger.gaps(without.book)).found() == []
    await run(database, without)
    found = (await ledger.gaps(without.book)).found()
    assert [(w.unit, w.context_gt, m.lines, m.quantity) for w, m in found] == [
        ("output_text", 200_000, 1, 80)
    ]


async def test_a_closed_months_correction_goes_to_the_open_one_under_its_own_day(
    database: Database, ledger: Ledger, entry: Make, clock: Hands
) -> None:
    row = entry(scope="global")
    await ledger.append([row])
    closing = ClosingStore(database, clock)
    steps: tuple[State, ...] = ("provisional", "reconciled")
    for state in steps:
        standing = await closing.begin(202611, state, "because")
        step = Step(period=202611, revision=standing.revision, at_us=1, author="a", state=state)
        await closing.keep(step, {})
    await run(database, NEW)
    (made,) = [one for one in await all_of(ledger) if one.kind is EntryKind.REPRICE]
    assert (made.day, made.period, made.ref_id) == (row.day, 202612, row.id)
    assert await run(database, NEW) == []
    assert (await ledger.verify()).is_sound


async def test_corrections_are_streamed_beside_their_row(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    rows = [entry(scope="global") for _ in range(30)]
    await ledger.append(rows)
    await run(database, NEW)
    found = [(row.id, [one.ref_id for one in made]) async for row, made in families_where(database, [])]  # fmt: skip
    assert found == [(row.id, [row.id]) for row in sorted(rows, key=lambda one: one.id)]


async def test_who_rerated_what_is_kept(database: Database) -> None:
    done = Rerating(1, "user-0001", "annex 2", 5, None, "c", 10, 3, -(10**20), -7)
    if not database.is_postgres:
        done = msgspec.structs.replace(done, list_pico=-(10**18))
    await keep(database, done)
    assert await kept(database) == [done]
