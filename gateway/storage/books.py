"""The writing side of one ledger transaction: the steps, and Postgres' words for them.

To book something beside the rows in the same transaction (quota counters, holds): a method of Books and
its two bodies, here and in storage/books_sqlite.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy.dialects import postgresql

from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums
from gateway.storage.rows import FIELDS, columns, entry_of
from gateway.storage.tables import DAILY, LEDGER, ROLLUP_KEY, ROLLUP_SUMS


class Books(Protocol):
    """The steps of a booking transaction; every one may be repeated without effect."""

    async def claim(self, claims: Mapping[str, UUID]) -> dict[str, UUID]:
        """Claim once-only keys; the owner of each, which is the first entry that ever claimed it."""
        ...

    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        """Insert what is not there yet; the ids really inserted. Ids are unique and sorted."""
        ...

    async def estimates(self, ids: Sequence[UUID]) -> list[Entry]:
        """The rows among ``ids`` that hold an estimate (interrupted, unconfirmed)."""
        ...

    async def roll(self, cells: Mapping[Cell, Sums]) -> None:
        """Add sums to the rollup, in the order given by the cells themselves."""
        ...


def quoted(names: Sequence[str]) -> str:
    """Column names for SQL text: quoted, since ``user`` is a word of SQL's own."""
    return ", ".join(f'"{name}"' for name in names)


def upsert_sums(source: str) -> str:
    """The rollup's upsert from ``source`` (a SELECT or VALUES)."""
    added = ", ".join(f"{name} = usage_daily.{name} + excluded.{name}" for name in ROLLUP_SUMS)
    return (
        f"INSERT INTO usage_daily ({quoted((*ROLLUP_KEY, *ROLLUP_SUMS))}) {source} "
        f"ON CONFLICT ({quoted(ROLLUP_KEY)}) DO UPDATE SET {added}"
    )


def sums_row(cell: Cell, sums: Sums) -> tuple[str | int, ...]:
    """The rollup row of a cell, key first."""
    return (
        *(getattr(cell, name) for name in ROLLUP_KEY),
        *(getattr(sums, name) for name in ROLLUP_SUMS),
    )


def _unnest(table: Any, names: Sequence[str]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    types = (table.c[name].type.compile(dialect=dialect) for name in names)
    arrays = (f"${at}::{kind}[]" for at, kind in enumerate(types, start=1))
    return f"SELECT * FROM unnest({', '.join(arrays)})"  # noqa: S608 - our own column names


_CLAIM: Final = (
    "INSERT INTO usage_settled (settles, entry_id) SELECT * FROM unnest($1::text[], $2::uuid[]) "
    "ON CONFLICT (settles) DO NOTHING"
)
_OWNERS: Final = "SELECT settles, entry_id FROM usage_settled WHERE settles = ANY($1::text[])"
_INSERT: Final = (
    f"INSERT INTO usage_ledger ({quoted(FIELDS)}) {_unnest(LEDGER, FIELDS)} "
    "ON CONFLICT (id) DO NOTHING RETURNING id"
)
_ESTIMATES: Final = f"SELECT {quoted(FIELDS)} FROM usage_ledger WHERE id = ANY($1::uuid[]) AND kind = ANY($2::text[])"  # noqa: S608 - our own column names
_ROLL: Final = upsert_sums(_unnest(DAILY, (*ROLLUP_KEY, *ROLLUP_SUMS)))


class PostgresBooks:
    """Books on asyncpg's own connection: one statement per step, arrays instead of rows."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def claim(self, claims: Mapping[str, UUID]) -> dict[str, UUID]:
        keys = sorted(claims)
        await self._driver.execute(_CLAIM, keys, [claims[key] for key in keys])
        # A rival that was committing held us up on its key, so its claim is visible now.
        rows = await self._driver.fetch(_OWNERS, keys)
        return {row["settles"]: UUID(int=row["entry_id"].int) for row in rows}

    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        if not entries:
            return set()
        rows = await self._driver.fetch(_INSERT, *columns(entries))
        return {UUID(int=row["id"].int) for row in rows}

    async def estimates(self, ids: Sequence[UUID]) -> list[Entry]:
        kinds = [kind.value for kind in ESTIMATES]
        rows = await self._driver.fetch(_ESTIMATES, ids, kinds)
        return [entry_of(row) for row in rows]

    async def roll(self, cells: Mapping[Cell, Sums]) -> None:
        # Sorted: two writers that share cells lock them in one order and cannot deadlock.
        rows = [sums_row(cell, cells[cell]) for cell in sorted(cells)]
        if rows:
            await self._driver.execute(_ROLL, *map(list, zip(*rows, strict=True)))
