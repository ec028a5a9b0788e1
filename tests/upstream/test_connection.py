"""One connection: back-pressure, deadlines, and what it does with bytes nobody asked for."""

import asyncio
import gc

import httpx
import pytest

from gateway.upstream.connection import BUFFER_BYTES_HIGH, Connection
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import Peer, Play, answer, chunks, post, run, serving, whole

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
LIMIT_S = 0.4


def streaming(total: int, part: int = 65_536) -> Play:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for start in range(0, total, part):
            peer.writer.write(bytes(min(part, total - start)))
            await peer.writer.drain()
        await peer.gone()

    return play


@LOOPS
def test_a_stalled_reader_holds_little_and_gets_every_byte_on_resuming(loop: str) -> None:
    total = 33_000_000

    async def main() -> None:
        async with serving(streaming(total)) as stage:
            transport = RelayTransport()
            response = await transport.handle_async_request(
                post(stage, timeout={"read": LIMIT_S, "connect": 5})
            )
            assert isinstance(response.stream, httpx.AsyncByteStream)
            stream = aiter(response.stream)
            received = len(await anext(stream))
            # Stalled for longer than the read limit: ours is the slow side, so nothing is overdue.
            await asyncio.sleep(LIMIT_S * 2)
            [connection] = transport._connections._live
            assert BUFFER_BYTES_HIGH < sum(map(len, connection.parts)) <= 2 * BUFFER_BYTES_HIGH
            largest = 0
            async for chunk in stream:
                received += len(chunk)
                largest = max(largest, len(chunk))
            assert received == total
            assert largest <= 2 * BUFFER_BYTES_HIGH
            await transport.aclose()

    run(main(), loop=loop)


@LOOPS
def test_a_call_that_ends_while_its_reader_stalls_still_delivers_what_came(loop: str) -> None:
    async def main() -> None:
        async with serving(streaming(33_000_000)) as stage:
            transport = RelayTransport()
            response = await transport.handle_async_request(post(stage, timeout={"total": LIMIT_S}))
            assert isinstance(response.stream, httpx.AsyncByteStream)
            stream = aiter(response.stream)
            await anext(stream)
            await asyncio.sleep(LIMIT_S * 2)
            assert transport.statistics().open == 0
            assert len(await anext(stream)) > BUFFER_BYTES_HIGH
            with pytest.raises(httpx.ReadTimeout):
                await anext(stream)
            await transport.aclose()

    run(main(), loop=loop)


async def silent_at_once(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def silent_after_the_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await peer.gone()


async def never_reads(peer: Peer) -> None:
    await asyncio.sleep(30)


async def trickles(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.02)


@LOOPS
@pytest.mark.parametrize(
    ("play", "key", "size", "error"),
    [
        (silent_at_once, "head", 2, httpx.ReadTimeout),
        (silent_at_once, "read", 2, httpx.ReadTimeout),
        (silent_after_the_head, "read", 2, httpx.ReadTimeout),
        (never_reads, "write", 20_000_000, httpx.WriteTimeout),
        (trickles, "total", 2, httpx.ReadTimeout),
    ],
)
def test_silence_of_the_upstream_ends_in_time(
    play: Play, key: str, size: int, error: type[httpx.TimeoutException], loop: str
) -> None:
    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            clock = asyncio.get_running_loop().time
            started = clock()
            with pytest.raises(error):
                await whole(transport, post(stage, bytes(size), timeout={key: LIMIT_S}))
            assert LIMIT_S / 2 <= clock() - started <= LIMIT_S + 0.5
            await asyncio.sleep(0.01)
            assert transport.statistics().open == 0
            await transport.aclose()

    run(main(), loop=loop)


def test_an_upstream_that_keeps_sending_is_never_too_late() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(LIMIT_S / 8)
            await peer.send(b"x")

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            request = post(stage, timeout={"read": LIMIT_S, "head": LIMIT_S})
            assert await whole(transport, request) == b"x" * 20
            await transport.aclose()

    run(main())


def test_a_slow_upload_that_moves_is_not_stalled() -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        rest = 6_000_000
        while rest:
            rest -= len(await peer.reader.read(min(rest, 400_000)))
            await asyncio.sleep(LIMIT_S / 10)
        await peer.send(answer(b"ok"))

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            request = post(stage, bytes(6_000_000), timeout={"write": LIMIT_S, "read": 5})
            assert await whole(transport, request) == b"ok"
            await transport.aclose()

    run(main())


def test_bytes_on_an_idle_connection_close_it() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"ok"))
        await asyncio.sleep(0.03)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.gone()

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            assert await whole(transport, post(stage)) == b"ok"
            assert transport.statistics().idle == 1
            await asyncio.sleep(0.1)
            assert transport.statistics().open == 0
            assert await whole(transport, post(stage)) == b"ok"
            await transport.aclose()

    run(main())


def test_a_failure_after_the_last_byte_was_received_swallows_nothing() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await asyncio.sleep(0.02)
        peer.reset()

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            response = await transport.handle_async_request(post(stage))
            # Everything, the reset included, happens before anybody reads.
            await asyncio.sleep(0.1)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            stream = aiter(response.stream)
            assert await anext(stream) == b"abc"
            with pytest.raises(httpx.ReadError):
                await anext(stream)
            await transport.aclose()

    run(main())


def test_a_complete_answer_outlives_its_connection() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"whole"))
        peer.reset()

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            response = await transport.handle_async_request(post(stage))
            await asyncio.sleep(0.05)
            assert b"".join(await chunks(response)) == b"whole"
            await asyncio.sleep(0.01)
            assert transport.statistics().open == 0
            await transport.aclose()

    run(main())


@LOOPS
def test_a_closed_connection_leaves_nothing_to_collect(loop: str) -> None:
    """A full collection comes by the hour: until then a connection that knows itself would stay, with its socket."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"ok"))
        peer.reset()

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            gc.collect()
            gc.disable()
            try:
                for _ in range(5):
                    assert await whole(transport, post(stage)) == b"ok"
                    await asyncio.sleep(0.01)
                assert transport.statistics().open == 0
                left = [one for one in gc.get_objects() if isinstance(one, Connection)]
                assert len(left) <= 1  # the last one may still be somebody's
            finally:
                gc.enable()
            await transport.aclose()

    run(main(), loop=loop)
