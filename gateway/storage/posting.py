"""What a flush does to the budgets, in its own transaction: rows are posted, finished requests' holds go.

Lock order, the same for everybody who writes counters: the budgets' version row (shared here, exclusive
in an edit), then counters by (rank, key), then holds. A hold is therefore read first without a lock, to
learn which counters it is on; what it holds is taken from its row once those counters are locked, since
nobody changes a hold without holding its counters.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from gateway.ledger.entry import FAILED_OVER, Entry
from gateway.quota.hold import CounterKey, HoldLine
from gateway.storage.books import Books, Posted
from gateway.storage.budgets import snapshot_of
from gateway.storage.snapshots import BudgetSnapshot

NOTHING: Final = ()


class Effects(msgspec.Struct, frozen=True):
    """What a committed flush did to the budgets: counters as they stand, and requests that are finished.

    ``released`` names every finished request, whether or not the database held anything for it: holds may
    be kept elsewhere.
    """

    posted: Sequence[Posted] = NOTHING
    released: Collection[UUID] = NOTHING


class Posting:
    """Posts for one process; keeps the budgets in memory between flushes."""

    def __init__(self) -> None:
        self._budgets = BudgetSnapshot()

    async def post(
        self,
        books: Books,
        booked: Iterable[Entry],
        final: Collection[UUID],
        known: Iterable[Entry] = NOTHING,
    ) -> Effects:
        """Post the rows that were really inserted; end the holds of the requests in ``final``.

        ``known``: rows that were there already, whose counters are to be told as they stand, since nobody
        may have heard of the commit that posted them.
        """
        budgets = await self._current(books)
        amounts = budgets.amounts(booked)
        told = amounts.keys() | budgets.amounts(known).keys()
        held = await books.holds(final) if final else {}
        if not told and not held:
            return Effects(NOTHING, tuple(final))
        ranks = {line.key: line.rank for lines in held.values() for line in lines}
        order = budgets.in_lock_order(told | ranks.keys(), ranks)
        posted = await books.post([(key, amounts.get(key, 0)) for key in order])
        if held:
            back = _pending(await books.release(list(held)))
            if back:
                await books.give_back(back)
        return Effects(posted, tuple(final))

    async def _current(self, books: Books) -> BudgetSnapshot:
        version = await books.budgets_version()
        if version != self._budgets.version:
            self._budgets = snapshot_of(version, await books.budgets())
        return self._budgets


def finished(entries: Iterable[Entry]) -> list[UUID]:
    """The requests of which no further attempt follows; sorted."""
    last = {one.request_id.int: one.request_id for one in entries if FAILED_OVER not in one.flags}
    return [last[at] for at in sorted(last)]


def _pending(removed: Iterable[tuple[HoldLine, ...]]) -> dict[CounterKey, int]:
    """What removed holds had pending. A rolling minute has nothing pending: it is paid in advance."""
    back: dict[CounterKey, int] = {}
    for lines in removed:
        for line in lines:
            if line.rate is None and line.amount:
                back[line.key] = back.get(line.key, 0) + line.amount
    return back
