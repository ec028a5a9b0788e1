"""The digest chain names what was changed, removed or put in behind the ledger's back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.rows import sqlite_values, values
from gateway.storage.tables import CHAIN, LEDGER_COLUMNS

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]


@asynccontextmanager
async def unguarded(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction of somebody who may switch the triggers off."""
    async with database.write() as connection:
        if database.is_postgres:
            await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for name in list((await connection.exec_driver_sql(triggers)).scalars()):
                await connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection


async def booked(ledger: Ledger, entry: Make) -> list[Entry]:
    rows = [entry() for _ in range(9)]
    for start in range(0, 9, 3):
        await ledger.append(rows[start : start + 3])
    return rows


async def test_every_transaction_that_books_is_a_link(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    rows = await booked(ledger, entry)
    await ledger.append(rows)
    found = await ledger.verify()
    assert (found.is_sound, found.links, found.chain) == (True, 3, ())
    async with database.read() as connection:
        links = (await connection.execute(sa.select(CHAIN).order_by(CHAIN.c.seq))).mappings().all()
    assert [link["seq"] for link in links] == [1, 2, 3]
    assert [bytes(link["ids"]) for link in links] == [
        b"".join(row.id.bytes for row in rows[start : start + 3]) for start in (0, 3, 6)
    ]


async def test_one_unit_changed_in_one_row_is_named_with_its_period(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    row = (await booked(ledger, entry))[4]
    async with unguarded(database) as connection:
        cast = "::text::jsonb" if database.is_postgres else ""
        text = "lines::text" if database.is_postgres else "lines"
        key = f"'{row.id}'" if database.is_postgres else f"x'{row.id.hex}'"
        await connection.exec_driver_sql(
            f"UPDATE usage_ledger SET lines = replace({text}, '1200', '1201'){cast} WHERE id = {key}"
        )
    found = await ledger.verify()
    assert not found.is_sound
    (fault,) = found.chain
    assert fault.startswith("link 2: a row of it")
    assert "3 rows of 2026-11" in fault
    day, month = found.differences  # of the rollup by day, and of the one by month
    assert {(one.cell.period, one.cell.unit) for one in (day, month)} == {(202611, "input_text")}
    assert not (await ledger.verify(202611)).is_sound


@pytest.mark.parametrize("column", ["\"user\" = 'user-9999'", "usage_raw = NULL", "status = 500"])
async def test_a_change_that_no_sum_shows_is_seen_too(
    database: Database, ledger: Ledger, entry: Make, column: str
) -> None:
    await booked(ledger, entry)
    async with unguarded(database) as connection:
        await connection.exec_driver_sql(f"UPDATE usage_ledger SET {column}")
    found = await ledger.verify()
    assert [fault.partition(":")[0] for fault in found.chain] == ["link 1", "link 2", "link 3"]


async def test_a_row_that_is_gone_is_named(database: Database, ledger: Ledger, entry: Make) -> None:
    row = (await booked(ledger, entry))[7]
    async with unguarded(database) as connection:
        key = f"'{row.id}'" if database.is_postgres else f"x'{row.id.hex}'"
        await connection.exec_driver_sql(f"DELETE FROM usage_ledger WHERE id = {key}")
    assert f"link 3: row {row.id} is missing" in (await ledger.verify()).chain


async def test_a_row_put_in_past_the_chain_is_named(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await booked(ledger, entry)
    stranger = entry(id=new_id())
    names = ", ".join(f'"{name}"' for name in LEDGER_COLUMNS)
    by_name = dict(
        zip(
            stranger.__struct_fields__,
            values(stranger) if database.is_postgres else sqlite_values(stranger),
            strict=True,
        )
    )
    marks = ", ".join(
        f"${n}" if database.is_postgres else "?" for n, _ in enumerate(LEDGER_COLUMNS, start=1)
    )
    row = tuple(by_name[name] for name in LEDGER_COLUMNS)
    async with database.write() as connection:
        await connection.exec_driver_sql(
            f"INSERT INTO usage_ledger ({names}) VALUES ({marks})",
            row,
        )
    assert f"row {stranger.id} of 2026-11 is in no link" in (await ledger.verify()).chain


async def test_a_link_that_is_gone_breaks_the_chain(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await booked(ledger, entry)
    async with unguarded(database) as connection:
        await connection.execute(sa.delete(CHAIN).where(CHAIN.c.seq == 2))
    chain = (await ledger.verify()).chain
    assert chain[0] == "link 2 is missing"
    assert sum("is in no link" in fault for fault in chain) == 3


async def test_writers_at_once_make_one_chain(database: Database, url: str, entry: Make) -> None:
    other = Database(url)
    ledgers = (Ledger(database), Ledger(other))
    await asyncio.gather(
        *(ledgers[n % 2].append([entry() for _ in range(5)]) for n in range(20)),
    )
    found = await ledgers[0].verify()
    assert (found.is_sound, found.links, found.entries) == (True, 20, 100)
    await other.close()
