"""What the protocol says when it refuses: the reason, in the shape of the mount's SDKs, and nothing of the request."""

import json
from typing import Any, Final

import pytest

from gateway.edge.refusing import Asking, Words
from gateway.providers import installed

WORDS: Final = Words()
STATUSES: Final = (400, 405, 408, 413, 414, 417, 431, 501, 505)
TARGETS: Final = {
    "azure": b"/azure/openai/v1/responses?api-version=1",
    "anthropic": b"/azure/anthropic/v1/messages",
    "bedrock": b"/bedrock/model/x/converse",
    "google": b"/google/v1beta/models/x:generateContent",
    "nowhere": b"/elsewhere",
    "nothing": b"",
    "no path": b"*",
}
PLACE: Final = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n"
SOCKET: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\n"


def said(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return int(line.split(" ")[1]), headers, body


def message(shape: str, body: bytes) -> str:
    document: Any = json.loads(body)
    text: str = document["message"] if shape == "bedrock" else document["error"]["message"]
    return text


@pytest.mark.parametrize("shape", TARGETS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_refusal_has_a_reason_in_the_shape_of_its_mount_and_ends_the_connection(
    shape: str, status: int
) -> None:
    asking = Asking(b"POST", TARGETS[shape], ((b"authorization", b"Bearer wb_secret"),))
    answered, headers, body = said(WORDS.refusal(status, asking))
    assert (answered, headers["connection"]) == (status, "close")
    assert headers["content-type"].startswith("application/json")
    assert int(headers["content-length"]) == len(body)
    assert len(message("nowhere" if status == 408 else shape, body)) > 20
    assert b"wb_" not in body
    head_only = said(WORDS.refusal(status, Asking(b"HEAD", TARGETS[shape])))
    assert (head_only[1]["content-length"], head_only[2]) == ("0", b"")


REASONS: Final = {
    "doubled": (b"/azure//openai", b"", "'//'"),
    "dots": (b"/azure/../x", b"", "'..'"),
    "line feed": (b"/google/v1%0A", b"", "line break"),
    "backslash": (b"/azure/a\\b", b"", "percent-encode"),
    "absolute": (b"http://a/azure", b"", "'/'"),
    "query": (b"/azure/x?a=#b", b"", "percent-encode"),
    "h2c": (b"/azure/openai/v1/models", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", "http1.1"),
    "host": (b"/azure/x", b"Host: b\r\n", "Host"),
    "underscore": (b"/azure/x", b"a_b: c\r\n", "'_'"),
    "expect": (b"/bedrock/x", b"Expect: tea\r\n", "100-continue"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_names_what_is_wrong(echo: Any, name: str) -> None:
    target, fields, word = REASONS[name]
    with echo.connect() as wire:
        wire.send(PLACE % (target, fields))
        status, headers, body = said(wire.read_all())
    assert status in (400, 417)
    assert headers["connection"] == "close"
    assert word in message("bedrock" if target.startswith(b"/bedrock") else "azure", body)


@pytest.mark.parametrize("provider", installed(), ids=lambda provider: provider.name)
def test_a_websocket_is_refused_on_every_mount_as_what_cannot_be_metered(
    echo: Any, provider: Any
) -> None:
    echo.app.seen.clear()
    with echo.connect() as wire:
        wire.send(PLACE % (provider.mount + b"/anything", SOCKET))
        status, headers, body = said(wire.read_all())
    assert (status, headers["connection"]) == (403, "close")
    assert b"WebSockets do not pass this gateway" in body
    assert echo.app.seen == []


def test_a_websocket_to_nowhere_is_a_bad_request(echo: Any) -> None:
    with echo.connect() as wire:
        wire.send(PLACE % (b"/elsewhere", SOCKET))
        assert said(wire.read_all())[0] == 400


def test_every_refusal_is_told_once_with_the_mount_it_named_and_never_what_a_client_chose() -> None:
    told: list[tuple[str, str]] = []
    words = Words(refused=lambda provider, code: told.append((provider, code)))
    for status in STATUSES:
        for target in TARGETS.values():
            words.refusal(status, Asking(b"POST", target, ()))
    assert len(told) == len(STATUSES) * len(TARGETS)
    assert {provider for provider, _ in told} == {"azure", "bedrock", "google", "none"}
    assert {code for _, code in told} == {f"http_{status}" for status in STATUSES}
