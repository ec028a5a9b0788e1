"""One small request, bounded in size and time."""

import asyncio

import httpx
import pytest

from gateway.upstream.deadlines import Deadlines
from gateway.upstream.fetching import ANSWER_BYTES_MAX, fetch
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import Peer, Received, answer, routes, run, serving


def reflect(request: Received) -> bytes:
    return answer(request.line + b"|" + request.body, b"X-Seen: yes")


def test_it_sends_what_it_is_given_and_reads_all() -> None:
    async def main() -> None:
        async with serving(routes({"POST /a": reflect})) as stage:
            transport = RelayTransport()
            for _ in range(2):
                reply = await fetch(
                    transport,
                    "POST",
                    stage.url + "/a?b=c",
                    headers=((b"x-one", b"1"),),
                    body=b"body",
                )
                assert (reply.status, reply.body) == (200, b"POST /a?b=c HTTP/1.1|body")
                assert (b"X-Seen", b"yes") in reply.headers
            assert stage.opened == 1
            assert stage.received[0].headers == [
                (b"host", b"127.0.0.1:%d" % stage.port),
                (b"x-one", b"1"),
                (b"content-length", b"4"),
            ]
            await transport.aclose()

    run(main())


def test_an_answer_without_end_is_cut_off() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(40):
            await peer.send(bytes(ANSWER_BYTES_MAX // 16))

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            with pytest.raises(httpx.RemoteProtocolError, match="too large"):
                await fetch(transport, "GET", stage.url)
            await transport.aclose()

    run(main())


def test_its_own_deadlines_hold() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(9)

    async def main() -> None:
        async with serving(play) as stage:
            transport = RelayTransport()
            with pytest.raises(httpx.ReadTimeout):
                await fetch(transport, "GET", stage.url, deadlines=Deadlines(head_s=0.1))
            with pytest.raises(httpx.UnsupportedProtocol):
                await fetch(transport, "GET", "file:///etc/passwd")
            await transport.aclose()

    run(main())
