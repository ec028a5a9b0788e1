"""A provider for benchmarks: an HTTP/1.1 server on bytes, faster than anything that stands before it.

    python -m tests.benchmarks.mock_upstream PORT CORE

``answer=`` in the request's query says what to do (see shapes.py); GET /-/stats tells what was done. Every
streamed event carries the monotonic clock, which is one for all processes of a machine.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from typing import Final, NamedTuple, cast

import msgspec
import uvloop

from tests.benchmarks import shapes

_WISH: Final = b'"include_usage":true'
_LENGTH: Final = b"content-length:"


class Stats(msgspec.Struct):
    """Totals since the start; ``open`` is of now.

    usages             answers whose usage was sent
    chunks             events sent in streams, without usage and end marker
    broken             streams whose peer left before their end
    last_broken_ns     when the last of them left, on the monotonic clock
    """

    requests: int = 0
    usages: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    chunks: int = 0
    open: int = 0
    broken: int = 0
    last_broken_ns: int = 0

    def add(self, tokens: shapes.Tokens) -> None:
        """One answer's usage was sent."""
        self.usages += 1
        self.input += tokens.input
        self.cached += tokens.cached
        self.output += tokens.output


class _Plan(NamedTuple):
    """A stream to be sent."""

    chunks: int
    gap_s: float
    asked: bool


class _Peer(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_left", "_loop", "_next", "_plan", "_rest", "_stats", "_timer", "_transport")

    def __init__(self, stats: Stats, loop: asyncio.AbstractEventLoop) -> None:
        self._stats = stats
        self._loop = loop
        self._rest = b""
        self._plan = _Plan(0, 0, asked=False)
        self._left = 0
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        self._rest = b""
        end = data.find(b"\r\n\r\n")
        head = data[:end].lower()
        if end < 0 or len(data) - end - 4 < _length(head):
            self._rest = data
            return
        if head.startswith(b"get /-/stats"):
            body = msgspec.json.encode(self._stats)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            return
        self._answer(head, data)

    def _answer(self, head: bytes, data: bytes) -> None:
        stats = self._stats
        number = stats.requests
        stats.requests += 1
        at = head.find(b"answer=stream.")
        if at < 0:
            self._transport.write(shapes.answer(number))
            stats.add(shapes.tokens_of(number))
            return
        chunks, gap_ms, _ = head[at + 14 : at + 40].split(b".", 2)
        self._plan = _Plan(int(chunks), int(gap_ms) / 1000, asked=_WISH in data)
        self._left = self._plan.chunks
        stats.open += 1
        self._transport.write(shapes.STREAM_HEAD)
        if not self._plan.gap_s:
            self._transport.write(b"".join(self._event() for _ in range(self._left)))
            self._end()
            return
        self._next = self._loop.time()
        self._step()

    def _event(self) -> bytes:
        events = shapes.EVENTS[self._plan.asked]
        self._left -= 1
        self._stats.chunks += 1
        text = events.texts[self._left % len(events.texts)] if self._left else events.finish
        return text.numbered(time.monotonic_ns())

    def _step(self) -> None:
        self._transport.write(self._event())
        if not self._left:
            self._end()
            return
        self._next += self._plan.gap_s
        self._timer = self._loop.call_at(self._next, self._step)

    def _end(self) -> None:
        stats, asked = self._stats, self._plan.asked
        self._timer = None
        self._transport.write(shapes.stream_end(stats.requests, asked=asked))
        if asked:
            stats.add(shapes.tokens_of(stats.requests))
        stats.open -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._stats.open -= 1
            self._stats.broken += 1
            self._stats.last_broken_ns = time.monotonic_ns()


def _length(head: bytes) -> int:
    at = head.find(_LENGTH)
    return 0 if at < 0 else int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


async def serve(port: int) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    stats = Stats()
    server = await loop.create_server(lambda: _Peer(stats, loop), "127.0.0.1", port, backlog=4096)
    gc.freeze()
    gc.disable()
    await stop.wait()
    server.close()


def main() -> None:
    """See the module's first lines."""
    port, core = int(sys.argv[1]), int(sys.argv[2])
    if core >= 0:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(port))


if __name__ == "__main__":
    main()
