"""The counters as the rows have them: summed from the ledger, and written where they differ.

Used by an edit of a budget (its own counters) and by ``rebuild`` (all), both under the exclusive lock of
the budgets' version row, so that no flush posts meanwhile.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.quota.budget import Budget
from gateway.quota.hold import CounterKey
from gateway.storage.queries import ROWS_PER_FETCH
from gateway.storage.snapshots import BudgetSnapshot, posts
from gateway.storage.tables import COUNTER, LEDGER

_ROWS_PER_QUERY: Final = 500
_COLUMNS: Final = {
    "org": LEDGER.c.org,
    "team": LEDGER.c.team,
    "cost_centre": LEDGER.c.cost_centre,
    "user": LEDGER.c.user,
    "app": LEDGER.c.app,
    "key": LEDGER.c.key_id,
    "provider": LEDGER.c.provider,
}


# What Subject and quota.amount look at; the reading of a year's rows is twice as fast without the rest.
_COUNTED: Final = (
    "kind",
    "occurred_us",
    "org",
    "team",
    "user",
    "cost_centre",
    "app",
    "key_id",
    "provider",
    "model",
    "list_pico",
    "net_pico",
    "lines",
    "flags",
    "tags",
)
_BLANK: Final[dict[str, Any]] = {
    "id": UUID(int=0),
    "request_id": UUID(int=0),
    "booked_us": 0,
    "day": "",
    "period": 0,
    "operation": "",
    "upstream": "",
    "status": 0,
    "outcome": Outcome.COMPLETE,
    "provenance": "",
}
_LINES: Final = msgspec.json.Decoder(tuple[Line, ...])
_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])


class CounterDifference(msgspec.Struct, frozen=True):
    """A counter that is not the sum of its rows (or of its holds)."""

    key: CounterKey
    counter: int
    rows: int


async def restate(connection: AsyncConnection, budgets: BudgetSnapshot) -> list[CounterDifference]:
    """Make posted of these budgets' counters the sum of their rows; what that changed.

    Counters of windows that are no longer kept, and of a definition that is no longer theirs, become 0.
    """
    sums = await summed(connection, budgets)
    found = await differing(connection, budgets, sums)
    order = {key: at for at, key in enumerate(budgets.in_lock_order([one.key for one in found]))}
    found.sort(key=lambda one: order[one.key])
    for start in range(0, len(found), _ROWS_PER_QUERY):
        part = found[start : start + _ROWS_PER_QUERY]
        await connection.execute(_UPSERT, [_row(one) for one in part])
    return found


async def summed(connection: AsyncConnection, budgets: BudgetSnapshot) -> dict[CounterKey, int]:
    """What each counter has to show, from one pass over the rows in scope."""
    posting = [budget for budget in budgets.budgets.values() if posts(budget)]
    sums: dict[CounterKey, int] = {}
    if posting:
        async for entries in _in_scope(connection, budgets, posting):
            for key, added in budgets.amounts(entries).items():
                sums[key] = sums.get(key, 0) + added
    return {key: total for key, total in sums.items() if total}


async def differing(
    connection: AsyncConnection, budgets: BudgetSnapshot, sums: Mapping[CounterKey, int]
) -> list[CounterDifference]:
    """The counters of these budgets that are not what ``sums`` says; sums without a counter too."""
    query = sa.select(COUNTER)
    if len(budgets.budgets) == 1:
        query = query.where(COUNTER.c.budget == next(iter(budgets.budgets)))
    stored = {
        CounterKey(row["budget"], row["subject"], row["window_us"]): row["posted"]
        for row in (await connection.execute(query)).mappings()
        if row["budget"] in budgets.budgets
    }
    return [
        CounterDifference(key, stored.get(key, 0), sums.get(key, 0))
        for key in sorted(stored.keys() | sums.keys())
        if stored.get(key, 0) != sums.get(key, 0)
    ]


async def _in_scope(
    connection: AsyncConnection, budgets: BudgetSnapshot, posting: Iterable[Budget]
) -> AsyncIterator[list[Entry]]:
    """The rows that can count, streamed, with no more of them than counts.

    Bounded by when they occurred, which is indexed: an id may be minted long after that (a correction),
    so ids bound nothing here.
    """
    scopes = [_condition(budgets, budget) for budget in posting]
    query = sa.select(*[LEDGER.c[name] for name in _COUNTED]).where(sa.or_(*scopes))
    options = {"yield_per": ROWS_PER_FETCH}
    result = await connection.stream(query, execution_options=options)
    async for rows in result.partitions():
        yield [_counted(tuple(row)) for row in rows]


def _counted(row: tuple[Any, ...]) -> Entry:
    """A row as an entry that has only what a subject and an amount are made of."""
    fields = dict(zip(_COUNTED, row, strict=True))
    fields["kind"] = EntryKind(fields["kind"])
    fields["lines"] = _LINES.decode(fields["lines"])
    fields["flags"] = _TEXTS.decode(fields["flags"])
    fields["tags"] = _TEXTS.decode(fields["tags"])
    return Entry(**_BLANK, **fields)


def _condition(budgets: BudgetSnapshot, budget: Budget) -> sa.ColumnElement[bool]:
    named: list[sa.ColumnElement[bool]] = [
        column == getattr(budget.scope, name)
        for name, column in _COLUMNS.items()
        if getattr(budget.scope, name) is not None
    ]
    return sa.and_(LEDGER.c.occurred_us >= budgets.kept_us(budget.id), *named)


def _row(one: CounterDifference) -> dict[str, Any]:
    return {
        "budget": one.key.budget,
        "subject": one.key.subject,
        "window_us": one.key.window_us,
        "posted": one.rows,
    }


_UPSERT: Final = sa.text(
    "INSERT INTO quota_counter (budget, subject, window_us, posted, pending, tat_us, version) "
    "VALUES (:budget, :subject, :window_us, :posted, 0, 0, 1) "
    "ON CONFLICT (budget, subject, window_us) DO UPDATE "
    "SET posted = excluded.posted, version = quota_counter.version + 1"
)
