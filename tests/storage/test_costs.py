"""Rates and fixed costs in the database: the newest holds, a close freezes, nothing is edited."""

import asyncio

import msgspec
import pytest

from gateway.kernel.errors import BadRequest, NotFound
from gateway.kernel.ids import new_id
from gateway.kernel.money import parse_usd
from gateway.ledger.closing import State
from gateway.reporting.fixed import FixedCost
from gateway.storage.closing import ClosingStore, Step
from gateway.storage.costs import CostStore
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from tests.storage.conftest import Hands

pytestmark = pytest.mark.anyio


def cost(name: str, first: int = 202611, last: int | None = None, **changes: object) -> FixedCost:
    fields: dict[str, object] = {
        "id": str(new_id()), "name": name, "kind": "ptu", "first": first, "last": last,
        "pico": 73_000 * 10**12, "pool": {"deployment": "ptu-*"}, "source": "invoice 7",
        "author": "user-0001", "at_us": 5,
    }  # fmt: skip
    return FixedCost(**(fields | changes))  # type: ignore[arg-type]  # fields by name


async def test_a_rate_holds_until_a_newer_one_and_is_frozen_by_the_close(
    database: Database,
) -> None:
    store = CostStore(database)
    assert await store.rate(202611, "EUR") is None
    await store.set_rate(202611, "EUR", "0.9215", "the central bank", "user-0001")
    await store.set_rate(202611, "EUR", "0.92", "the central bank, corrected", "user-0002")
    await store.set_rate(202612, "EUR", "0.93", "the central bank", "user-0001")
    assert await store.rate(202611, "EUR") == 920_000_000_000
    assert [one.author for one in await store.rates()] == ["user-0001", "user-0002", "user-0001"]
    closing = ClosingStore(database)
    states: tuple[State, ...] = ("provisional", "reconciled")
    for state in states:
        standing = await closing.begin(202611, state, "because")
        step = Step(period=202611, revision=standing.revision, at_us=1, author="a", state=state)
        await closing.keep(step, {})
    with pytest.raises(BadRequest, match="2026-11 is reconciled: its rates are frozen"):
        await store.set_rate(202611, "EUR", "1", "late", "user-0001")
    assert await store.rate(202611, "EUR") == 920_000_000_000
    await store.set_rate(202612, "EUR", "0.94", "open still", "user-0001")
    with pytest.raises(BadRequest, match="2026-11 is reconciled: its costs are frozen"):
        await store.add([cost("late")])
    await store.add([cost("next", first=202612)])
    with pytest.raises(BadRequest, match="its costs are frozen"):
        await store.remove("next", 202611, "user-0001")


async def test_the_rate_that_was_set_last_holds_though_the_clock_stepped_back(
    database: Database, clock: Hands
) -> None:
    store = CostStore(database, clock)
    for rate, moved_us in (("0.91", 0), ("0.92", -3_600_000_000), ("0.93", 0), ("0.94", -1)):
        clock.us += moved_us
        await store.set_rate(202611, "EUR", rate, "the central bank", "user-0001")
        assert await store.rate(202611, "EUR") == parse_usd(rate)
    assert [one.pico for one in await store.rates()] == sorted(one.pico for one in await store.rates())  # fmt: skip


async def test_of_many_who_add_a_name_at_once_one_does(database: Database) -> None:
    stores = [CostStore(database) for _ in range(5)]
    await asyncio.gather(*(store.costs() for store in stores))  # connected: from here on they race
    done = await asyncio.gather(*(store.add([cost("a")]) for store in stores), return_exceptions=True)  # fmt: skip
    assert done.count(None) == 1
    assert {type(one) for one in done if one is not None} == {BadRequest}
    assert [one.name for one in await stores[0].costs()] == ["a"]


async def test_no_rate_and_no_cost_enters_a_month_that_is_being_frozen(
    database: Database,
) -> None:
    """Whatever the order, each is refused or was there before the step."""
    closing, store = ClosingStore(database), CostStore(database)
    await asyncio.gather(*(store.costs() for _ in range(5)))
    now = await closing.begin(202611, "provisional", "x")
    await closing.keep(Step(period=202611, revision=now.revision, at_us=1, author="a", state=now.state), {})  # fmt: skip

    async def frozen() -> list[str]:
        await closing.begin(202611, "reconciled", "x")
        return [one.name for one in await store.costs()]

    seen, *told = await asyncio.gather(
        frozen(), *(store.add([cost(f"c{n}")]) for n in range(6)), return_exceptions=True
    )
    assert isinstance(seen, list)
    added = [f"c{n}" for n, one in enumerate(told) if one is None]
    assert sorted(seen) == added == sorted(one.name for one in await store.costs())


async def test_a_cost_is_kept_as_it_was_said(database: Database) -> None:
    store = CostStore(database)
    made = cost("a", last=202701, rule="seat", per_seat=True, capacity=50, currency="EUR")
    shared = cost("b", rule="direct", shares={"4100": 3}, pool={})
    await store.add([made], {"user-0001": "search", "user-0002": "search"})
    await store.add([shared])
    assert sorted(await store.costs(), key=lambda one: one.name) == [made, shared]
    assert await store.seats(made) == {"user-0001": "search", "user-0002": "search"}
    assert await store.seats(shared) == {}


async def test_a_removed_cost_ends_where_it_was_removed(database: Database) -> None:
    store = CostStore(database)
    made = cost("a")
    await store.add([made])
    await store.remove("a", 202701, "user-0001")
    assert await store.costs() == [msgspec.structs.replace(made, last=202612)]
    await store.add([cost("a", first=202701)])
    with pytest.raises(NotFound):
        await store.remove("nobody", 202701, "user-0001")
    await store.remove("a", 202611, "user-0001")
    assert await store.costs() == []


async def test_a_name_has_one_cost_a_month_and_a_file_is_added_whole_or_not(
    database: Database,
) -> None:
    store = CostStore(database)
    await store.add([cost("a", last=202612)])
    with pytest.raises(BadRequest, match="a has a cost in these months already"):
        await store.add([cost("b"), cost("a", first=202612)])
    assert [one.name for one in await store.costs()] == ["a"]
    await store.add([cost("b"), cost("a", first=202701)])
    assert len(await store.costs()) == 3


@pytest.mark.parametrize("table", ["fx_rate", "fixed_cost", "fixed_cost_seat"])
async def test_what_was_said_about_costs_cannot_be_edited(database: Database, table: str) -> None:
    store = CostStore(database)
    await store.set_rate(202611, "EUR", "0.9215", "s", "a")
    await store.add([cost("a")], {"user-0001": "search"})
    column = {"fixed_cost_seat": "team"}.get(table, "author")
    for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(RowRefused):
            async with database.write() as connection:
                await connection.exec_driver_sql(statement)
