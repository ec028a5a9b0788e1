"""A client on a raw socket: it reads as much as it wants, and leaves as rudely as it wants.

To leave in another way: a word in ``Visitor.leave``.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Self

from tests.faults.proxy import reset

Leaving = Literal["fin", "half", "rst"]
LEAVINGS: Final[tuple[Leaving, ...]] = ("fin", "half", "rst")
PATIENCE_S: Final = 30.0


class Got(NamedTuple):
    """A response: ``clean`` where its end came by its own framing."""

    head: bytes
    body: bytes
    clean: bool

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1]) if self.head else 0

    def document(self) -> Any:
        return json.loads(self.body)


def unchunked(octets: bytes) -> tuple[bytes, bool]:
    """The body in chunked octets, as far as they go, and whether the last chunk is there."""
    body, at = b"", 0
    while (line := octets.find(b"\r\n", at)) >= 0:
        size = int(octets[at:line], 16)
        if size == 0:
            return body, octets[line : line + 4] == b"\r\n\r\n"
        body += octets[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
        if at > len(octets):
            break
    return body, False


def _length(lowered: bytes) -> int:
    """The length a head announces, which a 204 need not."""
    if lowered.startswith(b"http/1.1 204 "):
        return 0
    return int(lowered.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


def arrived(octets: bytes) -> Got:
    """A response out of whatever arrived of it."""
    head, found, rest = octets.partition(b"\r\n\r\n")
    if not found:
        return Got(b"", b"", clean=False)
    lowered = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lowered:
        return Got(head, *unchunked(rest))
    length = _length(lowered)
    return Got(head, rest, clean=len(rest) == length)


def post(
    path: str, body: Any, key: str, headers: Mapping[str, str] | None = None, **more: str
) -> bytes:
    """A POST; ``body`` may be bytes, else it is JSON."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {
        "host": "gateway.example",
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "content-length": str(len(octets)),
        **(headers or {}),
        **more,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + octets


class Visitor:
    """One connection of a client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._octets = b""

    @classmethod
    async def connect(cls, port: int, *, receive_buffer_bytes: int = 0) -> Self:
        held = socket.socket()
        held.setblocking(False)  # noqa: FBT003  # the socket module's own signature
        if receive_buffer_bytes:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(held, ("127.0.0.1", port))
        except OSError:
            held.close()
            raise
        limit = receive_buffer_bytes or 2**16
        return cls(*await asyncio.open_connection(sock=held, limit=limit))

    async def send(self, octets: bytes) -> None:
        self._octets = b""
        self._writer.write(octets)
        await self._writer.drain()

    async def read_until(self, mark: bytes) -> None:
        """Read until ``mark`` has been seen. Raises AssertionError where the response ends before."""
        async with asyncio.timeout(PATIENCE_S):
            while mark not in self._octets:
                part = await self._reader.read(2**16)
                assert part, f"closed before {mark!r}: {self._octets[-300:]!r}"
                self._octets += part

    async def rest(self) -> Got:
        """The response to its end, be it clean or not."""
        pieces = [self._octets]
        async with asyncio.timeout(PATIENCE_S):
            while not _is_whole(pieces):
                try:
                    part = await self._reader.read(2**20)
                except ConnectionResetError:
                    part = b""
                if not part:
                    break
                pieces.append(part)
        self._octets = b"".join(pieces)
        return arrived(self._octets)

    async def more(self, seconds: float = 0.3) -> bytes:
        """What comes after the response, until the connection ends or nothing comes any more."""
        try:
            async with asyncio.timeout(seconds):
                return await self._reader.read(2**16)
        except (TimeoutError, ConnectionResetError):
            return b""

    def leave(self, how: Leaving = "fin") -> None:
        """fin: close; half: only our sending end; rst: close without goodbye."""
        if how == "rst":
            reset(self._writer)
        elif how == "half":
            self._writer.write_eof()
        else:
            self._writer.close()

    def close(self) -> None:
        self._writer.close()


def _is_whole(pieces: list[bytes]) -> bool:
    """Whether the response has its own end; looked at closely only where it may have."""
    head, found, rest = pieces[0].partition(b"\r\n\r\n")
    if not found:
        pieces[:] = [b"".join(pieces)]
        head, found, rest = pieces[0].partition(b"\r\n\r\n")
        if not found:
            return False
    lowered = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lowered:
        tail = b"".join(pieces[-5:])[-5:]
        return tail == b"0\r\n\r\n" and arrived(b"".join(pieces)).clean
    length = _length(lowered)
    return len(rest) + sum(map(len, pieces[1:])) >= length


async def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something another task or thread does. Raises AssertionError where it does not come."""
    for _ in range(int(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


async def ask(port: int, request: bytes) -> Got:
    """One request on a connection of its own."""
    visitor = await Visitor.connect(port)
    try:
        await visitor.send(request)
        return await visitor.rest()
    finally:
        visitor.close()
