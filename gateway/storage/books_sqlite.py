"""The steps of a booking transaction in SQLite's words.

The transaction began IMMEDIATE, so nobody else writes: what is not there at the look is not there at the
insert, and plain batches do.

It runs whole on the connection's own thread (Database.in_one_go), statement after statement on sqlite3's own
connection: the steps are coroutines as Postgres' are, and none of them ever waits.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from gateway.kernel.ids import family_span
from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.digest import GENESIS, link_digest
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums, by_month
from gateway.quota.hold import CounterKey, HoldLine
from gateway.storage.books import (
    FROZEN_PERIODS,
    Posted,
    hold_lines,
    quoted,
    sums_row,
    upsert_sums,
)
from gateway.storage.rows import FIELDS, entry_of, sqlite_values
from gateway.storage.tables import DAILY, MONTHLY, ROLLUP_KEY, ROLLUP_SUMS

PARAMETERS_MAX: Final = 500  # of one statement; SQLite itself stops at 32,766
_IDS: Final = ("id", "request_id", "ref_id")


def _marks(count: int) -> str:
    return ", ".join("?" * count)


_INSERT: Final = f"INSERT INTO usage_ledger ({quoted(FIELDS)}) VALUES ({_marks(len(FIELDS))})"  # noqa: S608 - our own column names
_CLAIM: Final = "INSERT INTO usage_settled (settles, entry_id) VALUES (?, ?)"
_CORRECTIONS: Final = (
    f"SELECT {quoted(FIELDS)} FROM usage_ledger WHERE id BETWEEN ? AND ? AND ref_id = ?"  # noqa: S608 - our own column names
)
_SUMS: Final = f"VALUES ({_marks(len(ROLLUP_KEY) + len(ROLLUP_SUMS))})"
_DAYS: Final = upsert_sums(DAILY, _SUMS)
_MONTHS: Final = upsert_sums(MONTHLY, _SUMS)
_POST: Final = (
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "VALUES {rows} ON CONFLICT (budget, subject, window_us) DO UPDATE "
    "SET posted = quota_counter.posted + excluded.posted, version = quota_counter.version + 1 "
    "RETURNING budget, subject, window_us, posted, version"
)
_GIVE_BACK: Final = (
    "UPDATE quota_counter SET pending = pending - ? "
    "WHERE budget = ? AND subject = ? AND window_us = ?"
)
_COUNTERS_PER_QUERY: Final = PARAMETERS_MAX // 4
_HEAD: Final = "SELECT seq, digest FROM ledger_chain ORDER BY seq DESC LIMIT 1"
_LINK: Final = "INSERT INTO ledger_chain (seq, digest, ids, booked_us) VALUES (?, ?, ?, ?)"


class SqliteBooks:
    """Books on a connection whose transaction holds the write lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def claim(self, claims: Mapping[str, UUID]) -> dict[str, UUID]:
        query = "SELECT settles, entry_id FROM usage_settled WHERE settles IN ({marks})"
        owners = {row[0]: UUID(bytes=row[1]) for row in self._among(query, sorted(claims))}
        new = [(key, claims[key].bytes) for key in sorted(claims) if key not in owners]
        if new:
            self._connection.executemany(_CLAIM, new)
        return {**claims, **owners}

    async def insert(self, entries: Sequence[Entry]) -> set[UUID]:
        ids = [entry.id.bytes for entry in entries]
        query = "SELECT id FROM usage_ledger WHERE id IN ({marks})"
        present = {row[0] for row in self._among(query, ids)}
        new = [entry for entry in entries if entry.id.bytes not in present]
        if new:
            self._connection.executemany(_INSERT, map(sqlite_values, new))
        return {entry.id for entry in new}

    async def estimates(self, ids: Sequence[UUID]) -> list[Entry]:
        kinds = ", ".join(f"'{kind.value}'" for kind in sorted(ESTIMATES))
        query = (
            f"SELECT {quoted(FIELDS)} FROM usage_ledger "  # noqa: S608 - our own names and kinds
            f"WHERE kind IN ({kinds}) AND id IN ({{marks}})"
        )
        rows = self._among(query, [one.bytes for one in ids])
        return [_entry(row) for row in rows]

    async def corrections(self, ids: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        found: dict[UUID, list[Entry]] = {}
        for one in ids:
            span = [each.bytes for each in (*family_span(one), one)]
            rows = self._connection.execute(_CORRECTIONS, span).fetchall()
            if rows:
                found[one] = [_entry(row) for row in rows]
        return found

    async def roll(self, cells: dict[Cell, Sums]) -> None:
        for statement, kept in ((_DAYS, cells), (_MONTHS, by_month(cells))):
            if kept:
                rows = [sums_row(cell, sums) for cell, sums in kept.items()]
                self._connection.executemany(statement, rows)

    async def periods_version(self) -> int:
        return self._version("periods")

    async def frozen_periods(self) -> Sequence[int]:
        return [row[0] for row in self._connection.execute(FROZEN_PERIODS)]

    async def budgets_version(self) -> int:
        return self._version("budgets")

    async def budgets(self) -> Sequence[tuple[str, int]]:
        query = "SELECT document, changed_us FROM quota_budget ORDER BY id"
        return self._connection.execute(query).fetchall()

    async def holds(self, request_ids: Collection[UUID]) -> dict[UUID, tuple[HoldLine, ...]]:
        query = "SELECT request_id, lines FROM quota_hold WHERE request_id IN ({marks})"
        rows = self._among(query, [one.bytes for one in request_ids])
        return {UUID(bytes=row[0]): hold_lines(row[1]) for row in rows}

    async def post(self, amounts: Sequence[tuple[CounterKey, int]]) -> list[Posted]:
        found: list[Posted] = []
        for start in range(0, len(amounts), _COUNTERS_PER_QUERY):
            part = amounts[start : start + _COUNTERS_PER_QUERY]
            values = tuple(
                value for key, n in part for value in (key.budget, key.subject, key.window_us, n)
            )
            statement = _POST.format(rows=", ".join(["(?, ?, ?, ?, 0, 0, 1)"] * len(part)))
            for *key, amount, version in self._connection.execute(statement, values).fetchall():
                found.append(Posted(CounterKey(*key), amount, version))
        return found

    async def release(self, request_ids: Collection[UUID]) -> list[tuple[HoldLine, ...]]:
        held = await self.holds(request_ids)
        removed = [(one.bytes,) for one in held]
        if removed:
            statement = "DELETE FROM quota_hold WHERE request_id = ?"
            self._connection.executemany(statement, removed)
        return list(held.values())

    async def give_back(self, amounts: Mapping[CounterKey, int]) -> None:
        rows = [(n, key.budget, key.subject, key.window_us) for key, n in amounts.items()]
        self._connection.executemany(_GIVE_BACK, rows)

    async def link(self, rows: bytes, ids: bytes, booked_us: int) -> None:
        last, previous = self._connection.execute(_HEAD).fetchone() or (0, GENESIS)
        link = (last + 1, link_digest(previous, rows), ids, booked_us)
        self._connection.execute(_LINK, link)

    def _version(self, name: str) -> int:
        query = "SELECT version FROM directory_version WHERE name = ?"
        return int(self._connection.execute(query, (name,)).fetchone()[0])

    def _among(self, query: str, keys: Sequence[str | bytes]) -> list[Any]:
        found: list[Any] = []
        for part in _parts(keys):
            statement = query.format(marks=_marks(len(part)))
            found.extend(self._connection.execute(statement, part).fetchall())
        return found


def _parts(keys: Sequence[str | bytes]) -> Iterator[Sequence[str | bytes]]:
    for start in range(0, len(keys), PARAMETERS_MAX):
        yield keys[start : start + PARAMETERS_MAX]


def _entry(row: Any) -> Entry:
    fields = dict(zip(FIELDS, row, strict=True))
    for name in _IDS:
        fields[name] = fields[name] and UUID(bytes=fields[name])
    return entry_of(fields)
