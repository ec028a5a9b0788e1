"""The prices in the database: a copy of the shipped and configured rows, and the imported ones, which live here.

The copy lets SQL join a line to its price. Imported rows are the truth: appended, never edited but for their
end; every process keeps a snapshot of them. To keep a further column of the book: here, in tables.PRICE and
a revision.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.money import format_usd, parse_usd
from gateway.pricing.dimensions import ORDER
from gateway.pricing.importing import Plan
from gateway.pricing.row import FOREVER, Layer, Row
from gateway.storage.engine import Database
from gateway.storage.tables import PRICE, PRICE_IMPORT, VERSION

PRICES: Final = "prices"  # the name of the version row
ROWS_PER_QUERY_MAX: Final = 500
_FIGURES: Final = ("key", "price", "per", "valid_from_us", "source")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_ADVISORY_KEY: Final = 0x5745_4947_4852  # one number for this product's publishing
_SLOT_BITS: Final = 62  # fits a signed 64-bit column, and one more is no overflow
_ENDS: Final = msgspec.json.Decoder(tuple[tuple[str, int | None, int], ...])


class Published(msgspec.Struct, frozen=True):
    """What ``publish`` did.

    added    rows new to the database
    changed  ids whose figure differs from the one published under that id: a price is appended under a new
             date, never edited, so the database keeps the old one and a person has to look
    """

    added: int
    changed: tuple[str, ...]


class Import(msgspec.Struct, frozen=True):
    """One import as it was carried out. ``closed``: (price id, its end before, its end since)."""

    issue: int
    at_us: int
    author: str
    reason: str
    file: str
    added: int
    closed: tuple[tuple[str, int | None, int], ...]
    catalog: str


class Imported(msgspec.Struct, frozen=True):
    """The imported rows that are valid at any time. ``version`` is raised by every import, and is the last one's number."""

    rows: tuple[Row, ...] = ()
    version: int = 0


async def publish(database: Database, rows: Iterable[Row], catalog: str = "") -> Published:
    """Add the book's rows that are missing; close those that the book has closed since.

    Imported rows and references are left out. Safe in every process at once. Raises StoreUnavailable.
    """
    wanted = {
        row.price_id(): _row(row, catalog)
        for row in rows
        if not row.as_unit and row.layer is not Layer.IMPORTED
    }
    async with database.write() as connection:
        if database.is_postgres:  # one after the other: who comes second finds what the first added
            await connection.execute(_LOCK, {"key": _ADVISORY_KEY})
        query = sa.select(PRICE).where(PRICE.c.layer != str(Layer.IMPORTED))
        known = {row["price_id"]: dict(row) for row in (await connection.execute(query)).mappings()}
        missing = [row for price_id, row in wanted.items() if price_id not in known]
        await _insert(connection, missing)
        shared = {price_id: row for price_id, row in wanted.items() if price_id in known}
        for price_id, row in shared.items():
            if row["valid_to_us"] != known[price_id]["valid_to_us"]:
                await connection.execute(_close(price_id, row["valid_to_us"]))
    changed = [one for one, row in shared.items() if _figures(row) != _figures(known[one])]
    return Published(len(missing), tuple(sorted(changed)))


class PriceStore:
    """The imported prices, and this process's snapshot of them. All but ``current`` raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.current = Imported(version=-1)

    async def refresh(self) -> bool:
        """Load them again if any were imported since; whether they were."""
        async with self._database.snapshot() as connection:
            version = await _version(connection)
            if version == self.current.version:
                return False
            self.current = await _loaded(connection, version)
        return True

    async def bring(
        self,
        plan: Callable[[Imported], tuple[Plan, str]],
        *,
        at_us: int,
        author: str,
        reason: str,
        file: str,
    ) -> Plan:
        """Carry out what ``plan`` (plan, catalog version) makes of the rows there are, all or nothing.

        Nobody imports in between. A plan that adds nothing leaves no trace. Raises what ``plan`` raises.
        """
        async with self._database.write() as connection:
            version = await _version(connection, lock=True)
            made, catalog = plan(await _loaded(connection, version))
            if not made.added and not made.closed:
                return made
            for closing in made.closed:
                await connection.execute(_close(closing.row.price_id(), closing.until_us))
            await _insert(connection, [_row(row, catalog) for row in made.added])
            ends = [
                (one.row.price_id(), _end(one.row.until_us), one.until_us) for one in made.closed
            ]
            record = {
                "issue": version + 1,
                "at_us": at_us,
                "author": author,
                "reason": reason,
                "file": file,
                "added": len(made.added),
                "closed": _ENCODER.encode(ends).decode(),
                "catalog": catalog,
            }
            await connection.execute(sa.insert(PRICE_IMPORT), record)
            raised = sa.update(VERSION).where(VERSION.c.name == PRICES)
            await connection.execute(raised.values(version=version + 1))
        return made

    async def imports(self) -> Sequence[Import]:
        """Every import, the oldest first."""
        async with self._database.read() as connection:
            query = sa.select(PRICE_IMPORT).order_by(PRICE_IMPORT.c.issue)
            return [
                Import(**{**row, "closed": _ENDS.decode(row["closed"])})
                for row in (await connection.execute(query)).mappings()
            ]


async def _version(connection: AsyncConnection, *, lock: bool = False) -> int:
    query = sa.select(VERSION.c.version).where(VERSION.c.name == PRICES)
    # The row came with the schema.
    found = await connection.execute(query.with_for_update() if lock else query)
    return int(found.scalar_one())


async def _loaded(connection: AsyncConnection, version: int) -> Imported:
    query = (
        sa.select(PRICE)
        .where(PRICE.c.layer == str(Layer.IMPORTED))
        .where(sa.or_(PRICE.c.valid_to_us.is_(None), PRICE.c.valid_to_us > PRICE.c.valid_from_us))
        .order_by(PRICE.c.price_id)
    )
    found = (await connection.execute(query)).mappings()
    return Imported(tuple([_imported(row) for row in found]), version)


async def _insert(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_PER_QUERY_MAX):
        await connection.execute(sa.insert(PRICE), rows[start : start + ROWS_PER_QUERY_MAX])


def _close(price_id: str, valid_to_us: int | None) -> sa.Update:
    return sa.update(PRICE).where(PRICE.c.price_id == price_id).values(valid_to_us=valid_to_us)


def _row(row: Row, catalog: str) -> dict[str, Any]:
    key: dict[str, str | int] = {
        dimension.value: term for dimension, term in zip(ORDER, row.terms, strict=True)
    }
    key |= {"unit": row.unit, "context_gt": row.context_gt}
    text = _ENCODER.encode(key)
    return {
        "price_id": row.price_id(),
        "key": text.decode(),
        "price": format_usd(row.pico),
        "per": row.per,
        "valid_from_us": row.since_us,
        "valid_to_us": _end(row.until_us),
        "source": row.source,
        "as_unit": row.as_unit,
        "source_ref": row.source_ref,
        "evidence": row.evidence,
        "layer": str(row.layer),
        "issue": row.issue,
        "slot": int.from_bytes(sha256(text).digest()[:8]) >> (64 - _SLOT_BITS),
        "catalog": catalog,
    }


def _imported(row: sa.RowMapping) -> Row:
    key = msgspec.json.decode(row["key"])
    return Row(
        terms=tuple([key[dimension.value] for dimension in ORDER]),
        unit=key["unit"],
        context_gt=key["context_gt"],
        pico=parse_usd(row["price"]),
        per=row["per"],
        as_unit=row["as_unit"],
        since_us=row["valid_from_us"],
        until_us=FOREVER if row["valid_to_us"] is None else row["valid_to_us"],
        source=row["source"],
        source_ref=row["source_ref"],
        evidence=row["evidence"],
        origin=f"import {row['issue']}",
        layer=Layer.IMPORTED,
        issue=row["issue"],
    )


def _end(until_us: int) -> int | None:
    return None if until_us == FOREVER else until_us


def _figures(row: dict[str, Any]) -> list[Any]:
    # Decoded: Postgres keeps JSON with its own order and spaces.
    return [msgspec.json.decode(row["key"]), *(row[name] for name in _FIGURES[1:])]
