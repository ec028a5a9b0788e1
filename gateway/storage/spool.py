"""The spool: this worker's journal on disk. What was sent is known before it is sent, what was used is
durable before it is delivered; the database may be away meanwhile.

One directory per worker, locked by flock for as long as the worker lives: the kernel drops the lock on
kill -9, and another worker adopts the directory. Open it after forking, since children share a lock.
Records are written from the event loop (a write into the page cache); a thread of its own groups
everybody's fdatasync. Zeros are laid ahead of the records: a sync that need not make a new file length durable
does not wait for the file system's own journal, nor for others who write to it (half the time alone, far less
beside a busy neighbour). To change the format see storage/segment.py.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import SpoolFull
from gateway.ledger.entry import Entry
from gateway.storage.backlog import Backlog, Open, Pending, Segment, Settled, Written
from gateway.storage.disk import Disk, create_home, remove_home
from gateway.storage.segment import SUFFIX, Kind, packed, packed_void, struck
from gateway.storage.syncer import Syncer

SEGMENT_BYTES_MAX: Final = 8 * 1024 * 1024
SEGMENT_NS_MAX: Final = 5_000_000_000
SPOOL_BYTES_MAX: Final = (
    8 * 1024 * 1024 * 1024
)  # days of a database outage, not the machine's whole disk
# Zeros laid at a time: as much again as the file has, so that a quiet worker's small files stay small.
LAID_BYTES_MIN: Final = 64 * 1024
LAID_BYTES_MAX: Final = 256 * 1024
UNSPOOLED_MAX: Final = 10_000  # settlements waiting for the database itself, the disk being full
RETRY_AFTER_MS: Final = 5_000
_INTENT: Final = Kind.INTENT
_SETTLE: Final = Kind.SETTLE
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Spool:
    """Implements the exchange's port Spool, and what jobs/flush.py takes from. Owned by one event loop."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock | None = None,
        observer: Observer | None = None,
        disk: Disk | None = None,
        bytes_max: int = SPOOL_BYTES_MAX,
        syncer: type[Syncer] = Syncer,
    ) -> None:
        """Create this worker's directory below ``root``. Raises OSError where that cannot be done."""
        self._clock = clock or SystemClock()
        self._observer = observer
        self._disk = disk or Disk()
        self._bytes_max = bytes_max
        self.name = uuid4().hex
        self._home = root / self.name
        self._lock = create_home(root, self.name, self._disk)
        self._segments: deque[Segment] = deque()
        self._current: Segment | None = None
        self._made = 0
        self._bytes = 0
        self._intents: dict[UUID, Open] = {}  # carried into every new segment
        self._owed = b""  # voids that could not be written; written before the next record
        self._unspooled: deque[Pending] = deque()
        self._backlog = Backlog(self._segments, self._malformed)
        self._syncer = syncer(self._home, self._disk, self._synced)
        self._broken: OSError | None = None
        self._unflushed = 0
        self._is_closed = False
        self.settled_durable = 0

    # The exchange's side.

    def intent(self, entry: Entry) -> None:
        """Record that an attempt is about to be forwarded (about 10 us). Raises SpoolFull."""
        record = packed(_INTENT, entry)
        if self._bytes > self._bytes_max:
            raise _full("the journal has reached its limit: the database is away too long")
        self._open(entry.id, record, self._write(record))

    async def intent_durable(self, entry: Entry) -> None:
        """As ``intent``; returns once it would survive a power cut: for what passes without a hold.

        Raises SpoolFull where it cannot be made durable; then, and where the wait is cancelled, the intent
        is void already.
        """
        self.intent(entry)
        segment = self._current
        assert segment is not None
        written = Written(asyncio.get_running_loop().create_future(), segment)
        self._syncer.ask(written, siblings=len(self._intents))
        is_durable = False
        try:
            await written.future
            is_durable = True
        finally:
            if not is_durable:
                self.void(entry.id)

    def progress(self, entry: Entry) -> None:
        """Say an open intent again with what is known by now: what a crash from here on books.

        A write without fsync. Never raises: without room the record before it stands. To be called now and
        then while a stream runs (exchange/pace.py says when); ids that are not open are passed over.
        """
        if entry.id not in self._intents or self._bytes > self._bytes_max:
            return
        record = packed(_INTENT, entry)
        try:
            segment = self._write(record)
        except SpoolFull:
            return
        segment.is_spent = True  # the record before it is done with
        self._open(entry.id, record, segment)

    async def settle(self, entry: Entry) -> None:
        """Return once the entry is durable: on this disk, or, that being full, in the database itself.

        Cancelling the wait does not take the entry back. Raises SpoolFull where neither takes it: its intent
        then stays for the adopter.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        record = packed(_SETTLE, entry)
        try:
            segment = self._write(record)
        except SpoolFull:
            # Closed, nobody hands it to the database any more: who waited would wait for ever.
            if self._is_closed or len(self._unspooled) >= UNSPOOLED_MAX:
                raise
            self._unspooled.append(Pending(entry, None, future))
        else:
            self._intents.pop(entry.id, None)
            segment.live += 1
            segment.is_spent = True
            end = segment.size
            settled = Settled(entry, future, segment, end - len(record), end)
            self._syncer.ask(settled, siblings=len(self._intents))
        self._unflushed += 1
        await future

    def void(self, entry_id: UUID) -> None:
        """Record that nothing was consumed. Never raises.

        Without room, or on a disk that has failed to sync, the intent itself becomes the void, where it lies: else
        whoever adopts this journal would book what never left.
        """
        opened = self._intents.pop(entry_id, None)
        if opened is None:
            return
        record = packed_void(entry_id)
        try:
            self._write(record).is_spent = True
        except SpoolFull:
            if not self._strike(opened):
                self._owed += record

    # The flusher's side.

    def take(self, limit: int) -> Sequence[Pending]:
        """The next durable entries to book, oldest first; hand them to ``flushed`` once committed."""
        if self._unspooled:
            return [self._unspooled.popleft() for _ in range(min(limit, len(self._unspooled)))]
        return self._backlog.take(limit)

    def flushed(self, batch: Sequence[Pending]) -> None:
        """The database holds these: files that hold nothing else are removed."""
        for pending in batch:
            self._unflushed -= 1
            if pending.segment is not None:
                pending.segment.live -= 1
            if pending.future is not None:
                self._intents.pop(pending.entry.id, None)
                _resolve(pending.future)
        self._tidy()

    @property
    def unflushed(self) -> int:
        """Settlements that the database does not hold yet."""
        return self._unflushed

    @property
    def open_intents(self) -> int:
        """Attempts forwarded and neither settled nor voided."""
        return len(self._intents)

    @property
    def is_accepting(self) -> bool:
        """Whether intents are taken: not after the disk failed to sync (its state is unknown then)."""
        return self._broken is None

    @property
    def bytes_on_disk(self) -> int:
        """Bytes in segments."""
        return self._bytes

    @property
    def syncs(self) -> int:
        """fdatasync calls so far."""
        return self._syncer.syncs

    @property
    def lag_ns(self) -> int:
        """Age of the oldest segment that holds an unflushed settlement; 0 where all is in the database."""
        now = self._clock.ticks_ns()
        return max((now - one.opened_ns for one in self._segments if one.live), default=0)

    def close(self) -> None:
        """Leave: an emptied directory is removed, anything else is left for the next worker to adopt.

        Idempotent. Nothing is taken any more.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._syncer.close()
        for segment in self._segments:
            self._disk.close(segment.fd)
        if self._unflushed or self._intents:
            self._disk.close(self._lock)
        else:
            remove_home(self._home, self._lock, self._disk)

    # Segments.

    def _write(self, record: bytes) -> Segment:
        """Append one record whole, or nothing. Raises SpoolFull."""
        if self._broken is not None or self._is_closed:
            raise _full("the journal is closed or its disk has failed: this worker takes no more")
        segment = self._current
        try:
            if segment is None or segment.is_sealed or segment.size >= SEGMENT_BYTES_MAX:
                segment = self._roll()
            self._append(segment, self._owed + record if self._owed else record)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._break(error)
            raise _full("the journal has no room") from error
        self._owed = b""
        return segment

    def _open(self, entry_id: UUID, record: bytes, segment: Segment) -> None:
        self._intents[entry_id] = Open(record, segment, segment.size - len(record))

    def _strike(self, opened: Open) -> bool:
        """Make the last record of an intent a void; those before it are read before it. Whether that was done."""
        if self._is_closed:
            return False
        header = struck(opened.record)
        opened.segment.is_spent = True
        try:
            return self._disk.write(opened.segment.fd, header, opened.at) == len(header)
        except OSError:
            return False

    def _append(self, segment: Segment, record: bytes) -> None:
        taken = 0
        if segment.size + len(record) > segment.laid:
            self._lay(segment, len(record))
        try:
            taken = self._disk.write(segment.fd, record, segment.size)
        finally:
            if taken != len(record):
                self._untear(segment)
        if taken != len(record):
            raise OSError(errno.ENOSPC, "the disk took half a record")
        segment.size += taken
        segment.laid = max(segment.laid, segment.size)
        self._bytes += taken

    def _lay(self, segment: Segment, record_bytes: int) -> None:
        """Zeros for this record and the next ones. Without room for them it goes on as it is, byte by byte."""
        size = record_bytes + min(max(segment.size, LAID_BYTES_MIN), LAID_BYTES_MAX)
        try:
            segment.laid += self._disk.lay(segment.fd, size, segment.laid)
        except OSError:
            return  # whatever it is, the record's own writing will meet it and say so

    def _untear(self, segment: Segment) -> None:
        """Take back half a record; where even that fails, nothing is ever written behind it."""
        try:
            self._disk.truncate(segment.fd, segment.size)
            segment.laid = segment.size
        except OSError:
            segment.is_sealed = True

    def _roll(self) -> Segment:
        """A new segment, holding the open intents, so that the ones before can go. Raises OSError."""
        path = self._home / f"{self._made + 1:08d}{SUFFIX}"
        segment = Segment(self._made + 1, path, self._disk.open(path), self._clock.ticks_ns())
        self._made += 1
        carried = b"".join([one.record for one in self._intents.values()])
        try:
            if carried:
                self._append(segment, carried)
        except OSError:
            self._disk.close(segment.fd)
            path.unlink()
            raise
        segment.carried = segment.size
        at = 0
        for entry_id, one in self._intents.items():
            self._intents[entry_id] = Open(one.record, segment, at)
            at += len(one.record)
        self._segments.append(segment)
        self._current = segment
        if carried:
            self._syncer.ask(segment)
        return segment

    def _tidy(self) -> None:
        """Close the current segment when it has aged, and remove every leading one that is done with."""
        current = self._current
        if current is not None and not current.live and self._age_ns(current) >= SEGMENT_NS_MAX:
            if not self._intents:
                self._current = None
            elif current.is_spent and self._broken is None:
                self._roll_if_room()
        # In order only: a void must outlive every copy of its intent.
        while self._segments and self._is_done(self._segments[0]):
            segment = self._segments.popleft()
            self._disk.close(segment.fd)
            segment.path.unlink()
            self._bytes -= segment.size

    def _roll_if_room(self) -> None:
        try:
            self._roll()
        except OSError:
            return  # the current segment stays; writing will say that the disk is full

    def _is_done(self, segment: Segment) -> bool:
        if segment is self._current or segment.live or segment.synced < segment.carried:
            return False
        # Its open intents were copied into the next one: it may go once the copies are durable.
        heir = self._segments[1] if len(self._segments) > 1 else None
        return heir is None or heir.synced >= heir.carried

    def _age_ns(self, segment: Segment) -> int:
        return self._clock.ticks_ns() - segment.opened_ns

    # What the sync thread reports, on the loop.

    def _synced(self, settled: Sequence[Settled | Written]) -> None:
        for one in settled:
            assert one.segment is not None
            if isinstance(one, Written):
                self._forced(one)
                continue
            if one.segment.failed is None:
                self.settled_durable += 1
                self._backlog.offer(one)
                _resolve(one.future)
            else:
                # Not durable here, and never will be: the database itself has to take it.
                self._break(one.segment.failed)
                self._unspooled.append(Pending(one.entry, one.segment, one.future))

    def _forced(self, written: Written) -> None:
        error = written.segment.failed
        if error is None:
            _resolve(written.future)
            return
        self._break(error)
        if not written.future.done():
            written.future.set_exception(_full("the journal's disk has failed"))

    def _break(self, error: OSError) -> None:
        if self._broken is None:
            self._broken = error
            self._report(error)

    def _malformed(self, entry_id: UUID, text: bytes) -> None:
        self._unflushed -= 1
        self._report(ValueError(f"the journal's own record {entry_id} cannot be read back"))

    def _report(self, error: Exception) -> None:
        if self._observer is not None:
            self._observer.failed("spool", error)


def _full(why: str) -> SpoolFull:
    return SpoolFull(f"{why}; try again later", retry_after_ms=RETRY_AFTER_MS)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():  # the one who waited may have been cancelled
        future.set_result(None)
