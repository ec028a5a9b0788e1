"""The relay on real sockets: uvicorn towards the client, a raw connection towards a scripted upstream.

The test itself is the upstream and the client, so it decides what happens in which order.
"""

import asyncio
import hashlib
import random
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from gateway.edge.abandon import Abandonment, Bounds
from gateway.edge.limits import Limits
from gateway.edge.presence import SCOPE_KEY
from gateway.edge.relay import Relayed, Way, relay
from gateway.edge.server import Tls, server_config
from gateway.kernel.errors import UpstreamFailed
from gateway.wire.messages import Head

NOTICED_S = 1.0  # the promise is 0.1 s; a busy machine gets more
DATED = (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"), (b"server", b"envoy")
ASK = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


class Reader:
    """The Response port over a raw connection: the body is what comes until the upstream says END."""

    END = b"\x00END\x00"

    def __init__(self, head: Head, streams: tuple[Any, Any]) -> None:
        self.head = head
        self._reader, self._writer = streams
        self._closed = False

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await self._reader.read(65536)
            except ConnectionError as error:
                raise UpstreamFailed("reset") from error
            if not chunk or self._closed:
                raise UpstreamFailed("closed in the middle")
            yield chunk.removesuffix(self.END)
            if chunk.endswith(self.END):
                return

    def whole(self, length: int) -> bytes | None:
        return None

    async def close(self) -> None:
        self._closed = True
        self._writer.transport.abort()


class Rig:
    """The application: relays from the test's listener. The path names policy and head."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.may_settle = threading.Event()
        self.settle_error: Exception | None = None
        self.forget()

    def forget(self) -> None:
        """A new test begins; what is still running of the last one writes into the old lists."""
        self.headers = DATED
        self.may_settle.set()
        self.settle_error = None
        self.tapped: list[bytes] = []
        self.relayed: list[Relayed] = []
        self.failures: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        policy = scope["path"].strip("/")
        tapped, relayed, failures = self.tapped, self.relayed, self.failures

        async def settle(result: Relayed) -> None:
            if not self.may_settle.is_set():
                await asyncio.get_running_loop().run_in_executor(None, self.may_settle.wait)
            relayed.append(result)
            if self.settle_error is not None:
                raise self.settle_error

        streams = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        try:
            await relay(
                Reader(Head(200, self.headers), streams),
                send,
                scope[SCOPE_KEY],
                Way(tap=tapped.append, settle=settle, policy=policy),
                abandonment=Abandonment(
                    asyncio.get_running_loop().create_task, drain=Bounds(5, 1_000_000)
                ),
            )
        except OSError as error:
            failures.append(error)

    def outcome(self) -> Relayed:
        deadline = time.monotonic() + 5
        while not self.relayed and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.relayed[0]


class World:
    def __init__(self, served: Any, rig: Rig, listener: socket.socket) -> None:
        self.served = served
        self.rig = rig
        self._listener = listener

    def call(self, policy: str, *headers: tuple[bytes, bytes]) -> tuple[Any, socket.socket]:
        """A client in the middle of a request, and the upstream's end of it."""
        self.rig.headers = DATED + headers
        client = self.served.connect()
        client.send(ASK % policy.encode())
        upstream, _ = self._listener.accept()
        upstream.settimeout(5)
        return client, upstream


@pytest.fixture(scope="module")
def shared(serve: Any) -> Iterator[World]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    rig = Rig(listener.getsockname()[1])
    yield World(serve(rig, Limits(sweep_ms=50)), rig, listener)
    listener.close()


@pytest.fixture
def world(shared: World) -> World:
    shared.rig.forget()
    return shared


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """The content of a chunked body, and whether it has its end."""
    content, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return content, rest == b"\r\n"
        content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return content, False


def left(upstream: socket.socket) -> float:
    """Seconds until the upstream sees its peer leave."""
    begin = time.monotonic()
    try:
        while upstream.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begin


def test_the_bytes_are_the_upstreams_whatever_the_cuts(world: World) -> None:
    chance = random.Random(7)
    text = chance.randbytes(2_000_000)
    client, upstream = world.call("drain")

    def talk() -> None:
        rest = text
        while rest:
            size = chance.choice([1, 17, 330, 5_000, 200_000])
            upstream.sendall(rest[:size])
            rest = rest[size:]
        time.sleep(0.05)
        upstream.sendall(Reader.END)

    with client, upstream:
        thread = threading.Thread(target=talk)
        thread.start()
        head = client.read_until(b"\r\n\r\n")
        received = bytearray(head.partition(b"\r\n\r\n")[2])
        while not received.endswith(b"0\r\n\r\n"):
            received += client.socket.recv(65536)
        thread.join()
    content, whole = unchunked(bytes(received))
    assert whole
    assert hashlib.sha256(content).digest() == hashlib.sha256(text).digest()
    assert b"".join(world.rig.tapped) == text
    assert world.rig.outcome().bytes_out == len(text)


def test_a_relayed_answer_has_one_date_and_no_server(world: World) -> None:
    time.sleep(0.15)  # uvicorn makes its default headers on its first tick
    client, upstream = world.call("drain")
    with client, upstream:
        head = client.read_until(b"\r\n\r\n").lower()
    assert head.count(b"\r\ndate: ") == 1
    assert b"1970" not in head
    assert b"\r\nserver:" not in head


def test_a_chunk_does_not_wait_for_the_next(world: World) -> None:
    client, upstream = world.call("drain")
    with client, upstream:
        client.read_until(b"\r\n\r\n")
        for text in (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"):
            upstream.sendall(text)
            assert client.read_until(b"\n\n\r\n") == b"9\r\n" + text + b"\r\n"


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"5"),)], ids=["chunked", "length"])
def test_the_client_does_not_see_the_end_before_the_row_is_durable(
    world: World, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    world.rig.may_settle.clear()
    client, upstream = world.call("drain", *headers)
    with client, upstream:
        upstream.sendall(b"hello" + Reader.END)
        seen = client.read_until(b"hell")
        client.socket.settimeout(0.3)
        try:
            while True:
                seen += client.socket.recv(65536)
        except TimeoutError:
            pass
        assert not seen.endswith((b"hello", b"0\r\n\r\n"))
        world.rig.may_settle.set()
        client.socket.settimeout(5)
        assert client.read_until(b"o" if headers else b"0\r\n\r\n")
    assert world.rig.outcome().outcome == "complete"


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"9"),)], ids=["chunked", "length"])
@pytest.mark.parametrize("form", ["FIN", "RST"])
def test_an_upstream_that_breaks_off_is_seen_as_a_truncated_answer(
    world: World, headers: tuple[tuple[bytes, bytes], ...], form: str
) -> None:
    client, upstream = world.call("drain", *headers)
    with client:
        upstream.sendall(b"hello")
        answer = client.read_until(b"hello")
        if form == "RST":
            upstream.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        upstream.close()
        answer += client.read_all()
    body = answer.partition(b"\r\n\r\n")[2]
    assert body == b"hello" if headers else unchunked(body) == (b"hello", False)
    assert world.rig.outcome().outcome == "upstream_failed"


def test_a_row_that_cannot_be_written_truncates_the_answer(world: World) -> None:
    world.rig.settle_error = OSError("disk full")
    client, upstream = world.call("drain")
    with client, upstream:
        upstream.sendall(b"hello" + Reader.END)
        body = client.read_all().partition(b"\r\n\r\n")[2]
    assert unchunked(body) == (b"hello", False)
    assert [str(each) for each in world.rig.failures] == ["disk full"]


LEAVE: dict[str, Callable[[Any], None]] = {
    "FIN": lambda wire: wire.socket.close(),
    "RST": lambda wire: wire.reset(),
    "half-close": lambda wire: wire.half_close(),
}


@pytest.mark.parametrize("form", LEAVE)
@pytest.mark.parametrize("moment", ["before the first byte", "stalled", "flowing"])
def test_cancel_reaches_the_upstream_at_once(world: World, form: str, moment: str) -> None:
    client, upstream = world.call("cancel")
    with client, upstream:
        client.read_until(b"\r\n\r\n")
        if moment != "before the first byte":
            upstream.sendall(b"one")
            client.read_until(b"one")
        if moment == "flowing":
            upstream.sendall(bytes(100_000))
        LEAVE[form](client)
        assert left(upstream) <= NOTICED_S
    relayed = world.rig.outcome()
    assert (relayed.outcome, relayed.whole) == ("client_left", False)


@pytest.mark.parametrize("form", LEAVE)
@pytest.mark.parametrize("policy", ["drain", "finish"])
def test_an_answer_without_a_reader_is_still_weighed(world: World, form: str, policy: str) -> None:
    client, upstream = world.call(policy)
    with client, upstream:
        upstream.sendall(b"one")
        client.read_until(b"one")
        LEAVE[form](client)
        time.sleep(0.05)
        upstream.sendall(b"two")
        time.sleep(0.05)
        upstream.sendall(b"usage" + Reader.END)
        relayed = world.rig.outcome()
    assert b"".join(world.rig.tapped) == b"onetwousage"
    assert (relayed.outcome, relayed.whole) == ("client_left", True)


def test_a_reader_that_stops_stops_the_upstream_too(world: World) -> None:
    """64 MB are offered; what leaves the upstream is what sockets and one buffer hold."""
    client, upstream = world.call("cancel")
    with client, upstream:
        client.read_until(b"\r\n\r\n")
        upstream.settimeout(0.5)
        offered = 0
        try:
            while offered < 64 * 1024 * 1024:
                offered += upstream.send(bytes(65536))
        except TimeoutError:
            pass
    assert offered < 32 * 1024 * 1024
    assert sum(map(len, world.rig.tapped)) < 16 * 1024 * 1024


def test_the_connection_serves_on_after_a_relayed_answer(world: World) -> None:
    client, upstream = world.call("cancel", (b"content-length", b"2"))
    with client:
        for count in range(3):
            upstream.sendall(b"ok" + Reader.END)
            client.read_until(b"\r\n\r\nok")
            upstream.close()
            if count < 2:
                client.send(ASK % b"cancel")
                upstream, _ = world._listener.accept()
    assert [each.outcome for each in world.rig.relayed] == ["complete"] * 3


def test_the_server_is_chosen_and_not_guessed() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        """Never called."""

    config = server_config(app, "127.0.0.1", 0)
    assert config.loop == "uvloop"
    assert (config.ws, config.lifespan, config.interface) == ("none", "on", "asgi3")
    assert not config.proxy_headers
    assert not config.server_header
    assert config.timeout_graceful_shutdown
    assert config.timeout_keep_alive >= 75
    assert config.http.limits == Limits()  # type: ignore[union-attr]  # our class, not a name


@pytest.fixture(scope="module")
def secure(serve: Any, certificate: Tls) -> Any:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        length = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"done"})

    return serve(app, Limits(head_ms=300, linger_ms=200, sweep_ms=25), tls=certificate)


def handshake(secure: Any, certificate: Tls) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", secure.port), timeout=5)
    return context.wrap_socket(plain)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (ASK % b"x", b"200"),
        (b"GET //x HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /x", b"408"),
    ],
)
def test_a_tls_listener_is_as_strict(
    secure: Any, certificate: Tls, request_bytes: bytes, status: bytes
) -> None:
    with handshake(secure, certificate) as wire:
        wire.sendall(request_bytes)
        assert wire.recv(65536)[9:12] == status
        if status != b"200":
            assert wire.recv(65536) == b"", "closed within the linger time, though TLS has no half"
