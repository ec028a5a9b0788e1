"""SIGTERM while something around the gateway is slow, absent or full: it is gone in its time, and nothing is lost.

What could not be booked is in a journal, and the next start books it. To add a state: its line in ``STATES``, and what
it takes in ``Trouble``.
"""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from gateway import app as composition
from gateway.kernel.clock import SystemClock
from gateway.storage.rows import encode
from gateway.storage.tables import WORK
from tests.faults.gateways import Process, books
from tests.faults.origin import Asked, Step
from tests.faults.streams import CHAT
from tests.faults.visitor import Visitor, ask, post
from tests.prove.books import Verdict, judged
from tests.prove.database import Postgres
from tests.prove.kills import Place, place
from tests.prove.load import CALL_ID, Load, answer
from tests.storage.conftest import make_entry
from tests.storage.valkey_server import LiveValkey

DRAIN_S: Final = 1
CLIENTS: Final = 12
STALLED: Final = 4
DEFERRED: Final = "batch"
SETTLE_IN_S: Final = 1.0
FILE_BYTES: Final = 4096
EXIT_S_MAX: Final = 40.0  # far beyond any promise: then it is killed, and that is a breach
# The store, what goes wrong, and whether there are calls meanwhile.
STATES: Final = (
    ("sqlite", "nothing", False),
    ("postgres", "nothing", True),
    ("postgres", "database paused", True),
    ("postgres", "database gone", True),
    ("postgres", "disk full", True),
    ("sqlite", "disk full", True),
    ("both", "database paused", True),
    ("both", "valkey paused", True),
    ("both", "valkey gone", True),
    ("sqlite", "entra hangs", False),
    ("sqlite", "google hangs", False),
    ("sqlite", "sts hangs", False),
    ("sqlite", "batch hangs", False),
    ("sqlite", "collector hangs", True),
)

_UPSTREAMS: Final = {
    "entra hangs": """
provider = "azure"
credential = {{ type = "entra", tenant_id = "t", client_id = "c", client_secret = "${{env:TEST_CREDENTIAL}}", authority = "https://127.0.0.1:{port}" }}
""",
    "sts hangs": """
provider = "bedrock"
service = "runtime"
region = "us-east-1"
credential = {{ type = "aws_role", role_arn = "arn:aws:iam::111122223333:role/x", endpoint = "http://127.0.0.1:{port}", source = {{ type = "aws_static", access_key_id = "AKIATEST", secret_access_key = "${{env:TEST_CREDENTIAL}}" }} }}
""",
    "google hangs": """
provider = "google"
service = "gemini"
credential = {{ type = "google_adc", path = "{folder}/adc.json" }}
""",
}


class Ended(NamedTuple):
    """``exit_s``: from SIGTERM; ``code`` None where it had to be killed. ``noise``: what stderr has beside events."""

    engine: str
    state: str
    workers: int
    verdict: Verdict
    exit_s: float
    code: int | None
    noise: tuple[str, ...]


def ended(engine: str, state: str, *, loaded: bool, workers: int = 1) -> Ended:
    """So many workers are told to end in a state; then the state is mended, and the next start books what is left."""
    with place(engine) as where, _silent() as port:
        where.origin.answer = _slow
        _configure(where, state, workers, port)
        load = Load(where.port, where.key, 1)
        serving = Process(where.path, where.port, log=where.folder / "log")
        try:
            exit_s, code = asyncio.run(_ended(where, state, load, serving, loaded=loaded))
        finally:
            serving.end()
            _mend(where, state)
        asked = [call for call in where.asked() if call]
        again = Process(where.path, where.port, log=where.folder / "again")
        try:
            again.until_ready()
            books(where.config, len(asked))
        finally:
            again.end()
        verdict = judged(where.config, asked, load.whole, wait_s=1)
        lines = serving.log.read_text().splitlines()
    noise = tuple(line for line in lines if not line.startswith(("{", "Weighbridge on", "Cancel ")))
    return Ended(engine, state, workers, verdict, exit_s, code, noise)


async def _ended(
    where: Place, state: str, load: Load, serving: Process, *, loaded: bool
) -> tuple[float, int | None]:
    await asyncio.to_thread(serving.until_ready)
    family = [serving.pid, *_children(serving.pid)]
    async with asyncio.TaskGroup() as group:
        if loaded:
            group.create_task(load.run(CLIENTS))
            for number in range(STALLED):
                group.create_task(_stalled(where, f"stalled-{number}"))
            group.create_task(_left(where, "stalled-left"))
        await asyncio.sleep(SETTLE_IN_S)
        await asyncio.to_thread(_strike, where, state, family)
        await asyncio.sleep(SETTLE_IN_S)
        serving.signal(signal.SIGTERM)
        began, code = time.monotonic(), None
        with suppress(subprocess.TimeoutExpired):
            code = await asyncio.to_thread(serving.wait, EXIT_S_MAX)
        exit_s = time.monotonic() - began
        for pid in family if code is None else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        load.stopping = True
    return exit_s, code


def _request(where: Place, call: str) -> bytes:
    return post(CHAT.path, CHAT.body, where.key, {CALL_ID: call, "x-call": call})


async def _stalled(where: Place, call: str) -> None:
    with suppress(OSError, TimeoutError):
        await ask(where.port, _request(where, call))


async def _left(where: Place, call: str) -> None:
    """A client that leaves, whose stream is read on for its usage."""
    visitor = await Visitor.connect(where.port)
    await visitor.send(_request(where, call))
    await visitor.read_until(CHAT.parts[1])
    visitor.leave("rst")


def _slow(asked: Asked) -> list[Step]:
    """As ever; but streams named so stall for longer than any drain, and nobody says how a batch is."""
    name = (asked.header("x-call") or DEFERRED).partition("-")[0]
    if name == DEFERRED:
        return [600.0]
    if name == "stalled":
        steps = answer(asked._replace(head=b"GET / HTTP/1.1\r\nx-call: chat-1\r\n\r\n"))
        return [*steps[:5], 600.0, *steps[5:]]
    return answer(asked)


@contextmanager
def _silent() -> Iterator[int]:
    """The port of a listener that takes connections and says nothing."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(64)
        yield held.getsockname()[1]


def _configure(where: Place, state: str, workers: int, port: int) -> None:
    paced = f"drain_seconds = {DRAIN_S}\nworkers = {workers}"
    text = where.path.read_text().replace("drain_seconds = 8", paced, 1)
    if state == "collector hangs":
        url = f"http://127.0.0.1:{port}/v1/metrics"
        text += f'\n[telemetry]\notlp_endpoint = "{url}"\notlp_seconds = 1\n'
    if state in _UPSTREAMS:
        base = f'\n[upstreams.slow]\nbase_url = "http://127.0.0.1:{port}"'
        text += base + _UPSTREAMS[state].format(port=port, folder=where.folder)
        token = f"http://127.0.0.1:{port}/token"
        named = {"client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": token}
        account = json.dumps({"type": "authorized_user", **named})
        (where.folder / "adc.json").write_text(account)
    where.path.write_text(text)
    if state == "batch hangs":
        asyncio.run(_with_batch(where))


async def _with_batch(where: Place) -> None:
    row = {
        "work": "azure/batch_1",
        "provider": "azure",
        "upstream": "azure-test",
        "raw_path": "/azure/openai/v1/batches/batch_1",
        "query": "",
        "creator": encode(make_entry(provider="azure", upstream="azure-test")),
        "made_us": SystemClock().wall_us(),
        "due_us": 0,
        "attempts": 0,
    }
    async with composition.opened(where.config) as database, database.write() as connection:
        await connection.execute(sa.insert(WORK), row)


def _strike(where: Place, state: str, family: list[int]) -> None:
    if state == "disk full":
        for pid in family:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    server = _server(where, state)
    if server is not None and state.endswith("paused"):
        server.pause()
    elif server is not None:
        server.crash()


def _mend(where: Place, state: str) -> None:
    server = _server(where, state)
    if server is not None and state.endswith("paused"):
        server.resume()
    elif server is not None:
        server.start()


def _server(where: Place, state: str) -> Postgres | LiveValkey | None:
    """The server that a state is about, where it is about one of ours."""
    return {"database": where.store, "valkey": where.valkey}.get(state.partition(" ")[0])


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
