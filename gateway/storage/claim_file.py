"""Claims that a database which is away has not taken yet, on this machine's disk: the next start stores them.

A directory for each process that had to write one, locked for as long as it lives, as the spool's are. A line is one
record of JSON; storing one twice changes nothing, so a file is only ever cut when all of it is stored.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias
from uuid import uuid4

import msgspec

from gateway.identity.claim import Claim
from gateway.ledger.work import Told, Work
from gateway.storage.disk import LOCK, NEWBORN, Disk, create_home, remove_home, try_lock

_FILE: Final = "claims"
Kept: TypeAlias = Claim | Work | Told


class _Line(msgspec.Struct, omit_defaults=True):
    """One of the three."""

    claim: Claim | None = None
    work: Work | None = None
    told: Told | None = None


_LINE: Final = msgspec.json.Decoder(_Line)


class ClaimFile:
    """This process' own; any thread may call. Nothing is made before the first record."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self._root = root
        self._home = root / uuid4().hex
        self._disk = disk or Disk()
        self._lock: int | None = None
        self._fd: int | None = None
        self._size = 0
        self._one_at_a_time = Lock()

    def add(self, records: Sequence[Kept]) -> None:
        """Write records; they would survive a power cut then. Raises OSError: what was half written is taken back."""
        text = b"".join(map(_text, records))
        with self._one_at_a_time:
            self._append(text)

    def _append(self, text: bytes) -> None:
        if self._lock is None:
            self._lock = create_home(self._root, self._home.name, self._disk)
        if self._fd is None:
            self._fd = self._disk.open(self._home / _FILE)
            self._disk.sync_directory(self._home)
        if self._disk.write(self._fd, text, self._size) != len(text):
            self._disk.truncate(self._fd, self._size)
            raise OSError("the disk took half a record")
        self._disk.sync(self._fd)
        self._size += len(text)

    def cut(self) -> None:
        """All of it is stored. Raises OSError."""
        with self._one_at_a_time:
            if self._fd is not None and self._size:
                self._disk.truncate(self._fd, 0)
                self._size = 0

    def close(self) -> None:
        """Let go; what still holds records stays for the next start. Raises OSError."""
        with self._one_at_a_time:
            fd, lock, self._fd, self._lock = self._fd, self._lock, None, None
            if fd is not None:
                self._disk.close(fd)
            if lock is not None and self._size:
                self._disk.close(lock)
            elif lock is not None:
                remove_home(self._home, lock, self._disk)


class Left:
    """What a process that has ended left, locked by us. ``unread``: lines that are no record."""

    def __init__(self, home: Path, lock: int, disk: Disk) -> None:
        self._home = home
        self._lock = lock
        self._disk = disk
        self.unread = 0

    def records(self) -> list[Kept]:
        """All of it, in the order of writing; a torn last line was never promised to anybody."""
        path = self._home / _FILE
        blob = path.read_bytes() if path.exists() else b""
        found: list[Kept] = []
        for text in blob.split(b"\n")[:-1]:
            try:
                line = _LINE.decode(text)
            except msgspec.DecodeError:
                self.unread += 1
            else:
                found += [one for one in (line.claim, line.work, line.told) if one is not None]
        return found

    def remove(self) -> None:
        """All of it is stored."""
        remove_home(self._home, self._lock, self._disk)

    def release(self) -> None:
        """Let go: the next start begins again."""
        self._disk.close(self._lock)


def left(root: Path, disk: Disk | None = None) -> Iterator[Left]:
    """What processes that have ended left below ``root``, each locked before it is handed out."""
    for home in sorted(root.iterdir()) if root.is_dir() else ():
        is_whole = not home.name.startswith(NEWBORN) and (home / LOCK).exists()
        lock = try_lock(home) if is_whole else None
        if lock is not None:
            yield Left(home, lock, disk or Disk())


def _text(record: Kept) -> bytes:
    try:
        return msgspec.json.encode(_line(record)) + b"\n"
    except UnicodeEncodeError:
        return b""  # a lone surrogate in a name: no database takes it either


def _line(record: Kept) -> _Line:
    if isinstance(record, Claim):
        return _Line(claim=record)
    return _Line(work=record) if isinstance(record, Work) else _Line(told=record)
