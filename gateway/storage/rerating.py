"""Booking what rows would be charged by another book: streamed, in batches, exactly once; who did it is kept."""

import fcntl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import sqlalchemy as sa

from gateway.kernel.errors import BadRequest
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.queries import families_where, usage_filter
from gateway.storage.tables import LEDGER
from gateway.storage.tables_costs import RERATE

ROWS_PER_BATCH: Final = 500
_TRY: Final = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
_ADVISORY_KEY: Final = 0x5745_4947_4854  # one number for this product's re-ratings
_BUSY: Final = "another re-rating is running: wait until it has ended, then start this one again"
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


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[None]:
    """The only re-rating there is while it lasts: of two by different books each would book its own difference.

    Who is killed lets go of it. Raises BadRequest where another one runs, StoreUnavailable.
    """
    if database.file is not None:
        with database.file.with_name(f"{database.file.name}.rerate").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadRequest(_BUSY) from None
            yield
        return
    async with database.read() as connection:  # whose transaction holds it, until it ends
        if database.is_postgres and not await connection.scalar(_TRY, {"key": _ADVISORY_KEY}):
            raise BadRequest(_BUSY)
        yield


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
