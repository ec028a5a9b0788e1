"""A head that comes again means what it meant before: whatever follows on a connection is read as on a new one."""

import gc
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.edge.heads import DIGITS_MAX, PATIENCE, PLAIN_KEY, SeenHead, seen_head
from gateway.edge.http1 import StrictProtocol
from gateway.edge.limits import Limits
from gateway.edge.presence import SCOPE_KEY
from tests.edge.conftest import Echo

MAX = 64 * 1024
ANSWER = re.compile(
    rb"(HTTP/1.1 100 Continue\r\n\r\n)?HTTP/1.1 (?s:.*?)"
    rb"content-length: (?P<size>\d+)(?s:.*?)\r\n\r\n(?P<rest>(?s:.*))"
)


def asked(
    fields: bytes = b"", body: bytes = b"hello", *, line: bytes = b"POST /a?b HTTP/1.1"
) -> bytes:
    """A request with Host, some fields, and the length of its body in the middle."""
    length = b"Content-Length: %d\r\n" % len(body)
    return line + b"\r\nHost: h\r\n" + length + b"X-A: 1\r\n" + fields + b"\r\n" + body


FIRST = asked()
# What follows the first request on its connection, and whether it is the same head again.
FOLLOWING = {
    "the same": (FIRST, True),
    "longer": (asked(body=b"x" * 12_345), True),
    "shorter": (asked(body=b""), True),
    "a body like a head": (asked(body=b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), True),
    "a length with zeros": (FIRST.replace(b": 5", b": 0005"), True),
    "another path": (asked(line=b"POST /c?b HTTP/1.1"), False),
    "another query": (asked(line=b"POST /a?c HTTP/1.1"), False),
    "another method": (asked(line=b"PUT /a?b HTTP/1.1"), False),
    "a refused method": (asked(line=b"TRACE /a?b HTTP/1.1"), False),
    "an older version": (asked(line=b"POST /a?b HTTP/1.0"), False),
    "a path with dots": (asked(line=b"POST /a/../b HTTP/1.1"), False),
    "one field more": (asked(b"X-B: 2\r\n"), False),
    "another value": (FIRST.replace(b"X-A: 1", b"X-A: 2"), False),
    "another spelling": (FIRST.replace(b"X-A", b"x-a"), False),
    "blanks before the length": (FIRST.replace(b": 5", b":  5"), False),
    "blanks behind the length": (FIRST.replace(b": 5", b": 5 "), False),
    "no length": (FIRST.replace(b": 5", b": "), False),
    "letters for a length": (FIRST.replace(b": 5", b": 5a"), False),
    "a sign before the length": (FIRST.replace(b": 5", b": +5"), False),
    "two lengths": (asked(b"Content-Length: 5\r\n"), False),
    "length and chunks": (asked(b"Transfer-Encoding: chunked\r\n"), False),
    "too long": (asked(body=b"x" * (MAX + 1)), False),
    "a length beyond all bounds": (FIRST.replace(b": 5", b": 123456789"), False),
    "a line break instead of a length": (FIRST.replace(b": 5\r\n", b": \r\n 5\r\n"), False),
    "encoded": (asked(b"Content-Encoding: gzip\r\n"), False),
    "the last one": (asked(b"Connection: close\r\n"), False),
    "expecting": (asked(b"Expect: 100-continue\r\n"), False),
    "behind blank lines": (b"\r\n\r\n" + FIRST, False),
    "with one behind it": (FIRST + FIRST, False),
}


@pytest.fixture(scope="module")
def served(serve: Any) -> Any:
    app = Echo()
    server = serve(app, Limits(body_bytes_max=MAX, linger_ms=200, sweep_ms=20))
    server.app = app
    return server


def answer(wire: Any) -> bytes:
    """One whole answer, but for its date."""
    received = wire.read_until(b"\r\n\r\n")
    while (whole := ANSWER.match(received)) is None or len(whole["rest"]) < int(whole["size"]):
        received += wire.socket.recv(65536)
    return re.sub(rb"date: [^\r]*\r\n", b"", received)


def told(app: Any, answered: bytes) -> list[Any]:
    """An answer with what the application was asked for it, but for what names the connection."""
    scopes = [
        (
            {
                key: list(value) if key == "headers" else value
                for key, value in scope.items()
                if key not in {"client", SCOPE_KEY, PLAIN_KEY}
            },
            body,
        )
        for scope, body in app.seen
    ]
    return [answered, *scopes]


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_request_is_read_the_same_behind_another_one_and_alone(served: Any, name: str) -> None:
    request, repeats = FOLLOWING[name]
    served.app.seen.clear()
    with served.connect() as wire:
        wire.send(request)
        alone = told(served.app, answer(wire))
    with served.connect() as wire:
        for _ in range(2):
            wire.send(FIRST)
            answer(wire)
        served.app.seen.clear()
        wire.send(request)
        assert told(served.app, answer(wire)) == alone
    # A large one may come in several reads, and then goes the parser's way.
    if len(request) < 4096:
        assert [PLAIN_KEY in scope for scope, _ in served.app.seen] in ([repeats], [])


def test_a_head_that_is_not_repeated_is_soon_no_longer_looked_at(served: Any) -> None:
    with served.connect() as wire:
        for number in range(PATIENCE + 1):
            wire.send(asked(b"X-B: %d\r\n" % number))
            answer(wire)
        for _ in range(2):
            served.app.seen.clear()
            wire.send(FIRST)
            answer(wire)
    ((scope, _body),) = served.app.seen
    assert PLAIN_KEY not in scope


def test_a_connection_that_asks_once_remembers_nothing(served: Any) -> None:
    with served.connect() as wire:
        for repeats in (False, False, True):
            served.app.seen.clear()
            wire.send(FIRST)
            answer(wire)
            ((scope, _body),) = served.app.seen
            assert (PLAIN_KEY in scope) == repeats


def test_what_an_application_writes_into_a_scope_stays_in_that_scope(served: Any) -> None:
    with served.connect() as wire:
        for _ in range(3):
            served.app.seen.clear()
            wire.send(FIRST)
            answer(wire)
            ((scope, _body),) = served.app.seen
            assert "written" not in scope
            assert "written" not in scope["state"]
            scope["written"] = scope["state"]["written"] = True


def head_of(octets: bytes, head_bytes_max: int = 1_000) -> SeenHead | None:
    lines = octets.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    fields = [line.split(b":", 1) for line in lines]
    headers = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    return seen_head(octets, {"headers": headers}, head_bytes_max)


@given(st.integers(0, 10**DIGITS_MAX * 10))
def test_only_the_very_length_of_the_body_passes(length: int) -> None:
    seen = head_of(FIRST)
    assert seen is not None
    octets = FIRST.replace(b": 5", b": %d" % length)
    found = seen.again(octets, MAX)
    assert (found is not None) == (length == 5)
    if found is not None:
        headers, body = found
        assert body == b"hello"
        assert headers == ((b"host", b"h"), (b"content-length", b"5"), (b"x-a", b"1"))


@given(st.integers(0, len(FIRST) - 1), st.integers(0, 255))
def test_any_other_byte_in_the_head_is_another_head(place: int, byte: int) -> None:
    seen = head_of(FIRST)
    assert seen is not None
    changed = FIRST[:place] + bytes((byte,)) + FIRST[place + 1 :]
    body_at = FIRST.index(b"hello")
    assert (seen.again(changed, MAX) is not None) == (changed == FIRST or place >= body_at)


@given(st.integers(0, len(FIRST) - 1))
def test_what_is_not_all_there_is_left_to_the_parser(size: int) -> None:
    seen = head_of(FIRST)
    assert seen is not None
    assert seen.again(FIRST[:size], MAX) is None
    assert seen.again(FIRST + FIRST[:1], MAX) is None


def test_a_head_without_a_length_cannot_be_recognised() -> None:
    assert head_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") is None
    assert head_of(asked(b"Content-Encoding: gzip\r\n")) is None


def test_a_head_that_another_length_could_make_too_long_is_not_recognised() -> None:
    size = len(FIRST) - len(b"hello") - len(b"5") + DIGITS_MAX
    assert head_of(FIRST, size) is not None
    assert head_of(FIRST, size - 1) is None


def test_a_head_that_came_in_pieces_is_not_recognised_by_its_last_one(served: Any) -> None:
    first = b"POST /a HTTP/1.1\r\nHost: h\r\nX-A: "
    last = b"POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
    with served.connect() as wire:
        for _ in range(3):
            wire.send(first)
            time.sleep(0.05)  # else they could arrive as one
            wire.send(last)
            answer(wire)
        served.app.seen.clear()
        wire.send(last)
        assert answer(wire).startswith(b"HTTP/1.1 400 ")  # by itself it has no Host
    assert not served.app.seen


SECRET = b"wb_a-key-that-nobody-keeps"


def test_a_key_is_kept_no_longer_than_its_connection_or_its_answers(serve: Any) -> None:
    """Not by anything: the whole process is searched for heads that hold it."""
    status = [200]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status[0], "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})

    server = serve(app, Limits(sweep_ms=20))
    request = asked(b"Api-Key: " + SECRET + b"\r\n")
    with server.connect() as wire:
        for _ in range(3):
            wire.send(request)
            answer(wire)
        assert kept_heads() == 1
        status[0] = 401  # revoked
        wire.send(request)
        answer(wire)
        assert kept_heads() == 0
        status[0] = 200
        for _ in range(2):
            wire.send(request)
            answer(wire)
        assert kept_heads() == 1
    assert wait_for(lambda: kept_heads() == 0)


def kept_heads() -> int:
    """Remembered heads in the process that hold the secret."""
    return sum(
        1
        for kept in gc.get_objects()
        if isinstance(kept, StrictProtocol)
        and kept._seen is not None
        and SECRET in kept._seen._before + kept._seen._after
    )


def wait_for(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()
