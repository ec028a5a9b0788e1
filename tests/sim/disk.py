"""A disk that remembers what a power cut would leave, belongs to one worker, and dies with it.

Files are real ones (below a folder of the test, on a tmpfs where there is one), since reading them back is
part of what is tested; durability is pretended: what was synced is written down, nothing is flushed.
"""

import asyncio
import errno
import os
from pathlib import Path
from random import Random
from typing import Final

from gateway.storage.backlog import Segment
from gateway.storage.disk import LOCK, NEWBORN, Disk
from gateway.storage.syncer import Syncer, Waited

SYNC_S_MAX: Final = 0.004


class SimDisk(Disk):
    """``synced``: bytes of each file's records that are durable, by path; ``written``: those that are there;
    ``named``: names that are durable."""

    def __init__(self) -> None:
        self.synced: dict[Path, int] = {}
        self.written: dict[Path, int] = {}
        self.named: set[Path] = set()
        self.open_fds: dict[int, Path | None] = {}
        self.is_dead = False
        self.is_full = False
        self.cannot_sync = False

    def open(self, path: Path) -> int:
        self._living()
        fd = super().open(path)
        self.open_fds[fd] = path
        self.synced[path] = self.written[path] = 0
        return fd

    def write(self, fd: int, record: bytes, at: int) -> int:
        self._living()
        path = self._path(fd)
        is_there = at + len(record) <= self.written[path]  # what is written over takes no room
        is_cut = self.is_full and not is_there
        taken = super().write(fd, record[: len(record) // 2] if is_cut else record, at)
        self.written[path] = max(self.written[path], at + taken)
        return taken

    def lay(self, fd: int, size: int, at: int) -> int:
        self._living()
        if self.is_full:
            raise OSError(errno.ENOSPC, "no room")
        return super().lay(fd, size, at)

    def truncate(self, fd: int, size: int) -> None:
        self._living()
        super().truncate(fd, size)
        self.written[self._path(fd)] = size

    def sync(self, fd: int) -> None:
        self._living()
        if self.cannot_sync:
            self.cannot_sync = False  # reported once, as Linux does
            raise OSError(errno.EIO, "the platter is gone")
        path = self._path(fd)
        self.synced[path] = self.written[path]

    def sync_directory(self, path: Path) -> None:
        self._living()
        home = path.with_name(path.name.removeprefix(NEWBORN))  # as it will be called in a moment
        self.named.update(home / child.name for child in path.iterdir())

    def close(self, fd: int) -> None:
        if self.is_dead:
            return
        self.open_fds.pop(fd, None)
        super().close(fd)

    def _path(self, fd: int) -> Path:
        path = self.open_fds[fd]
        assert path is not None
        return path

    def _living(self) -> None:
        if self.is_dead:
            raise OSError(errno.ESHUTDOWN, "this worker is dead")

    # What the world does to it.

    def keep(self, fd: int) -> None:
        """A lock of this worker's, to be dropped when it dies."""
        self.open_fds[fd] = None

    def die(self) -> None:
        """The kernel closes what the process had open; the locks are free."""
        if not self.is_dead:
            self.is_dead = True
            for fd in self.open_fds:
                os.close(fd)

    def lose_power(self, chance: Random) -> None:
        """Leave of every file what was synced, or a bit more, and take away the names that were not.

        Behind it lie the zeros that were there before the records, or the file ends.
        """
        for path, size in self.synced.items():
            if not path.exists():
                continue
            if path in self.named:
                laid, written = path.stat().st_size, max(size, self.written[path])
                os.truncate(path, chance.randint(size, written) if chance.random() < 0.3 else size)
                if chance.random() < 0.5:
                    os.truncate(path, laid)
            else:
                path.unlink()
        for home in {path.parent for path in self.synced}:
            lock = home / LOCK
            if lock.exists() and lock not in self.named:
                lock.unlink()


def syncer_of(chance: Random) -> type[Syncer]:
    """The group sync without its thread: a step of the loop a moment after the asking."""

    class SimSyncer(Syncer):
        def _start(self) -> None:
            self._is_asked = False

        def ask(self, what: Waited | Segment, siblings: int = 0) -> None:
            self._asked.append(what)
            if not self._is_asked:
                self._is_asked = True
                loop = asyncio.get_running_loop()
                loop.call_later(chance.random() * SYNC_S_MAX, self._sync_now)

        def _sync_now(self) -> None:
            self._is_asked = False
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            if asked:
                self._sync(asked)

        def close(self) -> None:
            self._sync_now()

    return SimSyncer
