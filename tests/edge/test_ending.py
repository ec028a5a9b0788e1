"""A process told to end is gone in its time, though its app never ends, or a thread of a library waits for a server."""

import signal
import subprocess
import sys
import time
from typing import Final

import pytest

from gateway.edge.server import LAST_SECONDS

REST_S: Final = 2
SCRIPT: Final = """
import asyncio, sys, threading, time
from gateway.edge import server
server.REST_SECONDS = int(sys.argv[2])
hangs = sys.argv[1]
async def app(scope, receive, send):
    await receive()
    if hangs in {"start", "stubborn start"}:
        print("hangs", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            if hangs == "stubborn start":
                await asyncio.sleep(600)
    await send({"type": "lifespan.startup.complete"})
    if hangs == "thread":
        threading.Thread(target=time.sleep, args=(600,)).start()
    await receive()
    if hangs == "app":
        await asyncio.sleep(600)
    if hangs == "loop":
        time.sleep(600)
    await send({"type": "lifespan.shutdown.complete"})
settings = server.server_config(app, "127.0.0.1", 0, drain_seconds=1)
late = lambda: print("late", flush=True)
listens = lambda: print("listens", flush=True)
server.Server(settings, listens, late).run(sockets=[server.listening("127.0.0.1", 0)])
"""


@pytest.mark.parametrize(
    ("hangs", "most_s", "said"),
    [
        ("nothing", LAST_SECONDS, b""),
        ("thread", LAST_SECONDS, b""),
        ("app", 1 + REST_S, b"late\n"),
        ("loop", 1 + REST_S, b"late\n"),
        ("start", 0, b""),
        ("stubborn start", REST_S, b"late\n"),
    ],
)
def test_a_process_is_gone_in_its_time_whatever_hangs_in_it(
    hangs: str, most_s: int, said: bytes
) -> None:
    command = [sys.executable, "-c", SCRIPT, hangs, str(REST_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            rest, _ = process.communicate(timeout=60)
            took_s = time.monotonic() - began
        finally:
            process.kill()
    assert rest == said
    assert took_s < most_s + 2
