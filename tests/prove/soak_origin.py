"""The provider of the soak: it answers in every dialect and fails in every way it is told to, and keeps sums only.

A call's ``x-call`` is KIND.HOW-NUMBER; what it states follows from the number. A call without one is an SDK's; what it
states follows from its body. For hours: of a call only its name and whether its usage was sent are kept.
To fail in another way: a word in ``_steps``.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote

import orjson

from gateway.commands.demo.answers import Counts
from gateway.commands.demo.scripted import ROUTES, Answer, stated
from tests.faults.origin import CLOSE, Step, head, json_answer

ABORT: Final[float] = -2.0
IDLE_S: Final = 12.0  # then it closes, as load balancers do
LONG_EVENTS: Final = 3_000
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CALL: Final = re.compile(rb"\r\nx-call: *([^\r\n]*)", re.IGNORECASE)


def counts(number: int) -> Counts:
    """Usage that tells a call from its neighbours."""
    return Counts(input=1_000 + number % 9_973, cached=0, output=10 + number % 97)


def number_of(call: str) -> int:
    """The number in a call's name."""
    return int(call.rpartition("-")[2])


class Truth:
    """What was asked, and what was stated to the last byte.

    asked    calls by name, and how often each came
    stated   those whose usage was written whole
    unnamed  of calls without a name: requests, input, cached, output
    """

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.stated: set[str] = set()
        self.unnamed = [0, 0, 0, 0]
        self.open = 0

    def came(self, call: str | None) -> None:
        if call is not None:
            self.asked[call] = self.asked.get(call, 0) + 1

    def said(self, call: str | None, sent: Counts | None) -> None:
        if sent is None:
            return
        if call is not None:
            self.stated.add(call)
            return
        for at, more in enumerate((1, sent.input, sent.cached, sent.output)):
            self.unnamed[at] += more


class SoakOrigin:
    """The server."""

    def __init__(self) -> None:
        self.truth = Truth()
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SoakOrigin"]:
        """Listen until left."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Peer(self.truth), "127.0.0.1", backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()


class _Peer(asyncio.Protocol):
    """One connection of the gateway's."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._parts: list[bytes] = []
        self._missing = 0
        self._transport = asyncio.Transport()
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._truth.open += 1
        self._rest()

    def _rest(self) -> None:
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._transport.close)

    def data_received(self, data: bytes) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._parts.append(data)
        if self._missing > len(data):
            self._missing -= len(data)
            return
        octets = b"".join(self._parts)
        before, found, body = octets.partition(b"\r\n\r\n")
        length = _LENGTH.search(before)
        size = int(length[1]) if length else 0
        if not found or len(body) < size:
            self._parts = [octets]
            self._missing = size - len(body) if found else 0
            return
        self._parts, self._missing = [], 0
        named = _CALL.search(before)
        call = None if named is None else named[1].decode("latin-1")
        self._truth.came(
            call
        )  # at once: who dies right after it has sent ends the task before it begins
        self._task = asyncio.get_running_loop().create_task(self._reply(call, before, body))

    async def _reply(self, call: str | None, before: bytes, body: bytes) -> None:
        method, target, _ = before.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        steps, sent = _steps(call, method, target, body)
        for step in steps:
            if self._transport.is_closing():  # the gateway left
                return
            if isinstance(step, bytes):
                self._transport.write(step)
                await self._room.wait()
            elif step == ABORT:
                self._transport.abort()
                return
            elif step < 0:
                self._transport.close()
            else:
                await asyncio.sleep(step)
        self._truth.said(call, sent)
        if not self._transport.is_closing():
            self._rest()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._truth.open -= 1
        self._room.set()
        if self._idle is not None:
            self._idle.cancel()
        if self._task is not None:
            self._task.cancel()


def _steps(
    call: str | None, method: str, target: str, body: bytes
) -> tuple[Sequence[Step], Counts | None]:
    """What to send, and the usage it states."""
    how = (call or "").rpartition("-")[0].partition(".")[2]
    if how in {"429", "500", "503"}:
        error = orjson.dumps({"error": {"message": "scripted", "code": how}})
        return json_answer(error, "retry-after: 1", status=int(how)), None
    if how == "reset":
        return [ABORT], None
    said = counts(number_of(call)) if call is not None else stated(body)
    if target.partition("?")[0].endswith("/embeddings"):
        said = Counts(input=said.input, cached=said.cached, output=0)
    answer, is_metered = _answer(method, target, body, said, call)
    steps = _framed(answer, long=how == "long")
    if how == "cut":
        return [*steps[: max(1, len(steps) // 2)], 0.01, ABORT], None
    if how == "slow":
        steps = [1.5, *(part for step in steps for part in (step, 0.05))]
    if how == "closing":
        steps = [*steps, 0.2, CLOSE]
    return steps, said if is_metered else None


def _answer(
    method: str, target: str, body: bytes, said: Counts, call: str | None
) -> tuple[Answer, bool]:
    path = target.partition("?")[0]
    if path == "/v1/metrics":  # a collector's
        return Answer(b"application/x-protobuf", (b"",)), False
    if method != "POST":
        return Answer(b"application/json", (b'{"object":"deleted","deleted":true}',)), False
    for pattern, made in ROUTES:
        if (found := pattern.fullmatch(path)) is not None:
            document: dict[str, Any] = orjson.loads(body) if body else {}
            model = unquote(found.groupdict().get("model") or document.get("model") or "")
            answer = made(model, document, said)
            if "/responses" in path:
                kept = f"resp_{(call or 'sdk').replace('.', '_')}".encode()
                parts = tuple(part.replace(b"resp_demo", kept) for part in answer.parts)
                answer = Answer(answer.content_type, parts)
            return answer, True
    return Answer(b"application/json", (b'{"error":{"message":"scripted"}}',), status=404), False


def _framed(answer: Answer, *, long: bool) -> list[Step]:
    if len(answer.parts) == 1:
        extra = [f"{name.decode()}: {value.decode()}" for name, value in answer.headers]
        return json_answer(answer.parts[0], *extra, status=answer.status)
    parts = list(answer.parts)
    if long:
        parts = parts[:4] * (LONG_EVENTS // 4) + parts[4:]
    first = head(f"content-type: {answer.content_type.decode()}", "transfer-encoding: chunked")
    framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    steps: list[Step] = [first + framed[0], *framed[1:-1]]
    return [*steps, framed[-1] + b"0\r\n\r\n"]
