"""The port's promises, over both transports: what is sent, what comes back, which error it becomes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.exchange.ports import Upstreams
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import (
    BadRequest,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.kernel.remembered import Remembered
from gateway.providers.contract import Target, Upstream
from gateway.upstream.credentials import Outbound
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.keeping import Dated, Kept
from gateway.upstream.pool import UpstreamPool, _lines_without
from gateway.upstream.tokens import FixedCredential, TokenCredential
from gateway.upstream.transport import nobody
from gateway.wire.headers import first
from gateway.wire.messages import Headers
from tests.upstream.scripted import Hands, Peer, Play, Stage, answer, echo, run, serving

BOTH = pytest.mark.parametrize("stock", [False, True])
KEY = "k-0123456789"


def target(
    body: bytes = b"{}",
    *headers: tuple[bytes, bytes],
    path: bytes = b"/m",
    method: bytes = b"POST",
) -> Target:
    return Target(
        method=method, path_and_query=path, headers=headers, body=body, key_header=b"api-key"
    )


@asynccontextmanager
async def pooled(
    play: Play, *, stock: bool, deadlines: Deadlines | None = None, path: str = ""
) -> AsyncIterator[tuple[UpstreamPool, Upstream, Stage]]:
    async with serving(play) as stage:
        upstream = Upstream(name="east", provider="p", base_url=stage.url + path)
        pool = UpstreamPool(
            [upstream],
            {"east": FixedCredential(key=KEY)},
            clock=SystemClock(),
            deadlines=deadlines,
            stock=stock,
        )
        try:
            yield pool, upstream, stage
        finally:
            await pool.aclose()


async def read(pool: Upstreams, upstream: Upstream, sent: Target) -> bytes:
    response = await pool.send(upstream, sent, nobody)
    try:
        return b"".join([chunk async for chunk in response.body()])
    finally:
        await response.close()


@BOTH
def test_the_target_leaves_with_host_length_identity_and_key_and_nothing_else(
    *, stock: bool
) -> None:
    async def main() -> None:
        async with pooled(echo, stock=stock, path="/base/") as (pool, upstream, stage):
            sent = target(
                b'{"a":1}',
                (b"content-type", b"application/json"),
                (b"accept-encoding", b"gzip, br"),
                (b"Content-Length", b"999"),
                (b"host", b"evil.example.test"),
                (b"api-key", b"wb_client"),
                path=b"/v1/a%2Fb//%3A/../c?q=%41&q=b",
            )
            assert await read(pool, upstream, sent) == b'{"a":1}'
            [received] = stage.received
            assert received.line == b"POST /base/v1/a%2Fb//%3A/../c?q=%41&q=b HTTP/1.1"
            assert received.headers == [
                (b"host", b"127.0.0.1:%d" % stage.port),
                (b"content-type", b"application/json"),
                (b"accept-encoding", b"identity"),
                (b"api-key", KEY.encode()),
                (b"content-length", b"7"),
            ]

    run(main())


@BOTH
def test_a_renewed_token_is_sent_from_the_next_request_on(*, stock: bool) -> None:
    async def main() -> None:
        async with serving(echo) as stage:
            hands, given = Hands(), 0

            async def fetch() -> Dated[Headers]:
                nonlocal given
                given += 1
                return Dated(((b"authorization", b"Bearer %d" % given),), hands.us + 60_000_000)

            upstream = Upstream(name="east", provider="p", base_url=stage.url)
            token = TokenCredential(Kept(fetch, clock=hands, what="it"))
            pool = UpstreamPool([upstream], {"east": token}, clock=SystemClock(), stock=stock)
            for _ in range(3):
                for _ in range(2):
                    await read(pool, upstream, target(b"{}", (b"x-a", b"1")))
                hands.advance(60)
            sent = [first(received.headers, b"authorization") for received in stage.received]
            assert sent == [b"Bearer 1"] * 2 + [b"Bearer 2"] * 2 + [b"Bearer 3"] * 2
            await pool.aclose()

    run(main())


@BOTH
@pytest.mark.parametrize(
    ("method", "body", "length"),
    [(b"GET", b"", None), (b"POST", b"", b"0"), (b"DELETE", b"x", b"1")],
)
def test_a_length_is_sent_where_there_is_or_could_be_a_body(
    *, stock: bool, method: bytes, body: bytes, length: bytes | None
) -> None:
    async def main() -> None:
        async with pooled(echo, stock=stock) as (pool, upstream, stage):
            await read(pool, upstream, target(body, method=method))
            assert first(stage.received[0].headers, b"content-length") == length

    run(main())


@BOTH
def test_the_answer_comes_back_as_sent_undecoded_with_repeats(*, stock: bool) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(
                answer(b"\x1f\x8bnot gzip", b"Content-Encoding: gzip", b"X-A: 1", b"x-a: 2")
            )

    async def main() -> None:
        async with pooled(play, stock=stock) as (pool, upstream, _stage):
            response = await pool.send(upstream, target())
            assert response.head.status == 200
            assert response.head.headers == (
                (b"Content-Encoding", b"gzip"),
                (b"X-A", b"1"),
                (b"x-a", b"2"),
                (b"Content-Length", b"10"),
            )
            assert [chunk async for chunk in response.body()] == [b"\x1f\x8bnot gzip"]
            await response.close()
            await response.close()

    run(main())


@BOTH
def test_redirects_and_cookies_are_the_clients_affair(*, stock: bool) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            moved = (b"Location: /elsewhere", b"Set-Cookie: a=b; Path=/")
            await peer.send(answer(b"", *moved, status=b"307 Temporary Redirect"))

    async def main() -> None:
        async with pooled(play, stock=stock) as (pool, upstream, stage):
            for _ in range(2):
                response = await pool.send(upstream, target())
                assert response.head.status == 307
                await response.close()
            assert all(request.target == b"/m" for request in stage.received)
            assert all(first(request.headers, b"cookie") is None for request in stage.received)

    run(main())


@BOTH
def test_proxies_of_the_environment_are_ignored(
    *, stock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        async with pooled(echo, stock=stock) as (pool, upstream, _stage):
            assert await read(pool, upstream, target(b"x")) == b"x"

    run(main())


async def silence(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def cut(peer: Peer) -> None:
    await peer.request()
    await peer.send(answer(b"0123456789")[:-4])


async def nonsense(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"nonsense\r\n\r\n")


async def stall(peer: Peer) -> None:
    await peer.request()
    await peer.send(answer(b"0123456789")[:-4])
    await peer.gone()


@BOTH
@pytest.mark.parametrize(
    ("play", "error"),
    [
        (silence, UpstreamTimeout),
        (stall, UpstreamTimeout),
        (cut, UpstreamMalformed),
        (nonsense, UpstreamMalformed),
    ],
)
def test_each_fault_is_named_and_keeps_the_secret(
    *, stock: bool, play: Play, error: type[UpstreamFailed]
) -> None:
    async def main() -> None:
        short = Deadlines(head_s=0.2, idle_s=0.2)
        async with pooled(play, stock=stock, deadlines=short) as (pool, upstream, _stage):
            with pytest.raises(error, match="east") as caught:
                await read(pool, upstream, target())
            assert KEY not in repr(caught.value) + str(caught.value.__cause__)

    run(main())


@BOTH
def test_received_bytes_come_before_the_fault(*, stock: bool) -> None:
    async def main() -> None:
        async with pooled(cut, stock=stock) as (pool, upstream, _stage):
            response = await pool.send(upstream, target())
            body = response.body()
            assert await anext(aiter(body)) == b"012345"
            with pytest.raises(UpstreamMalformed):
                await anext(aiter(body))
            await response.close()

    run(main())


@BOTH
def test_nobody_listening_is_unreachable(*, stock: bool) -> None:
    async def main() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            upstream = Upstream(name="east", provider="p", base_url=url)
            pool = UpstreamPool(
                [upstream], {"east": FixedCredential()}, clock=SystemClock(), stock=stock
            )
            told: list[str] = []
            with pytest.raises(UpstreamUnreachable):
                await pool.send(upstream, target(), lambda: told.append("leaves"))
            assert told == []
            await pool.aclose()

    run(main())


@BOTH
def test_a_credential_that_cannot_be_had_is_nothing_sent(*, stock: bool) -> None:
    class Locked(FixedCredential):
        async def headers(self, outbound: Outbound) -> Headers:
            raise UpstreamFailed("the credential of 'east' cannot be had: do this")

        def standing(self, key_header: bytes) -> Headers | None:  # type: ignore[override]  # none yet
            return None

    async def main() -> None:
        async with serving(echo) as stage:
            upstream = Upstream(name="east", provider="p", base_url=stage.url)
            pool = UpstreamPool([upstream], {"east": Locked()}, clock=SystemClock(), stock=stock)
            with pytest.raises(UpstreamUnreachable, match="do this"):
                await pool.send(upstream, target())
            assert stage.opened == 0
            await pool.aclose()

    run(main())


def test_what_is_remembered_of_clients_heads_holds_no_credential_and_a_renewed_one_replaces_the_last() -> (
    None
):
    async def main() -> None:
        async with serving(echo) as stage:
            upstream = Upstream(name="east", provider="p", base_url=stage.url)
            credential = FixedCredential(key="first-secret")
            pool = UpstreamPool([upstream], {"east": credential}, clock=SystemClock())
            sent = target(b"{}", (b"x-only-here", b"1"), (b"api-key", b"the-clients-own"))
            await read(pool, upstream, sent)
            credential.__init__(key="second-secret")  # type: ignore[misc]
            await read(pool, upstream, sent)
            keys = [
                [value for name, value in received.headers if name.lower() == b"api-key"]
                for received in stage.received
            ]
            assert keys == [[b"first-secret"], [b"second-secret"]]
            assert isinstance(_lines_without, Remembered)
            kept = [value for value in _lines_without._young.values() if b"x-only-here" in value]
            assert len(kept) == 1
            assert b"secret" not in kept[0]
            assert b"first-secret" not in b"".join([one.lines for one in pool._added.values()])
            await pool.aclose()

    run(main())


@BOTH
def test_it_is_said_when_the_first_byte_leaves_and_not_to_who_waits_for_a_connection(
    *, stock: bool
) -> None:
    async def main() -> None:
        async with serving(held_back) as stage:
            upstream = Upstream(name="east", provider="p", base_url=stage.url)
            pool = UpstreamPool(
                [upstream], {"east": FixedCredential()}, clock=SystemClock(), stock=stock, connections_max=1
            )  # fmt: skip
            told: list[str] = []
            first_one = asyncio.ensure_future(
                pool.send(upstream, target(), lambda: told.append("first"))
            )
            await asyncio.wait_for(arrived.wait(), 5)
            waits = asyncio.ensure_future(
                pool.send(upstream, target(), lambda: told.append("second"))
            )
            await asyncio.sleep(0.05)
            assert told == ["first"]
            waits.cancel()
            response = await first_one
            await response.close()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert told == ["first"]
            assert len(stage.received) == 1
            await pool.aclose()

    arrived = asyncio.Event()

    async def held_back(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await asyncio.sleep(0.2)
        await peer.send(answer(b"late"))

    run(main())


@pytest.mark.parametrize("path", [b"", b"?x", b"http://evil.test/", b"x"])
def test_a_target_that_is_no_path_is_refused(path: bytes) -> None:
    async def main() -> None:
        async with pooled(echo, stock=False) as (pool, upstream, _stage):
            with pytest.raises(BadRequest):
                await pool.send(upstream, target(path=path))

    run(main())


@BOTH
def test_leaving_a_body_half_read_closes_the_stream_upstream(*, stock: bool) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.send(answer(b"0123456789")[:-4])
            await peer.gone()
            left.set()

        async with pooled(play, stock=stock) as (pool, upstream, _stage):
            response = await pool.send(upstream, target())
            async for _chunk in response.body():
                break
            await response.close()
            await asyncio.wait_for(left.wait(), 0.5)

    run(main())


def test_each_upstream_has_its_own_connections() -> None:
    async def main() -> None:
        async with serving(echo) as one, serving(echo) as two:
            upstreams = [
                Upstream(name=name, provider="p", base_url=stage.url)
                for name, stage in (("one", one), ("two", two))
            ]
            credentials = {name: FixedCredential() for name in ("one", "two")}
            pool = UpstreamPool(upstreams, credentials, clock=SystemClock(), connections_max=1)
            for upstream in upstreams:
                for _ in range(2):
                    assert await read(pool, upstream, target(b"x")) == b"x"
            assert {name: figures.open for name, figures in pool.statistics().items()} == {
                "one": 1,
                "two": 1,
            }
            await pool.aclose()

    run(main())
