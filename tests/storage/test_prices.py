"""The published price book is appended to, never edited; imported prices live in the database, one at a time for a key."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from gateway.pricing.dimensions import ORDER
from gateway.pricing.importing import Plan, planned
from gateway.pricing.row import FOREVER, Layer, Row
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.prices import Import, Imported, PriceStore, Published, publish

pytestmark = pytest.mark.anyio


def row(**changes: object) -> Row:
    fields: dict[str, object] = {
        "terms": tuple(f"term{n}" for n in range(len(ORDER))),
        "unit": "input_text",
        "pico": 2_500_000_000_000,
        "since_us": 1_000,
        "source": "a price list",
    }
    return Row(**(fields | changes))  # type: ignore[arg-type]  # fields by name


async def test_missing_prices_are_added_once(database: Database) -> None:
    rows = [row(), row(unit="output_text"), row(unit="input_image", as_unit="input_text")]
    assert await publish(database, rows) == Published(2, ())
    assert await publish(database, rows) == Published(0, ())
    async with database.read() as connection:
        query = "SELECT price, per, valid_from_us, valid_to_us, source FROM price_rate"
        found = {tuple(one) for one in await connection.exec_driver_sql(query)}
    assert found == {("2.5", 1_000_000, 1_000, None, "a price list")}


async def test_workers_that_start_at_once_publish_once(database: Database) -> None:
    rows = [row(since_us=n) for n in range(1, 1_201)]
    done = await asyncio.gather(*(publish(database, rows) for _ in range(4)))
    assert sorted(one.added for one in done) == [0, 0, 0, 1_200]


async def test_a_price_that_ends_is_closed(database: Database) -> None:
    await publish(database, [row()])
    assert await publish(database, [row(until_us=2_000)]) == Published(0, ())
    async with database.read() as connection:
        found = await connection.exec_driver_sql("SELECT valid_to_us FROM price_rate")
        assert found.scalar_one() == 2_000


async def test_a_changed_figure_is_reported_and_the_published_one_stays(database: Database) -> None:
    await publish(database, [row()])
    published = await publish(database, [row(pico=1), row(unit="output_text")])
    assert published == Published(1, (row().price_id(),))
    async with database.read() as connection:
        found = await connection.exec_driver_sql("SELECT price FROM price_rate ORDER BY price_id")
        assert found.scalars().all() == ["2.5", "2.5"]


@pytest.mark.parametrize(
    "statement", ["UPDATE price_rate SET price = '0'", "DELETE FROM price_rate"]
)
async def test_a_published_price_cannot_be_edited(database: Database, statement: str) -> None:
    await publish(database, [row()])
    with pytest.raises(RowRefused):
        async with database.write() as connection:
            await connection.exec_driver_sql(statement)


async def test_a_booked_line_joins_its_price(database: Database) -> None:
    await publish(database, [row()])
    async with database.read() as connection:
        query = "SELECT key FROM price_rate"
        key = msgspec.json.decode((await connection.exec_driver_sql(query)).scalar_one())
    assert (key["unit"], key["context_gt"]) == ("input_text", 0)


# ── imported prices ──────────────────────────────────────────────────────────────────────────────


def imported(*rows: Row) -> Callable[[Imported], tuple[Plan, str]]:
    return lambda there: (planned(there.rows, rows, there.version + 1), "catalog-1")


async def bring(store: PriceStore, *rows: Row) -> Plan:
    plan = imported(*rows)
    return await store.bring(plan, at_us=7, author="user-0001", reason="why", file="own.csv")


async def test_an_import_is_seen_by_every_snapshot_with_all_it_says(database: Database) -> None:
    store, other = PriceStore(database), PriceStore(database)
    assert await other.refresh()
    assert not await other.refresh()
    assert other.current == Imported()
    given = row(until_us=9_000, source_ref="annex", evidence="manual", per=1_000)
    reference = row(unit="output_reasoning", as_unit="output_text", pico=0)
    await bring(store, given, reference)
    assert await other.refresh()
    assert other.current.version == 1
    found = {one.unit: one for one in other.current.rows}
    assert found["input_text"] == msgspec.structs.replace(
        given, layer=Layer.IMPORTED, issue=1, origin="import 1"
    )
    assert found["output_reasoning"].as_unit == "output_text"
    (told,) = await store.imports()
    assert told == Import(1, 7, "user-0001", "why", "own.csv", 2, (), "catalog-1")


async def test_a_later_import_ends_the_earlier_and_tells_so(database: Database) -> None:
    store = PriceStore(database)
    await bring(store, row())
    await bring(store, row(pico=1, since_us=5_000))
    await store.refresh()
    assert sorted((one.since_us, one.until_us, one.pico) for one in store.current.rows) == [
        (1_000, 5_000, 2_500_000_000_000), (5_000, FOREVER, 1),
    ]  # fmt: skip
    first = msgspec.structs.replace(row(), layer=Layer.IMPORTED, issue=1)
    assert (await store.imports())[1].closed == ((first.price_id(), None, 5_000),)


async def test_what_is_there_already_leaves_no_trace(database: Database) -> None:
    store = PriceStore(database)
    await bring(store, row())
    assert (await bring(store, row())).same == 1
    assert len(await store.imports()) == 1
    assert await store.refresh()
    assert store.current.version == 1


async def test_the_database_itself_admits_one_imported_price_at_a_time(database: Database) -> None:
    store = PriceStore(database)
    await bring(store, row(), row(unit="output_text"))

    async def forced(one: Row) -> None:
        """A writer that did not look at what is there."""
        plan = Plan((msgspec.structs.replace(one, layer=Layer.IMPORTED, issue=2),))
        await store.bring(lambda _: (plan, "c"), at_us=1, author="a", reason="", file="f")

    for overlapping in (row(since_us=5_000), row(since_us=0), row(since_us=0, until_us=1_001)):
        with pytest.raises(RowRefused):
            await forced(overlapping)
    await forced(row(since_us=0, until_us=1_000))
    async with database.write() as connection:
        ended = "UPDATE price_rate SET valid_to_us = 1000 WHERE valid_from_us = 1000"
        await connection.exec_driver_sql(ended)  # without a day: in nobody's way
    await forced(row(since_us=0 + 1_000, until_us=2_000))
    with pytest.raises(RowRefused):
        async with database.write() as connection:
            await connection.exec_driver_sql("UPDATE price_rate SET valid_to_us = 3000")
    assert len(await store.imports()) == 3


async def test_racing_imports_of_one_key_are_one_after_the_other(database: Database) -> None:
    stores = [PriceStore(database) for _ in range(6)]
    rows = [row(pico=n + 1, since_us=1_000 * (n + 1)) for n in range(6)]
    await asyncio.gather(*(bring(store, one) for store, one in zip(stores, rows, strict=True)))
    await stores[0].refresh()
    spans = sorted((one.since_us, one.until_us) for one in stores[0].current.rows)
    assert [one.issue for one in await stores[0].imports()] == [1, 2, 3, 4, 5, 6]
    assert all(until <= since for (_, until), (since, _) in pairwise(spans))
    assert spans[-1][1] == FOREVER


@pytest.mark.parametrize("statement", ["UPDATE price_import SET author = 'x'", "DELETE FROM price_import"])  # fmt: skip
async def test_who_imported_what_cannot_be_edited(database: Database, statement: str) -> None:
    await bring(PriceStore(database), row())
    with pytest.raises(RowRefused):
        async with database.write() as connection:
            await connection.exec_driver_sql(statement)


async def test_publishing_leaves_imported_rows_alone(database: Database) -> None:
    store = PriceStore(database)
    await bring(store, row())
    await store.refresh()
    assert await publish(database, [row(), *store.current.rows], "c") == Published(1, ())
    assert await publish(database, [row(until_us=2_000), *store.current.rows]) == Published(0, ())
    assert not await store.refresh()
    await store.imports()
    fresh = PriceStore(database)
    await fresh.refresh()
    assert [one.until_us for one in fresh.current.rows] == [FOREVER]
