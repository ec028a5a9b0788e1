"""The pool's laws: the cap holds, nobody hangs, no slot is lost, the order is fair."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from gateway.kernel.clock import SystemClock
from gateway.upstream.connection import Connection, Origin
from gateway.upstream.connections import Connections, Statistics
from gateway.upstream.deadlines import Deadlines, Limits
from gateway.upstream.transport import RelayTransport, tls_context
from tests.upstream.scripted import Peer, Stage, answer, echo, post, run, serving, whole

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
TLS = tls_context()
EASY = Limits.of(Deadlines().extension())


@asynccontextmanager
async def pool(connections_max: int, keepalive_s: float = 60) -> AsyncIterator[Connections]:
    connections = Connections(
        clock=SystemClock(),
        tls=TLS,
        connections_max=connections_max,
        keepalive_s=keepalive_s,
        sweep_s=0.02,
    )
    try:
        yield connections
    finally:
        await connections.aclose()


def at(stage: Stage) -> Origin:
    return b"http", b"127.0.0.1", stage.port


def complete(connection: Connection) -> None:
    """Bring a borrowed connection into the state after a whole call."""
    connection.begin(EASY, bodiless=False)
    connection.uploaded(whole=True)
    connection.data_received(answer(b""))
    assert connection.reusable


async def hold(peer: Peer) -> None:
    await peer.gone()


@LOOPS
def test_two_hundred_calls_over_two_connections_are_all_served_in_order(loop: str) -> None:
    async def play(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0.0005)
            await peer.send(answer(request.body))

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport(connections_max=2)
            numbers = range(200)
            bodies = await asyncio.gather(
                *(whole(transport, post(stage, b"%d" % number)) for number in numbers)
            )
            assert bodies == [b"%d" % number for number in numbers]
            assert stage.open_max <= 2
            assert stage.opened == 2
            order = [int(request.body) for request in stage.received]
            # Two connections race each other, so neighbours may swap; nobody is overtaken by more.
            assert all(abs(place - number) <= 2 for place, number in enumerate(order))
            await transport.aclose()

    run(main(), loop=loop)


@LOOPS
def test_cancelling_half_of_the_waiters_leaves_nobody_hanging_and_no_slot_lost(loop: str) -> None:
    async def play(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0.001)
            await peer.send(answer(request.body))

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport(connections_max=2)
            dice = random.Random(3)
            tasks = [
                asyncio.ensure_future(whole(transport, post(stage, b"%d" % number)))
                for number in range(200)
            ]
            doomed = set(dice.sample(range(200), 100))
            for number in sorted(doomed):
                await asyncio.sleep(dice.random() * 0.001)
                tasks[number].cancel()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
            for number, result in enumerate(results):
                allowed = isinstance(result, asyncio.CancelledError) and number in doomed
                assert allowed or result == b"%d" % number
            figures = transport.statistics()
            assert figures.open == figures.idle <= 2
            assert figures.waiting == 0
            await transport.aclose()

    run(main(), loop=loop)


def test_a_waiter_cancelled_in_the_moment_it_is_served_passes_the_connection_on() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(1) as connections:
            held = await connections.borrow(at(stage), EASY)
            first = asyncio.ensure_future(connections.borrow(at(stage), EASY))
            second = asyncio.ensure_future(connections.borrow(at(stage), EASY))
            await asyncio.sleep(0)
            complete(held)
            connections.give_back(held)
            first.cancel()
            assert await asyncio.wait_for(second, 1) is held
            with pytest.raises(asyncio.CancelledError):
                await first
            assert connections.statistics().open == 1

    run(main())


def test_a_connection_whose_caller_left_while_it_opened_serves_the_next() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(1) as connections:
            caller = asyncio.ensure_future(connections.borrow(at(stage), EASY))
            await asyncio.sleep(0)
            assert connections.statistics().connecting == 1
            caller.cancel()
            with suppress(asyncio.CancelledError):
                await caller
            await asyncio.wait_for(connections.borrow(at(stage), EASY), 1)
            assert stage.opened == 1

    run(main())


def test_a_failed_connect_frees_its_slot_for_the_next_waiter() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody: Origin = (b"http", b"127.0.0.1", closed.getsockname()[1])

        async def main() -> None:
            async with serving(hold) as stage, pool(1) as connections:
                failing = asyncio.ensure_future(connections.borrow(nobody, EASY))
                waiting = asyncio.ensure_future(connections.borrow(at(stage), EASY))
                with pytest.raises(httpx.ConnectError):
                    await failing
                await asyncio.wait_for(waiting, 1)

        run(main())


def test_a_lost_connection_frees_its_slot_for_the_next_waiter() -> None:
    async def leave(peer: Peer) -> None:
        await asyncio.sleep(0.02)

    async def main() -> None:
        async with serving(leave) as stage, pool(1) as connections:
            held = await connections.borrow(at(stage), EASY)
            waiting = asyncio.ensure_future(connections.borrow(at(stage), EASY))
            assert await asyncio.wait_for(waiting, 1) is not held

    run(main())


def test_an_idle_connection_of_another_origin_makes_room() -> None:
    async def main() -> None:
        async with serving(echo) as one, serving(echo) as two:
            transport = RelayTransport(connections_max=2)
            for _ in range(3):
                calls = [whole(transport, post(stage, b"x")) for stage in (one, one, two, two)]
                assert await asyncio.wait_for(asyncio.gather(*calls), 2) == [b"x"] * 4
            assert transport.statistics().open <= 2
            await transport.aclose()

    run(main())


def test_a_returned_connection_of_another_origin_makes_room_for_the_first_in_line() -> None:
    async def main() -> None:
        async with serving(hold) as one, serving(hold) as two, pool(1) as connections:
            held = await connections.borrow(at(one), EASY)
            waiting = asyncio.ensure_future(connections.borrow(at(two), EASY))
            await asyncio.sleep(0)
            complete(held)
            connections.give_back(held)
            assert (await asyncio.wait_for(waiting, 1)).origin == at(two)

    run(main())


def test_only_an_idle_connection_is_had_without_waiting() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(2) as connections:
            assert connections.idle(at(stage), EASY) is None
            held = await connections.borrow(at(stage), EASY)
            assert connections.idle(at(stage), EASY) is None
            complete(held)
            connections.give_back(held)
            assert connections.idle((b"http", b"127.0.0.2", stage.port), EASY) is None
            assert connections.idle(at(stage), EASY) is held
            assert connections.statistics().idle == 0
            complete(held)
            connections.give_back(held)
            await connections.aclose()
            assert connections.idle(at(stage), EASY) is None

    run(main())


def test_a_call_in_more_haste_than_the_last_is_looked_at_in_time() -> None:
    """Limits that were looked after once are not asked again: other ones are."""

    async def main() -> None:
        async with serving(hold) as stage:
            connections = Connections(
                clock=SystemClock(), tls=TLS, connections_max=2, keepalive_s=60, sweep_s=30
            )
            held = await connections.borrow(at(stage), EASY)
            for _ in range(2):
                complete(held)
                connections.give_back(held)
                assert connections.idle(at(stage), EASY) is held
            complete(held)
            connections.give_back(held)
            hasty = Limits.of(Deadlines(head_s=0.1).extension())
            assert connections.idle(at(stage), hasty) is held
            held.begin(hasty, bodiless=False)
            held.uploaded(whole=True)
            for _ in range(100):
                await asyncio.sleep(0.02)
                if held.error is not None:
                    break
            assert isinstance(held.error, httpx.ReadTimeout)
            await connections.aclose()

    run(main())


def test_the_hottest_idle_connection_is_used_and_cold_ones_expire() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(3, keepalive_s=0.2) as connections:
            three = [await connections.borrow(at(stage), EASY) for _ in range(3)]
            for connection in three:
                complete(connection)
                connections.give_back(connection)
            for _ in range(15):
                await asyncio.sleep(0.02)
                hot = await connections.borrow(at(stage), EASY)
                assert hot is three[2]
                complete(hot)
                connections.give_back(hot)
            assert connections.statistics() == Statistics(
                open=1, idle=1, connecting=0, waiting=0, opened=3
            )

    run(main())


def test_a_fresh_connection_is_fresh_even_when_others_are_given_back() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(1) as connections:
            held = await connections.borrow(at(stage), EASY)
            fresh = asyncio.ensure_future(connections.borrow(at(stage), EASY, fresh=True))
            await asyncio.sleep(0)
            complete(held)
            connections.give_back(held)
            got = await asyncio.wait_for(fresh, 1)
            assert got is not held
            assert not got.used
            complete(got)
            connections.give_back(got)
            again = await asyncio.wait_for(connections.borrow(at(stage), EASY, fresh=True), 1)
            assert again is not got

    run(main())


def limits(**seconds: float) -> Limits:
    return Limits.of({"connect": 5.0, "pool": 5.0, **seconds})


def test_waiting_for_a_connection_ends_with_the_pool_limit() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(1) as connections:
            await connections.borrow(at(stage), EASY)
            started = asyncio.get_running_loop().time()
            with pytest.raises(httpx.PoolTimeout):
                await connections.borrow(at(stage), limits(pool=0.2))
            assert 0.15 < asyncio.get_running_loop().time() - started < 0.5
            assert connections.statistics().waiting == 0

    run(main())


@LOOPS
def test_connecting_ends_with_the_connect_limit_and_frees_its_slot(loop: str) -> None:
    async def main() -> None:
        # A listener whose backlog is full does not answer: neither does this address family's black hole.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            origin: Origin = (b"http", b"127.0.0.1", full.getsockname()[1])
            async with serving(hold) as stage, pool(4) as connections:
                calls = [connections.borrow(origin, limits(connect=0.3)) for _ in range(4)]
                results = await asyncio.gather(*calls, return_exceptions=True)
                await asyncio.sleep(0.01)
                assert any(isinstance(result, httpx.ConnectTimeout) for result in results)
                figures = connections.statistics()
                assert figures.connecting == 0
                assert figures.open == sum(isinstance(result, Connection) for result in results)
                await asyncio.wait_for(connections.borrow(at(stage), EASY), 1)

    run(main(), loop=loop)


def test_a_tls_handshake_that_never_ends_counts_as_connecting() -> None:
    async def main() -> None:
        async with serving(hold) as stage, pool(1) as connections:
            with pytest.raises(httpx.ConnectTimeout):
                await connections.borrow((b"https", b"127.0.0.1", stage.port), limits(connect=0.2))
            await asyncio.sleep(0.05)
            assert connections.statistics().connecting == 0
            assert stage.open == 0

    run(main())


def test_closing_ends_everything_and_refuses_what_comes_later() -> None:
    async def main() -> None:
        async with serving(hold) as stage:
            transport = RelayTransport(connections_max=1)
            running = asyncio.ensure_future(whole(transport, post(stage)))
            await asyncio.sleep(0.02)
            waiting = asyncio.ensure_future(whole(transport, post(stage)))
            await asyncio.sleep(0.02)
            await transport.aclose()
            with pytest.raises(httpx.ReadError):
                await running
            with pytest.raises(httpx.ConnectError):
                await waiting
            with pytest.raises(httpx.ConnectError):
                await whole(transport, post(stage))
            assert transport.statistics().open == 0

    run(main())
