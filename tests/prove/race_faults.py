"""What a race for a budget has to bear: a slow database, one that is started again, a Valkey that stalls or forgets.

To add a trouble: its word in ``TROUBLES`` and what it does in ``Troubles``.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from tests.faults.proxy import READ_BYTES
from tests.prove.database import Postgres
from tests.storage.valkey_server import LiveValkey

TROUBLES: Final = ("killed", "slow", "restarted", "forgotten")
BY_ENGINE: Final = {
    "sqlite": ((), ("killed",), ("slow",)),
    "postgres": ((), ("killed",), ("slow", "restarted")),
    "valkey": ((), ("killed",), ("slow", "restarted"), ("forgotten",)),
}
ANSWER_S: Final = (0.002, 0.030)  # a slow Postgres: how much later every answer comes
HELD_S: Final = (0.05, 0.3)  # a slow SQLite: how long somebody else has the file, and leaves it
STALLED_S: Final = (0.05, 0.5)  # a slow Valkey: how long it does not answer
AWAY_S: Final = 1.0


class Troubles:
    """The troubles of one race, and what they are done to."""

    def __init__(
        self, words: tuple[str, ...], url: str, server: Postgres | None, valkey: LiveValkey | None
    ) -> None:
        self.words = words
        self.url = url
        self._server = server
        self._valkey = valkey
        self._is_over = threading.Event()

    @contextmanager
    def lasting(self) -> Iterator[str]:
        """What lasts as long as the race; the URL that its processes are given."""
        if "slow" not in self.words:
            yield self.url
            return
        hands = [self._stall] if self._valkey else []
        path = make_url(self.url).database
        if self._server is None:
            assert path is not None
            hands.append(lambda: self._hog(Path(path)))
        threads = [threading.Thread(target=hand) for hand in hands]
        for thread in threads:
            thread.start()
        try:
            with self._slowed() as url:
                yield url
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def strike(self) -> None:
        """What happens once, in the middle."""
        if "restarted" in self.words:
            assert self._server is not None, "only Postgres is a server"
            self._server.halt()
            time.sleep(AWAY_S)
            self._server.start()
        if "forgotten" in self.words:
            assert self._valkey is not None, "only Valkey forgets"
            self._valkey.crash()
            time.sleep(AWAY_S)
            self._valkey.start()

    @contextmanager
    def _slowed(self) -> Iterator[str]:
        if self._server is None:
            yield self.url
            return
        proxy = SlowProxy(self._server.port)
        with proxy.running() as port:
            yield make_url(self.url).set(port=port).render_as_string(hide_password=False)

    def _stall(self) -> None:
        assert self._valkey is not None
        chance = random.Random(1)
        while not self._is_over.wait(chance.uniform(0.5, 2)):
            self._valkey.pause()
            time.sleep(chance.uniform(*STALLED_S))
            self._valkey.resume()

    def _hog(self, path: Path) -> None:
        chance = random.Random(2)
        connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        while not self._is_over.wait(chance.uniform(*HELD_S)):
            with suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(chance.uniform(*HELD_S))
                connection.execute("COMMIT")
        connection.close()


class SlowProxy:
    """Before a port of this machine, in a thread of its own: every answer comes later."""

    def __init__(self, far_port: int) -> None:
        self._far_port = far_port
        self._chance = random.Random(3)

    @contextmanager
    def running(self) -> Iterator[int]:
        """Its port, until left."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        begun = asyncio.run_coroutine_threadsafe(self._begun(), loop).result(10)
        try:
            yield begun.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(self._ended(begun), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _begun(self) -> asyncio.Server:
        return await asyncio.start_server(self._link, "127.0.0.1", 0)

    async def _ended(self, server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _link(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            far, to_far = await asyncio.open_connection("127.0.0.1", self._far_port)
            asking = asyncio.ensure_future(_pass(near, to_far))
            try:
                while octets := await far.read(READ_BYTES):
                    await asyncio.sleep(self._chance.uniform(*ANSWER_S))
                    to_near.write(octets)
                    await to_near.drain()
            finally:
                asking.cancel()
                to_far.close()
        to_near.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(READ_BYTES):
            writer.write(octets)
            await writer.drain()
    writer.close()
