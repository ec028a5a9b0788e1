"""Spools whose worker is dead: found by their free lock, read once, removed when all is booked.

What a settlement says is replayed; an intent that nothing followed becomes an ``interrupted`` entry.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from gateway.kernel.clock import Clock, SystemClock
from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.storage.disk import NEWBORN, Disk, remove_home, try_lock
from gateway.storage.rows import decode
from gateway.storage.segment import SUFFIX, Kind, Record, damaged_bytes, records

NEWBORN_US_MAX: Final = 60_000_000  # a directory still being made is younger


class Malformed(msgspec.Struct, frozen=True):
    """A whole record whose JSON is no entry (another version's, say): for the quarantine."""

    entry_id: UUID
    text: bytes
    reason: str


class Survey(msgspec.Struct, frozen=True):
    """The journals below a folder: how many, how many of them nobody has locked, and their files' bytes."""

    journals: int
    orphaned: int
    bytes: int


class Orphan:
    """A dead worker's spool, locked by us."""

    def __init__(self, home: Path, lock: int, disk: Disk, clock: Clock) -> None:
        self._home = home
        self._lock = lock
        self._disk = disk
        self._clock = clock
        self.damaged_bytes = 0  # of what was read so far

    @property
    def name(self) -> str:
        """The directory's name."""
        return self._home.name

    def batches(self, limit: int) -> Iterator[list[Entry | Malformed]]:
        """Everything to book, in lists of at most ``limit``; the interrupted come last."""
        batch: list[Entry | Malformed] = []
        for found in self._found():
            batch.append(found)
            if len(batch) == limit:
                yield batch
                batch = []
        if batch:
            yield batch

    def remove(self) -> None:
        """All of it is booked: remove the directory and the lock."""
        remove_home(self._home, self._lock, self._disk)

    def release(self) -> None:
        """Let go without removing: the next adopter begins again, and repeats without effect."""
        self._disk.close(self._lock)

    def _found(self) -> Iterator[Entry | Malformed]:
        intents: dict[UUID, Record] = {}
        for path in sorted(self._home.glob(f"*{SUFFIX}")):
            blob = path.read_bytes()
            self.damaged_bytes += damaged_bytes(blob)
            yield from chain.from_iterable(_resolved(record, intents) for record in records(blob))
        booked_us = self._clock.wall_us()
        for record in intents.values():
            entry = _entry(record)
            yield entry if isinstance(entry, Malformed) else _interrupted(entry, booked_us)


def orphans(
    root: Path, own: str, *, clock: Clock | None = None, disk: Disk | None = None
) -> Iterator[Orphan]:
    """The dead workers' spools below ``root``, each locked before it is handed out. ``own``: our own name."""
    now = clock or SystemClock()
    for home in sorted(root.iterdir()) if root.is_dir() else ():
        if home.name == own or not home.is_dir():
            continue
        if home.name.startswith(NEWBORN) and _age_us(home, now) < NEWBORN_US_MAX:
            continue
        lock = try_lock(home)
        if lock is not None:
            yield Orphan(home, lock, disk or Disk(), now)


def survey(root: Path) -> Survey:
    """Look at the journals without touching them; a lock is tried for a moment only."""
    homes = [home for home in root.iterdir() if home.is_dir()] if root.is_dir() else []
    size = sum(_bytes(path) for home in homes for path in home.glob(f"*{SUFFIX}"))
    return Survey(len(homes), sum(_is_free(home) for home in homes), size)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # flushed a moment ago


def _is_free(home: Path) -> bool:
    lock = try_lock(home)
    if lock is None:
        return False
    os.close(lock)
    return True


def _age_us(home: Path, clock: Clock) -> int:
    try:
        return clock.wall_us() - home.stat().st_mtime_ns // 1000
    except FileNotFoundError:
        return 0  # it has just been renamed: a live worker's


def _resolved(record: Record, intents: dict[UUID, Record]) -> Iterator[Entry | Malformed]:
    if record.kind == Kind.INTENT:
        intents[record.entry_id] = record
    elif record.kind == Kind.VOID:
        intents.pop(record.entry_id, None)
    elif record.kind == Kind.SETTLE:
        intents.pop(record.entry_id, None)
        yield _entry(record)


def _entry(record: Record) -> Entry | Malformed:
    try:
        return decode(record.text)
    except msgspec.DecodeError as error:
        return Malformed(record.entry_id, record.text, f"not an entry: {error}")


def _interrupted(entry: Entry, booked_us: int) -> Entry:
    return msgspec.structs.replace(
        entry, kind=EntryKind.INTERRUPTED, outcome=Outcome.INTERRUPTED, booked_us=booked_us
    )
