"""Booking what rows would be charged by another book: streamed, in batches, exactly once; who did it is kept."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.queries import families_where, usage_filter
from gateway.storage.tables import LEDGER
from gateway.storage.tables_costs import RERATE

ROWS_PER_BATCH: Final = 500
Reprice = Callable[[Entry, Sequence[Entry]], Sequence[Entry]]


class Rerating(msgspec.Struct, frozen=True):
    """One re-rating as it was carried out; ``list_pico``, ``net_pico``: what it changed."""

    at_us: int
    author: str
    reason: str
    since_us: int | None
    until_us: int | None
    catalog: str
    read: int
    repriced: int
    list_pico: int
    net_pico: int


async def rows_between(database: Database, since_us: int | None, until_us: int | None) -> int:
    """How many rows began in a time, corrections among them. Raises StoreUnavailable."""
    wanted = usage_filter(since_us, until_us, None, None, None)
    async with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(LEDGER).where(*wanted)
        return int((await connection.execute(query)).scalar_one())


async def rerated(
    database: Database,
    reprice: Reprice,
    since_us: int | None,
    until_us: int | None,
    *,
    dry_run: bool,
) -> AsyncIterator[tuple[Entry, Sequence[Entry], Sequence[Entry]]]:
    """Each row that began in a time, its corrections, and the corrections ``reprice`` makes; booked on the way.

    What is read is one state of the ledger; what is booked meanwhile is left for the next time. Raises
    StoreUnavailable; what was booked by then stays, and running it again books the rest.
    """
    ledger = Ledger(database)
    batch: list[Entry] = []
    wanted = usage_filter(since_us, until_us, None, None, None)
    async for row, corrections in families_where(database, wanted):
        made = reprice(row, corrections)
        batch += made
        yield row, corrections, made
        if len(batch) >= ROWS_PER_BATCH and not dry_run:
            await ledger.append(batch)
            batch = []
        elif dry_run:
            batch.clear()
    if batch:
        await ledger.append(batch)


async def keep(database: Database, done: Rerating) -> None:
    """Write down who re-rated what. Raises StoreUnavailable."""
    async with database.write() as connection:
        row = {"id": new_id(), **msgspec.structs.asdict(done)}
        await connection.execute(sa.insert(RERATE), row)


async def kept(database: Database) -> Sequence[Rerating]:
    """Every re-rating, the oldest first. Raises StoreUnavailable."""
    columns = [RERATE.c[name] for name in Rerating.__struct_fields__]
    query = sa.select(*columns).order_by(RERATE.c.id)
    async with database.read() as connection:
        found = (await connection.execute(query)).mappings()
        return [
            Rerating(
                **{**row, "list_pico": int(row["list_pico"]), "net_pico": int(row["net_pico"])}
            )
            for row in found
        ]
