"""The close of months in the database: one winner per step, statements kept to the byte, history with its proof.

A step is taken in two transactions. ``begin`` moves the state, which from ``reconciled`` on stops rows from
entering the month (a flush reads the states under a lock shared with it); whatever is computed then is of rows
that no longer change. ``keep`` writes what was computed. A step that died in between is taken up by asking again.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.clock import Clock, SystemClock
from gateway.ledger.closing import Refused, Sealed, State, check_step
from gateway.storage.books import Books
from gateway.storage.engine import Database
from gateway.storage.tables import VERSION
from gateway.storage.tables_reporting import PERIOD, PERIOD_CHANGE, PERIOD_DOCUMENT

PERIODS: Final = "periods"  # the name of the version row: shared in a flush, exclusive in a step
_SEALED: Final = msgspec.json.Decoder(Sealed)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a close. ``signature``: b'' where the month is not signed."""

    period: int
    revision: int
    at_us: int
    author: str
    state: State
    note: str = ""
    journal: str = ""
    sealed: Sealed = Sealed()
    signature: bytes = b""


class Standing(msgspec.Struct, frozen=True):
    """How far a month's close is. ``is_kept``: False while the newest step is being carried out."""

    state: State = "open"
    revision: int = 0
    is_kept: bool = True


class ClosingStore:
    """Steps of closes and what they keep. All raise StoreUnavailable."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def standing(self, period: int) -> Standing:
        """How far a month is."""
        async with self._database.read() as connection:
            return await standing_in(connection, period)

    async def standings(self) -> dict[int, Standing]:
        """Every month that is not simply open."""
        async with self._database.read() as connection:
            rows = (
                await connection.execute(sa.select(PERIOD).order_by(PERIOD.c.period))
            ).mappings()
            return {row["period"]: _read(row) for row in rows}

    async def begin(self, period: int, to: State, note: str = "") -> Standing:
        """Move the state; the standing to ``keep`` under. Of two who try, one gets Refused.

        A step that was begun and never kept is taken up where ``to`` is its state.
        """
        async with self._database.write() as connection:
            await still(connection)
            was = await standing_in(connection, period)
            if not was.is_kept:
                if was.state != to:
                    raise Refused(f"the step to {was.state} is not finished: take it up with --to {was.state}")  # fmt: skip
                return was
            check_step(was.state, to, note)
            now = Standing(to, was.revision + 1, is_kept=False)
            await _move(connection, period, was, now)
        return now

    async def keep(self, step: Step, documents: Mapping[str, bytes]) -> None:
        """Write what a step begun as ``step.revision`` keeps. Raises Refused where somebody else did."""
        async with self._database.write() as connection:
            await still(connection)
            now = await standing_in(connection, step.period)
            if now.is_kept or (now.state, now.revision) != (step.state, step.revision):
                raise Refused(f"revision {step.revision} was finished by somebody else")
            await connection.execute(sa.insert(PERIOD_CHANGE), _step_row(step))
            rows = [
                {"period": step.period, "revision": step.revision, "name": name, "document": document}
                for name, document in documents.items()
            ]  # fmt: skip
            if rows:
                await connection.execute(sa.insert(PERIOD_DOCUMENT), rows)
            await _move(connection, step.period, now, msgspec.structs.replace(now, is_kept=True))

    def now_us(self) -> int:
        """The instant that steps are stamped with."""
        return self._clock.wall_us()

    async def steps(self, period: int) -> list[Step]:
        """The steps that were kept, oldest first."""
        query = sa.select(PERIOD_CHANGE).where(PERIOD_CHANGE.c.period == period)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(PERIOD_CHANGE.c.revision))
            return [_step(row) for row in rows.mappings()]

    async def document(self, period: int, name: str, revision: int | None = None) -> bytes | None:
        """A kept document, the newest one where no revision is named; None where there is none."""
        c = PERIOD_DOCUMENT.c
        query = sa.select(c.document).where(c.period == period, c.name == name)
        if revision is not None:
            query = query.where(c.revision == revision)
        async with self._database.read() as connection:
            found = await connection.scalar(query.order_by(c.revision.desc()).limit(1))
        return None if found is None else bytes(found)

    async def documents(self, period: int, revision: int) -> dict[str, bytes]:
        """Everything a step kept, by name."""
        c = PERIOD_DOCUMENT.c
        query = sa.select(c.name, c.document).where(c.period == period, c.revision == revision)
        async with self._database.read() as connection:
            return {name: bytes(text) for name, text in await connection.execute(query)}

    async def newest(self, name: str, periods: Iterable[int]) -> dict[int, bytes]:
        """The newest document of a name in each of these periods that has one."""
        c = PERIOD_DOCUMENT.c
        query = sa.select(c.period, c.document).where(c.name == name, c.period.in_(list(periods)))
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(c.revision))
            return {period: bytes(text) for period, text in found}


class Frozen:
    """The months that take no more rows, for one process; kept in memory between flushes."""

    def __init__(self) -> None:
        self._version = -1
        self._periods: frozenset[int] = frozenset()

    async def current(self, books: Books) -> Collection[int]:
        """As they are, and stay until the transaction of ``books`` ends."""
        version = await books.periods_version()
        if version != self._version:
            self._periods = frozenset(await books.frozen_periods())
            self._version = version
        return self._periods


async def still(connection: AsyncConnection) -> None:
    """Hold every month where it is until the transaction ends; who else holds or moves one waits, flushes too.

    Flushes that read the states before have committed, later ones wait: raising the version locks its row.
    """
    raised = sa.update(VERSION).where(VERSION.c.name == PERIODS)
    await connection.execute(raised.values(version=VERSION.c.version + 1))


async def standing_in(connection: AsyncConnection, period: int) -> Standing:
    """How far a month is, in a transaction that goes on."""
    query = sa.select(PERIOD).where(PERIOD.c.period == period)
    row = (await connection.execute(query)).mappings().one_or_none()
    return Standing() if row is None else _read(row)


def _read(row: Any) -> Standing:
    return Standing(row["state"], row["revision"], bool(row["is_kept"]))


async def _move(connection: AsyncConnection, period: int, was: Standing, now: Standing) -> None:
    fields = {"state": now.state, "revision": now.revision, "is_kept": now.is_kept}
    if was.revision == 0:
        await connection.execute(sa.insert(PERIOD), {"period": period, **fields})
        return
    await connection.execute(sa.update(PERIOD).where(PERIOD.c.period == period).values(**fields))


def _step_row(step: Step) -> dict[str, Any]:
    fields = {name: getattr(step, name) for name in Step.__struct_fields__}
    return {**fields, "sealed": msgspec.json.encode(step.sealed).decode()}


def _step(row: Any) -> Step:
    fields = {name: row[name] for name in Step.__struct_fields__}
    fields["sealed"] = _SEALED.decode(fields["sealed"])
    fields["signature"] = bytes(fields["signature"])
    return Step(**fields)
