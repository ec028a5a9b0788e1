"""Reading a request: the bytes as sent, within the bound, or a named refusal."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.edge.heads import PLAIN_KEY
from gateway.edge.inbound import STRANGER_BYTES_MAX, expects_much, read_inbound
from gateway.edge.presence import SCOPE_KEY, ClientGone
from gateway.kernel.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding
from gateway.wire.messages import Inbound


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "raw_path": b"/bedrock/model/a%3Ab/converse",
        "query_string": b"x=%26",
        "headers": list(headers),
    }


class Client:
    """Plays ASGI messages; counts how many were taken."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self.messages.pop(0)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def read(client: Client, *headers: tuple[bytes, bytes], body_bytes_max: int = 100) -> Inbound:
    return asyncio.run(read_inbound(scope(*headers), client, body_bytes_max=body_bytes_max))


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9))
def test_the_body_does_not_depend_on_how_it_was_cut(parts: list[bytes]) -> None:
    messages = [part(each, more=True) for each in parts[:-1]] + [part(parts[-1])]
    assert read(Client(*messages)).body == b"".join(parts)


def test_path_query_and_headers_are_the_bytes_that_were_sent() -> None:
    inbound = read(Client(part(b"")), (b"x", b"caf\xe9"), (b"x", b"2"))
    assert inbound.method == b"POST"
    assert inbound.raw_path == b"/bedrock/model/a%3Ab/converse"
    assert inbound.query == b"x=%26"
    assert inbound.headers == ((b"x", b"caf\xe9"), (b"x", b"2"))


def test_the_limit_itself_passes_and_one_byte_more_does_not() -> None:
    assert len(read(Client(part(bytes(100)))).body) == 100
    with pytest.raises(PayloadTooLarge, match="100 bytes"):
        read(Client(part(bytes(101))))
    with pytest.raises(PayloadTooLarge):
        read(Client(part(bytes(60), more=True), part(bytes(41))))


def test_an_announced_excess_is_refused_without_reading() -> None:
    client = Client()
    with pytest.raises(PayloadTooLarge):
        read(client, (b"content-length", b"101"))
    assert client.taken == 0


@pytest.mark.parametrize(
    "coding", [b"gzip", b"br", b"zstd", b"deflate", b"GZIP", b"identity, gzip"]
)
def test_a_compressed_body_is_refused_without_reading(coding: bytes) -> None:
    client = Client()
    with pytest.raises(UnsupportedEncoding):
        read(client, (b"content-encoding", coding))
    assert client.taken == 0


@pytest.mark.parametrize("coding", [b"identity", b"Identity", b""])
def test_an_uncompressed_body_may_say_so(coding: bytes) -> None:
    assert read(Client(part(b"hi")), (b"content-encoding", coding)).body == b"hi"


@pytest.mark.parametrize("before", [[], [part(b"half", more=True)]])
def test_a_client_that_leaves_while_uploading_is_gone(before: list[dict[str, Any]]) -> None:
    with pytest.raises(ClientGone):
        read(Client(*before, {"type": "http.disconnect"}))


@pytest.mark.parametrize(
    "path",
    [
        b"/azure/openai/v1/responses/../x",
        b"/a/%2e%2e/b",
        b"/a//b",
        b"/a\\b",
        b"/a/..%2fb",
        b"/a%00",
    ],
)
def test_what_the_strict_protocol_would_refuse_does_not_pass_by_another_one(path: bytes) -> None:
    ambiguous = {**scope(), "raw_path": path}
    with pytest.raises(BadRequest, match=r"^the (path|query|target) h"):
        asyncio.run(read_inbound(ambiguous, Client(part(b""))))
    looked_at = {**ambiguous, SCOPE_KEY: object()}
    assert asyncio.run(read_inbound(looked_at, Client(part(b"")))).raw_path == path


@pytest.mark.parametrize(
    ("headers", "much"),
    [
        ((), False),
        (((b"content-length", b"%d" % STRANGER_BYTES_MAX),), False),
        (((b"content-length", b"%d" % (STRANGER_BYTES_MAX + 1)),), True),
        (((b"transfer-encoding", b"chunked"),), True),
    ],
)
def test_a_large_or_unmeasured_body_is_known_from_its_head(
    headers: tuple[tuple[bytes, bytes], ...], *, much: bool
) -> None:
    assert expects_much({"headers": headers}) is much
    # Of a head that came before the body is there, and small: nobody has to be asked for his name first.
    assert not expects_much({"headers": headers, PLAIN_KEY: True})
