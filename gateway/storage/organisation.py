"""The organisation in the database: cost centres, dated assignments, people, and every change with its author.

Personal data is in ``org_person`` and nowhere else: the history names user ids only, so that erasing a person
leaves nothing behind. To add a property: a field in reporting.organisation, a column, a migration.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import NotFound
from gateway.kernel.ids import new_id
from gateway.reporting.organisation import Assignment, CostCentre, Organisation, Person
from gateway.reporting.roster import PERSON, Change, Roster, changes
from gateway.storage.engine import Database
from gateway.storage.tables import VERSION
from gateway.storage.tables_reporting import ASSIGNMENT, COST_CENTRE, ORG_CHANGE, PEOPLE

ORGANISATION: Final = "organisation"  # the name of the version row: editors queue on it
_ENCODER: Final = msgspec.json.Encoder()
_TEXTS: Final = msgspec.json.Decoder(dict[str, str])


class Changed(msgspec.Struct, frozen=True):
    """One line of the organisation's history."""

    at_us: int
    author: str
    change: Change


class OrganisationStore:
    """Reads and edits the organisation. Every method is a transaction; all raise StoreUnavailable."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def roster(self) -> Roster:
        """Everything, people included."""
        async with self._database.read() as connection:
            return await _roster(connection)

    async def organisation(self) -> Organisation:
        """What statements are folded by: no personal data."""
        async with self._database.read() as connection:
            found = await _roster(connection)
        return Organisation(found.centres, found.assignments)

    async def revise(
        self, plan: Callable[[Roster], Roster], author: str, *, dry_run: bool = False
    ) -> Sequence[Change]:
        """Make it what ``plan`` says it should be; the changes, each kept with its author. Editors queue."""
        async with self._database.write() as connection:
            await _locked(connection)
            before = await _roster(connection)
            after = plan(before)
            found = changes(before, after)
            if found and not dry_run:
                await _replace(connection, after)
                await self._remember(connection, author, found)
        return found

    async def erase(self, user: str, author: str) -> None:
        """Forget who a user id is; rows keep the id. Raises NotFound where nobody is known under it."""
        async with self._database.write() as connection:
            await _locked(connection)
            gone = await connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.user == user))
            if not gone.rowcount:
                raise NotFound(f"nobody is known under the user id {user!r}: `weighbridge people list` shows them")  # fmt: skip
            await self._remember(connection, author, [Change("erase", PERSON, user)])

    async def names(self, users: Iterable[str]) -> dict[str, str]:
        """User id → name, of those that have one."""
        asked, found = sorted(set(users)), dict[str, str]()
        async with self._database.read() as connection:
            for start in range(0, len(asked), _PER_QUERY):
                part = PEOPLE.c.user.in_(asked[start : start + _PER_QUERY])
                query = sa.select(PEOPLE.c.user, PEOPLE.c.name).where(part, PEOPLE.c.name != "")
                found |= {row.user: row.name for row in await connection.execute(query)}
        return found

    async def history(self, limit: int | None = None) -> list[Changed]:
        """Every change, the newest first."""
        query = sa.select(ORG_CHANGE).order_by(ORG_CHANGE.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [_changed(row) for row in (await connection.execute(query)).mappings()]

    async def _remember(
        self, connection: AsyncConnection, author: str, found: Iterable[Change]
    ) -> None:
        now_us = self._clock.wall_us()
        rows = [
            {
                "id": new_id(),
                "at_us": now_us,
                "author": author,
                "action": one.action,
                "kind": one.kind,
                "name": one.name,
                "before": _ENCODER.encode(one.before).decode(),
                "after": _ENCODER.encode(one.after).decode(),
            }
            for one in found
        ]
        await connection.execute(sa.insert(ORG_CHANGE), rows)


_PER_QUERY: Final = 500


async def _locked(connection: AsyncConnection) -> None:
    """Editors queue here: the row is written before anything is read."""
    raised = VERSION.c.version + 1
    change = sa.update(VERSION).where(VERSION.c.name == ORGANISATION).values(version=raised)
    await connection.execute(change)


async def _roster(connection: AsyncConnection) -> Roster:
    centres = (await connection.execute(sa.select(COST_CENTRE))).mappings()
    dated = (await connection.execute(sa.select(ASSIGNMENT))).mappings()
    people = (await connection.execute(sa.select(PEOPLE))).mappings()
    made = [Assignment(**{name: row[name] for name in Assignment.__struct_fields__}) for row in dated]  # fmt: skip
    made.sort(key=lambda one: (one.kind, one.subject, one.from_day))
    return Roster(
        {row["code"]: _centre(row) for row in centres},
        tuple(made),
        {row["user"]: Person(row["user"], row["name"], row["email"]) for row in people},
    )


def _centre(row: Any) -> CostCentre:
    fields = {name: row[name] for name in CostCentre.__struct_fields__}
    return CostCentre(**{**fields, "posts": bool(fields["posts"])})


async def _replace(connection: AsyncConnection, after: Roster) -> None:
    parts: tuple[tuple[sa.Table, list[dict[str, Any]]], ...] = (
        (COST_CENTRE, [_row(one) for one in after.centres.values()]),
        (ASSIGNMENT, [_row(one) for one in after.assignments]),
        (PEOPLE, [_row(one) for one in after.people.values()]),
    )
    for table, rows in parts:
        await connection.execute(sa.delete(table))
        if rows:
            await connection.execute(sa.insert(table), rows)


def _row(one: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _changed(row: Any) -> Changed:
    before, after = _TEXTS.decode(row["before"]), _TEXTS.decode(row["after"])
    change = Change(row["action"], row["kind"], row["name"], before, after)
    return Changed(row["at_us"], row["author"], change)
