"""The writing side of one ledger transaction: the steps, and Postgres' words for them.

To book something beside the rows in the same transaction (quota counters, holds): a method of Books and
its two bodies, here and in storage/books_sqlite.py.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from gateway.kernel.ids import family_span
from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.closing import FROZEN
from gateway.ledger.entry import Entry
from gateway.ledger.rollup import Cell, Sums, by_month
from gateway.ledger.validity import INT64_MAX
from gateway.quota.hold import CounterKey, HoldLine
from gateway.storage.rows import FIELDS, columns, entry_of
from gateway.storage.tables import DAILY, LEDGER, MONTHLY, MONTHLY_KEY, ROLLUP_KEY, ROLLUP_SUMS


class Posted(msgspec.Struct, frozen=True):
    """A counter after a posting; the higher ``version`` is the newer."""

    key: CounterKey
    posted: int
    version: int


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

    async def corrections(self, ids: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        """What corrects these rows, by the row; ids with nothing are left out."""
        ...

    async def roll(self, cells: dict[Cell, Sums]) -> None:
        """Add sums to the rollups by day and by month, in the order given by the cells themselves."""
        ...

    async def periods_version(self) -> int:
        """The version of the months' states, which stay what they are until this transaction ends."""
        ...

    async def frozen_periods(self) -> Sequence[int]:
        """The months whose close takes no more rows."""
        ...

    async def budgets_version(self) -> int:
        """The budgets' version, which stays what it is until this transaction ends."""
        ...

    async def budgets(self) -> Sequence[tuple[str, int]]:
        """The budgets: document, and when its counters were last restated."""
        ...

    async def holds(self, request_ids: Collection[UUID]) -> dict[UUID, tuple[HoldLine, ...]]:
        """The lines of those of these requests that hold something; nothing is locked."""
        ...

    async def post(self, amounts: Sequence[tuple[CounterKey, int]]) -> list[Posted]:
        """Add to posted, counter by counter in the order given, which locks them; how they stand now."""
        ...

    async def release(self, request_ids: Collection[UUID]) -> list[tuple[HoldLine, ...]]:
        """Remove holds; their lines as they were at the end. Their counters are locked already."""
        ...

    async def give_back(self, amounts: Mapping[CounterKey, int]) -> None:
        """Take amounts off pending. The counters are locked already."""
        ...

    async def link(self, rows: bytes, ids: bytes, booked_us: int) -> None:
        """Append a link to the digest chain over ``rows`` (ledger.digest). Holds up other writers: the last step."""
        ...


def quoted(names: Sequence[str]) -> str:
    """Column names for SQL text: quoted, since ``user`` is a word of SQL's own."""
    return ", ".join(f'"{name}"' for name in names)


def upsert_sums(table: Table, source: str) -> str:
    """A rollup's upsert from ``source`` (a SELECT or VALUES)."""
    added = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in ROLLUP_SUMS)
    key = quoted([column.name for column in table.primary_key])
    return (
        f"INSERT INTO {table.name} ({key}, {quoted(ROLLUP_SUMS)}) {source} "
        f"ON CONFLICT ({key}) DO UPDATE SET {added}"
    )


def sums_row(cell: Cell, sums: Sums) -> tuple[str | int, ...]:
    """The rollup row of a cell, key first."""
    return (*msgspec.structs.astuple(cell), *msgspec.structs.astuple(sums))


# The rows above are made field by field: by the thousand per flush, names would cost as much as the insert.
assert (Cell.__struct_fields__, Sums.__struct_fields__) == (ROLLUP_KEY, ROLLUP_SUMS)


def hold_lines(text: str | bytes) -> tuple[HoldLine, ...]:
    """The lines of a hold as the engines keep them: a JSON array of HoldLine."""
    return _HOLD_LINES.decode(text)


def posted(row: Any) -> Posted:
    """A counter from a row that an upsert returned."""
    key = CounterKey(row["budget"], row["subject"], row["window_us"])
    return Posted(key, row["posted"], row["version"])


_HOLD_LINES: Final = msgspec.json.Decoder(tuple[HoldLine, ...])


def _unnest(table: Any, names: Sequence[str], whole: Sequence[str] = ()) -> str:
    """Rows from one array per column; those in ``whole`` come as 64-bit integers, whatever the column is."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    types = [
        "int8" if name in whole else table.c[name].type.compile(dialect=dialect) for name in names
    ]
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
_CORRECTIONS: Final = (
    f"SELECT {quoted(FIELDS)} FROM usage_ledger WHERE id BETWEEN $1 AND $2 AND ref_id = $3"  # noqa: S608 - our own column names
)
_DAYS, _DAYS_HUGE, _MONTHS, _MONTHS_HUGE = (
    upsert_sums(table, _unnest(table, (*key, *ROLLUP_SUMS), whole))
    for table, key in ((DAILY, ROLLUP_KEY), (MONTHLY, MONTHLY_KEY))
    for whole in (ROLLUP_SUMS, ())
)
_VERSION: Final = "SELECT version FROM directory_version WHERE name = 'budgets' FOR SHARE"
_PERIODS: Final = "SELECT version FROM directory_version WHERE name = 'periods' FOR SHARE"
FROZEN_PERIODS: Final = (
    "SELECT period FROM period_close WHERE state IN ("  # noqa: S608 - our own words
    + ", ".join(f"'{state}'" for state in sorted(FROZEN))
    + ")"
)
_BUDGETS: Final = "SELECT document, changed_us FROM quota_budget ORDER BY id"
_HOLDS: Final = "SELECT request_id, lines FROM quota_hold WHERE request_id = ANY($1::uuid[])"
# Without a sort the rows are taken as they come: in the arrays' order, which is the lock order.
_POST: Final = (
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "SELECT budget, subject, window_us, posted, 0, 0, 1 "
    "FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS t(budget, subject, window_us, posted) "
    "ON CONFLICT (budget, subject, window_us) DO UPDATE "
    "SET posted = quota_counter.posted + excluded.posted, version = quota_counter.version + 1 "
    "RETURNING budget, subject, window_us, posted, version"
)
_RELEASE: Final = "DELETE FROM quota_hold WHERE request_id = ANY($1::uuid[]) RETURNING lines"
_GIVE_BACK: Final = (
    "UPDATE quota_counter c SET pending = c.pending - t.amount "
    "FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS t(budget, subject, window_us, amount) "
    "WHERE c.budget = t.budget AND c.subject = t.subject AND c.window_us = t.window_us"
)
_CHAIN_LOCK: Final = "SELECT pg_advisory_xact_lock($1)"
_CHAIN_KEY: Final = 0x5745_4947_4843  # one number for this product's chain
_LINK: Final = (
    "INSERT INTO ledger_chain (seq, digest, ids, booked_us) "
    "SELECT coalesce(max(seq), 0) + 1, "
    "sha256(coalesce((SELECT digest FROM ledger_chain ORDER BY seq DESC LIMIT 1), ''::bytea) || $1::bytea), "
    "$2::bytea, $3::int8 FROM ledger_chain"
)


class PostgresBooks:
    """Books on asyncpg's own connection: one statement per step, arrays instead of rows."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._read: dict[str, tuple[HoldLine, ...]] = {}

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

    async def corrections(self, ids: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        found: dict[UUID, list[Entry]] = {}
        for one in ids:
            rows = await self._driver.fetch(_CORRECTIONS, *family_span(one), one)
            if rows:
                found[one] = [entry_of(row) for row in rows]
        return found

    async def roll(self, cells: dict[Cell, Sums]) -> None:
        await self._roll(cells, _DAYS, _DAYS_HUGE)
        await self._roll(by_month(cells), _MONTHS, _MONTHS_HUGE)

    async def _roll(self, cells: dict[Cell, Sums], statement: str, huge: str) -> None:
        # Sorted: two writers that share cells lock them in one order and cannot deadlock.
        rows = sorted([sums_row(cell, sums) for cell, sums in cells.items()])
        if rows:
            arrays = [list(column) for column in zip(*rows, strict=True)]
            # Sums of one flush fit 64 bits but for the absurd; the driver takes integers 10 times faster.
            fits = all(_fits(column) for column in arrays[len(ROLLUP_KEY) :])
            await self._driver.execute(statement if fits else huge, *arrays)

    async def periods_version(self) -> int:
        return int(await self._driver.fetchval(_PERIODS))

    async def frozen_periods(self) -> Sequence[int]:
        return [row["period"] for row in await self._driver.fetch(FROZEN_PERIODS)]

    async def budgets_version(self) -> int:
        return int(await self._driver.fetchval(_VERSION))

    async def budgets(self) -> Sequence[tuple[str, int]]:
        return [tuple(row) for row in await self._driver.fetch(_BUDGETS)]

    async def holds(self, request_ids: Collection[UUID]) -> dict[UUID, tuple[HoldLine, ...]]:
        rows = await self._driver.fetch(_HOLDS, request_ids)
        for row in rows:
            self._read[row["lines"]] = hold_lines(row["lines"])
        return {UUID(int=row["request_id"].int): self._read[row["lines"]] for row in rows}

    async def post(self, amounts: Sequence[tuple[CounterKey, int]]) -> list[Posted]:
        rows = await self._driver.fetch(_POST, *_arrays(amounts))
        return [posted(row) for row in rows]

    async def release(self, request_ids: Collection[UUID]) -> list[tuple[HoldLine, ...]]:
        rows = await self._driver.fetch(_RELEASE, request_ids)
        # Most are as they were before they were locked: those are not decoded again.
        return [self._read.get(row["lines"]) or hold_lines(row["lines"]) for row in rows]

    async def give_back(self, amounts: Mapping[CounterKey, int]) -> None:
        await self._driver.execute(_GIVE_BACK, *_arrays(list(amounts.items())))

    async def link(self, rows: bytes, ids: bytes, booked_us: int) -> None:
        # The lock is a statement of its own: the next one then sees what its holder before committed.
        await self._driver.execute(_CHAIN_LOCK, _CHAIN_KEY)
        await self._driver.execute(_LINK, rows, ids, booked_us)


def _fits(numbers: Sequence[int]) -> bool:
    return max(numbers) <= INT64_MAX and min(numbers) >= -INT64_MAX


def _arrays(amounts: Sequence[tuple[CounterKey, int]]) -> list[list[Any]]:
    rows = [(key.budget, key.subject, key.window_us, amount) for key, amount in amounts]
    return [list(column) for column in zip(*rows, strict=True)]
