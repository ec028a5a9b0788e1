"""Derived tables made again from the rows, in one transaction; only what differs is written, and told.

To rebuild a further table: a step here, named in commands/rebuild.py.
"""

from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.rollup import Cell, Sums, by_month, merge, roll
from gateway.storage.books import sums_row
from gateway.storage.budgets import loaded, locked_version
from gateway.storage.engine import Database
from gateway.storage.queries import entries_of
from gateway.storage.restating import CounterDifference, restate
from gateway.storage.tables import COUNTER, DAILY, LEDGER, MONTHLY, ROLLUP_SUMS
from gateway.storage.verifying import (
    Difference,
    Progress,
    differences,
    pending_differing,
    periods,
    rollup_of,
)

_CELLS_PER_QUERY: Final = 500


class Rebuilt(msgspec.Struct, frozen=True):
    """What was put right: each as it was, and as the rows (or the holds) have it."""

    cells: tuple[Difference, ...] = ()
    posted: tuple[CounterDifference, ...] = ()
    pending: tuple[CounterDifference, ...] = ()


async def rebuild(
    database: Database,
    *,
    rollup: bool = True,
    counters: bool = True,
    progress: Progress | None = None,
) -> Rebuilt:
    """Rebuild; flushes wait meanwhile. Raises StoreUnavailable: then nothing was changed."""
    cells: list[Difference] = []
    posted: list[CounterDifference] = []
    pending: list[CounterDifference] = []
    async with database.write() as connection:
        # In the flush's own order (rollup, version row, counters), or they could wait for each other.
        if rollup:
            await _exclusively(connection, DAILY.name)
            await _exclusively(connection, MONTHLY.name)
            for period in await periods(connection):
                cells += await _roll(connection, period)
                if progress is not None:
                    progress("periods", period)
        if counters:
            budgets = await loaded(connection, await locked_version(connection))
            await _exclusively(connection, COUNTER.name)
            posted = await restate(connection, budgets)
            pending = await _repend(connection)
    return Rebuilt(tuple(cells), tuple(posted), tuple(pending))


async def _exclusively(connection: AsyncConnection, table: str) -> None:
    """Let nobody else write to a table; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")


async def _roll(connection: AsyncConnection, period: int) -> list[Difference]:
    rows: dict[Cell, Sums] = {}
    query = sa.select(LEDGER).where(LEDGER.c.period == period).order_by(LEDGER.c.id)
    async for entry in entries_of(connection, query):
        merge(rows, roll([entry]))
    told: list[Difference] = []
    for table, cells in ((DAILY, rows), (MONTHLY, by_month(rows))):
        found = differences(await rollup_of(connection, table, period), cells)
        for start in range(0, len(found), _CELLS_PER_QUERY):
            await _replace(connection, table, found[start : start + _CELLS_PER_QUERY])
        told += found
    return told


async def _replace(connection: AsyncConnection, table: sa.Table, found: list[Difference]) -> None:
    key = [column.name for column in table.primary_key]
    named = [table.c[name] == sa.bindparam(f"was_{name}") for name in key]
    marks = [f"was_{name}" for name in key]
    stale = [
        dict(zip(marks, msgspec.structs.astuple(one.cell), strict=True))
        for one in found
        if one.rollup is not None
    ]
    if stale:
        await connection.execute(sa.delete(table).where(*named), stale)
    names = (*key, *ROLLUP_SUMS)
    fresh = [
        dict(zip(names, sums_row(one.cell, one.rows), strict=True))
        for one in found
        if one.rows is not None
    ]
    if fresh:
        await connection.execute(sa.insert(table), fresh)


async def _repend(connection: AsyncConnection) -> list[CounterDifference]:
    _, found = await pending_differing(connection)
    c = COUNTER.c
    for one in found:
        named = (
            c.budget == one.key.budget,
            c.subject == one.key.subject,
            c.window_us == one.key.window_us,
        )
        await connection.execute(sa.update(COUNTER).where(*named).values(pending=one.rows))
    return found
