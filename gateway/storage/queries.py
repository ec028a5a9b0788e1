"""Reading the ledger: entries by filter, statements from the rollup, the check of one against the other.

To add a filter: a parameter of ``usage_filter``. Sums on SQLite are taken in two halves, since its own
64-bit sum overflows at 9.2 million USD.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from operator import eq, ge, lt
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.errors import BadRequest
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums, merge, roll
from gateway.ledger.statement import Posting, Statement, fold
from gateway.ledger.validity import problem
from gateway.storage.engine import Database
from gateway.storage.rows import entry_of
from gateway.storage.tables import DAILY, LEDGER, ROLLUP_KEY, ROLLUP_SUMS

ROWS_PER_FETCH: Final = 500
DIFFERENCES_MAX: Final = 100
_SPLIT: Final = 10**9
_GRAIN: Final = ("team", "user", "model", "unit", "kind")
Conditions = Sequence[sa.ColumnElement[bool]]


class Difference(msgspec.Struct, frozen=True):
    """Where rollup and rows disagree; None where one side has no such cell at all."""

    cell: Cell
    rollup: Sums | None
    rows: Sums | None


class Verification(msgspec.Struct, frozen=True):
    """What ``verify`` found. ``differences`` and ``mistakes`` stop at DIFFERENCES_MAX.

    entries   rows read
    cells     rollup cells compared
    mistakes  rows that do not tie in themselves: 'id: why'
    """

    entries: int
    cells: int
    differences: tuple[Difference, ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether ledger and rollup are equal to the last unit."""
        return not self.differences and not self.mistakes


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


def _conditions(asked: Iterable[tuple[sa.Column[Any], Any, int | str | None]]) -> Conditions:
    return [compare(column, value) for column, compare, value in asked if value is not None]


async def entries_where(
    database: Database, wanted: Conditions, limit: int | None, *, newest_first: bool = False
) -> AsyncIterator[Entry]:
    """Stream entries by id, in constant memory."""
    order = LEDGER.c.id.desc() if newest_first else LEDGER.c.id
    query = sa.select(LEDGER).where(*wanted).order_by(order).limit(limit)
    async with database.read() as connection:
        async for entry in _entries(connection, query):
            yield entry


async def statement_where(
    database: Database,
    period: int | None,
    days: tuple[str | None, str | None],
    team: str | None,
) -> Statement:
    """Fold the rollup. Raises BadRequest where neither a period nor a day is named."""
    c = DAILY.c
    first, end = days
    if period is None and first is None and end is None:
        raise BadRequest("a statement is of a period or of days: name one")
    wanted = _conditions(
        ((c.period, eq, period), (c.day, ge, first), (c.day, lt, end), (c.team, eq, team))
    )
    async with database.read() as connection:
        return fold(await _postings(connection, wanted))


async def verified(database: Database, period: int | None) -> Verification:
    """Compare rollup and rows within one snapshot, period by period."""
    entries = cells = 0
    differences: list[Difference] = []
    mistakes: list[str] = []
    async with database.snapshot() as connection:
        for one in [period] if period is not None else await _periods(connection):
            found = await _verify_period(connection, one)
            entries, cells = entries + found.entries, cells + found.cells
            differences.extend(found.differences)
            mistakes.extend(found.mistakes)
    return Verification(
        entries, cells, tuple(differences[:DIFFERENCES_MAX]), tuple(mistakes[:DIFFERENCES_MAX])
    )


async def _verify_period(connection: AsyncConnection, period: int) -> Verification:
    count, mistakes = 0, []
    rows: dict[Cell, Sums] = {}
    query = sa.select(LEDGER).where(LEDGER.c.period == period).order_by(LEDGER.c.id)
    async for entry in _entries(connection, query):
        count += 1
        wrong = problem(entry)
        if wrong is not None:
            mistakes.append(f"{entry.id}: {wrong}")
        merge(rows, roll([entry]))
    rollup = await _rollup(connection, period)
    differences = [
        Difference(cell, rollup.get(cell), rows.get(cell))
        for cell in sorted(rollup.keys() | rows.keys())
        if rollup.get(cell) != rows.get(cell)
    ]
    return Verification(count, len(rollup), tuple(differences), tuple(mistakes))


async def _entries(connection: AsyncConnection, query: sa.Select[Any]) -> AsyncIterator[Entry]:
    result = await connection.stream(query, execution_options={"yield_per": ROWS_PER_FETCH})
    async for row in result.mappings():
        yield entry_of(row)


async def _periods(connection: AsyncConnection) -> Iterable[int]:
    query = sa.union(sa.select(LEDGER.c.period), sa.select(DAILY.c.period)).order_by("period")
    return list((await connection.execute(query)).scalars())


async def _rollup(connection: AsyncConnection, period: int) -> dict[Cell, Sums]:
    query = sa.select(DAILY).where(DAILY.c.period == period)
    return {
        Cell(*(row[name] for name in ROLLUP_KEY)): Sums(*(int(row[name]) for name in ROLLUP_SUMS))
        for row in (await connection.execute(query)).mappings()
    }


async def _postings(connection: AsyncConnection, wanted: Conditions) -> list[Posting]:
    keys = [DAILY.c[name] for name in _GRAIN]
    halves = [half for name in ROLLUP_SUMS for half in _halves(DAILY.c[name], connection)]
    query = sa.select(*keys, *halves).where(*wanted).group_by(*keys)
    return [_posting(tuple(row)) for row in await connection.execute(query)]


def _halves(column: sa.Column[Any], connection: AsyncConnection) -> list[sa.ColumnElement[Any]]:
    if connection.dialect.name == "postgresql":
        return [sa.literal(0, sa.Integer), sa.func.sum(column)]
    # SQLite divides towards zero and keeps the sign on the rest: quotient * split + rest is the number.
    return [sa.func.sum(column.op("/")(_SPLIT)), sa.func.sum(column.op("%")(_SPLIT))]


def _posting(row: tuple[Any, ...]) -> Posting:
    halves = [int(part) for part in row[len(_GRAIN) :]]
    sums = [high * _SPLIT + low for high, low in zip(halves[::2], halves[1::2], strict=True)]
    return Posting(*row[: len(_GRAIN)], *sums)
