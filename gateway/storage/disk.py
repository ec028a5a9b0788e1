"""The few system calls the spool stands on, as one value, so that a test can be a failing disk."""

import fcntl
import os
from pathlib import Path
from typing import Final

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
LOCK: Final = "lock"
NEWBORN: Final = ".new-"


class Disk:
    """The real disk. Every method raises OSError as the system does."""

    def open(self, path: Path) -> int:
        """A new file."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)

    def write(self, fd: int, record: bytes, at: int) -> int:
        """How many bytes were taken: fewer than given where space ran out in the middle."""
        return os.pwrite(fd, record, at)

    def lay(self, fd: int, size: int, at: int) -> int:
        """Write zeros, to be overwritten by records; how many were taken."""
        return os.pwrite(fd, bytes(size), at)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Return once the file's bytes would survive a power cut."""
        os.fdatasync(fd)

    def sync_directory(self, path: Path) -> None:
        """Return once the directory's names would survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """Close a file."""
        os.close(fd)


def create_home(root: Path, name: str, disk: Disk) -> int:
    """Make the directory ``root/name``, locked from its first visible moment; the lock's descriptor."""
    root.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    newborn = root / f"{NEWBORN}{name}"
    newborn.mkdir(mode=DIRECTORY_MODE)
    lock = os.open(newborn / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # The lock's name first: after a power cut a directory without one could be adopted by nobody.
    disk.sync_directory(newborn)
    newborn.rename(root / name)
    disk.sync_directory(root)
    return lock


def try_lock(home: Path) -> int | None:
    """Lock a directory whose worker is dead; None where somebody holds it or it is gone."""
    path = home / LOCK
    try:
        lock = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another adopter may have finished, and removed it, between our open and our lock.
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def remove_home(home: Path, lock: int, disk: Disk) -> None:
    """Remove a directory we hold the lock of, and let go of it. The lock's file goes last but one."""
    for path in home.iterdir():
        if path.name != LOCK:
            path.unlink()
    (home / LOCK).unlink()
    home.rmdir()
    disk.sync_directory(home.parent)
    disk.close(lock)
