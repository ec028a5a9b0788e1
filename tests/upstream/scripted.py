"""A scripted upstream on loopback: each connection is a short play over raw bytes.

To add a play: a coroutine that takes a Peer; ``serving`` runs it once per connection.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import httpx
import uvloop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, loop: str = "asyncio") -> T:
    """Run on one of the two event loops the product meets."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@dataclass
class Received:
    """One request as it arrived."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    received: list[Received]
    answered: bool = False

    async def head(self) -> Received:
        """Read one request head. Raises IncompleteReadError when the client has left."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = raw[:-4].split(b"\r\n")
        pairs = [tuple(item.split(b": ", 1)) for item in fields]
        return Received(line, [(pair[0], pair[1]) for pair in pairs], b"")

    async def request(self) -> Received:
        """Read one whole request with a Content-Length."""
        request = await self.head()
        length = int(request.header(b"content-length") or 0)
        request.body = await self.reader.readexactly(length)
        self.received.append(request)
        return request

    async def send(self, *parts: bytes, gap_s: float = 0) -> None:
        for part in parts:
            if self.writer.is_closing():
                raise ConnectionResetError
            self.writer.write(part)
            await self.writer.drain()
            if gap_s or len(parts) > 1:
                await asyncio.sleep(gap_s)

    def reset(self) -> None:
        """Close with a RST."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client closes."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Play: TypeAlias = Callable[[Peer], Awaitable[None]]


@dataclass
class Stage:
    """A running server and what it saw."""

    port: int
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)
    opened: int = 0
    open: int = 0
    open_max: int = 0
    stop_listening: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stage]:
    """Serve a play on a free port until the block ends."""
    stage = Stage(0, "https" if tls else "http")
    cast: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        cast[task] = writer
        stage.opened += 1
        stage.open += 1
        stage.open_max = max(stage.open_max, stage.open)
        # Cancelled only by the end of the block; the streams' own callback would report it.
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await play(Peer(reader, writer, stage.opened, stage.received))
        stage.open -= 1
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=2**20)
    stage.port = server.sockets[0].getsockname()[1]
    stage.stop_listening = server.close
    try:
        yield stage
    finally:
        server.close()
        # What was accepted in the last moment begins its play before it is ended with the others.
        await asyncio.sleep(0.001)
        for task, writer in cast.items():
            task.cancel()
            # A TLS peer may never say goodbye.
            writer.transport.abort()
        await asyncio.gather(*cast, return_exceptions=True)
        await asyncio.sleep(0.001)


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with a Content-Length."""
    fields = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


async def echo(peer: Peer) -> None:
    """Answer every request with its own body."""
    while True:
        request = await peer.request()
        await peer.send(answer(request.body))


def post(
    stage: Stage,
    body: bytes = b"{}",
    *headers: tuple[bytes, bytes],
    target: bytes = b"/",
    method: str = "POST",
    timeout: dict[str, float | None] | None = None,
) -> httpx.Request:
    """A request as the pool builds them: everything explicit."""
    extensions: dict[str, Any] = {"target": target}
    if timeout is not None:
        extensions["timeout"] = timeout
    return httpx.Request(
        method,
        httpx.URL(stage.url),
        headers=[
            (b"Host", f"127.0.0.1:{stage.port}".encode()),
            *headers,
            (b"Content-Length", b"%d" % len(body)),
        ],
        stream=httpx.ByteStream(body),
        extensions=extensions,
    )


async def chunks(response: httpx.Response) -> list[bytes]:
    """The raw chunks of a response, read to the end; closed either way."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        return [chunk async for chunk in response.stream]
    finally:
        await response.stream.aclose()


async def whole(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> bytes:
    """Send and read everything."""
    return b"".join(await chunks(await transport.handle_async_request(request)))


Reply: TypeAlias = Callable[[Received], bytes]


def routes(table: dict[str, Reply | bytes]) -> Play:
    """A play that answers by 'METHOD /path' (the query left out), 404 where nothing is listed."""

    async def play(peer: Peer) -> None:
        while True:
            request = await peer.request()
            method, target, _version = request.line.decode().split(" ")
            reply = table.get(f"{method} {target.partition('?')[0]}")
            if reply is None:
                await peer.send(answer(b"", status=b"404 Not Found"))
            else:
                await peer.send(reply if isinstance(reply, bytes) else reply(request))

    return play


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self, wall_us: int = 1_800_000_000_000_000) -> None:
        self.us = wall_us

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        return self.us * 1000

    def advance(self, seconds: float) -> None:
        self.us += int(seconds * 1_000_000)


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, BaseException]] = []

    def settled(self, entry: object) -> None:
        raise AssertionError("nothing is settled here")

    def refused(self, provider: str, code: str) -> None:
        raise AssertionError("nothing is refused here")

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, error))
