"""What is durable here and not yet in the database: a bounded queue, and the disk behind it.

Above READY_MAX the queue keeps a place on disk instead of entries, so an outage of any length costs no
memory; order is kept.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from gateway.ledger.entry import Entry
from gateway.storage.rows import decode
from gateway.storage.segment import Kind, Record, records

READY_MAX: Final = 5_000  # entries in memory, about 3 KB each


class Segment:
    """One file of the journal.

    size     bytes written whole
    laid     bytes the file has: behind the records lie zeros, so that a record changes no file's length
    synced   bytes known to be durable
    durable  end of the last settlement that was reported durable
    carried  end of the intents copied here when the segment before was closed
    live     settlements written here and not yet in the database
    failed   why it cannot be synced any more; the kernel reports such an error only once
    is_linked  its name is durable too
    is_sealed  it ends in half a record: nothing more is written here
    is_spent   it holds a record that is done with
    """

    def __init__(self, number: int, path: Path, fd: int, opened_ns: int) -> None:
        self.number = number
        self.path = path
        self.fd = fd
        self.opened_ns = opened_ns
        self.size = 0
        self.laid = 0
        self.synced = 0
        self.durable = 0
        self.carried = 0
        self.live = 0
        self.is_linked = False
        self.is_sealed = False
        self.is_spent = False
        self.failed: OSError | None = None


class Open(NamedTuple):
    """An intent that nothing has become of yet: its last record, and where that lies."""

    record: bytes
    segment: Segment
    at: int


class Settled:
    """A settlement on its way into the database. ``segment`` is None where no disk took it."""

    __slots__ = ("end", "entry", "future", "segment", "start")

    def __init__(
        self,
        entry: Entry,
        future: asyncio.Future[None],
        segment: Segment | None = None,
        start: int = 0,
        end: int = 0,
    ) -> None:
        self.entry = entry
        self.future = future
        self.segment = segment
        self.start = start
        self.end = end


class Written:
    """Something written that somebody waits for until it is durable; nothing to be booked."""

    __slots__ = ("future", "segment")

    def __init__(self, future: asyncio.Future[None], segment: Segment) -> None:
        self.future = future
        self.segment = segment


class Pending(msgspec.Struct, frozen=True):
    """An entry to be booked, and where it came from."""

    entry: Entry
    segment: Segment | None
    future: asyncio.Future[None] | None = None


Malformed = Callable[[UUID, bytes], None]


class Backlog:
    """First in, first out. Lives on the event loop."""

    def __init__(self, segments: deque[Segment], malformed: Malformed) -> None:
        self._segments = segments
        self._malformed = malformed
        self._ready: deque[Pending] = deque()
        self._cursor: tuple[int, int] | None = (
            None  # segment number, offset: from there on only on disk
        )

    def offer(self, settled: Settled) -> None:
        """A settlement became durable."""
        segment = settled.segment
        assert segment is not None
        segment.durable = settled.end
        if self._cursor is not None:
            return
        if len(self._ready) < READY_MAX:
            self._ready.append(Pending(settled.entry, segment))
        else:
            self._cursor = (segment.number, settled.start)

    def take(self, limit: int) -> list[Pending]:
        """The next entries to book, oldest first; [] where none waits."""
        if not self._ready and self._cursor is not None:
            self._reread()
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def _reread(self) -> None:
        assert self._cursor is not None
        number, offset = self._cursor
        for segment in list(self._segments):
            if segment.number < number:
                continue
            offset = self._read(segment, offset if segment.number == number else 0)
            self._cursor = (segment.number, offset)
            if offset < segment.durable:
                return  # enough for now
        self._cursor = None  # all that is durable is in memory: new settlements may follow it there

    def _read(self, segment: Segment, start: int) -> int:
        """Take settlements from ``start`` up to what is durable or what there is room for; where it ended."""
        if start >= segment.durable:
            return start
        blob = segment.path.read_bytes()[: segment.durable]
        for record in records(blob, start):
            if len(self._ready) >= READY_MAX:
                return start
            start = record.end
            if record.kind == Kind.SETTLE:
                self._admit(record, segment)
        return segment.durable

    def _admit(self, record: Record, segment: Segment) -> None:
        try:
            self._ready.append(Pending(decode(record.text), segment))
        except msgspec.DecodeError:  # pragma: no cover - we wrote it ourselves a moment ago
            segment.live -= 1
            self._malformed(record.entry_id, record.text)
