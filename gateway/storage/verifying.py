"""The proof: rollup, counters, pending and digest chain recomputed from the rows, within one snapshot.

To prove something further: a step in ``verified``, a field of Verification, its part in ``is_sound`` and a
line in commands/verify.py. Rows are streamed; what is kept is one period's cells, the counters, and a
count and a sum of ids per day.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.rollup import Cell, Sums, by_month, merge, roll
from gateway.ledger.validity import problem
from gateway.quota.hold import CounterKey
from gateway.storage.books import hold_lines
from gateway.storage.budgets import loaded_now
from gateway.storage.chain import Tally, chain_faults, sealed_faults
from gateway.storage.copying import faults_of
from gateway.storage.engine import Database
from gateway.storage.queries import ROWS_PER_FETCH, entries_of
from gateway.storage.restating import CounterDifference, differing
from gateway.storage.snapshots import BudgetSnapshot
from gateway.storage.tables import COUNTER, DAILY, HOLD, LEDGER, MONTHLY, ROLLUP_KEY, ROLLUP_SUMS

DIFFERENCES_MAX: Final = 100
_ATTEMPTS: Final = ("usage", "interrupted", "unconfirmed")
Progress = Callable[[str, int], None]  # what is being read, and how many of it by now


class Difference(msgspec.Struct, frozen=True):
    """Where rollup and rows disagree; None where one side has no such cell at all."""

    cell: Cell
    rollup: Sums | None
    rows: Sums | None


class Verification(msgspec.Struct, frozen=True):
    """What ``verify`` found; every list of faults stops at DIFFERENCES_MAX.

    entries   rows read
    cells     rollup cells compared, of days and of months
    mistakes  rows that do not tie in themselves, and attempts with more than one row: 'id: why'
    links     links of the digest chain; ``chain``: what is wrong with it, in words
    file      what is wrong with SQLite's file itself: pages and indexes, in its own words
    counters  counters compared; ``posted`` and ``pending``: those that are not what rows or holds add up to
    """

    entries: int
    cells: int
    differences: tuple[Difference, ...] = ()
    mistakes: tuple[str, ...] = ()
    links: int = 0
    chain: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    counters: int = 0
    posted: tuple[CounterDifference, ...] = ()
    pending: tuple[CounterDifference, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether everything derived equals the rows to the last unit, and the rows are those that were booked."""
        faults = (self.differences, self.mistakes, self.chain, self.file, self.posted, self.pending)
        return not any(faults)


class _Pass:
    """What one pass over the rows of all periods adds up."""

    def __init__(self, budgets: BudgetSnapshot, progress: Progress | None) -> None:
        self.entries = 0
        self.cells = 0
        self.differences: list[Difference] = []
        self.mistakes: list[str] = []
        self.sums: dict[CounterKey, int] = {}
        self.tally = Tally()
        self._budgets = budgets
        self._progress = progress

    async def period(self, connection: AsyncConnection, period: int) -> None:
        """Compare one period's rollup with its rows."""
        rows: dict[Cell, Sums] = {}
        query = sa.select(LEDGER).where(LEDGER.c.period == period).order_by(LEDGER.c.id)
        async for entry in entries_of(connection, query):
            self._count()
            wrong = problem(entry)
            if wrong is not None:
                self.mistakes.append(f"{entry.id}: {wrong}")
            merge(rows, roll([entry]))
            self.tally.add(entry.id)
            for key, added in self._budgets.amounts((entry,)).items():
                self.sums[key] = self.sums.get(key, 0) + added
        for table, cells in ((DAILY, rows), (MONTHLY, by_month(rows))):
            rollup = await rollup_of(connection, table, period)
            self.cells += len(rollup)
            self.differences += differences(rollup, cells)

    def _count(self) -> None:
        self.entries += 1
        if self._progress is not None and self.entries % ROWS_PER_FETCH == 0:
            self._progress("rows", self.entries)


async def verified(
    database: Database, period: int | None, progress: Progress | None = None
) -> Verification:
    """Compare what is derived with the rows. Of one period: rows and rollup only. Raises StoreUnavailable."""
    damage = []
    if period is None and database.file is not None:
        damage = await asyncio.to_thread(faults_of, database.file)
    async with database.snapshot() as connection:
        budgets = await loaded_now(connection) if period is None else BudgetSnapshot()
        found = _Pass(budgets, progress)
        for one in [period] if period is not None else await periods(connection):
            await found.period(connection, one)
        found.mistakes += await _doubled(connection, period)
        told = Verification(
            found.entries,
            found.cells,
            tuple(found.differences[:DIFFERENCES_MAX]),
            tuple(found.mistakes[:DIFFERENCES_MAX]),
        )
        if period is not None:
            return told
        links, faults = await chain_faults(connection, found.tally, progress)
        faults += await sealed_faults(connection)
        posted = await differing(connection, budgets, found.sums)
        counters, pending = await pending_differing(connection)
        return msgspec.structs.replace(
            told,
            links=links,
            chain=tuple(faults[:DIFFERENCES_MAX]),
            file=tuple(damage),
            counters=counters,
            posted=tuple(posted[:DIFFERENCES_MAX]),
            pending=tuple(pending[:DIFFERENCES_MAX]),
        )


def differences(rollup: dict[Cell, Sums], rows: dict[Cell, Sums]) -> list[Difference]:
    """The cells where they disagree, sorted."""
    return [
        Difference(cell, rollup.get(cell), rows.get(cell))
        for cell in sorted(rollup.keys() | rows.keys())
        if rollup.get(cell) != rows.get(cell)
    ]


async def periods(connection: AsyncConnection) -> Sequence[int]:
    """Every period that rows or a rollup know, oldest first."""
    tables = (sa.select(table.c.period) for table in (LEDGER, DAILY, MONTHLY))
    query = sa.union(*tables).order_by("period")
    return list((await connection.execute(query)).scalars())


async def rollup_of(connection: AsyncConnection, table: sa.Table, period: int) -> dict[Cell, Sums]:
    """A rollup (DAILY, MONTHLY) of a period."""
    query = sa.select(*table.primary_key, *(table.c[name] for name in ROLLUP_SUMS))
    rows = await connection.execute(query.where(table.c.period == period))
    return {
        Cell(*row[: len(ROLLUP_KEY)]): Sums(*map(int, row[len(ROLLUP_KEY) :]))
        for row in map(tuple, rows)
    }


async def pending_differing(
    connection: AsyncConnection,
) -> tuple[int, list[CounterDifference]]:
    """How many counters there are, and those whose pending is not what the holds have on them."""
    held: dict[CounterKey, int] = {}
    result = await connection.stream(
        sa.select(HOLD.c.lines), execution_options={"yield_per": ROWS_PER_FETCH}
    )
    async for text in result.scalars():
        for line in hold_lines(text):
            if line.rate is None:
                held[line.key] = held.get(line.key, 0) + line.amount
    rows = (await connection.execute(sa.select(COUNTER))).mappings()
    stored = {
        CounterKey(row["budget"], row["subject"], row["window_us"]): row["pending"] for row in rows
    }
    return len(stored), list(_unequal(stored, held))


def _unequal(
    stored: dict[CounterKey, int], held: dict[CounterKey, int]
) -> Iterable[CounterDifference]:
    for key in sorted(stored.keys() | held.keys()):
        if stored.get(key, 0) != held.get(key, 0):
            yield CounterDifference(key, stored.get(key, 0), held.get(key, 0))


async def _doubled(connection: AsyncConnection, period: int | None) -> list[str]:
    """Attempts of which there is more than one row that is no correction."""
    c = LEDGER.c
    wanted: list[sa.ColumnElement[bool]] = [c.kind.in_(_ATTEMPTS)]
    if period is not None:
        wanted.append(c.period == period)
    count = sa.func.count()
    query = (
        sa.select(c.request_id, c.attempt, count)
        .where(*wanted)
        .group_by(c.request_id, c.attempt)
        .having(count > 1)
        .limit(DIFFERENCES_MAX)
    )
    return [
        f"request {request_id}: attempt {attempt} has {rows} rows"
        for request_id, attempt, rows in await connection.execute(query)
    ]
