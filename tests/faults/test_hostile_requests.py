"""Requests that try to pass unmetered, on somebody else's account, or unread: refused in the SDK's words, or booked."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import httpx
import pytest

from gateway.ledger.entry import Entry, Outcome
from tests.faults.gateways import CREDENTIAL, in_process, settings
from tests.faults.origin import Origin, json_answer, standing
from tests.faults.streams import BY_NAME, CHAT, EXACT, SILENT, STREAMS, answering, used
from tests.faults.visitor import Got, Visitor, ask, post
from tests.serving import Running

MIB: Final = 1024 * 1024
BODY_MIB: Final = 6
CALL_ID: Final = "amz-sdk-invocation-id"
V1: Final = "/azure/openai/v1/chat/completions"
Call: TypeAlias = tuple[str, Any, dict[str, str] | None]
_numbers = itertools.count()


class House(NamedTuple):
    """A gateway that takes small bodies, and its upstream."""

    gateway: Running
    origin: Origin

    def ask(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Got:
        request = post(path, body, self.gateway.key.key, headers)
        return asyncio.run(ask(self.gateway.port, request))

    def refused(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Got:
        """A call of which the upstream hears nothing and the ledger knows nothing."""
        (got,) = self.all_refused([(path, body, headers)])
        return got

    def all_refused(self, calls: Sequence[Call]) -> list[Got]:
        """Calls of which the upstream hears nothing and the ledger knows nothing."""
        asked, rows = len(self.origin.asked), len(self.gateway.rows(0))
        got = [self.ask(*call) for call in calls]
        assert len(self.origin.asked) == asked
        assert len(self.gateway.rows(rows + 1, seconds=0.4)) == rows
        return got

    def booked(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Entry:
        """A call that passes; its row."""
        call = f"call-{next(_numbers)}"
        rows = len(self.gateway.rows(0))
        got = self.ask(path, body, {CALL_ID: call, **(headers or {})})
        assert (got.status, got.clean) == (200, True), got
        (row,) = [row for row in self.gateway.rows(rows + 1) if row.client_call_id == call]
        return row


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("requests")
    with (
        standing(lambda: Origin(answering()).running()) as origin,
        in_process(settings(folder, origin.port, body_mib=BODY_MIB)) as gateway,
    ):
        yield House(gateway, origin)


# -- size --------------------------------------------------------------------------------------------


def padded(body: dict[str, Any], size: int) -> bytes:
    return json.dumps({**body, "padding": "x" * size}).encode()


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_request_of_five_megabytes_arrives_whole_and_is_booked(house: House, stream: Any) -> None:
    body = padded(stream.body, 5 * MIB)
    row = house.booked(stream.path, body)
    assert house.origin.asked[-1].body == body
    assert (used(row), row.outcome) == (EXACT, Outcome.COMPLETE)


TOO_LARGE: Final[dict[str, tuple[int, Callable[[Any], bool]]]] = {
    "chat": (413, lambda said: said["error"]["code"] == "payload_too_large"),
    "responses": (413, lambda said: said["error"]["type"] == "invalid_request_error"),
    "messages": (413, lambda said: said["error"]["type"] == "request_too_large"),
    "converse": (400, lambda said: "over the limit" in said["message"]),
    "gemini": (413, lambda said: said["error"]["status"] == "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_over_the_limit_is_refused_in_the_sdks_words_and_never_forwarded(
    house: House, name: str, framing: str
) -> None:
    stream, (status, says) = BY_NAME[name], TOO_LARGE[name]
    body = padded(stream.body, 20 * MIB)
    asked = len(house.origin.asked)
    headers = {"authorization": f"Bearer {house.gateway.key.key}"}
    with httpx.Client(trust_env=False) as client:
        response = client.post(
            f"{house.gateway.url}{stream.path}",
            content=body if framing == "length" else _pieces(body),
            headers=headers,
        )
    assert (response.status_code, says(response.json())) == (status, True)
    assert len(house.origin.asked) == asked


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


# -- ambiguity ---------------------------------------------------------------------------------------

MESSAGES: Final = b'"messages": [{"role": "user", "content": "hello"}]'
AMBIGUOUS: Final = {
    "two models": b'{"model": "gpt-4o", "model": "gpt-5.4", %b}' % MESSAGES,
    "an escaped second model": b'{"model": "gpt-4o", "mod\\u0065l": "gpt-5.4", %b}' % MESSAGES,
    "another case": b'{"model": "gpt-4o", "Model": "gpt-5.4", %b}' % MESSAGES,
    "two streams": b'{"model": "gpt-4o", "stream": false, "stream": true, %b}' % MESSAGES,
    "stream as text": b'{"model": "gpt-4o", "stream": "true", %b}' % MESSAGES,
    "half a surrogate": b'{"model": "\\ud800", %b}' % MESSAGES,
    "a model that is none": b'{"model": ["gpt-4o"], %b}' % MESSAGES,
    "not an object": b'["gpt-4o"]',
    "cut": b'{"model": "gpt-4o", ' + MESSAGES[:20],
    "utf-16": '{"model": "gpt-4o", "messages": []}'.encode("utf-16"),
    "nothing": b"",
    "deep": b'{"model": "gpt-4o", "messages": ' + b"[" * 100_000 + b"}",
}


def test_a_body_that_two_readers_could_take_differently_is_refused(house: House) -> None:
    refused = house.all_refused([(V1, body, None) for body in AMBIGUOUS.values()])
    for name, got in zip(AMBIGUOUS, refused, strict=True):
        assert got.status == 400, name
        assert got.document()["error"]["type"] == "invalid_request_error"


def test_a_compressed_request_is_refused_unread(house: House) -> None:
    assert house.refused(V1, b"\x1f\x8b", {"content-encoding": "gzip"}).status == 415


UNMETERED: Final = (
    "/azure/openai/deployments/gpt-4o/chat/completions/../embeddings",
    "/azure/openai/v1/assistants",
    "/azure/openai/v1/fine_tuning/jobs",
    "/azure/openai/v1/realtime/client_secrets",
    "/azure/openai/deployments/gpt-4o%2f..%2fother/chat/completions",
    "/bedrock/async-invoke",
    "/bedrock/model/us.amazon.nova-lite-v1%3A0/invoke-with-bidirectional-stream",
    "/google/v1beta/models/gemini-2.5-flash:unheardOf",
    "/google/upload/v1beta/files",
    "//azure/openai/v1/chat/completions",
    "/azure/openai/v1/chat/completions/",
    "/Azure/openai/v1/chat/completions",
)


def test_what_cannot_be_metered_does_not_pass(house: House) -> None:
    for got in house.all_refused([(path, CHAT.body, None) for path in UNMETERED]):
        assert got.status in (400, 403, 404)


# -- attribution -------------------------------------------------------------------------------------

SPOOFED: Final = {
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "x-weighbridge-team": "somebody-else",
    "x-weighbridge-user": "user-9999",
    "via": "1.1 evil",
    "cookie": "session=1",
    "api-key": "sk-client-own-key",
    "x-api-key": "sk-client-own-key",
    "x-goog-api-key": "client-own-key",
    "x-goog-user-project": "somebody-elses-project",
    "proxy-authorization": "Basic eDp5",
    "x-original-url": "/admin",
    "connection": "x-secret",
    "x-secret": "named-by-connection",
    "accept-encoding": "gzip, br",
}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_who_pays_is_said_by_the_key_alone_and_nothing_spoofed_goes_upstream(
    house: House, stream: Any
) -> None:
    body = {**stream.body, "user": "user-9999", "metadata": {"team": "somebody-else"}}
    row = house.booked(stream.path, body, SPOOFED)
    assert (row.user, row.team, row.key_id) == ("user-0001", "core", house.gateway.key.key_id)
    head = house.origin.asked[-1].head.lower()
    for name, value in SPOOFED.items():
        assert f"\r\n{name}: {value}".encode() not in head, name
        if name not in ("connection", "accept-encoding"):
            assert value.encode() not in head, name
    assert house.gateway.key.key.lower().encode() not in head
    assert b"accept-encoding: identity" in head
    assert CREDENTIAL.encode() in head or b"aws4-hmac-sha256" in head


def test_two_credentials_are_one_caller_and_a_wrong_one_is_nobody(house: House) -> None:
    wrong = {"authorization": "Bearer wb_" + "a" * 49}
    assert house.refused(CHAT.path, CHAT.body, wrong).status == 401
    assert house.refused(CHAT.path, CHAT.body, {"authorization": "Basic eDp5"}).status == 401


def test_a_second_request_sent_ahead_is_not_served_and_the_first_is_whole(house: House) -> None:
    one = post(CHAT.path, CHAT.body, house.gateway.key.key)

    async def run() -> tuple[Got, bytes]:
        visitor = await Visitor.connect(house.gateway.port)
        await visitor.send(one + one)
        got = await visitor.rest()
        more = await visitor.more()
        visitor.close()
        return got, more

    asked, rows = len(house.origin.asked), len(house.gateway.rows(0))
    got, more = asyncio.run(run())
    assert (got.body, got.clean, more) == (CHAT.content(), True, b"")
    assert len(house.origin.asked) == asked + 1
    assert len(house.gateway.rows(rows + 2, seconds=0.4)) == rows + 1


# -- the usage opt-in --------------------------------------------------------------------------------


def test_usage_is_asked_for_whatever_the_client_wants_and_a_refusal_of_that_is_remembered(
    house: House,
) -> None:
    usual = house.origin.answer
    refusal = b'{"error": {"message": "unknown parameter: stream_options", "code": null}}'
    house.origin.answer = lambda asked: (
        json_answer(refusal, status=400) if b"stream_options" in asked.body else SILENT.steps()
    )
    body = {"messages": CHAT.body["messages"], "stream": True}
    try:
        asked = len(house.origin.asked)
        first = house.booked(CHAT.path, body)
        assert len(house.origin.asked) == asked + 2
        second = house.booked(CHAT.path, body)
        assert len(house.origin.asked) == asked + 3
    finally:
        house.origin.answer = usual
    assert b"stream_options" not in house.origin.asked[-1].body
    assert "usage_opt_in_refused" in first.flags
    assert first.provenance in ("counted", "estimated")
    assert second.provenance in ("counted", "estimated")
    assert used(second) == used(first)
