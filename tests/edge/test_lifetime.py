"""Holds and slow clients: every way to sit on a connection ends in time, and no good client is cut.

The timers are the real ones, shortened; each assertion leaves a wide margin upwards for a busy machine.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.edge.limits import Limits

HEAD_S, IDLE_S, TOTAL_S, KEEP_S, STALL_S, LINGER_S = 0.4, 0.4, 1.2, 0.6, 0.5, 0.5
LIMITS = Limits(
    head_ms=400,
    body_idle_ms=400,
    body_total_ms=1200,
    keep_alive_ms=600,
    write_stall_ms=500,
    linger_ms=500,
    sweep_ms=25,
)
MARGIN_S = 1.5
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
UPLOAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Bench:
    """An application whose path says how it behaves."""

    def __init__(self) -> None:
        self.disconnects = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status, body = 200, b"done"
        if scope["path"] == "/refuse":
            status, body = 401, b"who are you"
        elif scope["path"] == "/large":
            body = bytes(32 * 1024 * 1024)
        else:
            if scope["path"] == "/slow":
                await asyncio.sleep(2 * IDLE_S)  # beyond the idle time, within the total
            if not await self._read(receive):
                return
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, receive: Any) -> bool:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return False
            if not message["more_body"]:
                return True


@pytest.fixture(scope="module")
def bench(serve: Any) -> Any:
    app = Bench()
    served = serve(app, LIMITS)
    served.app = app
    return served


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """The server runs in another thread: give it time, not a fixed one."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def drip(wire: Any, piece: bytes, every_s: float, limit_s: float) -> float:
    """Send a piece again and again; seconds until the server closed or answered."""
    wire.socket.settimeout(every_s)
    begin = time.monotonic()
    while time.monotonic() - begin < limit_s:
        wire.send(piece)
        try:
            if wire.socket.recv(65536):
                continue
            break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
    return time.monotonic() - begin


def test_a_silent_connection_gets_408(bench: Any) -> None:
    begin = time.monotonic()
    with bench.connect() as wire:
        assert wire.read_all().startswith(b"HTTP/1.1 408 ")
    assert HEAD_S <= time.monotonic() - begin < HEAD_S + MARGIN_S


@pytest.mark.parametrize("piece", [b"G", b"X: a\r\n", b"\r\n"], ids=["letter", "field", "CRLF"])
def test_a_dripped_head_gets_its_time_once(bench: Any, piece: bytes) -> None:
    with bench.connect() as wire:
        if piece != b"\r\n":
            wire.send(b"GET /x HTTP/1.1\r\nHo")
        assert drip(wire, piece, 0.05, 5) < HEAD_S + MARGIN_S


def test_a_dripped_crlf_after_a_response_holds_nothing_open(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(GET)
        wire.read_until(b"done")
        assert drip(wire, b"\r\n", 0.1, 5) < HEAD_S + MARGIN_S


def test_a_flood_of_crlf_after_a_response_is_refused(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(GET)
        wire.read_until(b"done")
        wire.send(b"\r\n" * 40)
        assert wire.read_all().startswith(b"HTTP/1.1 400 ")


def test_a_stray_crlf_after_a_response_is_not_answered(bench: Any) -> None:
    """Some clients end a body with one; a 408 would be read as the answer to their next request."""
    with bench.connect() as wire:
        wire.send(GET)
        wire.read_until(b"done")
        wire.send(b"\r\n")
        assert wire.read_all() == b""


def test_an_idle_kept_alive_connection_is_closed_without_a_word(bench: Any) -> None:
    with bench.connect() as wire:
        begin = time.monotonic()  # before the answer: from there the server counts
        wire.send(GET)
        wire.read_until(b"done")
        assert wire.read_all() == b""
        assert KEEP_S <= time.monotonic() - begin < KEEP_S + MARGIN_S


def test_a_kept_alive_connection_gets_a_fresh_head_time(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(GET)
        wire.read_until(b"done")
        time.sleep(KEEP_S / 2)
        wire.send(GET[:10])
        time.sleep(HEAD_S / 2)
        wire.send(GET[10:])
        wire.read_until(b"done")


def test_half_a_body_is_closed_and_the_application_told(bench: Any) -> None:
    before = bench.app.disconnects
    with bench.connect() as wire:
        wire.send(UPLOAD % (b"/x", 100) + b"half")
        assert wire.seconds_until_closed() < IDLE_S + MARGIN_S
    wait_for(lambda: bench.app.disconnects == before + 1)


def test_a_dripped_body_ends_at_the_total(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(UPLOAD % (b"/x", 100_000))
        taken = drip(wire, b"x", 0.1, 6)
    assert IDLE_S * 1.5 < taken < TOTAL_S + MARGIN_S


def test_an_upload_is_not_cut_while_the_application_does_not_read(bench: Any) -> None:
    """Trap: the idle time must stand still while flow control has stopped the reading."""
    body = bytes(1_000_000)
    with bench.connect() as wire:
        wire.send(UPLOAD % (b"/slow", len(body)) + body)
        assert b" 200 " in wire.read_until(b"done")


def test_an_early_refusal_is_readable_in_the_middle_of_an_upload(bench: Any) -> None:
    """Trap: closing at once would reset the client before it has read the answer."""
    length = 3_000_000
    with bench.connect() as wire:
        wire.socket.sendall(UPLOAD % (b"/refuse", length))
        for _ in range(30):
            wire.socket.sendall(bytes(100_000))  # raises where the server has closed
        answer = wire.read_all()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"who are you")


def test_an_upload_after_an_early_refusal_is_bounded_in_bytes(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(UPLOAD % (b"/refuse", 60_000_000))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            wire.socket.sendall(bytes(60_000_000))


def test_an_upload_after_an_early_refusal_is_bounded_in_time(bench: Any) -> None:
    with bench.connect() as wire:
        wire.send(UPLOAD % (b"/refuse", 1_000_000))
        wire.read_until(b"who are you")
        assert drip(wire, b"x", 0.1, 6) < LINGER_S + MARGIN_S


def test_a_client_that_never_reads_is_aborted(bench: Any) -> None:
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", bench.port))
        wire.sendall(GET.replace(b"/x", b"/large"))
        state = bench.server.server_state
        deadline = time.monotonic() + STALL_S + MARGIN_S
        time.sleep(0.1)
        assert len(state.connections) >= 1
        while state.connections and time.monotonic() < deadline + KEEP_S:
            time.sleep(0.02)
        assert not state.connections


def test_a_slow_reader_is_not_a_stalled_one(bench: Any) -> None:
    received = 0
    with socket.socket() as wire:
        wire.connect(("127.0.0.1", bench.port))
        wire.sendall(GET.replace(b"/x", b"/large"))
        while received < 32 * 1024 * 1024:
            part = wire.recv(4 * 1024 * 1024)
            assert part, "cut although it was reading"
            received += len(part)
            time.sleep(STALL_S / 10)
    assert received >= 32 * 1024 * 1024
