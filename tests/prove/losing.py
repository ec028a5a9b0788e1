"""Processes that leave one after the other under load, and a node whose disk is gone with its requests in flight."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.gateways import process
from tests.faults.nursery import Nursery, nursery
from tests.prove.books import Verdict, judged
from tests.prove.kills import place
from tests.prove.load import Load

CLIENTS = 20
WORKERS = 3
GONE_S_MAX = 30.0


class Lost(NamedTuple):
    """``segments``: files of journals that were deleted."""

    verdict: Verdict
    segments: int


class Rolled(NamedTuple):
    """``cut``: calls that had no clean end; ``gone``: processes that were replaced."""

    verdict: Verdict
    cut: int
    gone: int


def disk_gone(engine: str) -> Lost:
    """kill -9 under load, and everything the worker had on its own disk is gone."""
    with place(engine) as where:
        load = Load(where.port, where.key, 7, pause_s=0.01)
        with process(where.path, where.port, log=where.folder / "log") as serving:
            asyncio.run(_until_killed(load, serving.kill))
        folder = where.config.folder() / "spool"
        segments = len(list(folder.glob("*/*.seg")))
        shutil.rmtree(folder)
        verdict = judged(where.config, where.asked(), load.whole, wait_s=1)
    return Lost(verdict, segments)


async def _until_killed(load: Load, kill: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CLIENTS))
        await asyncio.sleep(2.5)
        await asyncio.to_thread(kill)
        load.stopping = True


def rolled(engine: str) -> Rolled:
    """Three workers, each replaced under load: a new one listens, the old one is told to go."""
    with place(engine) as where:
        load = Load(where.port, where.key, 8, pause_s=0.05)
        with nursery(where.path, where.folder / "log") as serving:
            for pid in [serving.begin() for _ in range(WORKERS)]:
                serving.until_listening(pid)
            asyncio.run(_replaced(load, serving))
        verdict = judged(where.config, where.asked(), load.whole)
    return Rolled(verdict, load.broken, WORKERS)


async def _replaced(load: Load, serving: Nursery) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CLIENTS))
        await asyncio.to_thread(_one_by_one, serving)
        load.stopping = True


def _one_by_one(serving: Nursery) -> None:
    for old in list(serving.alive):
        time.sleep(0.5)
        serving.until_listening(serving.begin())
        os.kill(old, signal.SIGTERM)
        end = time.monotonic() + GONE_S_MAX
        while Path(f"/proc/{old}").exists():
            assert time.monotonic() < end, f"{old} does not go"
            time.sleep(0.05)
        serving.alive.remove(old)
