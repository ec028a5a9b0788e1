"""The steps of a booking transaction in SQLite's words.

The transaction began IMMEDIATE, so nobody else writes: what is not there at the look is not there at the
insert, and plain batches do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums
from gateway.storage.books import quoted, sums_row, upsert_sums
from gateway.storage.rows import FIELDS, entry_of, sqlite_values
from gateway.storage.tables import ROLLUP_KEY, ROLLUP_SUMS

PARAMETERS_MAX: Final = 500  # of one statement; SQLite itself stops at 32,766
_IDS: Final = ("id", "request_id", "ref_id")


def _marks(count: int) -> str:
    return ", ".join("?" * count)


_INSERT: Final = f"INSERT INTO usage_ledger ({quoted(FIELDS)}) VALUES ({_marks(len(FIELDS))})"  # noqa: S608 - our own column names
_CLAIM: Final = "INSERT INTO usage_settled (settles, entry_id) VALUES (?, ?)"
_ROLL: Final = upsert_sums(f"VALUES ({_marks(len(ROLLUP_KEY) + len(ROLLUP_SUMS))})")


class SqliteBooks:
    """Books on a connection whose transaction holds the write lock."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, claims: Mapping[str, UUID]) -> dict[str, UUID]:
        query = "SELECT settles, entry_id FROM usage_settled WHERE settles IN ({marks})"
        owners = {row[0]: UUID(bytes=row[1]) for row in await self._among(query, sorted(claims))}
        new = [(key, claims[key].bytes) for key in sorted(claims) if key not in owners]
        if new:
            await self._connection.exec_driver_sql(_CLAIM, new)
        return {**claims, **owners}

    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        ids = [entry.id.bytes for entry in entries]
        query = "SELECT id FROM usage_ledger WHERE id IN ({marks})"
        present = {row[0] for row in await self._among(query, ids)}
        new = [entry for entry in entries if entry.id.bytes not in present]
        if new:
            rows = [tuple(sqlite_values(entry)) for entry in new]
            await self._connection.exec_driver_sql(_INSERT, rows)
        return {entry.id for entry in new}

    async def estimates(self, ids: Sequence[UUID]) -> list[Entry]:
        kinds = ", ".join(f"'{kind.value}'" for kind in sorted(ESTIMATES))
        query = (
            f"SELECT {quoted(FIELDS)} FROM usage_ledger "  # noqa: S608 - our own names and kinds
            f"WHERE kind IN ({kinds}) AND id IN ({{marks}})"
        )
        rows = await self._among(query, [one.bytes for one in ids])
        return [_entry(row) for row in rows]

    async def roll(self, cells: Mapping[Cell, Sums]) -> None:
        rows = [sums_row(cell, sums) for cell, sums in cells.items()]
        if rows:
            await self._connection.exec_driver_sql(_ROLL, rows)

    async def _among(self, query: str, keys: Sequence[str | bytes]) -> list[Any]:
        found: list[Any] = []
        for part in _parts(keys):
            statement = query.format(marks=_marks(len(part)))
            result = await self._connection.exec_driver_sql(statement, tuple(part))
            found.extend(result.all())
        return found


def _parts(keys: Sequence[str | bytes]) -> Iterator[Sequence[str | bytes]]:
    for start in range(0, len(keys), PARAMETERS_MAX):
        yield keys[start : start + PARAMETERS_MAX]


def _entry(row: Any) -> Entry:
    fields = dict(zip(FIELDS, row, strict=True))
    for name in _IDS:
        fields[name] = fields[name] and UUID(bytes=fields[name])
    return entry_of(fields)
