"""The claims of kept things, and the deferred work that is to be followed: written together, many at a time.

``keep`` queues and remembers; one writer takes what has queued while the last transaction ran. What is
remembered is bounded, and the table is the truth: the first claim of a resource stands, whoever races for it.
What a database that is away did not take before an answer is let go is on disk by then (storage/claim_file.py).
To keep more of a claim: a column of tables.RESOURCE, ``_row`` and ``_claim``.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from sys import getsizeof
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.exchange.ending import end_if_cancelled
from gateway.exchange.ports import Observer
from gateway.identity.claim import Claim
from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import Unavailable
from gateway.ledger.work import Told, Work
from gateway.storage.among import among
from gateway.storage.claim_file import ClaimFile, Kept, left
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused, StoreUnavailable
from gateway.storage.rows import encode
from gateway.storage.tables import RESOURCE, WORK
from gateway.storage.work import want

REMEMBERED_MAX: Final = 65_536  # claims
REMEMBERED_BYTES_MAX: Final = (
    64 * 1024 * 1024
)  # some 600 bytes each; a batch's file may name 64 models at length
_CLAIM_BYTES: Final = 600  # of a claim that names no models, with its place in the dictionary
QUEUED_MAX: Final = 100_000  # claims waiting for a database that is away
PER_TRANSACTION_MAX: Final = 500
KEPT_S_MAX: Final = (
    3.0  # a database that is away delays an answer by so much; then its claims go to disk
)
FIRST_ASKED_US: Final = 60 * US_PER_SECOND
FORGOTTEN_PER_STEP: Final = 1_000
_MODELS: Final = msgspec.json.Decoder(tuple[str, ...])


class ResourceStore:
    """Implements the exchange's port Resources. One per process; ``run`` is its writer.

    ``folder``: where what the database does not take is kept on disk; None: nowhere.
    """

    def __init__(self, database: Database, observer: Observer, folder: Path | None = None) -> None:
        self._database = database
        self._observer = observer
        self._folder = folder
        self._file = None if folder is None else ClaimFile(folder)
        self._filed = 0  # of what was queued so far: is on disk, or was written before it had to be
        self._filing = asyncio.Lock()
        self._remembered: OrderedDict[str, Claim] = OrderedDict()
        self._remembered_bytes = 0
        self._queue: deque[Kept] = deque()
        self._wake = asyncio.Event()
        self._queued = 0
        self._written = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """Claims and works that are not durable yet."""
        return self._queued - self._written

    async def find(self, resources: Collection[str]) -> Mapping[str, Claim]:
        """See Resources; what this process has seen needs no query."""
        found = {name: self._remembered[name] for name in resources if name in self._remembered}
        missing = [name for name in resources if name not in found]
        for start in range(0, len(missing), PER_TRANSACTION_MAX):
            part = missing[start : start + PER_TRANSACTION_MAX]
            async with self._database.read() as connection:
                claims = await _stored(connection, part)
            self._remember(claims)
            found.update((claim.resource, claim) for claim in claims)
        return found

    def keep(
        self, claims: Sequence[Claim], works: Sequence[Work] = (), told: Sequence[Told] = ()
    ) -> None:
        """See Resources; works are followed from then on."""
        if self.waiting + len(claims) > QUEUED_MAX:
            self._observer.failed("claims", RowRefused("too many claims wait for the database"))
            return
        new = [claim for claim in claims if claim.resource not in self._remembered]
        self._remember(new)
        self._queue.extend((*new, *works, *told))
        self._queued += len(new) + len(works) + len(told)
        if self._queue:
            self._wake.set()

    async def is_unbooked(self, work: str, now_us: int) -> bool:
        """See Resources."""
        await self._written_so_far()
        async with self._database.write() as connection:
            return await want(connection, now_us, WORK.c.work == work) > 0

    async def is_open(
        self, provider: str, upstream: str, made_by_us: int, wanted_us: int | None = None
    ) -> bool:
        """See Resources."""
        await self._written_so_far()
        which = (
            WORK.c.provider == provider,
            WORK.c.upstream == upstream,
            WORK.c.made_us <= made_by_us,
        )
        if wanted_us is None:
            async with self._database.read() as connection:
                return bool(await connection.scalar(sa.select(sa.exists().where(*which))))
        async with self._database.write() as connection:
            return await want(connection, wanted_us, *which) > 0

    async def kept(self) -> None:
        """See Resources."""
        if not self.waiting:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self._queued, future))
        await asyncio.wait((future,), timeout=KEPT_S_MAX)
        if not future.done():
            async with self._filing:
                await asyncio.to_thread(self._to_disk, *self._unfiled())

    async def _written_so_far(self) -> None:
        """Raises StoreUnavailable where what was queued before could not be written: the table does not tell all."""
        queued = self._queued
        await self.kept()
        if self._written < queued:
            raise StoreUnavailable("the database is away: try again")

    async def run(self) -> None:
        """Write what is queued, until cancelled; a failure is reported and the same is written later."""
        pause_s = 0.0
        while True:
            end_if_cancelled()
            await self._wake.wait()
            await asyncio.sleep(pause_s)
            try:
                await self.flush()
                pause_s = 0.0
            except Unavailable as error:
                self._observer.failed("claims", error)
                pause_s = min(2 * pause_s + 0.1, KEPT_S_MAX)

    async def flush(self) -> None:
        """Write everything queued. Raises Unavailable: what is not written stays queued."""
        while self._queue:
            batch = [self._queue[at] for at in range(min(len(self._queue), PER_TRANSACTION_MAX))]
            await self._write_apart(batch)
            for _ in batch:
                self._queue.popleft()
            self._written += len(batch)
            self._release()
        self._wake.clear()
        if self._file is not None and not self._filing.locked():
            with self._reported():
                self._file.cut()

    async def adopt(self) -> None:
        """At the start: store what processes before this one could not. Raises Unavailable."""
        for found in () if self._folder is None else left(self._folder):
            is_stored = False
            try:
                await self._store(found.records())
                is_stored = True
            finally:
                if is_stored:
                    found.remove()
                else:
                    found.release()
            if found.unread:
                said = f"{found.unread} claims that were kept on disk cannot be read back"
                self._observer.failed("claims", ValueError(said))

    async def _store(self, records: Sequence[Kept]) -> None:
        for start in range(0, len(records), PER_TRANSACTION_MAX):
            await self._write_apart(records[start : start + PER_TRANSACTION_MAX])

    def close(self) -> None:
        """After ``drain``: what is still not written goes to disk, for the next start."""
        self._to_disk(*self._unfiled())
        if self._file is not None:
            with self._reported():
                if not self._queue:
                    self._file.cut()
                self._file.close()

    def _unfiled(self) -> tuple[list[Kept], int]:
        """What is neither written nor on disk, and how many that makes of all that was queued."""
        start = max(self._filed - self._written, 0)
        return list(islice(self._queue, start, None)), self._queued

    def _to_disk(self, records: Sequence[Kept], queued: int) -> None:
        if self._file is None or not records:
            return
        with self._reported():
            self._file.add(records)
            self._filed = queued

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._observer.failed("claims", error)

    async def drain(self) -> None:
        """At the end of the process: write what is queued; a failure is reported."""
        try:
            await self.flush()
        except Unavailable as error:
            self._observer.failed("claims", error)

    async def forget(self, now_us: int) -> int:
        """Remove claims of what the provider has forgotten; how many. Raises Unavailable."""
        over = (
            sa.select(RESOURCE.c.resource)
            .where(RESOURCE.c.expires_us < now_us)
            .limit(FORGOTTEN_PER_STEP)
        )
        gone = sa.delete(RESOURCE).where(RESOURCE.c.resource.in_(over.scalar_subquery()))
        async with self._database.write() as connection:
            return int((await connection.execute(gone)).rowcount)

    async def _write_apart(self, batch: Sequence[Kept]) -> None:
        """Write a batch whole; where one of it spoils that, its halves: what is refused costs nobody else's claim."""
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                await self._write(part)
            except RowRefused as error:
                if len(part) == 1:
                    self._observer.failed("claims", error)
                    continue
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]

    async def _write(self, batch: Sequence[Kept]) -> None:
        claims = sorted(
            (one for one in batch if isinstance(one, Claim)), key=lambda claim: claim.resource
        )
        works = sorted((one for one in batch if isinstance(one, Work)), key=lambda work: work.work)
        async with self._database.write() as connection:
            if claims:
                await self._insert(connection, RESOURCE, [_row(claim) for claim in claims])
                # Where another claim came first it is that one which stands.
                standing = await _stored(connection, [claim.resource for claim in claims])
            else:
                standing = []
            if works:
                await self._insert(connection, WORK, [_work_row(work) for work in works])
            for told in [one for one in batch if isinstance(one, Told)]:
                if told.is_booked:
                    await connection.execute(sa.delete(WORK).where(WORK.c.work == told.work))
                else:
                    await want(connection, told.at_us, WORK.c.work == told.work)
        self._remember(standing)

    async def _insert(
        self, connection: AsyncConnection, table: sa.Table, rows: list[dict[str, Any]]
    ) -> None:
        make = postgresql.insert if self._database.is_postgres else sqlite.insert
        await connection.execute(make(table).on_conflict_do_nothing(), rows)

    def _remember(self, claims: Iterable[Claim]) -> None:
        kept = self._remembered
        for claim in claims:
            before = kept.pop(claim.resource, None)
            self._remembered_bytes += _size(claim) - (0 if before is None else _size(before))
            kept[claim.resource] = claim
        while len(kept) > REMEMBERED_MAX or self._remembered_bytes > REMEMBERED_BYTES_MAX:
            _, oldest = kept.popitem(last=False)
            self._remembered_bytes -= _size(oldest)

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for asked, future in waiting:
            if asked > self._written:
                self._waiting.append((asked, future))
            elif not future.done():
                future.set_result(None)


def _size(claim: Claim) -> int:
    """What a claim takes, at most: its own texts are short, but for its id and what it names."""
    named = sum([getsizeof(model) for model in claim.models or ()])
    return _CLAIM_BYTES + getsizeof(claim.resource) + getsizeof(claim.model) + named


async def _stored(connection: AsyncConnection, names: Sequence[str]) -> list[Claim]:
    ours = among(connection, (RESOURCE.c.resource,), [(name,) for name in names])
    query = sa.select(RESOURCE).where(ours)
    return [_claim(row) for row in (await connection.execute(query)).mappings()]


def _row(claim: Claim) -> dict[str, Any]:
    models = None if claim.models is None else msgspec.json.encode(claim.models).decode()
    return msgspec.structs.asdict(claim) | {"models": models}


def _claim(row: sa.RowMapping) -> Claim:
    fields = {name: row[name] for name in Claim.__struct_fields__}
    if fields["models"] is not None:
        fields["models"] = _MODELS.decode(fields["models"])
    return Claim(**fields)


def _work_row(work: Work) -> dict[str, Any]:
    return {
        "work": work.work,
        "provider": work.provider,
        "upstream": work.upstream,
        "raw_path": work.raw_path.decode("latin-1"),
        "query": work.query.decode("latin-1"),
        "creator": encode(work.creator),
        "made_us": work.made_us,
        "due_us": work.made_us + FIRST_ASKED_US,
        "attempts": 0,
    }
