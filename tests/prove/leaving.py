"""SIGTERM with a hundred streams open, and kill -9 of one of two workers: what is promised, measured."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.gateways import ENVIRONMENT, Process, is_listening
from tests.faults.origin import Asked, Step
from tests.faults.streams import BUILDERS, CHAT
from tests.faults.visitor import Got, ask, post
from tests.prove.books import Verdict, judged
from tests.prove.kills import Place, place
from tests.prove.load import CALL_ID, Load, counts

STREAMS: Final = 100
DRAIN_S: Final = 8  # as place() configures it
STREAM_S: Final = 4.0
LATE_S: Final = 5.0  # beyond the drain
STALLED: Final = 10
LISTENING_S_MAX: Final = 60.0


class Left(NamedTuple):
    """``finished`` of ``streams`` came to their end; ``exit_s`` after SIGTERM."""

    verdict: Verdict
    streams: int
    finished: int
    stalled_cut: int
    exit_s: float
    exit_code: int


class Respawned(NamedTuple):
    """``respawn_s``: from kill -9 to another process that listens; ``failed`` calls of ``calls``."""

    verdict: Verdict
    respawn_s: float
    calls: int
    failed: int
    held_max: int


def slow(asked: Asked) -> list[Step]:
    """Streams of four seconds; those named so stall for longer than any drain."""
    name, _, number = (asked.header("x-call") or "").partition("-")
    steps = BUILDERS["chat"](counts(int(number))).steps(STREAM_S / len(CHAT.parts))
    return [*steps[:5], 600.0, *steps[5:]] if name == "stalled" else steps


def drained() -> Left:
    """A hundred streams in their midst when SIGTERM comes, and some that never end."""
    with place("sqlite") as where:
        where.origin.answer = slow
        serving = Process(where.path, where.port, log=where.folder / "log")
        try:
            got, exit_s, code = asyncio.run(_drain(where, serving.until_ready()))
        finally:
            serving.end()
        whole = {call for call, one in got.items() if one.clean}
        verdict = judged(where.config, where.asked(), whole)
    finished = sum(call.startswith("chat") for call in whole)
    cut = sum(not one.clean for call, one in got.items() if call.startswith("stalled"))
    return Left(verdict, STREAMS, finished, cut, exit_s, code)


async def _drain(where: Place, serving: Process) -> tuple[dict[str, Got], float, int]:
    calls = [f"chat-{n}" for n in range(STREAMS)] + [f"stalled-{n}" for n in range(STALLED)]
    async with asyncio.TaskGroup() as group:
        tasks = {call: group.create_task(_one(where, call)) for call in calls}
        while len(where.origin.asked) < len(calls):  # noqa: ASYNC110  # another thread's list
            await asyncio.sleep(0.01)
        serving.signal(signal.SIGTERM)
        began = time.monotonic()
        code = await asyncio.to_thread(serving.wait, DRAIN_S + LATE_S + 20)
        exit_s = time.monotonic() - began
    return {call: task.result() for call, task in tasks.items()}, exit_s, code


async def _one(where: Place, call: str) -> Got:
    return await ask(
        where.port, post(CHAT.path, CHAT.body, where.key, {CALL_ID: call, "x-call": call})
    )


def respawned() -> Respawned:
    """One of two supervised workers dies under load."""
    with place("sqlite") as where:
        text = where.path.read_text().replace("[server]", "[server]\nworkers = 2", 1)
        where.path.write_text(text)
        load = Load(where.port, where.key, 5)
        with (where.folder / "log").open("ab") as log:
            serving = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(where.path)],
                env={**os.environ, **ENVIRONMENT},
                stdout=log,
                stderr=log,
            )
            try:
                respawn_s, held = asyncio.run(_kill_one(serving.pid, load))
            finally:
                serving.terminate()
                serving.wait(30)
        verdict = judged(where.config, where.asked(), load.whole)
    failed = load.broken + sum(load.refused.values())
    return Respawned(verdict, respawn_s, len(load.whole) + failed, failed, held)


async def _kill_one(supervisor: int, load: Load) -> tuple[float, int]:
    await _workers(supervisor, 2)
    clients = 20
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(clients))
        await asyncio.sleep(2)
        os.kill(_children(supervisor)[0], signal.SIGKILL)
        began = time.monotonic()
        await asyncio.sleep(0.1)
        await _workers(supervisor, 2)
        respawn_s = time.monotonic() - began
        await asyncio.sleep(2)
        load.stopping = True
    return respawn_s, clients


async def _workers(supervisor: int, count: int) -> None:
    end = time.monotonic() + LISTENING_S_MAX
    while sum(is_listening(pid) for pid in _children(supervisor)) < count:
        assert time.monotonic() < end, "the workers do not listen"
        await asyncio.sleep(0.02)


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
