"""Reading the ledger: entries by filter, statements from the rollup of months, or of days where days are asked for.

To add a filter: a parameter of ``usage_filter``. Sums on SQLite are taken in two halves, since its own
64-bit sum overflows at 9.2 million USD.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from operator import eq, ge, lt
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.errors import BadRequest
from gateway.kernel.ids import family
from gateway.ledger.entry import Entry
from gateway.ledger.missing import CORRECTIONS, LACKING
from gateway.ledger.statement import Posting, Statement, fold
from gateway.storage.engine import Database
from gateway.storage.partly import partly_priced
from gateway.storage.rows import entry_of
from gateway.storage.tables import DAILY, LEDGER, MONTHLY, ROLLUP_SUMS
from gateway.storage.unnamed import with_names

ROWS_PER_FETCH: Final = 500
_SPLIT: Final = 10**9
_GRAIN: Final = ("team", "user", "model", "unit", "kind")
Conditions = Sequence[sa.ColumnElement[bool]]


def usage_filter(
    since_us: int | None,
    until_us: int | None,
    team: str | None,
    user: str | None,
    model: str | None,
) -> Conditions:
    """The conditions of ``Ledger.usage``; None filters nothing."""
    c = LEDGER.c
    asked = (
        (c.occurred_us, ge, since_us),
        (c.occurred_us, lt, until_us),
        (c.team, eq, team),
        (c.user, eq, user),
        (c.model, eq, model),
    )
    return _conditions(asked)


def unpriced_filter(since_us: int | None, until_us: int | None) -> Conditions:
    """The conditions of rows that may have a line without a price, and of every correction, for ``families_where``.

    A row that had its prices is among them where a correction took one away.
    """
    c, between = LEDGER.c, usage_filter(since_us, until_us, None, None, None)
    corrects = c.kind.in_([str(kind) for kind in CORRECTIONS])
    lacks = c.price_status.in_(LACKING)
    took = sa.select(c.ref_id).where(corrects, lacks, *between)
    return [sa.or_(lacks, corrects, c.id.in_(took)), *between]


def _conditions(
    asked: Iterable[tuple[sa.Column[Any], Any, int | str | None]],
) -> list[sa.ColumnElement[bool]]:
    return [compare(column, value) for column, compare, value in asked if value is not None]


async def entries_where(
    database: Database, wanted: Conditions, limit: int | None, *, newest_first: bool = False
) -> AsyncIterator[Entry]:
    """Stream entries by id, in constant memory."""
    order = LEDGER.c.id.desc() if newest_first else LEDGER.c.id
    query = sa.select(LEDGER).where(*wanted).order_by(order).limit(limit)
    async with database.read() as connection:
        async for entry in entries_of(connection, query):
            yield entry


async def families_where(
    database: Database, wanted: Conditions
) -> AsyncIterator[tuple[Entry, list[Entry]]]:
    """Stream rows with their corrections, which lie next to them by id (kernel.ids.family); in constant memory."""
    near: list[Entry] = []
    async for entry in entries_where(database, wanted, None):
        if near and family(near[0].id) != family(entry.id):
            for found in _families(near):
                yield found
            near = []
        near.append(entry)
    for found in _families(near):
        yield found


def _families(near: Sequence[Entry]) -> list[tuple[Entry, list[Entry]]]:
    rows = [entry for entry in near if entry.ref_id is None]
    return [(row, [entry for entry in near if entry.ref_id == row.id]) for row in rows]


async def statement_where(
    database: Database,
    period: int | None,
    days: tuple[str | None, str | None],
    team: str | None,
) -> Statement:
    """Fold the rollup. Raises BadRequest where neither a period nor a day is named."""
    first, end = days
    if period is None and first is None and end is None:
        raise BadRequest("a statement is of a period or of days: name one")
    table = MONTHLY if (first, end) == (None, None) else DAILY
    wanted = _conditions([(table.c.period, eq, period), (table.c.team, eq, team)])
    if table is DAILY:
        wanted += _conditions([(DAILY.c.day, ge, first), (DAILY.c.day, lt, end)])
    async with database.read() as connection:
        partly = await partly_priced(connection, period, days, team)
        made = fold(await _postings(connection, table, wanted), partly)
        c = LEDGER.c
        rows = _conditions([(c.period, eq, period), (c.team, eq, team), (c.day, ge, first), (c.day, lt, end)])  # fmt: skip
        return await with_names(connection, made, rows)


async def entries_of(connection: AsyncConnection, query: sa.Select[Any]) -> AsyncIterator[Entry]:
    """The entries of a query over LEDGER, streamed on its connection."""
    result = await connection.stream(query, execution_options={"yield_per": ROWS_PER_FETCH})
    async for row in result.mappings():
        yield entry_of(row)


async def _postings(
    connection: AsyncConnection, table: sa.Table, wanted: Conditions
) -> list[Posting]:
    keys = [table.c[name] for name in _GRAIN]
    sums = [half for name in ROLLUP_SUMS for half in halves(table.c[name], connection)]
    query = sa.select(*keys, *sums).where(*wanted).group_by(*keys)
    return [_posting(tuple(row)) for row in await connection.execute(query)]


def halves(column: sa.Column[Any], connection: AsyncConnection) -> list[sa.ColumnElement[Any]]:
    """A sum in two halves, put together again by ``whole``."""
    if connection.dialect.name == "postgresql":
        return [sa.literal(0, sa.Integer), sa.func.sum(column)]
    # SQLite divides towards zero and keeps the sign on the rest: quotient * split + rest is the number.
    return [sa.func.sum(column.op("/")(_SPLIT)), sa.func.sum(column.op("%")(_SPLIT))]


def _posting(row: tuple[Any, ...]) -> Posting:
    return Posting(*row[: len(_GRAIN)], *whole(row[len(_GRAIN) :]))


def whole(parts: Sequence[Any]) -> list[int]:
    """The sums of consecutive ``halves``."""
    numbers = [int(part) for part in parts]
    return [high * _SPLIT + low for high, low in zip(numbers[::2], numbers[1::2], strict=True)]
