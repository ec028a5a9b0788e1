"""Derived tables are rebuilt from the rows: equal, row by row."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.ledger.entry import Entry, Line
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.rebuild import rebuild
from gateway.storage.tables import COUNTER, DAILY

pytestmark = pytest.mark.anyio
BEYOND_FLOATS = 2**53 + 1


async def contents(database: Database, table: sa.Table, *names: str) -> list[Any]:
    columns = [table.c[name] for name in names] or list(table.c)
    query = sa.select(*columns).order_by(*table.primary_key)
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(query)]


@pytest.fixture
async def filled(database: Database, ledger: Ledger, entry: Callable[..., Entry]) -> Database:
    store = BudgetStore(database)
    for at, each in enumerate(("", "user", "team")):
        shape: dict[str, Any] = {"measure": "tokens", "limit": 9, "window": "month", "each": each}
        await store.put(Budget(id=f"b{at}", name=f"b{at}", scope=Scope(), **shape), "owner-1")
    huge = (Line("input_text", BEYOND_FLOATS, "p", BEYOND_FLOATS, BEYOND_FLOATS),)
    amounts = {"list_pico": BEYOND_FLOATS, "net_pico": BEYOND_FLOATS}
    rows = [entry(user=f"user-{n % 5:04}", period=202610 + n % 2) for n in range(60)]
    await ledger.append([*rows, entry(lines=huge, **amounts)])
    return database


async def test_a_lost_rollup_comes_back_row_by_row(filled: Database, ledger: Ledger) -> None:
    before = await contents(filled, DAILY)
    async with filled.write() as connection:
        await connection.execute(sa.delete(DAILY))
    assert not (await ledger.verify()).is_sound
    done = await rebuild(filled, counters=False)
    assert (len(done.cells), done.posted, done.pending) == (len(before), (), ())
    assert await contents(filled, DAILY) == before
    assert (await ledger.verify()).is_sound


async def test_what_is_wrong_is_put_right_and_told(filled: Database, ledger: Ledger) -> None:
    before = await contents(filled, COUNTER, "budget", "subject", "window_us", "posted", "pending")
    async with filled.write() as connection:
        of = COUNTER.c.budget == "b1"
        await connection.execute(sa.update(COUNTER).where(of).values(posted=1, pending=7))
        await connection.execute(sa.delete(COUNTER).where(COUNTER.c.budget == "b0"))
        fewer = sa.update(DAILY).where(DAILY.c.unit == "request", DAILY.c.period == 202611)
        await connection.execute(fewer.values(quantity=0))
    found = await ledger.verify()
    assert {one.cell.unit for one in found.differences} == {"request"}
    assert {one.key.budget for one in found.posted} == {"b0", "b1"}
    assert {one.key.budget for one in found.pending} == {"b1"}
    done = await rebuild(filled)
    assert (len(done.cells), len(done.posted), len(done.pending)) == (5, 6, 5)
    columns = ("budget", "subject", "window_us", "posted", "pending")
    assert await contents(filled, COUNTER, *columns) == before
    assert (await ledger.verify()).is_sound
    again = await rebuild(filled)
    assert (again.cells, again.posted, again.pending) == ((), (), ())


async def test_an_attempt_with_two_rows_is_a_mistake(
    ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    first = entry()
    await ledger.append([first, entry(request_id=first.request_id)])
    (mistake,) = (await ledger.verify()).mistakes
    assert mistake == f"request {first.request_id}: attempt 1 has 2 rows"
