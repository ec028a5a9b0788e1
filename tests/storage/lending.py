"""A pooler in transaction mode: each transaction on another server, where pgbouncer would most often take the same.

Like pgbouncer without prepared statements of its own: what a client prepared under a name in one transaction is not
there in the next, and a setting in a start that a pooler cannot keep refuses it.
"""

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

SERVERS: Final = 3
_TLS, _CANCEL = 80877103, 80877102
_KEPT: Final = frozenset(
    {"user", "database", "application_name", "client_encoding", "DateStyle", "TimeZone"}
)
_VERSION: Final = 196608
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """Servers in a queue; who begins takes the one that has rested longest."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        assert at.hostname
        assert at.port
        self._at = at.hostname, at.port
        self._user, self._database = at.username or "postgres", at.path[1:]
        self._free: asyncio.Queue[Ends] = asyncio.Queue()
        self._greeting = b""
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> asyncio.Server:
        for _ in range(SERVERS):
            await self._another()
        return await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.wait([*self._serving, asyncio.ensure_future(asyncio.sleep(0))])
        while not self._free.empty():
            _, writer = self._free.get_nowait()
            writer.close()
            await writer.wait_closed()

    async def _another(self) -> None:
        reader, writer = await asyncio.open_connection(*self._at)
        names = b"".join(
            word.encode() + b"\0" for word in ("user", self._user, "database", self._database)
        )
        writer.write(struct.pack("!ii", 9 + len(names), _VERSION) + names + b"\0")
        greeting = b""
        while not greeting.endswith(b"Z\0\0\0\5I"):
            greeting += await _message(reader)
        self._greeting = greeting
        self._free.put_nowait((reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await self._greeted(reader, writer):
                    while (first := await _message(reader))[:1] != b"X":
                        await self._transaction(first, (reader, writer))
        finally:
            writer.close()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            size, code = struct.unpack("!ii", await reader.readexactly(8))
            rest = await reader.readexactly(size - 8)
            if code == _CANCEL:
                return False
            if code != _TLS:
                break
            writer.write(b"N")
        words = rest.decode().split("\0")
        strange = {name for name in words[:-2:2] if name not in _KEPT}
        if strange:
            said = f"SFATAL\0C08P01\0Munsupported startup parameter: {strange.pop()}\0\0".encode()
            writer.write(b"E" + struct.pack("!i", 4 + len(said)) + said)
            return False
        writer.write(self._greeting)
        return True

    async def _transaction(self, message: bytes, client: Ends) -> None:
        server = await self._free.get()
        ready: asyncio.Queue[bool] = asyncio.Queue()
        answers = asyncio.create_task(_answered(server[0], client[1], ready))
        is_over = False
        try:
            while not is_over:
                server[1].write(message)
                if message[:1] in {b"S", b"Q"}:
                    is_over = await ready.get()
                if not is_over:
                    message = await _message(client[0])
                if message[:1] == b"X":
                    raise ConnectionError("gone with a transaction open")
        finally:
            if is_over:
                self._free.put_nowait(server)
            else:
                answers.cancel()
                server[1].close()
                await self._another()


async def _answered(
    server: asyncio.StreamReader, client: asyncio.StreamWriter, ready: asyncio.Queue[bool]
) -> None:
    """Pass on what the server says; each time that it is ready, say whether no transaction is open: then that is all."""
    is_over = False
    while not is_over:
        message = await _message(server)
        client.write(message)
        if message[:1] == b"Z":
            is_over = message[5:] == b"I"
            ready.put_nowait(is_over)


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


@contextmanager
def lending(url: str) -> Iterator[str]:
    """The URL of a pooler before the database, in a thread of its own."""
    loop = asyncio.new_event_loop()
    pooler = Pooler(url)
    server = loop.run_until_complete(pooler.open())
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/{urlsplit(url).path[1:]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        server.close()
        loop.run_until_complete(pooler.close())
        loop.close()
