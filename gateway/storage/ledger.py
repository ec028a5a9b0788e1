"""The ledger: rows, daily rollup, once-only keys, counters, holds and chain change in one transaction, exactly once.

Reading is in storage/queries.py. To book something further with a row: see storage/books.py.
"""

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock, SystemClock
from gateway.ledger.adjust import adjustment
from gateway.ledger.closing import moved
from gateway.ledger.digest import joined_ids, rows_digest
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind
from gateway.ledger.missing import Gaps
from gateway.ledger.rollup import roll
from gateway.ledger.statement import Statement
from gateway.ledger.validity import problem
from gateway.pricing.book import Book
from gateway.storage.books import Books, PostgresBooks
from gateway.storage.books_sqlite import SqliteBooks
from gateway.storage.closing import Frozen
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.posting import Effects, Posting, finished
from gateway.storage.queries import (
    entries_where,
    families_where,
    statement_where,
    unpriced_filter,
    usage_filter,
)
from gateway.storage.rows import by_id, encode
from gateway.storage.tables import LEDGER, QUARANTINE, SETTLED
from gateway.storage.verifying import Verification, verified

KEYS_PER_QUERY_MAX: Final = 500
T = TypeVar("T")


class Ledger:
    """Append and read. One per process; every method is a transaction of its own."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock | None = None,
        observer: Observer | None = None,
        on_posted: Callable[[Effects], None] | None = None,
    ) -> None:
        """``on_posted``: told after every commit that finished requests or changed counters; must not raise."""
        self._database = database
        self._posting = Posting()
        self._frozen = Frozen()
        self._on_posted = on_posted
        self._clock = clock or SystemClock()
        self._observer = observer

    async def append(self, entries: Iterable[Entry]) -> int:
        """Book entries exactly once; how many rows are new (adjustments included).

        A known id is a replay and changes nothing, except that the truth about a booked estimate adds an
        adjustment. A once-only key that another entry has claimed leaves no row. What cannot be booked is
        quarantined with its reason; its neighbours are booked. What belongs to a month whose close takes no
        more rows is booked into the first one that does, under its own day. Raises StoreUnavailable: nothing of what
        was not yet committed is booked, and the same call may be repeated.
        """
        good: list[Entry] = []
        for entry in entries:
            wrong = problem(entry)
            if wrong is None:
                good.append(entry)
            else:
                await self.quarantine(entry.id, wrong, encode(entry))
        return await self._book(list(by_id(good).values()))

    async def release(self, request_ids: Collection[UUID]) -> None:
        """End the holds of requests without booking anything; unknown ids are passed over."""
        self._tell(await self._within(lambda books: self._posting.post(books, (), request_ids)))

    async def quarantine(self, record_id: UUID, reason: str, record: bytes) -> None:
        """Keep a record that cannot be booked, once per id, for a person to look at."""
        row = {
            "id": record_id,
            "reason": reason,
            "record": record,
            "received_us": self._clock.wall_us(),
        }
        async with self._database.write() as connection:
            known = sa.select(QUARANTINE.c.id).where(QUARANTINE.c.id == record_id)
            if await connection.scalar(known) is None:
                await connection.execute(sa.insert(QUARANTINE), row)
        if self._observer is not None:
            self._observer.failed("ledger.quarantine", RowRefused(reason))

    async def quarantined(self) -> int:
        """How many records wait in the quarantine."""
        async with self._database.read() as connection:
            count = await connection.scalar(sa.select(sa.func.count()).select_from(QUARANTINE))
        return int(count or 0)

    async def settled(self, keys: Collection[str]) -> frozenset[str]:
        """Which of these once-only keys (batch ids) are booked already."""
        found: set[str] = set()
        asked = sorted(set(keys))
        async with self._database.read() as connection:
            for start in range(0, len(asked), KEYS_PER_QUERY_MAX):
                part = asked[start : start + KEYS_PER_QUERY_MAX]
                query = sa.select(SETTLED.c.settles).where(SETTLED.c.settles.in_(part))
                found.update((await connection.execute(query)).scalars())
        return frozenset(found)

    async def creator(self, settles: str) -> Entry | None:
        """The entry that claimed a once-only key (the creation of deferred work); None where none did."""
        owner = sa.select(SETTLED.c.entry_id).where(SETTLED.c.settles == settles)
        wanted = [LEDGER.c.id == owner.scalar_subquery()]
        async for entry in entries_where(self._database, wanted, 1):
            return entry
        return None

    async def usage(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        team: str | None = None,
        user: str | None = None,
        model: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> AsyncIterator[Entry]:
        """Entries in id order (that of time), streamed; times half-open over ``occurred_us``."""
        wanted = usage_filter(since_us, until_us, team, user, model)
        async for entry in entries_where(self._database, wanted, limit, newest_first=newest_first):
            yield entry

    async def families(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        team: str | None = None,
    ) -> AsyncIterator[tuple[Entry, list[Entry]]]:
        """Rows with their corrections, streamed; times half-open over ``occurred_us``."""
        wanted = usage_filter(since_us, until_us, team, None, None)
        async for row, corrections in families_where(self._database, wanted):
            yield row, corrections

    async def gaps(
        self, book: Book, since_us: int | None = None, until_us: int | None = None
    ) -> Gaps:
        """What has no price, of the rows that began in a time; streamed, in memory by what is missing."""
        found = Gaps(book)
        wanted = unpriced_filter(since_us, until_us)
        async for row, corrections in families_where(self._database, wanted):
            found.add(row, corrections)
        return found

    async def statement(
        self,
        period: int | None = None,
        *,
        from_day: str | None = None,
        to_day: str | None = None,
        team: str | None = None,
    ) -> Statement:
        """Team x user x model, from the rollup: of a period, or of the days [from_day, to_day)."""
        return await statement_where(self._database, period, (from_day, to_day), team)

    async def verify(self, period: int | None = None) -> Verification:
        """Recompute everything derived from the rows, and say where it differs: see storage/verifying.py."""
        return await verified(self._database, period)

    async def _book(self, entries: Sequence[Entry]) -> int:
        """Book a batch whole; where a row spoils it, book its halves, down to the row itself."""
        booked, waiting = 0, [entries] if entries else []
        while waiting:
            batch = waiting.pop()
            try:
                booked += await self._transact(batch)
            except RowRefused as refused:
                if len(batch) == 1:
                    await self.quarantine(batch[0].id, refused.message, encode(batch[0]))
                    continue
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
        return booked

    async def _transact(self, entries: Sequence[Entry]) -> int:
        booked, effects = await self._within(lambda books: self._post(books, entries))
        self._tell(effects)
        return booked

    async def _post(self, books: Books, entries: Sequence[Entry]) -> tuple[int, Effects]:
        frozen = await self._frozen.current(books)
        ours = [moved(entry, frozen) for entry in await _unclaimed(books, entries)]
        new = await books.insert(ours)
        booked = [entry for entry in ours if entry.id in new]
        known = [entry for entry in ours if entry.id not in new]
        booked += await _adjusted(books, known, frozen)
        await books.roll(roll(booked))
        told = known if self._on_posted else ()
        effects = await self._posting.post(books, booked, finished(entries), told)
        await self._link(books, booked)
        return len(booked), effects

    def _tell(self, effects: Effects) -> None:
        if self._on_posted is not None and (effects.posted or effects.released):
            self._on_posted(effects)

    async def _link(self, books: Books, booked: Iterable[Entry]) -> None:
        rows = sorted(booked, key=lambda entry: entry.id.int)
        if rows:
            await books.link(rows_digest(rows), joined_ids(rows), self._clock.wall_us())

    async def _within(self, steps: Callable[[Books], Coroutine[Any, Any, T]]) -> T:
        """Take steps in one transaction."""
        if self._database.is_postgres:
            async with self._database.raw() as driver:
                return await steps(PostgresBooks(driver))
        return await self._database.in_one_go(lambda connection: steps(SqliteBooks(connection)))


async def _unclaimed(books: Books, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Without the entries whose once-only key belongs to another entry."""
    claims: dict[str, UUID] = {}
    for entry in entries:
        if entry.settles is not None:
            claims.setdefault(entry.settles, entry.id)
    if not claims:
        return entries
    owners = await books.claim(claims)
    return [one for one in entries if one.settles is None or owners[one.settles] == one.id]


async def _adjusted(books: Books, known: Sequence[Entry], frozen: Collection[int]) -> list[Entry]:
    """Book the truth about estimates that are in the ledger already; the adjustments really inserted.

    That another attempt followed is a truth too, whoever says it: a dead worker's journal, behind a hold that ended.
    """
    true = {entry.id: entry for entry in known if _says_more(entry)}
    if not true:
        return []
    estimates = await books.estimates(list(true))
    before = await books.corrections([estimate.id for estimate in estimates])
    made = [
        moved(adjustment(estimate, true[estimate.id], before.get(estimate.id, ())), frozen)
        for estimate in estimates
        if true[estimate.id].kind is EntryKind.USAGE or FAILED_OVER not in estimate.flags
    ]
    new = await books.insert(sorted(made, key=lambda entry: entry.id))
    return [entry for entry in made if entry.id in new]


def _says_more(entry: Entry) -> bool:
    return entry.kind is EntryKind.USAGE or FAILED_OVER in entry.flags
