"""The published price book is appended to, never edited."""

import msgspec
import pytest

from gateway.pricing.dimensions import ORDER
from gateway.pricing.row import Row
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.prices import Published, publish

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
