"""The budgets in the database: kept by name, every change with its author; and this process's snapshot.

An edit takes the version row exclusively, restates the counters that its definition changed, and raises
the version; a flush reads that row shared in its own transaction. So posted equals the rows at every
commit, whoever edits while whoever books. To add a property of a budget: a field of quota.budget.Budget,
and its name in ``_DEFINITION`` where it decides which rows count how much.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import BadRequest, NotFound
from gateway.kernel.ids import new_id
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget, Subject
from gateway.quota.hold import Balance, CounterKey
from gateway.quota.plan import Edit
from gateway.quota.standing import Standing
from gateway.storage.engine import Database
from gateway.storage.restating import restate
from gateway.storage.snapshots import BudgetSnapshot
from gateway.storage.standings import Held, Stand, earning, stand
from gateway.storage.tables import ALERT, BUDGET, BUDGET_CHANGE, COUNTER, VERSION

BUDGETS: Final = "budgets"  # the name of the version row
_BUDGET: Final = msgspec.json.Decoder(Budget)
_ENCODER: Final = msgspec.json.Encoder()
# What decides which rows count how much in which window; a change of anything else keeps the counters.
_DEFINITION: Final = ("scope", "measure", "window", "each", "timezone", "year_start")


class Change(msgspec.Struct, frozen=True):
    """One line of a budget's history. ``budget``: as it was after, or before it was removed."""

    at_us: int
    author: str
    action: str
    budget: Budget


class BudgetStore:
    """The budgets. Implements the exchange's port Budgets. All but the port raise StoreUnavailable."""

    def __init__(
        self,
        database: Database,
        clock: Clock | None = None,
        *,
        held: Callable[[], Awaitable[Held]] | None = None,
    ) -> None:
        """``held``: what is held of the counters, where an engine beside the database keeps the holds."""
        self._database = database
        self._clock = clock or SystemClock()
        self._held = held
        self._current = BudgetSnapshot()

    # The exchange's side: memory only, but for refresh.

    @property
    def version(self) -> int:
        """Raised by every change of a budget; -1 before the first refresh."""
        return self._current.version

    @property
    def current(self) -> BudgetSnapshot:
        """The budgets as last loaded."""
        return self._current

    def over(self, subject: Subject) -> tuple[Budget, ...]:
        """The budgets whose scope covers a request."""
        return self._current.over(subject)

    async def refresh(self) -> bool:
        """Load them again if they changed; whether they did. Raises StoreUnavailable."""
        async with self._database.snapshot() as connection:
            version = await _version(connection)
            if version == self._current.version:
                return False
            self._current = await loaded(connection, version)
        return True

    # The administrator's side.

    async def put(self, budget: Budget, author: str, action: str = "set") -> Budget:
        """Create a budget, or edit the one of its id (or, where it has none, of its name); as it is kept.

        Usage is kept: where the definition changed, the counters of the current and the previous window
        are restated from the ledger. Raises BadRequest where another budget has the name.
        """
        now = self._clock.wall_us()
        async with self._database.write() as connection:
            version = await locked_version(connection)
            before = await _found(connection, budget)
            kept = _identified(budget, before and before[0], now)
            restated_us = now
            if before is not None and _definition(before[0]) == _definition(kept):
                restated_us = before[1]
            await _write(connection, kept, restated_us, known=before is not None)
            await _log(connection, kept, now, author, action)
            if restated_us == now:
                await restate(connection, BudgetSnapshot(version, [(kept, now)]))
            await _raise_version(connection, version)
        return kept

    async def revise(
        self, plan: Callable[[Sequence[Budget]], Sequence[Edit]], author: str, action: str = "set"
    ) -> Sequence[Edit]:
        """Carry out what ``plan`` makes of the budgets there are, all or nothing; the edits as they are kept.

        Nobody edits in between, and usage is kept as in ``put``. Raises what ``plan`` raises, and
        BadRequest where a name would be given twice.
        """
        now = self._clock.wall_us()
        async with self._database.write() as connection:
            version = await locked_version(connection)
            before = await loaded(connection, version)
            edits = [_kept(edit, now) for edit in plan(_by_name(before))]
            _refuse_twins(before, edits)
            known = await _restated(connection)
            changed = [await _carry_out(connection, edit, known, now) for edit in edits]
            for edit in edits:
                done = "remove" if edit.after is None else action
                await _log(connection, edit.budget, now, author, done)
            redefined = [(budget, now) for budget in changed if budget is not None]
            if redefined:
                await restate(connection, BudgetSnapshot(version, redefined))
            if edits:
                await _raise_version(connection, version)
        return edits

    async def remove(self, budget_id: str, author: str) -> None:
        """End a budget; its history stays. Raises NotFound."""
        now = self._clock.wall_us()
        async with self._database.write() as connection:
            version = await locked_version(connection)
            query = sa.select(BUDGET).where(BUDGET.c.id == budget_id)
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise NotFound(_missing(budget_id))
            await connection.execute(sa.delete(BUDGET).where(BUDGET.c.id == budget_id))
            await _log(connection, _BUDGET.decode(row["document"]), now, author, "remove")
            await _raise_version(connection, version)

    async def named(self, name: str) -> Budget:
        """The budget of a name (or an id). Raises NotFound."""
        wanted = sa.or_(BUDGET.c.name == name, BUDGET.c.id == name)
        async with self._database.read() as connection:
            texts = (await connection.execute(sa.select(BUDGET.c.document).where(wanted))).scalars()
            found = [_BUDGET.decode(text) for text in texts]
        if not found:
            raise NotFound(_missing(name))
        return next((budget for budget in found if budget.name == name), found[0])

    async def history(self, budget_id: str) -> list[Change]:
        """Who changed it when, oldest first; of removed budgets too."""
        query = sa.select(BUDGET_CHANGE).where(BUDGET_CHANGE.c.budget == budget_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(BUDGET_CHANGE.c.id))).mappings()
            return [
                Change(row["at_us"], row["author"], row["action"], _BUDGET.decode(row["document"]))
                for row in rows
            ]

    async def counters(self, budget_ids: Collection[str] | None = None) -> list[Balance]:
        """Every counter of these budgets (of all), by key: all windows that are kept.

        ``limit`` is the budget's own, without raises and carry-over: ask the engine for those.
        """
        async with self._database.snapshot() as connection:
            budgets = (await loaded_now(connection)).budgets
            wanted = [one for one in budgets if budget_ids is None or one in budget_ids]
            query = sa.select(COUNTER).where(COUNTER.c.budget.in_(wanted))
            rows = (await connection.execute(query.order_by(*COUNTER.primary_key))).mappings().all()
        pending = {_key(row): row["pending"] for row in rows}
        posted = {_key(row): row["posted"] for row in rows}
        if (
            self._held is not None
        ):  # after what is posted: what moves meanwhile is rather missed than doubled
            held = await self._held()
            pending = {key: one.pending for key, one in held.items() if key.budget in wanted}
        return [
            Balance(key, posted.get(key, 0), pending.get(key, 0), budgets[key.budget].limit)
            for key in sorted(posted.keys() | pending.keys())
        ]

    async def alerts(self, budget_id: str) -> list[Alert]:
        """The alerts a budget raised, oldest first."""
        query = sa.select(ALERT).where(ALERT.c.budget == budget_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(ALERT.c.at_us))).mappings()
            return [
                Alert(_key(row), row["kind"], row["percent"], row["at_us"], row["used"])
                for row in rows
            ]

    async def stand(self, budgets: Sequence[Budget], top: int) -> Sequence[Stand]:
        """How these stand now, each with its ``top`` fullest counters; all as of one moment."""
        now = self._clock.wall_us()
        held = None if self._held is None else await self._held()
        async with self._database.snapshot() as connection:
            return [await stand(connection, budget, now, top, held) for budget in budgets]

    async def earning(self) -> Sequence[Standing]:
        """The counters that may have earned an alert."""
        now = self._clock.wall_us()
        async with self._database.snapshot() as connection:
            return await earning(connection, _by_name(await loaded_now(connection)), now)

    async def alert(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Raise alerts; those that nobody had raised before. Of any number of callers one gets each."""
        raised = []
        async with self._database.write() as connection:
            for one in sorted(alerts, key=lambda one: (one.key, one.kind, one.percent)):
                done = await connection.execute(_ALERT, _alert_row(one))
                raised += [one] if done.rowcount == 1 else []
        return raised

    async def list(self) -> list[Budget]:
        """Every budget, by name."""
        async with self._database.read() as connection:
            return _by_name(await loaded_now(connection))


_ALERT: Final = sa.text(
    "INSERT INTO quota_alert (budget, subject, window_us, kind, percent, at_us, used) "
    "VALUES (:budget, :subject, :window_us, :kind, :percent, :at_us, :used) ON CONFLICT DO NOTHING"
)


def _alert_row(alert: Alert) -> dict[str, Any]:
    facts = {"kind": alert.kind, "percent": alert.percent, "at_us": alert.at_us, "used": alert.used}
    return {**msgspec.structs.asdict(alert.key), **facts}


def _by_name(found: BudgetSnapshot) -> list[Budget]:
    return sorted(found.budgets.values(), key=lambda budget: budget.name)


def _kept(edit: Edit, now: int) -> Edit:
    """An edit with the identity of what it edits, or with a new one."""
    after = edit.after and _identified(edit.after, edit.before, now)
    return Edit(edit.before, after)


def _refuse_twins(before: BudgetSnapshot, edits: Sequence[Edit]) -> None:
    named = {budget.id: budget.name for budget in before.budgets.values()}
    named |= {edit.budget.id: edit.budget.name for edit in edits if edit.after is not None}
    for edit in edits:
        if edit.after is None:
            del named[edit.budget.id]
    names = list(named.values())
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise BadRequest(f"another budget is named {twins[0]!r} already: choose another name")


async def _restated(connection: AsyncConnection) -> dict[str, int]:
    """When each budget was last restated."""
    rows = await connection.execute(sa.select(BUDGET.c.id, BUDGET.c.changed_us))
    return {row.id: row.changed_us for row in rows}


async def _carry_out(
    connection: AsyncConnection, edit: Edit, restated: dict[str, int], now: int
) -> Budget | None:
    """Write one edit; the budget where its counters have to be restated."""
    before, after = edit.before, edit.after
    if after is None:
        await connection.execute(sa.delete(BUDGET).where(BUDGET.c.id == edit.budget.id))
        return None
    if before is not None and _definition(before) == _definition(after):
        await _write(connection, after, restated[after.id], known=True)
        return None
    await _write(connection, after, now, known=before is not None)
    return after


async def loaded(connection: AsyncConnection, version: int) -> BudgetSnapshot:
    """The budgets as the connection's transaction sees them."""
    query = sa.select(BUDGET.c.document, BUDGET.c.changed_us).order_by(BUDGET.c.id)
    return snapshot_of(version, [tuple(row) for row in await connection.execute(query)])


async def loaded_now(connection: AsyncConnection) -> BudgetSnapshot:
    """The budgets with their version, as the connection's transaction sees them."""
    return await loaded(connection, await _version(connection))


def snapshot_of(version: int, rows: Collection[tuple[Any, ...]]) -> BudgetSnapshot:
    """A snapshot from rows of document and changed_us."""
    return BudgetSnapshot(version, [(_BUDGET.decode(text), changed) for text, changed in rows])


async def locked_version(connection: AsyncConnection) -> int:
    """Take the version row exclusively: flushes and other edits wait. SQLite has one writer anyway."""
    query = sa.select(VERSION.c.version).where(VERSION.c.name == BUDGETS).with_for_update()
    return int((await connection.execute(query)).scalar_one())


async def _version(connection: AsyncConnection) -> int:
    query = sa.select(VERSION.c.version).where(VERSION.c.name == BUDGETS)
    return int((await connection.execute(query)).scalar_one())


async def _raise_version(connection: AsyncConnection, version: int) -> None:
    raised = sa.update(VERSION).where(VERSION.c.name == BUDGETS)
    await connection.execute(raised.values(version=version + 1))


async def _found(connection: AsyncConnection, budget: Budget) -> tuple[Budget, int] | None:
    """The budget that is edited and when it was restated; None where a new one is made."""
    query = sa.select(BUDGET).where(sa.or_(BUDGET.c.id == budget.id, BUDGET.c.name == budget.name))
    rows = (await connection.execute(query)).mappings().all()
    if budget.id and any(row["id"] != budget.id for row in rows):
        raise BadRequest(f"another budget is named {budget.name!r} already: choose another name")
    if not rows:
        return None
    return _BUDGET.decode(rows[0]["document"]), rows[0]["changed_us"]


def _identified(budget: Budget, before: Budget | None, now: int) -> Budget:
    if before is not None:
        return msgspec.structs.replace(budget, id=before.id, created_us=before.created_us)
    return msgspec.structs.replace(
        budget,
        id=budget.id or f"bgt-{uuid4().hex[:20]}",
        created_us=budget.created_us or now,
    )


def _definition(budget: Budget) -> tuple[Any, ...]:
    return tuple([getattr(budget, name) for name in _DEFINITION])


async def _write(
    connection: AsyncConnection, budget: Budget, restated_us: int, *, known: bool
) -> None:
    row = {
        "name": budget.name,
        "document": _ENCODER.encode(budget).decode(),
        "changed_us": restated_us,
    }
    if known:
        await connection.execute(sa.update(BUDGET).where(BUDGET.c.id == budget.id).values(row))
    else:
        await connection.execute(sa.insert(BUDGET), {"id": budget.id, **row})


async def _log(
    connection: AsyncConnection, budget: Budget, now: int, author: str, action: str
) -> None:
    row = {
        "id": new_id(),
        "budget": budget.id,
        "at_us": now,
        "author": author,
        "action": action,
        "document": _ENCODER.encode(budget).decode(),
    }
    await connection.execute(sa.insert(BUDGET_CHANGE), row)


def _key(row: sa.RowMapping) -> CounterKey:
    return CounterKey(row["budget"], row["subject"], row["window_us"])


def _missing(name: str) -> str:
    return f"there is no budget {name!r}: `weighbridge budgets list` shows them"
