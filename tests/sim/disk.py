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
    """``synced``: bytes of each file that are durable, by path; ``named``: names that are."""

    def __init__(self) -> None:
        self.synced: dict[Path, int] = {}
        self.named: set[Path] = set()
        self.open_fds: dict[int, Path | None] = {}
        self.is_dead = False
        self.is_full = False
        self.cannot_sync = False

    def open(self, path: Path) -> int:
        self._living()
        fd = super().open(path)
        self.open_fds[fd] = path
        self.synced[path] = 0
        return fd

    def write(self, fd: int, record: bytes) -> int:
        self._living()
        if self.is_full:
            return super().write(fd, record[: len(record) // 2])
        return super().write(fd, record)

    def truncate(self, fd: int, size: int) -> None:
        self._living()
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        self._living()
        if self.cannot_sync:
            self.cannot_sync = False  # reported once, as Linux does
            raise OSError(errno.EIO, "the platter is gone")
        path = self.open_fds[fd]
        assert path is not None
        self.synced[path] = os.fstat(fd).st_size

    def sync_directory(self, path: Path) -> None:
        self._living()
        home = path.with_name(path.name.removeprefix(NEWBORN))  # as it will be called in a moment
        self.named.update(home / child.name for child in path.iterdir())

    def close(self, fd: int) -> None:
        if self.is_dead:
            return
        self.open_fds.pop(fd, None)
        super().close(fd)

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
        """Cut every file to what was synced, or to a bit more, and take away the names that were not."""
        for path, size in self.synced.items():
            if not path.exists():
                continue
            if path in self.named:
                os.truncate(
                    path,
                    chance.randint(size, path.stat().st_size) if chance.random() < 0.3 else size,
                )
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
