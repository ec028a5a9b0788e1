"""The published prices: an append-only copy of the price book, so that SQL can join a line to its price.

To publish a further column of the book: here, in tables.PRICE and a revision.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from gateway.kernel.money import format_usd
from gateway.pricing.dimensions import ORDER
from gateway.pricing.row import FOREVER, Row
from gateway.storage.engine import Database
from gateway.storage.tables import PRICE

ROWS_PER_QUERY_MAX: Final = 500
_FIGURES: Final = ("key", "price", "per", "valid_from_us", "source")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Published(msgspec.Struct, frozen=True):
    """What ``publish`` did.

    added    rows new to the database
    changed  ids whose figure differs from the one published under that id: a price is appended under a new
             date, never edited, so the database keeps the old one and a person has to look
    """

    added: int
    changed: tuple[str, ...]


async def publish(database: Database, rows: Iterable[Row]) -> Published:
    """Add the book's rows that are missing; close those that the book has closed since.

    Raises StoreUnavailable.
    """
    wanted = {row.price_id(): _row(row) for row in rows if not row.as_unit}
    async with database.write() as connection:
        known = {
            row["price_id"]: dict(row)
            for row in (await connection.execute(sa.select(PRICE))).mappings()
        }
        missing = [row for price_id, row in wanted.items() if price_id not in known]
        for start in range(0, len(missing), ROWS_PER_QUERY_MAX):
            part = missing[start : start + ROWS_PER_QUERY_MAX]
            await connection.execute(sa.insert(PRICE), part)
        shared = {price_id: row for price_id, row in wanted.items() if price_id in known}
        for price_id, row in shared.items():
            if row["valid_to_us"] != known[price_id]["valid_to_us"]:
                await connection.execute(_close(price_id, row["valid_to_us"]))
    changed = [one for one, row in shared.items() if _figures(row) != _figures(known[one])]
    return Published(len(missing), tuple(sorted(changed)))


def _close(price_id: str, valid_to_us: int | None) -> sa.Update:
    return sa.update(PRICE).where(PRICE.c.price_id == price_id).values(valid_to_us=valid_to_us)


def _row(row: Row) -> dict[str, Any]:
    key: dict[str, str | int] = {
        dimension.value: term for dimension, term in zip(ORDER, row.terms, strict=True)
    }
    key |= {"unit": row.unit, "context_gt": row.context_gt}
    return {
        "price_id": row.price_id(),
        "key": _ENCODER.encode(key).decode(),
        "price": format_usd(row.pico),
        "per": row.per,
        "valid_from_us": row.since_us,
        "valid_to_us": None if row.until_us == FOREVER else row.until_us,
        "source": row.source,
    }


def _figures(row: dict[str, Any]) -> list[Any]:
    # Decoded: Postgres keeps JSON with its own order and spaces.
    return [msgspec.json.decode(row["key"]), *(row[name] for name in _FIGURES[1:])]
