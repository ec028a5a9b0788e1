"""Deferred work that is still to be asked: whoever takes what is due has it alone for as long as the lease lasts.

A worker that dies leaves its lease to run out. Work is written with its claim, and wanted by what a client does:
see storage/resources.py.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.entry import Entry
from gateway.ledger.work import Due, Work
from gateway.storage.engine import Database
from gateway.storage.tables import WORK

_ENTRY: Final = msgspec.json.Decoder(Entry)


class WorkStore:
    """Every method is a transaction of its own. All raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, now_us: int, limit: int, lease_us: int) -> Sequence[Due]:
        """What is due, the longest waiting first; nobody else is given it before ``now_us + lease_us``."""
        due = sa.select(WORK.c.work).where(WORK.c.due_us <= now_us)
        # SQLite's writer has the file to itself; on Postgres what another worker is taking is stepped over.
        due = due.order_by(WORK.c.due_us).limit(limit).with_for_update(skip_locked=True)
        taken = (
            sa.update(WORK)
            .where(WORK.c.work.in_(due.scalar_subquery()))
            .values(
                due_us=now_us + lease_us,
                leased_us=now_us + lease_us,
                attempts=WORK.c.attempts + 1,
            )
            .returning(WORK)
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(taken)).mappings().all()
        return [_due(row) for row in rows]

    async def again(self, work: str, due_us: int, begun_us: int) -> None:
        """It has not ended: ask again then, or at once where it has become wanted since the question was begun."""
        wanted = WORK.c.wanted_us >= begun_us
        later = (
            sa.update(WORK)
            .where(WORK.c.work == work)
            .values(
                due_us=sa.case((wanted, WORK.c.wanted_us), else_=due_us),
                leased_us=0,
            )
        )
        async with self._database.write() as connection:
            await connection.execute(later)

    async def done(self, work: str) -> None:
        """It has ended and is booked, or is given up."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(WORK).where(WORK.c.work == work))

    async def overdue(self, before_us: int) -> int:
        """How many should have been asked before then."""
        query = sa.select(sa.func.count()).select_from(WORK).where(WORK.c.due_us < before_us)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)


async def want(connection: AsyncConnection, now_us: int, *which: sa.ColumnElement[bool]) -> int:
    """Have this work asked at once, by whoever has leased it or is next; how many there were."""
    waits = sa.or_(WORK.c.leased_us > now_us, WORK.c.due_us < now_us)
    wanted = (
        sa.update(WORK)
        .where(*which)
        .values(wanted_us=now_us, due_us=sa.case((waits, WORK.c.due_us), else_=now_us))
    )
    return int((await connection.execute(wanted)).rowcount)


def _due(row: sa.RowMapping) -> Due:
    work = Work(
        work=row["work"],
        provider=row["provider"],
        upstream=row["upstream"],
        raw_path=row["raw_path"].encode("latin-1"),
        query=row["query"].encode("latin-1"),
        creator=_ENTRY.decode(row["creator"]),
        made_us=row["made_us"],
    )
    return Due(work, row["attempts"])
