"""Commits whose answer is lost: the database has the batch, the gateway cannot know it, and books it again.

A proxy before Postgres passes everything, but for the answer to some COMMITs: that one it waits for and
breaks the connection in its place.
"""

import asyncio
import random
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from tests.faults.gateways import process
from tests.faults.proxy import READ_BYTES, linking, reset
from tests.prove.books import Verdict, judged
from tests.prove.kills import Place, place
from tests.prove.load import Load

CLIENTS: Final = 16
LOST_SHARE: Final = 0.5
RUN_S_MAX: Final = 180.0
_COMMIT: Final = b"COMMIT;\x00"  # asyncpg's own word, as a simple query
_READY: Final = b"Z" + struct.pack(">I", 5)  # ReadyForQuery: the server is done with it


class Ambiguous(NamedTuple):
    """``lost``: commits that were carried out and never answered; ``broken``: calls that failed meanwhile."""

    verdict: Verdict
    lost: int
    passed: int
    broken: int


class ForgetfulProxy:
    """Before a Postgres port. ``is_lossy`` may be changed at any time; the figures count COMMITs."""

    def __init__(self, server_port: int, seed: int) -> None:
        self.port = 0
        self.is_lossy = True
        self.lost = 0
        self.passed = 0
        self._server_port = server_port
        self._chance = random.Random(seed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ForgetfulProxy"]:
        """Listen until left."""
        async with linking(self._link) as self.port:
            yield self

    async def _link(self, near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            far, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            link = _Link(self, near, writer, far, to_server)
            try:
                await link.run()
            finally:
                to_server.transport.abort()
                writer.transport.abort()

    def forgets(self) -> bool:
        """Whether the answer to this COMMIT is to be lost."""
        is_lost = self.is_lossy and self._chance.random() < LOST_SHARE
        self.lost += is_lost
        self.passed += not is_lost
        return is_lost


class _Link:
    """One connection; the first direction that ends, ends both."""

    def __init__(
        self,
        proxy: ForgetfulProxy,
        near: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._near, self._writer = near, writer
        self._far, self._to_server = far, to_server
        self._is_to_be_lost = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as directions:
            both = [directions.create_task(one()) for one in (self._up, self._down)]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for direction in both:
                direction.cancel()

    async def _up(self) -> None:
        with suppress(ConnectionError):
            while octets := await self._near.read(READ_BYTES):
                self._is_to_be_lost = octets.endswith(_COMMIT) and self._proxy.forgets()
                self._to_server.write(octets)
                await self._to_server.drain()

    async def _down(self) -> None:
        with suppress(ConnectionError):
            while octets := await self._far.read(READ_BYTES):
                if self._is_to_be_lost:
                    # A COMMIT is asked alone, so what comes is its answer: then it has been carried out.
                    while _READY not in octets:
                        octets += await self._far.readexactly(1)
                    reset(self._writer)
                    return
                self._writer.write(octets)
                await self._writer.drain()


def proved(lost: int) -> Ambiguous:
    """Under load until so many commits were carried out without the gateway hearing of it."""
    with place("postgres") as where:
        load = Load(where.port, where.key, 5, pause_s=0.03)
        proxy = asyncio.run(_lossy(where, load, lost))
        verdict = judged(where.config, where.asked(), load.whole)
    return Ambiguous(verdict, proxy.lost, proxy.passed, load.broken + sum(load.refused.values()))


async def _lossy(where: Place, load: Load, lost: int) -> ForgetfulProxy:
    assert where.store is not None
    async with ForgetfulProxy(where.store.port, seed=5).running() as proxy:
        text = where.path.read_text()
        where.path.write_text(text.replace(f":{where.store.port}/", f":{proxy.port}/"))
        served = process(where.path, where.port, log=where.folder / "log")
        await asyncio.to_thread(served.__enter__)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(CLIENTS))
                end = time.monotonic() + RUN_S_MAX
                while proxy.lost < lost and time.monotonic() < end:  # noqa: ASYNC110 - a count
                    await asyncio.sleep(0.05)
                load.stopping = True
            proxy.is_lossy = False
        finally:
            await asyncio.to_thread(served.__exit__, None, None, None)
        return proxy
