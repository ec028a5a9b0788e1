"""Holds as rows: how their lines are kept, which have expired, and freeing those that nobody needs.

The lines are a JSON array of quota.hold.HoldLine without the fields that are at their default; whoever
reads them gets HoldLine back. To keep a further field of a line: name it in ``_Line``.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.ids import minted_us
from gateway.ledger.entry import FAILED_OVER
from gateway.quota.hold import Carry, CounterKey, HoldLine, Rate
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.tables import HOLD, LEDGER

EXPIRED_PER_CALL_MAX: Final = 200
SLACK_US: Final = 60_000_000  # between the clocks of two machines
_US_PER_MS: Final = 1000
_MS_AT_BIT: Final = 80  # of a UUIDv7


class _Line(msgspec.Struct, omit_defaults=True):
    key: CounterKey
    amount: int
    limit: int
    carry: Carry | None = None
    rate: Rate | None = None
    enforce: bool = True
    rank: int = 0


class _Named(msgspec.Struct):
    id: UUID


_ENCODER: Final = msgspec.json.Encoder()
_LINES: Final = msgspec.json.Decoder(tuple[HoldLine, ...])
_FLAGS: Final = msgspec.json.Decoder(tuple[str, ...])
_NAMED: Final = msgspec.json.Decoder(_Named)


def encode_lines(lines: Sequence[HoldLine]) -> str:
    """The JSON text of a hold's lines."""
    kept = [
        _Line(one.key, one.amount, one.limit, one.carry, one.rate, one.enforce, one.rank)
        for one in lines
    ]
    return _ENCODER.encode(kept).decode()


def decode_lines(text: str | bytes) -> tuple[HoldLine, ...]:
    """The lines of ``encode_lines``. Raises msgspec.DecodeError."""
    return _LINES.decode(text)


class Expired(msgspec.Struct, frozen=True):
    """A hold that nobody extends any more. ``entry``: as it was given; ``is_booked``: its row is there."""

    request_id: UUID
    entry: bytes
    is_booked: bool


class Holds:
    """The holds of every worker, seen from the database. All raise StoreUnavailable."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def expired(self, now_us: int, limit: int = EXPIRED_PER_CALL_MAX) -> list[Expired]:
        """Holds that ended by then, the oldest first."""
        query = (
            sa.select(HOLD.c.request_id, HOLD.c.entry)
            .where(HOLD.c.expires_us <= now_us)
            .order_by(HOLD.c.expires_us)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = [tuple(row) for row in await connection.execute(query)]
            final = await booked(connection, dict(rows)) if rows else set()
        return [Expired(one, bytes(entry), one in final) for one, entry in rows]

    async def free(self, request_ids: Collection[UUID]) -> None:
        """Remove holds and give back what they have pending; unknown ids are passed over."""
        if request_ids:
            await self._ledger.release(request_ids)


async def booked(connection: AsyncConnection, held: Mapping[UUID, bytes]) -> set[UUID]:
    """Of requests and their holds' entries: those that have a final row, or the row the hold would become."""
    entry_ids = {found: one for one, text in held.items() if (found := _entry_id(text))}
    # The ledger is keyed by time-ordered ids: nothing of these requests is older than they are.
    oldest_us = min(map(minted_us, held)) - SLACK_US
    first = UUID(int=(max(0, oldest_us) // _US_PER_MS) << _MS_AT_BIT)
    ours = sa.or_(LEDGER.c.request_id.in_(list(held)), LEDGER.c.id.in_(list(entry_ids)))
    query = sa.select(LEDGER.c.id, LEDGER.c.request_id, LEDGER.c.flags)
    rows = await connection.execute(query.where(LEDGER.c.id >= first, ours))
    final: set[UUID] = set()
    for entry_id, request_id, flags in rows:
        if entry_id in entry_ids:
            final.add(entry_ids[entry_id])
        if FAILED_OVER not in _FLAGS.decode(flags):
            final.add(request_id)
    return final


def _entry_id(text: bytes) -> UUID | None:
    try:
        return _NAMED.decode(text).id
    except msgspec.DecodeError:
        return None
