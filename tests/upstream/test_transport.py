"""What both transports promise, over real sockets; and what only ours does."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from gateway.upstream.deadlines import Deadlines
from gateway.upstream.stock import StockTransport
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import (
    Peer,
    Play,
    Stage,
    answer,
    chunks,
    echo,
    post,
    run,
    serving,
    whole,
)

Transport: TypeAlias = RelayTransport | StockTransport
BOTH = pytest.mark.parametrize("kind", [RelayTransport, StockTransport])
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@asynccontextmanager
async def upstream(
    play: Play,
    kind: type[Transport] = RelayTransport,
    deadlines: Deadlines | None = None,
    connections_max: int = 100,
) -> AsyncIterator[tuple[Transport, Stage]]:
    async with serving(play) as stage:
        transport = kind(deadlines=deadlines or Deadlines(), connections_max=connections_max)
        try:
            yield transport, stage
        finally:
            await transport.aclose()


def fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def says(*packets: bytes, then: str = "wait", gap_s: float = 0.0) -> Play:
    """A play that answers the first request with these packets, then waits, closes or resets."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(*packets, gap_s=gap_s)
        if then == "reset":
            peer.reset()
        elif then == "wait":
            await peer.gone()

    return play


async def outcome(transport: Transport, request: httpx.Request) -> tuple[int, bytes, str]:
    """Status, bytes and the name of the error (or '') of a call that may break at any point."""
    received = bytearray()
    try:
        response = await transport.handle_async_request(request)
    except httpx.TransportError as error:
        return 0, b"", type(error).__name__
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async for chunk in response.stream:
            received += chunk
    except httpx.TransportError as error:
        return response.status_code, bytes(received), type(error).__name__
    finally:
        await response.stream.aclose()
    return response.status_code, bytes(received), ""


# What goes out.


@BOTH
def test_the_request_leaves_with_exactly_the_given_headers_and_target(
    kind: type[Transport],
) -> None:
    async def main() -> None:
        async with upstream(echo, kind) as (transport, stage):
            target = b"/a/../b//c/%2F%3a?q=%20&x={}|~"
            if kind is StockTransport:
                target = target.replace(b"{}|", b"")  # h11 is stricter than RFC 9112 asks
            request = post(stage, b"abc", (b"X-Odd", b"one"), (b"x-odd", b"two"), target=target)
            assert await whole(transport, request) == b"abc"
            [received] = stage.received
            assert received.target == target
            assert received.headers == [
                (b"Host", b"127.0.0.1:%d" % stage.port),
                (b"X-Odd", b"one"),
                (b"x-odd", b"two"),
                (b"Content-Length", b"3"),
            ]

    run(main())


@BOTH
@LOOPS
def test_large_bodies_arrive_whole(kind: type[Transport], loop: str) -> None:
    async def main() -> None:
        async with upstream(echo, kind) as (transport, stage):
            for size in (0, 1, 65_535, 65_536, 3_000_000):
                body = random.Random(size).randbytes(size)
                assert await whole(transport, post(stage, body)) == body
            assert stage.opened == 1

    run(main(), loop=loop)


@pytest.mark.parametrize(
    "header",
    [
        (b"X-A", b"b\r\nX-Evil: 1"),
        (b"X-A", b"b\nc"),
        (b"X-A\r\nX", b"b"),
        (b"X-A", b"b\0"),
        (b"", b"x"),
    ],
)
def test_a_header_that_would_become_two_is_refused_before_connecting(
    header: tuple[bytes, bytes],
) -> None:
    async def main() -> None:
        async with upstream(echo) as (transport, stage):
            with pytest.raises(httpx.LocalProtocolError):
                await whole(transport, post(stage, b"", header))
            assert stage.opened == 0

    run(main())


@pytest.mark.parametrize("target", [b"/a b", b"/a\r\nX: y", b"/a\x00", b"", b"/\xff"])
def test_a_target_that_would_break_the_request_line_is_refused(target: bytes) -> None:
    async def main() -> None:
        async with upstream(echo) as (transport, stage):
            with pytest.raises(httpx.LocalProtocolError):
                await whole(transport, post(stage, target=target))

    run(main())


# What comes back: every split gives the same.

RECORDED = {
    "length": answer(b"0123456789", b"X-One: 1", b"x-one: 2", b"X-Empty:"),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
    b"5\r\n01234\r\n5;ext=1\r\n56789\r\n0\r\nX-Trailer: dropped\r\n\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n0123456789",
    "informational": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    + answer(b"0123456789", b"X-A: b"),
    "no-content": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    "not-modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
}


def expected(name: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    last = RECORDED[name].rpartition(b"HTTP/1.1 ")[2]
    head = last.partition(b"\r\n\r\n")[0].split(b"\r\n")
    fields = [re.split(rb": ?", line, maxsplit=1) for line in head[1:]]
    status = int(head[0][:3])
    body = b"0123456789" if status == 200 else b""
    return status, body, [(field[0], field[1]) for field in fields]


async def got(transport: Transport, stage: Stage) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    response = await transport.handle_async_request(post(stage))
    headers = list(response.headers.raw)
    return response.status_code, b"".join(await chunks(response)), headers


@BOTH
@LOOPS
@pytest.mark.parametrize("name", RECORDED)
def test_a_response_byte_by_byte_gives_the_same(
    kind: type[Transport], loop: str, name: str
) -> None:
    async def main() -> None:
        packets = [bytes([byte]) for byte in RECORDED[name]]
        play = says(*packets, then="close" if name == "until-close" else "wait")
        async with upstream(play, kind) as (transport, stage):
            assert await got(transport, stage) == expected(name)

    run(main(), loop=loop)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(RECORDED)), st.lists(st.integers(1, 200), max_size=6))
def test_any_split_into_packets_gives_the_same(name: str, cuts: list[int]) -> None:
    recorded = RECORDED[name]
    places = sorted({0, len(recorded), *(cut for cut in cuts if cut < len(recorded))})
    packets = [recorded[a:b] for a, b in itertools.pairwise(places)]

    async def main() -> None:
        play = says(*packets, then="close" if name == "until-close" else "wait")
        async with upstream(play) as (transport, stage):
            assert await got(transport, stage) == expected(name)

    run(main())


def test_a_hundred_events_in_one_packet_are_one_chunk_and_one_event_is_forwarded_at_once() -> None:
    release: asyncio.Queue[None] = asyncio.Queue()
    events = [b"data: %d\n\n" % number for number in range(100)]

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await release.get()
        await peer.send(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events))
        for _ in range(3):
            await release.get()
            await peer.send(b"5\r\nlater\r\n")
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            response = await transport.handle_async_request(post(stage))
            assert isinstance(response.stream, httpx.AsyncByteStream)
            stream = aiter(response.stream)
            release.put_nowait(None)
            assert await anext(stream) == b"".join(events)
            for _ in range(3):
                release.put_nowait(None)
                assert await anext(stream) == b"later"
            assert [chunk async for chunk in stream] == []

    run(main())


def test_a_head_response_ends_at_its_head_and_its_connection_is_not_used_again() -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            for _ in range(2):
                assert await whole(transport, post(stage, b"", method="HEAD")) == b""
            assert stage.opened == 2

    run(main())


@BOTH
def test_connection_close_is_honoured(kind: type[Transport]) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"ok", b"Connection: close"))

    async def main() -> None:
        async with upstream(play, kind) as (transport, stage):
            for _ in range(3):
                assert await whole(transport, post(stage)) == b"ok"
            assert stage.opened == 3

    run(main())


# Garbage.

GARBAGE = {
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
    "status 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n01234",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n01234",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "control byte": b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "bare line feed": b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 0\n\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n01234",
    "large head": b"HTTP/1.1 200 OK\r\n" + b"X-A: %b\r\n" % (b"a" * 70_000) + b"\r\n",
    "endless field": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 300 + b"\r\n",
    "many informational": b"HTTP/1.1 103 Hint\r\n\r\n" * 20,
    "closed before the head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_a_protocol_error_and_its_connection_is_gone(name: str) -> None:
    async def main() -> None:
        play = says(GARBAGE[name], then="close" if name.startswith("closed") else "wait")
        async with upstream(play) as (transport, stage):
            assert await outcome(transport, post(stage)) == (0, b"", "RemoteProtocolError")
            await asyncio.sleep(0.01)
            assert isinstance(transport, RelayTransport)
            assert transport.statistics().open == 0
            assert stage.opened == 1, "a fresh connection is never tried twice"

    run(main())


BEHIND = {
    "an answer": b"HTTP/1.1 418 Evil\r\nContent-Length: 3\r\n\r\nbad",
    "no HTTP": b"{}",
    "one byte": b"H",
}
ENDINGS = {
    "length": answer(b"ok"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "close": answer(b"ok").replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("packets", [1, 2])
def test_bytes_after_the_end_cost_the_answer_nothing_and_never_reach_the_next_call(
    packets: int, ending: str, behind: str
) -> None:
    first, rest = ENDINGS[ending], BEHIND[behind]
    parts = [first + rest] if packets == 1 else [first, rest]

    async def main() -> None:
        async with upstream(says(*parts, gap_s=0.01)) as (transport, stage):
            status, body, error = await outcome(transport, post(stage))
            assert (status, body) == (200, b"ok")
            assert error == ""
            await asyncio.sleep(0.05)
            assert isinstance(transport, RelayTransport)
            assert transport.statistics().open == 0
            assert await outcome(transport, post(stage)) == (200, b"ok", "")

    run(main())


@BOTH
@pytest.mark.parametrize("then", ["reset", "close"])
def test_a_body_cut_at_any_offset_delivers_what_came_and_then_fails(
    kind: type[Transport], then: str
) -> None:
    chunked = RECORDED["chunked"]
    start = chunked.index(b"\r\n\r\n") + 4
    offsets = range(start, len(chunked) - 1, 1 if kind is RelayTransport else 4)

    async def main() -> None:
        for offset in offsets:
            async with upstream(says(chunked[:offset], then=then), kind) as (transport, stage):
                status, body, error = await outcome(transport, post(stage))
                if error != "ReadError" or then == "close":
                    assert status == 200
                    assert body == clear(chunked[start:offset])
                assert error in {"RemoteProtocolError", "ReadError"}

    run(main())


def clear(raw: bytes) -> bytes:
    """The digits of a chunked body cut anywhere, chunk heads left out."""
    found = re.match(rb"5\r\n(\d{0,5})(?:\r\n5;ext=1\r\n(\d{0,5}))?", raw)
    return b"".join(part or b"" for part in found.groups()) if found else b""


def test_a_bad_chunk_at_every_offset_fails_after_the_bytes_before_it() -> None:
    body = b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    framing = [0, 1, 2, 8, 9, 10, 11, 12, 18, 19]

    async def main() -> None:
        for offset in framing:
            bad = body[:offset] + b"\x00" + body[offset + 1 :]
            async with upstream(says(head + bad)) as (transport, stage):
                status, received, error = await outcome(transport, post(stage))
                assert (status, error) == (200, "RemoteProtocolError")
                assert b"0123456789".startswith(received)
                assert len(received) >= (5 if offset > 10 else 0)

    run(main())


@BOTH
def test_a_short_length_delimited_body_fails_after_what_came(kind: type[Transport]) -> None:
    async def main() -> None:
        short = answer(b"0123456789")[:-3]
        async with upstream(says(short, then="close"), kind) as (transport, stage):
            assert await outcome(transport, post(stage)) == (200, b"0123456", "RemoteProtocolError")

    run(main())


# Reuse and retry.


@BOTH
@LOOPS
def test_a_complete_call_leaves_a_connection_for_the_next(kind: type[Transport], loop: str) -> None:
    async def main() -> None:
        async with upstream(echo, kind) as (transport, stage):
            for number in range(20):
                assert await whole(transport, post(stage, b"%d" % number)) == b"%d" % number
            assert stage.opened == 1

    run(main(), loop=loop)


@LOOPS
def test_an_upstream_that_closes_idle_connections_costs_no_call(loop: str) -> None:
    async def play(peer: Peer) -> None:
        for _ in range(random.Random(peer.number).randint(1, 3)):
            request = await peer.request()
            await peer.send(answer(request.body))
        if peer.number % 2:
            peer.reset()

    async def main() -> None:
        async with upstream(play) as (transport, stage):

            async def calls(first: int) -> None:
                for number in range(first, first + 30):
                    body = b"%d" % number
                    assert await whole(transport, post(stage, body)) == body
                    await asyncio.sleep(0)

            await asyncio.gather(*(calls(first * 100) for first in range(10)))
            seen = [request.body for request in stage.received]
            assert len(seen) == len(set(seen)) == 300

    run(main(), loop=loop)


def test_a_call_is_sent_again_once_only_where_no_byte_of_an_answer_came() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.request()
        if stage_mode == "one byte":
            await peer.send(b"H")

    stage_mode = "none"

    async def main() -> None:
        nonlocal stage_mode
        async with upstream(play) as (transport, stage):
            assert isinstance(transport, RelayTransport)
            assert await whole(transport, post(stage, b"1")) == b"first"
            assert await whole(transport, post(stage, b"2")) == b"first"
            assert transport.retried == 1
            stage_mode = "one byte"
            assert await outcome(transport, post(stage, b"3")) == (0, b"", "RemoteProtocolError")
            assert transport.retried == 1
            assert [request.body for request in stage.received] == [b"1", b"2", b"2", b"3"]

    run(main())


def test_a_call_that_stood_for_a_while_was_read_and_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.upstream.transport.STALE_NS", 20_000_000)

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.request()
        await asyncio.sleep(0.06)

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            assert isinstance(transport, RelayTransport)
            assert await whole(transport, post(stage, b"1")) == b"first"
            assert await outcome(transport, post(stage, b"2")) == (0, b"", "RemoteProtocolError")
            assert transport.retried == 0
            assert [request.body for request in stage.received] == [b"1", b"2"]

    run(main())


def test_a_call_that_cannot_be_sent_again_is_not_one_that_was_never_sent() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.request()
        stopped[0]()

    stopped: list[Callable[[], None]] = []

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            stopped.append(stage.stop_listening)
            assert await whole(transport, post(stage, b"1")) == b"first"
            assert await outcome(transport, post(stage, b"2")) == (0, b"", "RemoteProtocolError")
            assert [request.body for request in stage.received] == [b"1", b"2"]

    run(main())


def test_a_streamed_request_body_is_never_sent_twice() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    class Stream(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return body()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first"))
        await peer.head()

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            await whole(transport, post(stage))
            request = post(stage, b"abc")
            request.stream = Stream()
            status, _, error = await outcome(transport, request)
            assert (status, error) == (0, "RemoteProtocolError")
            assert stage.opened == 1

    run(main())


@pytest.mark.parametrize("framing", ["length", "chunked", "too long", "too short"])
def test_a_streamed_body_keeps_its_framing_or_is_refused(framing: str) -> None:
    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"ab"
            yield b""
            yield b"c" * (1 if framing != "too long" else 9)

    async def play(peer: Peer) -> None:
        request = await peer.head()
        size = 3 if request.header(b"content-length") else len(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        await peer.send(answer(await peer.reader.readexactly(size)))

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            field = (
                (b"Transfer-Encoding", b"chunked")
                if framing == "chunked"
                else (b"Content-Length", b"5" if framing == "too short" else b"3")
            )
            headers = [(b"Host", b"x"), field]
            request = httpx.Request("POST", stage.url, headers=headers, stream=Stream())
            result = await outcome(transport, request)
            if framing.startswith("too"):
                assert result == (0, b"", "LocalProtocolError")
            elif framing == "length":
                assert result == (200, b"abc", "")
            else:
                assert result == (200, b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "")

    run(main())


@LOOPS
def test_an_early_answer_stops_the_upload_and_is_delivered(loop: str) -> None:
    taken = 0

    async def play(peer: Peer) -> None:
        nonlocal taken
        await peer.head()
        await peer.send(answer(b"no", status=b"401 Unauthorized"))
        with suppress(ConnectionError):
            while part := await peer.reader.read(65_536):
                taken += len(part)
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with upstream(play) as (transport, stage):
            result = await outcome(transport, post(stage, bytes(30_000_000)))
            assert result == (401, b"no", "")
            await asyncio.sleep(0.05)
            assert taken < 30_000_000
            assert isinstance(transport, RelayTransport)
            assert transport.statistics().open == 0

    run(main(), loop=loop)


# Cancellation.

Strike: TypeAlias = Callable[[Awaitable[bytes], float], Awaitable[None]]


async def strike_natively(call: Awaitable[bytes], after_s: float) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(after_s)
    task.cancel()
    with suppress(asyncio.CancelledError, httpx.TransportError):
        await task


async def strike_by_timeout(call: Awaitable[bytes], after_s: float) -> None:
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(after_s):
            await call


async def strike_by_wait_for(call: Awaitable[bytes], after_s: float) -> None:
    with suppress(TimeoutError, httpx.TransportError):
        await asyncio.wait_for(call, after_s)


async def slow(peer: Peer) -> None:
    """Answers in five steps of up to 2 ms each."""
    jitter = random.Random(peer.number)
    while True:
        await peer.request()
        for part in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 4\r\n\r\n", b"a", b"b", b"cd"):
            await asyncio.sleep(jitter.random() * 0.002)
            await peer.send(part)


def _is_quiet(transport: RelayTransport, stage: Stage) -> bool:
    figures = transport.statistics()
    is_idle = (figures.connecting, figures.waiting) == (0, 0) and figures.open == figures.idle
    return is_idle and stage.open == figures.open


@LOOPS
@pytest.mark.parametrize("strike", [strike_natively, strike_by_timeout, strike_by_wait_for])
def test_thousands_of_cancels_at_random_instants_lose_nothing(loop: str, strike: Strike) -> None:
    async def main() -> None:
        async with upstream(slow, connections_max=10) as (transport, stage):
            assert isinstance(transport, RelayTransport)
            assert await whole(transport, post(stage)) == b"abcd"
            before = fds()
            dice = random.Random(7)

            async def victims() -> None:
                for _ in range(50):
                    body = b"x" * dice.choice([10, 200_000])
                    await strike(whole(transport, post(stage, body)), dice.random() * 0.008)

            await asyncio.gather(*(victims() for _ in range(34)))
            async with asyncio.timeout(10):  # what was cut is closed at both ends, in its own time
                while not _is_quiet(transport, stage):  # noqa: ASYNC110  # figures are looked at
                    await asyncio.sleep(0.01)
            figures = transport.statistics()
            assert figures.open <= 10
            # Each connection is two descriptors here, one at either end.
            assert fds() <= before + 2 * figures.open
            assert await whole(transport, post(stage)) == b"abcd"

    run(main(), loop=loop)


def test_hundreds_of_native_cancels_lose_nothing_over_the_stock_transport() -> None:
    async def main() -> None:
        async with upstream(slow, StockTransport, connections_max=5) as (transport, stage):
            dice = random.Random(7)

            async def victims() -> None:
                for _ in range(25):
                    await strike_natively(whole(transport, post(stage)), dice.random() * 0.03)

            await asyncio.gather(*(victims() for _ in range(12)))
            await asyncio.sleep(0.2)
            # Every slot still works: more calls at once than there are connections.
            bodies = await asyncio.gather(*(whole(transport, post(stage)) for _ in range(10)))
            assert bodies == [b"abcd"] * 10
            assert stage.open <= 5

    run(main())


@BOTH
@LOOPS
def test_leaving_a_stream_half_read_closes_it_upstream(kind: type[Transport], loop: str) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await peer.gone()
            left.set()

        async with upstream(play, kind) as (transport, stage):
            response = await transport.handle_async_request(post(stage))
            assert isinstance(response.stream, httpx.AsyncByteStream)
            stream = aiter(response.stream)
            assert await anext(stream) == b"a"
            await response.stream.aclose()
            await asyncio.wait_for(left.wait(), 2)
            await response.stream.aclose()

    run(main(), loop=loop)


def test_closing_from_another_task_ends_a_waiting_reader() -> None:
    async def main() -> None:
        play = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        async with upstream(play) as (transport, stage):
            response = await transport.handle_async_request(post(stage))
            assert isinstance(response.stream, httpx.AsyncByteStream)
            reader = asyncio.ensure_future(chunks(response))
            await asyncio.sleep(0.05)
            await response.stream.aclose()
            with pytest.raises(httpx.ReadError):
                await asyncio.wait_for(reader, 1)

    run(main())


# As the transport of an httpx client, without what the client brings.


def test_it_serves_an_httpx_client_as_well() -> None:
    async def main() -> None:
        client = httpx.AsyncClient(transport=RelayTransport(), trust_env=False)
        async with serving(echo) as stage, client:
            response = await client.post(stage.url + "/x", json={"a": 1})
            assert response.json() == {"a": 1}

    run(main())
