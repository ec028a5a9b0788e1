"""The digest chain read back: whether the rows are those that were booked, every one and no other.

A row that was changed or removed breaks its link's digest; a link that was changed or removed breaks the
chain; a row put in past the chain is in no link. A chain that was cut at its end, or made anew over other rows,
is whole in itself: the links that closes sealed are held against it. What is hashed is in ledger/digest.py.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.clock import instant
from gateway.ledger.closing import Sealed
from gateway.ledger.digest import COLUMNS, GENESIS, canonical, link_digest, split_ids
from gateway.storage.queries import entries_of
from gateway.storage.tables import CHAIN, LEDGER
from gateway.storage.tables_reporting import PERIOD_CHANGE

LINKS_PER_QUERY: Final = 20
IDS_PER_QUERY: Final = 500
FAULTS_MAX: Final = 100
_DAY_MS: Final = 86_400_000
_SEALED: Final = msgspec.json.Decoder(Sealed)
_MASK: Final = (1 << 128) - 1


class Tally:
    """A count and a sum of ids per day they were minted on: enough to see that two sets are not equal."""

    def __init__(self) -> None:
        self._days: dict[int, tuple[int, int]] = {}

    def add(self, row_id: UUID) -> None:
        """Count an id."""
        day = _day(row_id)
        count, total = self._days.get(day, (0, 0))
        self._days[day] = (count + 1, (total + row_id.int) & _MASK)

    def differs(self, other: "Tally") -> list[int]:
        """The days on which they are not equal, oldest first."""
        days = self._days.keys() | other._days.keys()  # noqa: SLF001 - another of ourselves
        return sorted(day for day in days if self._days.get(day) != other._days.get(day))  # noqa: SLF001


class _Row(msgspec.Struct, frozen=True):
    """What is kept of a row while its link is looked at: a digest for each version of the columns."""

    digests: tuple[bytes, ...]
    period: int


async def chain_faults(
    connection: AsyncConnection, rows: Tally, progress: Callable[[str, int], None] | None = None
) -> tuple[int, list[str]]:
    """How many links there are, and what is wrong, in words; ``rows``: the ids that are in the ledger."""
    linked, faults = Tally(), list[str]()
    seq, previous, count = 0, GENESIS, 0
    while links := await _links(connection, seq):
        found = await _rows(connection, links)
        for link in links:
            count += 1
            if link.seq != seq + 1:
                faults.append(f"link {seq + 1} is missing")
            faults.extend(_link_faults(link, previous, found))
            seq, previous = link.seq, link.digest
            for row_id in link.ids:
                linked.add(row_id)
        if progress is not None:
            progress("links", count)
    if len(faults) < FAULTS_MAX:
        faults += await _outside(connection, rows.differs(linked))
    return count, faults[:FAULTS_MAX]


async def sealed_faults(connection: AsyncConnection, period: int | None = None) -> list[str]:
    """The steps of closes, of one month or of all, whose sealed link is not the chain's, in words."""
    c = PERIOD_CHANGE.c
    query = sa.select(c.period, c.revision, c.sealed).order_by(c.period, c.revision)
    if period is not None:
        query = query.where(c.period == period)
    faults: list[str] = []
    for of, revision, text in (await connection.execute(query)).all():
        sealed = _SEALED.decode(text)
        found = await connection.scalar(sa.select(CHAIN.c.digest).where(CHAIN.c.seq == sealed.link))
        if sealed.link and (found is None or bytes(found).hex() != sealed.link_digest):
            what = "is missing" if found is None else "is not the one it sealed"
            faults.append(f"close of {of // 100}-{of % 100:02}, revision {revision}: link {sealed.link} {what}: rows were taken out, or the chain was made anew, behind its back")  # fmt: skip
    return faults[:FAULTS_MAX]


class _Link(msgspec.Struct, frozen=True):
    seq: int
    digest: bytes
    ids: list[UUID]
    booked_us: int


async def _links(connection: AsyncConnection, after: int) -> list[_Link]:
    query = sa.select(CHAIN).where(CHAIN.c.seq > after).order_by(CHAIN.c.seq).limit(LINKS_PER_QUERY)
    rows = (await connection.execute(query)).mappings()
    return [_link(row) for row in rows]


def _link(row: Any) -> _Link:
    ids = bytes(row["ids"])
    whole = ids[: len(ids) // 16 * 16]  # a cut one fails by its digest
    return _Link(row["seq"], bytes(row["digest"]), split_ids(whole), row["booked_us"])


async def _rows(connection: AsyncConnection, links: Iterable[_Link]) -> dict[UUID, _Row]:
    ids = [row_id for link in links for row_id in link.ids]
    found: dict[UUID, _Row] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = sa.select(LEDGER).where(LEDGER.c.id.in_(ids[start : start + IDS_PER_QUERY]))
        async for entry in entries_of(connection, query):
            digests = [sha256(canonical(entry, version)).digest() for version in sorted(COLUMNS)]
            found[entry.id] = _Row(tuple(digests), entry.period)
    return found


def _link_faults(link: _Link, previous: bytes, found: dict[UUID, _Row]) -> list[str]:
    missing = [row_id for row_id in link.ids if row_id not in found]
    if missing:
        return [f"link {link.seq}: row {row_id} is missing" for row_id in missing]
    rows = [found[row_id] for row_id in link.ids]
    for version in range(len(COLUMNS)):
        joined = b"".join([row.digests[version] for row in rows])
        if link_digest(previous, joined) == link.digest:
            return []
    booked = instant(link.booked_us).isoformat(timespec="seconds")
    of = ", ".join(f"{n} rows of {period}" for period, n in _per_period(rows))
    return [f"link {link.seq}: a row of it (or the link itself) was changed: {of}, booked {booked}"]


def _per_period(rows: Iterable[_Row]) -> list[tuple[str, int]]:
    counts = Counter(row.period for row in rows)
    return [(f"{period // 100}-{period % 100:02}", counts[period]) for period in sorted(counts)]


async def _outside(connection: AsyncConnection, days: list[int]) -> list[str]:
    """Rows that are in no link, and ids that are in two, among those minted on ``days``."""
    faults: list[str] = []
    for day in days:
        linked = await _linked_on(connection, day)
        first, end = (UUID(int=(at * _DAY_MS) << 80) for at in (day, day + 1))
        query = sa.select(LEDGER.c.id, LEDGER.c.period).where(
            LEDGER.c.id >= first, LEDGER.c.id < end
        )
        for row_id, period in await connection.execute(query.order_by(LEDGER.c.id)):
            if row_id not in linked:
                faults.append(f"row {row_id} of {period // 100}-{period % 100:02} is in no link")
        faults += [f"row {row_id} is in {n} links" for row_id, n in linked.items() if n > 1]
        if len(faults) >= FAULTS_MAX:
            break
    return faults


async def _linked_on(connection: AsyncConnection, day: int) -> Counter[UUID]:
    linked: Counter[UUID] = Counter()
    seq = 0
    while links := await _links(connection, seq):
        seq = links[-1].seq
        linked.update(one for link in links for one in link.ids if _day(one) == day)
    return linked


def _day(row_id: UUID) -> int:
    return (row_id.int >> 80) // _DAY_MS
