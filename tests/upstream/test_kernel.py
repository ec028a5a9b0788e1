"""An answer that was sent before its request had arrived is another's: it reaches nobody."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.upstream.connection import Connection
from gateway.upstream.deadlines import Deadlines, Limits
from gateway.upstream.kernel import Line
from gateway.upstream.transport import RelayTransport, tls_context
from tests.upstream.authority import loopback_authority
from tests.upstream.scripted import answer, run, whole

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
LIMITS = Limits.of(Deadlines().extension())
ANOTHERS = answer(b"what another team asked for")
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
ROOM = 1 << 20


class Owner:
    """Who lends the one connection."""

    now = 0.0

    def opened(self, connection: Connection) -> None:
        """Nothing to count."""

    def lost(self, connection: Connection) -> None:
        """Nothing to count."""


@dataclass
class Ends:
    """A connection that has served before, and the socket of its peer, who reads nothing more."""

    connection: Connection
    near: socket.socket
    far: socket.socket

    async def answered(self, octets: bytes) -> Connection:
        """The connection once the peer has said that."""
        self.far.sendall(octets)
        for _ in range(200):
            if self.connection.done or self.connection.error is not None:
                break
            await asyncio.sleep(0.005)
        return self.connection


@asynccontextmanager
async def ends(*, unread: int = 0) -> AsyncIterator[Ends]:
    """``unread``: bytes from before that the peer's host takes no more of, so that nothing else arrives there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_304)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    near.settimeout(0)
    if unread:
        assert near.send(bytes(unread)) == unread
    loop = asyncio.get_running_loop()
    origin = (b"http", b"x", 80)
    transport, connection = await loop.create_connection(
        lambda: Connection(Owner(), origin, loop), sock=near
    )
    connection.used = True
    try:
        yield Ends(connection, near, far)
    finally:
        transport.abort()
        far.close()
        await asyncio.sleep(0)


def ask(connection: Connection, request: bytes = REQUEST) -> None:
    connection.begin(LIMITS, bodiless=False)
    assert connection.error is None
    connection.write(request)
    connection.uploaded(whole=True)


@LOOPS
def test_an_answer_to_a_request_that_has_arrived_is_its_answer(loop: str) -> None:
    async def main() -> None:
        async with ends() as pair:
            ask(pair.connection)
            assert (await pair.answered(ANOTHERS)).done
            assert pair.connection.status == 200

    run(main(), loop=loop)


@LOOPS
@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"400 Bad", b"429 Slow", b"500 Oh"])
def test_an_answer_that_crossed_its_request_is_another_calls_whatever_it_says(
    loop: str, status: bytes
) -> None:
    async def main() -> None:
        async with ends(unread=100_000) as pair:
            ask(pair.connection)
            assert pair.connection._transport.get_write_buffer_size() == 0
            connection = await pair.answered(answer(b"evil", status=status))
            assert isinstance(connection.error, httpx.RemoteProtocolError)
            assert (connection.head, connection.parts) == (False, [])
            # The request is on its way and may be worked on: it is not to be sent again.
            assert connection.got

    run(main(), loop=loop)


@LOOPS
@pytest.mark.parametrize(
    ("early", "request_bytes"),
    [(answer(b"", status=b"408 Request Timeout"), len(REQUEST)), (ANOTHERS, 4 * ROOM)],
)
def test_where_nobody_can_have_read_the_request_it_may_be_sent_again(
    loop: str, early: bytes, request_bytes: int
) -> None:
    """A server that ends an idle connection, and a request that has not even left."""

    async def main() -> None:
        async with ends(unread=100_000) as pair:
            ask(pair.connection, REQUEST.ljust(request_bytes))
            connection = await pair.answered(early)
            assert isinstance(connection.error, httpx.RemoteProtocolError)
            assert not connection.got

    run(main(), loop=loop)


@LOOPS
def test_an_early_refusal_of_a_request_that_has_begun_to_arrive_is_delivered(loop: str) -> None:
    async def main() -> None:
        async with ends() as pair:
            ask(pair.connection, REQUEST.ljust(200_000))
            await asyncio.sleep(0.05)
            connection = await pair.answered(answer(b"slow down", status=b"429 Slow"))
            assert (connection.status, connection.error) == (429, None)
        async with ends() as pair:
            ask(pair.connection, REQUEST.ljust(200_000))
            await asyncio.sleep(0.05)
            connection = await pair.answered(ANOTHERS)
            assert isinstance(connection.error, httpx.RemoteProtocolError)

    run(main(), loop=loop)


@LOOPS
def test_news_before_an_answer_are_not_the_answer(loop: str) -> None:
    """The judgement is of the answer itself: by then the request has arrived."""

    async def main() -> None:
        async with ends(unread=100_000) as pair:
            ask(pair.connection)
            pair.far.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(0.02)
            taken = 0
            while taken < 100_000 + len(REQUEST):
                taken += len(await asyncio.to_thread(pair.far.recv, 65_536))
            assert (await pair.answered(ANOTHERS)).done

    run(main(), loop=loop)


@LOOPS
def test_what_was_said_before_a_request_is_written_closes_the_connection_unread(loop: str) -> None:
    async def main() -> None:
        async with ends() as pair:
            pair.far.sendall(ANOTHERS)
            await asyncio.to_thread(
                pair.far.getpeername
            )  # the loop has not looked yet, the kernel has it
            line = Line(pair.connection._transport)
            pair.connection.busy = True  # or the loop's own look would close it first
            pair.connection.begin(LIMITS, bodiless=False)
            assert line.is_waiting() or pair.connection.error is not None
            assert isinstance(pair.connection.error, httpx.ReadError)

    run(main(), loop=loop)


@LOOPS
def test_what_came_while_the_loop_was_busy_is_no_answer_to_the_call_that_follows(loop: str) -> None:
    """The peer is a thread of its own: it says more than it was asked for while nobody looks."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        for _ in range(3):
            peer, _ = listener.accept()
            with peer, suppress(ConnectionError):
                peer.settimeout(5)
                peer.recv(65_536)
                peer.sendall(answer(b"own"))
                time.sleep(0.02)
                peer.sendall(ANOTHERS)
                peer.recv(65_536)

    async def main() -> None:
        transport = RelayTransport()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for calls in range(3):
            request = httpx.Request("POST", url, headers={"content-length": "2"}, content=b"{}")
            assert await whole(transport, request) == b"own"
            assert transport.retried == calls
            time.sleep(0.05)  # noqa: ASYNC251  # the loop is busy, as it is now and then
        await transport.aclose()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    run(main(), loop=loop)
    thread.join()
    listener.close()


# -- over TLS, whose records are longer than what is in them ------------------------------------------

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
REFUSAL = answer(b"who are you", status=b"401 Unauthorized")


def contexts(folder: Path, version: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's context and the server's, of that version alone."""
    trusted, server = loopback_authority(folder)
    client = tls_context(str(trusted))
    client.maximum_version = server.maximum_version = version
    return client, server


def narrow() -> socket.socket:
    """A listener whose connections take little before somebody reads."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_304)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.settimeout(5)
    return listener


@LOOPS
@VERSIONS
def test_an_early_refusal_of_a_large_request_is_delivered_over_tls_as_well(
    tmp_path: Path, loop: str, version: ssl.TLSVersion
) -> None:
    """The peer's host takes little more than the head: less than what the records of the body add to it."""
    client, server = contexts(tmp_path, version)
    listener = narrow()

    def serve() -> None:
        accepted, _ = listener.accept()
        accepted.settimeout(5)
        with suppress(OSError), server.wrap_socket(accepted, server_side=True) as peer:
            for said in (answer(b"own"), REFUSAL):
                head = b""
                while b"\r\n\r\n" not in head:
                    head += peer.recv(65_536)
                peer.sendall(said)
            time.sleep(0.3)

    async def main() -> None:
        transport = RelayTransport(tls=client)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert await whole(transport, httpx.Request("GET", url)) == b"own"
        large = httpx.Request("POST", url, content=bytes(1_000_000))
        refused = await transport.handle_async_request(large)
        assert refused.status_code == 401
        assert transport.retried == 0
        await refused.aclose()
        await transport.aclose()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    run(main(), loop=loop)
    thread.join()
    listener.close()


@VERSIONS
@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 1_000_000])
def test_no_write_is_thought_to_be_longer_than_it_is(
    tmp_path: Path, version: ssl.TLSVersion, size: int
) -> None:
    """Else an answer that crossed its request would seem to have been sent behind its beginning."""
    client, server = contexts(tmp_path, version)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(back, there, server_hostname="localhost")
    far = server.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for end in (near, far):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    there.read()
    near.write(bytes(size))
    line = Line(Tls(near))
    assert size <= line.carried(size) <= there.pending
    is_exact = near.version() == "TLSv1.3" or "GCM" in str(near.cipher())
    assert line.carried(size) == there.pending or not is_exact


class Tls(asyncio.BaseTransport):
    """A transport that is nothing but its TLS."""

    def __init__(self, tls: ssl.SSLObject) -> None:
        super().__init__({"ssl_object": tls})
