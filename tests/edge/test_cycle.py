"""Response heads: the same names again and again, and each time the values of that response and no others."""

from typing import Any

import pytest

VALUES = [b"1", b"%b%s%%", b"", b"\xe9", b"z" * 5_000]


@pytest.fixture(scope="module")
def served(serve: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        number = int(scope["query_string"] or b"0")
        value = b"a\nb" if scope["path"] == "/broken" else VALUES[number]
        name = b"x y" if scope["path"] == "/named" else b"X-%b"
        headers = [(b"Content-Length", b"%d" % number), (name, value), (b"x-b", value[::-1])]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"b" * number})

    return serve(app)


def test_every_head_has_its_own_values(served: Any) -> None:
    with served.connect() as wire:
        for _ in range(2):
            for number, value in enumerate(VALUES):
                wire.send(b"GET /?%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
                head, _, body = wire.read_until(b"\r\n\r\n" + b"b" * number).partition(b"\r\n\r\n")
                line, _date, *fields = head.split(b"\r\n")
                assert line == b"HTTP/1.1 200 OK"
                assert fields == [
                    b"content-length: %d" % number,
                    b"x-%b: " + value,
                    b"x-b: " + value[::-1],
                ]
                assert body == b"b" * number


@pytest.mark.parametrize("path", [b"/broken", b"/named"])
def test_a_head_that_would_be_two_is_not_sent(served: Any, path: bytes) -> None:
    for _ in range(2):
        answer = served.ask(b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path)
        assert b"x-b" not in answer
        assert b"200 OK" not in answer
