"""What is the stock transport's own: its deadlines, its tasks, TLS. The common promises: test_transport.py."""

import asyncio
from pathlib import Path

import httpx
import pytest

from gateway.upstream.deadlines import Deadlines
from gateway.upstream.stock import StockTransport
from gateway.upstream.transport import RelayTransport, tls_context
from tests.upstream.authority import loopback_authority
from tests.upstream.scripted import Peer, answer, echo, post, run, serving, whole

BOTH = pytest.mark.parametrize("kind", [RelayTransport, StockTransport])


@pytest.mark.parametrize(
    "deadlines", [Deadlines(head_s=0.2, idle_s=9), Deadlines(total_s=0.2), Deadlines(idle_s=0.2)]
)
@pytest.mark.parametrize("after_the_head", [False, True])
def test_each_deadline_rules_its_own_step(*, deadlines: Deadlines, after_the_head: bool) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if after_the_head:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await asyncio.sleep(0.5)
        await peer.send(answer(b"late") if not after_the_head else b"defghi")
        await peer.gone()

    step = deadlines.idle_s if after_the_head else deadlines.head_s
    assert step is not None
    late = step < 0.5 or deadlines.total_s is not None

    async def main() -> None:
        async with serving(play) as stage:
            transport = StockTransport(deadlines=deadlines)
            try:
                if late:
                    with pytest.raises(httpx.ReadTimeout):
                        await whole(transport, post(stage))
                else:
                    assert await whole(transport, post(stage)) in {b"late", b"abcdefghi"}
            finally:
                await transport.aclose()

    run(main())


def test_closing_ends_running_calls_and_leaves_no_task() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async def main() -> None:
        async with serving(silent) as stage:
            transport = StockTransport()
            running = asyncio.ensure_future(whole(transport, post(stage)))
            await asyncio.sleep(0.05)
            await transport.aclose()
            with pytest.raises(httpx.TransportError):
                await asyncio.wait_for(running, 1)
            assert asyncio.all_tasks() == {asyncio.current_task()} | {
                task for task in asyncio.all_tasks() if "connected" in repr(task)
            }

    run(main())


@BOTH
def test_tls_is_verified(kind: type[RelayTransport | StockTransport], tmp_path: Path) -> None:
    certificate_file, server = loopback_authority(tmp_path)

    async def main() -> None:
        async with serving(echo, server) as stage:
            trusting = kind(tls=tls_context(str(certificate_file)))
            for _ in range(3):
                assert await whole(trusting, post(stage, b"x" * 300_000)) == b"x" * 300_000
            assert stage.opened == 1
            strict = kind()
            with pytest.raises(httpx.ConnectError):
                await whole(strict, post(stage))
            for transport in (trusting, strict):
                await transport.aclose()

    run(main())


@BOTH
def test_a_tls_name_that_does_not_match_is_refused(
    kind: type[RelayTransport | StockTransport], tmp_path: Path
) -> None:
    certificate_file, server = loopback_authority(tmp_path)

    async def main() -> None:
        async with serving(echo, server) as stage:
            transport = kind(tls=tls_context(str(certificate_file)))
            request = post(stage)
            request.url = httpx.URL(f"https://127.0.0.2:{stage.port}")
            with pytest.raises(httpx.ConnectError):
                await whole(transport, request)
            await transport.aclose()

    run(main())
