"""The load: clients on raw protocols in one event loop, cheap enough to keep a target busy from another core.

Three shapes of load: ``closed`` (each client asks again when it was answered), ``streams`` (many open
streams, their events counted and timed), ``hold`` (open streams that all leave at once). To add one: a
protocol class with what a client does with bytes, and a function that runs many of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, cast

import msgspec

from tests.benchmarks import shapes
from tests.benchmarks.mock_upstream import Stats

HOST: Final = "127.0.0.1"
PATIENCE_S: Final = 30
SAMPLED: Final = 8  # of so many reads one is timed
_LENGTH: Final = b"content-length: "
_OK: Final = b"HTTP/1.1 200 "


class Failed(Exception):
    """A target answered something else than it was asked; the run is void."""


class _Client(asyncio.Protocol):
    """A connection, and the future that its work ends."""

    __slots__ = ("done", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self.transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail("the connection was closed")

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(Failed(why))

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


# ── closed loop ──────────────────────────────────────────────────────────────────────────────────


class Closed(NamedTuple):
    """What a closed loop brought: how many answers, in which time, each one's latency in ns."""

    requests: int
    seconds: float
    latencies: list[int]


class _Asker(_Client):
    __slots__ = ("_asking", "_buffer", "_latencies", "_number", "_sent", "_stop_ns", "_wanted")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        asking: shapes.Asking,
        number: int,
        stop_ns: int,
        latencies: list[int],
    ) -> None:
        super().__init__(loop)
        self._asking = asking
        self._number = number
        self._stop_ns = stop_ns
        self._latencies = latencies
        self._buffer = b""
        self._wanted = 0
        self._sent = 0

    def ask(self) -> None:
        """Send one request."""
        self._number += 1
        self._buffer = b""
        self._wanted = 0
        self._sent = time.perf_counter_ns()
        self.transport.write(self._asking.numbered(self._number))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not self._wanted:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = buffer[: end + 2].lower()
            at = head.find(_LENGTH)
            if not buffer.startswith(_OK) or at < 0:
                self.fail(f"answered {buffer[:200]!r}")
                return
            length = int(head[at + len(_LENGTH) : head.find(b"\r", at)])
            self._wanted = end + 4 + length
        if len(buffer) >= self._wanted:
            self._answered(buffer, time.perf_counter_ns())

    def _answered(self, buffer: bytes, now: int) -> None:
        if not shapes.is_answer(buffer[buffer.find(b"\r\n\r\n") + 4 :]):
            self.fail(f"changed the answer: {buffer[-200:]!r}")
            return
        self._latencies.append(now - self._sent)
        if now < self._stop_ns:
            self.ask()
        else:
            self.finish()


async def closed(
    port: int, asking: shapes.Asking, *, connections: int, seconds: float, first: int
) -> Closed:
    """Every connection asks, waits, asks again. ``first``: requests are numbered from it. Raises Failed."""
    loop = asyncio.get_running_loop()
    latencies: list[int] = []
    started = time.perf_counter_ns()
    stop = started + int(seconds * 1e9)
    askers = [
        _Asker(loop, asking, first + index * 1_000_000, stop, latencies)
        for index in range(connections)
    ]
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker, HOST, port)  # type: ignore[misc]  # bound now
    for asker in askers:
        asker.ask()
    await _all(askers, seconds)
    took = (time.perf_counter_ns() - started) / 1e9
    _leave(askers)
    return Closed(len(latencies), took, latencies)


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


class Streams(NamedTuple):
    """What streams brought: events, and samples in ns.

    first    from the request to the first byte of the body
    transit  from the mock's write of an event to our read of it
    chunks   all events of text; ``windowed``: those that came within the window
    """

    first: list[int]
    transit: list[int]
    chunks: int
    windowed: int
    seconds: float


class Window:
    """When to count; shared by all streams of a run."""

    __slots__ = ("begins", "chunks", "ends", "first", "transit", "windowed")

    def __init__(self, begins: int, ends: int) -> None:
        self.begins = begins
        self.ends = ends
        self.chunks = 0
        self.windowed = 0
        self.first: list[int] = []
        self.transit: list[int] = []


class _Listener(_Client):
    __slots__ = ("_asked", "_begun", "_reads", "_tail", "_window")

    def __init__(self, loop: asyncio.AbstractEventLoop, window: Window) -> None:
        super().__init__(loop)
        self._window = window
        self._begun = False
        self._asked = 0
        self._reads = 0
        self._tail = b""

    def ask(self, packet: bytes) -> None:
        """Open a stream."""
        self._asked = time.perf_counter_ns()
        self.transport.write(packet)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self._begun and not self._begin(data):
            return
        self._reads += 1
        window = self._window
        # Stamps stand in events of text only; one cut in two counts where its end comes.
        text = self._tail[-len(shapes.STAMP) :] + data
        count = text.count(shapes.STAMP) - self._tail[-len(shapes.STAMP) :].count(shapes.STAMP)
        window.chunks += count
        if window.begins <= now < window.ends:
            window.windowed += count
            if self._reads % SAMPLED == 0:
                self._sample(data, now)
        self._tail = (self._tail + data)[-32:]
        if self._tail.endswith(shapes.STREAM_END):
            self.finish()

    def _begin(self, data: bytes) -> bool:
        """The head came; whether body bytes came with it."""
        if self._tail == b"" and not data.startswith(_OK):
            self.fail(f"answered {data[:200]!r}")
            return False
        self._tail += data
        end = self._tail.find(b"\r\n\r\n")
        if end < 0 or len(self._tail) == end + 4:
            return False
        self._begun = True
        self._window.first.append(time.perf_counter_ns() - self._asked)
        self._tail = b"" if len(self._tail) == len(data) else b"\r\n"
        return True

    def _sample(self, data: bytes, now: int) -> None:
        at = data.find(shapes.STAMP)
        digits = data[at + len(shapes.STAMP) :][: shapes.NUMBER_DIGITS]
        if at >= 0 and len(digits) == shapes.NUMBER_DIGITS:
            self._window.transit.append(now - int(digits))


async def streams(
    port: int,
    packets: Sequence[bytes],
    *,
    ramp_s: float = 0,
    window_s: float = 0,
    tail_s: float = 0,
) -> Streams:
    """Open a stream per packet, evenly over the ramp; count in the window behind it; wait for all ends.

    ``tail_s``: how much longer than the window the streams run. Raises Failed.
    """
    loop = asyncio.get_running_loop()
    started = time.monotonic_ns()
    begins = started + int(ramp_s * 1e9)
    window = Window(begins, begins + int(window_s * 1e9))
    listeners = [_Listener(loop, window) for _ in packets]
    for index, (listener, packet) in enumerate(zip(listeners, packets, strict=True)):
        await loop.create_connection(lambda listener=listener: listener, HOST, port)  # type: ignore[misc]  # bound now
        due = started + int(ramp_s * 1e9 * index / len(packets))
        if (early := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(early / 1e9)
        listener.ask(packet)
    await _all(listeners, window_s + tail_s)
    took = (time.monotonic_ns() - started) / 1e9
    _leave(listeners)
    return Streams(window.first, window.transit, window.chunks, window.windowed, took)


@asynccontextmanager
async def held(port: int, packets: Sequence[bytes]) -> AsyncIterator[Sequence[_Client]]:
    """Streams that are open inside the context, all with their first byte; they leave where ``leave`` is called."""
    loop = asyncio.get_running_loop()
    window = Window(0, 0)
    listeners = [_Listener(loop, window) for _ in packets]
    for listener, packet in zip(listeners, packets, strict=True):
        await loop.create_connection(lambda listener=listener: listener, HOST, port)  # type: ignore[misc]  # bound now
        listener.ask(packet)
    deadline = loop.time() + PATIENCE_S
    while len(window.first) < len(packets):
        if loop.time() > deadline:
            raise Failed(f"{len(window.first)} of {len(packets)} streams began")
        await asyncio.sleep(0.05)
    try:
        yield listeners
    finally:
        _leave(listeners)


def leave(clients: Sequence[_Client]) -> int:
    """All clients go, now; the moment on the monotonic clock."""
    now = time.monotonic_ns()
    for client in clients:
        if not client.done.done():
            client.done.cancel()
        client.transport.close()
    return now


def _leave(clients: Sequence[_Client]) -> None:
    for client in clients:
        if not client.done.done():
            client.done.cancel()
        client.transport.abort()


async def _all(clients: Sequence[_Client], seconds: float) -> None:
    """Until every client is done. Raises Failed where one failed, or does not end."""
    waiting = [client.done for client in clients]
    _done, late = await asyncio.wait(
        waiting, timeout=seconds + PATIENCE_S, return_when=asyncio.FIRST_EXCEPTION
    )
    for future in waiting:
        if future.done() and not future.cancelled() and future.exception() is not None:
            raise Failed(str(future.exception()))
    if late:
        raise Failed(f"{len(late)} of {len(waiting)} clients were not served")


# ── questions ────────────────────────────────────────────────────────────────────────────────────


async def fetched(port: int, path: str) -> bytes:
    """The body of a small GET. Raises OSError, Failed."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(_OK.lower()):
            raise Failed(f"{path}: {head[:40]!r}")
        at = head.find(_LENGTH)
        return await reader.readexactly(int(head[at + len(_LENGTH) : head.find(b"\r", at)]))
    finally:
        writer.close()


async def mock_stats(port: int) -> Stats:
    """What the mock upstream has done so far."""
    return msgspec.json.decode(await fetched(port, "/-/stats"), type=Stats)
