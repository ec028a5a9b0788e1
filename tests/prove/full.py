"""The journal's disk is full while the database is away: 503 with Retry-After before the first loss.

A tmpfs of 4 MB where we may mount one, else a limit on the size of the process's files. When the database is
back, the gateway takes requests again by itself.
"""

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.gateways import Process, process
from tests.prove.books import Verdict, judged
from tests.prove.kills import Place, place
from tests.prove.load import Load

DISK_MIB: Final = 4
FILE_BYTES: Final = 256 * 1024
CLIENTS: Final = 16
FILLED_S_MAX: Final = 90.0
RECOVERED_S_MAX: Final = 30.0
REFUSED_MIN: Final = 20
UNAVAILABLE: Final = 503


class Full(NamedTuple):
    """``unhelpful``: refusals without Retry-After; ``other``: refusals of another status than 503."""

    verdict: Verdict
    how: str
    served: int
    refused: int
    unhelpful: int
    other: int
    recovered_s: float


def proved() -> Full:
    """Fill the disk under load with the store away, then bring the store back."""
    with place("postgres") as where, _small(where.folder / "var" / "spool") as how:
        load = Load(where.port, where.key, 3, pause_s=0.005)
        with process(where.path, where.port, log=where.folder / "log") as serving:
            if how == "file size":
                resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
            served, recovered_s = asyncio.run(_fill(where, load, serving))
        verdict = judged(where.config, where.asked(), load.whole)
    other = sum(count for status, count in load.refused.items() if status != UNAVAILABLE)
    refused = load.refused.get(UNAVAILABLE, 0)
    return Full(verdict, how, served, refused, load.unhelpful, other, recovered_s)


async def _fill(where: Place, load: Load, serving: Process) -> tuple[int, float]:
    assert where.store is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CLIENTS))
        await asyncio.sleep(1)
        await asyncio.to_thread(where.store.crash)
        await _until(lambda: load.refused.get(UNAVAILABLE, 0) >= REFUSED_MIN, FILLED_S_MAX)
        served = len(load.whole)
        await asyncio.to_thread(where.store.start)
        began = time.monotonic()
        await _until(lambda: len(load.whole) > served + CLIENTS, RECOVERED_S_MAX)
        recovered_s = time.monotonic() - began
        load.stopping = True
    return served, recovered_s


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110  # others' figures are looked at
        await asyncio.sleep(0.05)


@contextmanager
def _small(folder: Path) -> Iterator[str]:
    """A small file system at ``folder``, or word that there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    is_mounted = (
        os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield f"tmpfs of {DISK_MIB} MB" if is_mounted else "file size"
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
