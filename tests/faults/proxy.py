"""A seeded TCP fault proxy for loopback: it stands between the gateway and an upstream and harms answers.

Which harm is said by the request itself, in a header that passes through the gateway, so that any number
of differently harmed requests may run at once: ``x-fault: slice=7;reset@1234``.

    latency=MS   a pause of up to MS before each piece     slice=N      pieces of 1 to N bytes
    reset@K      RST in place of byte K                    truncate@K   FIN in place of byte K
    stall@K      silence in place of byte K                corrupt@K    byte K is inverted

K counts from the first byte of the answer's head. To add a harm: its word in ``parse`` and its place in
``Harm.feed`` (what happens to bytes) or ``FaultProxy._end`` (how a connection ends).
"""

import asyncio
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

READ_BYTES: Final = 64 * 1024
_HEADER: Final = re.compile(rb"\r\nx-fault: ([^\r\n]*)\r\n", re.IGNORECASE)
_WORD: Final = re.compile(r"(latency|slice)=(\d+)|(reset|truncate|stall|corrupt)@(\d+)")
_RST: Final = struct.pack("ii", 1, 0)


class Faults(NamedTuple):
    """What is done to one answer; ``end`` happens at byte ``end_at``."""

    latency_ms: int = 0
    slice_bytes: int = 0
    corrupt_at: int | None = None
    end: str | None = None
    end_at: int = 0


def parse(text: str) -> Faults:
    """``slice=7;reset@1234`` → Faults. Raises ValueError on a word it does not know."""
    found = Faults()
    for word in filter(None, text.split(";")):
        match = _WORD.fullmatch(word.strip())
        if match is None:
            raise ValueError(f"no such fault: {word!r}")
        pace, amount, act, at = match.groups()
        if pace == "latency":
            found = found._replace(latency_ms=int(amount))
        elif pace == "slice":
            found = found._replace(slice_bytes=int(amount))
        elif act == "corrupt":
            found = found._replace(corrupt_at=int(at))
        else:
            found = found._replace(end=act, end_at=int(at))
    return found


class Harm:
    """One answer under its faults: bytes in, pieces out. ``ended``: nothing more passes."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self.faults = faults
        self.ended = faults.end is not None and faults.end_at == 0
        self._chance = chance
        self._at = 0

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The pieces that pass, in order."""
        octets = self._corrupted(octets)
        if self.faults.end is not None and self._at + len(octets) >= self.faults.end_at:
            octets = octets[: max(self.faults.end_at - self._at, 0)]
            self.ended = True
        self._at += len(octets)
        if not self.faults.slice_bytes:
            yield octets
            return
        start = 0
        while start < len(octets):
            size = self._chance.randint(1, self.faults.slice_bytes)
            yield octets[start : start + size]
            start += size

    def pause_s(self) -> float:
        return self._chance.randint(0, self.faults.latency_ms) / 1000

    def _corrupted(self, octets: bytes) -> bytes:
        at = self.faults.corrupt_at
        if at is None or not self._at <= at < self._at + len(octets):
            return octets
        index = at - self._at
        return octets[:index] + bytes([octets[index] ^ 0xFF]) + octets[index + 1 :]


@asynccontextmanager
async def linking(
    link: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncIterator[int]:
    """Listen until left, on the port it yields; every connection is a task of this scope and ends with it."""
    async with asyncio.TaskGroup() as links:
        tasks: list[asyncio.Task[None]] = []

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(links.create_task(link(reader, writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for task in tasks:
            task.cancel()


class FaultProxy:
    """One listening port before one upstream port. Figures are of now; ``opened`` of its whole life."""

    def __init__(self, upstream_port: int, *, seed: int = 0) -> None:
        self.port = 0
        self.open = 0
        self.opened = 0
        self._upstream_port = upstream_port
        self._seed = seed

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultProxy"]:
        """Listen until left."""
        async with linking(self._link) as self.port:
            yield self

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the gateway's with its twin to the upstream."""
        self.open += 1
        self.opened += 1
        link = _Link(writer, random.Random(self._seed + self.opened))
        try:
            far, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
            try:
                await link.run(reader, far, to_upstream)
            finally:
                to_upstream.transport.abort()
        finally:
            self.open -= 1
            writer.close()


class _Link:
    """The two directions of a connection; the first that ends, ends both."""

    def __init__(self, writer: asyncio.StreamWriter, chance: random.Random) -> None:
        self._writer = writer
        self._chance = chance
        self._harm = Harm(Faults(), chance)
        # Drained means in the kernel's hands: an end must not overtake what it comes after.
        writer.transport.set_write_buffer_limits(0)

    async def run(
        self,
        near: asyncio.StreamReader,
        far: asyncio.StreamReader,
        to_upstream: asyncio.StreamWriter,
    ) -> None:
        async with asyncio.TaskGroup() as directions:
            both = [
                directions.create_task(self._up(near, to_upstream)),
                directions.create_task(self._down(far)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for direction in both:
                direction.cancel()

    async def _up(self, near: asyncio.StreamReader, to_upstream: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await self._pass_up(near, to_upstream)

    async def _down(self, far: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await self._pass_down(far)

    async def _pass_up(self, near: asyncio.StreamReader, to_upstream: asyncio.StreamWriter) -> None:
        while octets := await near.read(READ_BYTES):
            # The gateway does not pipeline: bytes upwards begin a request, or go on with one.
            if found := _HEADER.search(octets):
                self._harm = Harm(parse(found[1].decode("ascii")), self._chance)
            elif b" HTTP/1.1\r\n" in octets:
                self._harm = Harm(Faults(), self._chance)
            to_upstream.write(octets)
            await to_upstream.drain()

    async def _pass_down(self, far: asyncio.StreamReader) -> None:
        while octets := await far.read(READ_BYTES):
            harm = self._harm
            for piece in harm.feed(octets):
                if harm.faults.latency_ms:
                    await asyncio.sleep(harm.pause_s())
                self._writer.write(piece)
                await self._writer.drain()
                if harm.faults.slice_bytes:
                    await asyncio.sleep(0)
            if harm.ended:
                await self._end(harm.faults.end)
                return

    async def _end(self, end: str | None) -> None:
        if end == "stall":
            await asyncio.Event().wait()  # until the gateway loses its patience: then _up ends
        if end == "reset":
            reset(self._writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST instead of a FIN."""
    held = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
