"""A SQLite file copied whole while it is written, and whether a file is whole.

A file copied as it lies may lack what is still in the log beside it, or mix two states; SQLite's own copy is of one.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from gateway.storage.errors import translated

WAIT_S: Final = 30.0
FAULTS_MAX: Final = 20
_HAS_CHAIN: Final = (
    "SELECT 1 FROM sqlite_master WHERE name = 'ledger_chain'"  # a file of 0001 has none
)
_HEAD: Final = "SELECT seq, digest FROM ledger_chain ORDER BY seq DESC LIMIT 1"


def copied(source: Path, to: Path) -> None:
    """Copy the database as it is at this instant; ``to`` is there whole and on disk, or not at all.

    Raises FileExistsError where ``to`` is there, OSError where it cannot be written, StoreUnavailable.
    """
    if to.exists():
        raise FileExistsError(to)
    newborn = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        os.close(os.open(newborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with translated(source):
            _copy(source, newborn)
        _on_disk(newborn)
        os.link(newborn, to)  # unlike a rename, never over another's
        _on_disk(to.parent)
    finally:
        with suppress(FileNotFoundError):
            newborn.unlink()


def faults_of(file: Path) -> list[str]:
    """What is wrong with a file's pages and indexes, in SQLite's words; [] if nothing. Raises StoreUnavailable."""
    with translated(file), closing(sqlite3.connect(file, timeout=WAIT_S)) as connection:
        found = connection.execute(f"PRAGMA integrity_check({FAULTS_MAX})").fetchall()
    return [] if found == [("ok",)] else [str(text) for (text,) in found]


def head_of(file: Path) -> tuple[int, str]:
    """The newest link of a file's digest chain and its digest; (0, '') where there is none. Nothing is written."""
    with translated(file), closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:  # fmt: skip
        if not connection.execute(_HAS_CHAIN).fetchall():
            return 0, ""
        found = connection.execute(_HEAD).fetchone()
    return (0, "") if found is None else (int(found[0]), bytes(found[1]).hex())


def _copy(source: Path, to: Path) -> None:
    with (
        closing(sqlite3.connect(source, timeout=WAIT_S)) as before,
        closing(sqlite3.connect(to)) as after,
    ):
        before.backup(after)  # in one step: of one state, whoever writes meanwhile
        after.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _on_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
