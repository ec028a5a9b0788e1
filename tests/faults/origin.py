"""An upstream by hand: it sends exactly the bytes and pauses it was told to, and keeps the truth.

The truth is what it received (``asked``), when a peer left in the middle of an answer (``left``), and how
many connections are open. To answer differently, give it another function from ``Asked`` to steps.
"""

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Step: TypeAlias = bytes | float
"""Bytes to send, or seconds to wait."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Asked(NamedTuple):
    """A request as it arrived."""

    head: bytes
    body: bytes
    at: float

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    def header(self, name: str) -> str | None:
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r\n]*)", self.head, re.IGNORECASE)
        return None if found is None else found[1].decode("latin-1")


Answer: TypeAlias = Callable[[Asked], Sequence[Step]]


class Origin:
    """The server. ``answer`` may be replaced between requests; ``sent`` counts body and head bytes written."""

    def __init__(self, answer: Answer, *, send_buffer_bytes: int | None = None) -> None:
        self.answer = answer
        self.port = 0
        self.asked: list[Asked] = []
        self.left: list[tuple[Asked, float]] = []
        self.open = 0
        self.sent = 0
        self.send_buffer_bytes = send_buffer_bytes

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Origin"]:
        """Listen until left; every answer is a task of this scope."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as answers:
            tasks: set[asyncio.Task[None]] = set()

            def spawn(conversation: "_Conversation", asked: Asked) -> asyncio.Task[None]:
                task = answers.create_task(conversation.reply(self.answer(asked)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                return task

            server = await loop.create_server(lambda: _Conversation(self, spawn), "127.0.0.1")
            self.port = server.sockets[0].getsockname()[1]
            yield self
            server.close()
            for task in tasks:
                task.cancel()


class _Conversation(asyncio.Protocol):
    """One connection: requests in, one after the other, answers out."""

    def __init__(
        self, origin: Origin, spawn: Callable[["_Conversation", Asked], asyncio.Task[None]]
    ) -> None:
        self._origin = origin
        self._spawn = spawn
        self._received = b""
        self._transport = asyncio.Transport()
        self._task: asyncio.Task[None] | None = None
        self._asked: Asked | None = None
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._origin.open += 1
        if size := self._origin.send_buffer_bytes:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
            transport.set_write_buffer_limits(size)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self._received = rest[size:]
        self._asked = Asked(head, rest[:size], time.monotonic())
        self._origin.asked.append(self._asked)
        self._task = self._spawn(self, self._asked)

    async def reply(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                self._origin.sent += len(step)
                await self._room.wait()
                await asyncio.sleep(0)
            elif step < 0:
                self._transport.close()
            else:
                await asyncio.sleep(step)
        self._asked = None

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.open -= 1
        if self._asked is not None:
            self._origin.left.append((self._asked, time.monotonic()))
        if self._task is not None:
            self._task.cancel()


CLOSE: Final[float] = -1.0


def head(*headers: str, status: int = 200) -> bytes:
    """A response head."""
    return "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""]).encode("latin-1")


def json_answer(body: bytes, *headers: str, status: int = 200) -> list[Step]:
    """A body with its length."""
    length = f"content-length: {len(body)}"
    return [head("content-type: application/json", length, *headers, status=status) + body]


def streamed(
    content_type: str, parts: Sequence[bytes], *headers: str, pause_s: float = 0
) -> list[Step]:
    """A chunked body, one chunk a part."""
    first = head(f"content-type: {content_type}", "transfer-encoding: chunked", *headers)
    steps: list[Step] = [first]
    for part in parts:
        if pause_s:
            steps.append(pause_s)
        steps.append(b"%x\r\n%b\r\n" % (len(part), part))
    return [*steps, b"0\r\n\r\n"]


@contextmanager
def standing(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """An asynchronous context held open in a loop and thread of its own."""
    started = threading.Event()
    found: list[T] = []
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        leave, loop = asyncio.Event(), asyncio.get_running_loop()
        async with make() as made:
            found.append(made)
            stop.append(partial(loop.call_soon_threadsafe, leave.set))
            started.set()
            await leave.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield found[0]
    finally:
        stop[0]()
        thread.join(10)
