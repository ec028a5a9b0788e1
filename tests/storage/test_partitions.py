"""Append-only on every way to a row, and monthly partitions that the product makes itself."""

from collections.abc import Callable
from uuid import UUID

import pytest

from gateway.ledger.entry import Entry
from gateway.ledger.period import period_start_us
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions, first_id

pytestmark = pytest.mark.anyio
NOW_US = period_start_us(202611) + 1


def id_in(period: int) -> UUID:
    return UUID(int=first_id(period).int + 2)


async def tables(database: Database) -> list[str]:
    if not database.is_postgres:
        return ["usage_ledger"]
    async with database.read() as connection:
        found = await connection.exec_driver_sql(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'usage_ledger'::regclass ORDER BY 1"
        )
        return ["usage_ledger", *found.scalars()]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET \"user\" = 'somebody'",
        "UPDATE {table} SET net_pico = 0",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "UPDATE usage_settled SET entry_id = entry_id",
        "DELETE FROM usage_settled",
    ],
)
async def test_what_is_booked_is_never_changed(
    database: Database, ledger: Ledger, entry: Callable[..., Entry], statement: str
) -> None:
    if statement.startswith("TRUNCATE") and not database.is_postgres:
        statement = "DELETE FROM {table} WHERE 1"  # SQLite knows no TRUNCATE
    # Well past every made partition: its row lies in the default one.
    rows = [entry(settles="batch-1"), entry(id=id_in(202611)), entry(id=id_in(203101))]
    await ledger.append(rows)
    for table in await tables(database):
        if database.is_postgres and table.endswith(("202612", "202701", "202702")):
            continue  # empty: there is nothing to change
        with pytest.raises(RowRefused):
            async with database.write() as connection:
                await connection.exec_driver_sql(statement.format(table=table))
    assert (await ledger.verify()).entries == 3


async def test_months_are_made_ahead_once(url: str) -> None:
    database = Database(url)
    partitions = Partitions(database)
    made = await partitions.ensure(NOW_US)
    months = (
        "usage_ledger_default",
        *(f"usage_ledger_{n}" for n in (202611, 202612, 202701, 202702)),
    )
    assert made == (months if database.is_postgres else ())
    assert await partitions.ensure(NOW_US) == ()
    next_month = await partitions.ensure(period_start_us(202612))
    assert next_month == (("usage_ledger_202703",) if database.is_postgres else ())
    await database.close()


async def test_rows_find_their_month(
    database: Database, ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    first, last = first_id(202612), UUID(int=first_id(202701).int - 2)
    await ledger.append([entry(id=first), entry(id=last), entry(id=UUID(int=first.int - 2))])
    assert [row.id async for row in ledger.usage()][1:] == [first, last]
    if not database.is_postgres:
        return
    async with database.read() as connection:
        query = "SELECT tableoid::regclass::text, count(*) FROM usage_ledger GROUP BY 1 ORDER BY 1"
        counts = [tuple(row) for row in await connection.exec_driver_sql(query)]
    assert counts == [("usage_ledger_202611", 1), ("usage_ledger_202612", 2)]


async def test_a_row_without_a_month_is_kept_counted_and_no_obstacle(
    database: Database, ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    partitions = Partitions(database)
    assert await ledger.append([entry(id=id_in(202806))]) == 1
    assert await partitions.strays() == int(database.is_postgres)
    made = await partitions.ensure(period_start_us(202805))
    months = ("usage_ledger_202805", "usage_ledger_202807", "usage_ledger_202808")
    assert made == (months if database.is_postgres else ())
    assert await ledger.append([entry(id=UUID(int=id_in(202806).int + 2))]) == 1
    assert (await ledger.verify()).is_sound
