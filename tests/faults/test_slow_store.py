"""A database that answers in two seconds, under a flood of keys that nobody has: those who have one notice nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Final, NamedTuple, TypeVar

import pytest

from gateway import app as composition
from gateway.config import Config
from gateway.identity import keys
from gateway.kernel.clock import SystemClock
from gateway.storage.directory import Directory, MadeKey, NewKey
from gateway.storage.engine import CONNECTIONS_MAX, GLANCES_MAX
from tests.faults.gateways import Process, free_port, prepared, process, settings
from tests.faults.origin import Origin, standing
from tests.faults.proxy import linking
from tests.faults.streams import CHAT, answering
from tests.faults.visitor import Got, ask, post
from tests.prove.database import postgres
from tests.storage.conftest import binaries

DELAY_S: Final = 2.0
FLOOD: Final = 40  # strangers at any time
PROMISE_S: Final = 5.0
SLACK_S: Final = 2.0  # of a busy machine
MIB: Final = 2**20
NEW: Final = NewKey(user="user-0009", team="core")
T = TypeVar("T")


class Slow:
    """Before a port: what the server says arrives ``delay_s`` later; pieces do not wait for each other."""

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.links = 0
        self.most = 0
        self._upstream = upstream

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Slow"]:
        async with linking(self._link) as self.port:
            yield self

    async def _link(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection("127.0.0.1", self._upstream)
        self.links += 1
        self.most = max(self.most, self.links)
        loop = asyncio.get_running_loop()

        def later(writer: asyncio.StreamWriter, octets: bytes) -> None:
            if octets:
                writer.write(octets)
            else:
                writer.close()

        async def passed(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_slow: bool
        ) -> None:
            octets = b"x"
            while octets:
                try:
                    octets = await reader.read(65536)
                except OSError:
                    octets = b""
                loop.call_later(self.delay_s if is_slow else 0, later, writer, octets)

        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(passed(near, to_far, is_slow=False))
                both.create_task(passed(far, to_near, is_slow=True))
        finally:
            self.links -= 1
            to_near.close()
            to_far.close()


class House(NamedTuple):
    """A gateway whose database is behind ``slow``; keys are made and revoked past it."""

    process: Process
    config: Config
    known: MadeKey
    slow: Slow

    def create(self) -> MadeKey:
        return asyncio.run(self._administer(lambda keys: keys.create(NEW)))

    def revoke(self, key_id: str) -> None:
        asyncio.run(self._administer(lambda keys: keys.revoke(key_id)))

    async def _administer(self, deed: Callable[[Directory], Awaitable[T]]) -> T:
        async with composition.opened(self.config) as database:
            return await deed(composition.directory(self.config, database, SystemClock()))

    async def call(self, key: str) -> Got:
        return await ask(self.process.port, post(CHAT.path, CHAT.body, key))

    async def until(self, key: str, status: int) -> float:
        """Seconds until calls with a key are answered like this."""
        began = time.monotonic()
        while (await self.call(key)).status != status:
            assert time.monotonic() < began + 60
            await asyncio.sleep(0.05)
        return time.monotonic() - began


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    if binaries() is None:
        pytest.skip("no Postgres of our own to start")
    with ExitStack() as stack:
        store = stack.enter_context(postgres("postgres"))
        assert store is not None
        origin = stack.enter_context(standing(lambda: Origin(answering()).running()))
        slow = stack.enter_context(standing(lambda: Slow(store.port).running()))
        path = settings(tmp_path, origin.port, port=free_port())
        text, url = path.read_text(), store.url()
        path.write_text(text.replace("[storage]", f'[storage]\nurl = "{url}"', 1))
        config, known = prepared(path)
        far = url.replace(str(store.port), str(slow.port))
        path.write_text(text.replace("[storage]", f'[storage]\nurl = "{far}"', 1))
        with process(path, config.server.port, log=tmp_path / "log") as serving:
            yield House(serving, config, known, slow)
            slow.delay_s = 0


class Crowd:
    """Strangers with keys that nobody has, and one client that is known."""

    def __init__(self, house: House) -> None:
        self.statuses: Counter[int] = Counter()
        self.took_s: list[float] = []
        self.stopping = False
        self._house = house

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(FLOOD):
                group.create_task(self._stranger())
            group.create_task(self._regular())

    async def _stranger(self) -> None:
        while not self.stopping:
            self.statuses[(await self._house.call(keys.mint(token_bytes))).status] += 1

    async def _regular(self) -> None:
        while not self.stopping:
            began = time.monotonic()
            assert (await self._house.call(self._house.known.key)).status == 200
            self.took_s.append(time.monotonic() - began)
            await asyncio.sleep(0.02)


def test_a_flood_of_strangers_over_a_slow_database_costs_those_who_are_known_nothing(
    house: House,
) -> None:
    crowd = Crowd(house)

    async def run() -> tuple[float, float, int]:
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.run())
            await asyncio.sleep(DELAY_S)
            before = house.process.rss_bytes()
            made = await asyncio.to_thread(house.create)
            known_s = await house.until(made.key, 200)
            await asyncio.to_thread(house.revoke, made.key_id)
            revoked_s = await house.until(made.key, 401)
            crowd.stopping = True
        return known_s, revoked_s, house.process.rss_bytes() - before

    house.slow.delay_s = DELAY_S
    known_s, revoked_s, grown = asyncio.run(run())
    took_s = sorted(crowd.took_s)
    print(
        f"{known_s:.1f} s, {revoked_s:.1f} s, {took_s[-1]:.2f} s, {crowd.statuses}, {grown} bytes"
    )
    assert max(known_s, revoked_s) < PROMISE_S + SLACK_S
    assert took_s[len(took_s) // 2] < 0.5
    assert took_s[-1] < DELAY_S
    assert set(crowd.statuses) == {401}
    assert grown < MIB * 8
    assert house.slow.most <= CONNECTIONS_MAX + GLANCES_MAX + 1  # and one of the budgets'
