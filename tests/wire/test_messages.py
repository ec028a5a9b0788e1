"""What a head says is read once, and never depends on what may differ when the head comes again."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, strategies as st

import gateway
from gateway.exchange import admission
from gateway.kernel.errors import Unauthenticated
from gateway.providers import bedrock, google
from gateway.wire import headers as header_lists
from gateway.wire.messages import Facts, Headers, Inbound

# By how they are written where they are asked for.
READ_ONCE: Final = {
    "header_lists.content_type": header_lists.content_type,
    "header_lists.client_attempt": header_lists.client_attempt,
    "header_lists.forwardable": header_lists.forwardable,
    "_shown": admission._shown,
    "_is_guarded": bedrock._is_guarded,
    "_asked_tiers": bedrock._asked_tiers,
    "_asked_shared": google._asked_shared,
    "_forwardable": google._forwardable,
}
NAMES: Final = (
    b"authorization", b"api-key", b"content-type", b"upgrade", b"connection", b"x-a", b"amz-sdk-request",
    b"x-stainless-retry-count", b"x-goog-api-client", b"x-goog-a", b"x-vertex-ai-llm-shared-request-type",
    b"x-amzn-bedrock-service-tier", b"x-amzn-bedrock-guardrailidentifier",
)  # fmt: skip
VALUES: Final = (
    b"Bearer wb_a",
    b"wb_a",
    b"wb_b",
    b"AWS4-HMAC-SHA256 x",
    b"attempt=2",
    b"3",
    b"content-length, x-a",
)
FIELDS: Final = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=8)


def made(read: Any, headers: Headers) -> object:
    """What a reader makes of headers; what it refuses them with."""
    try:
        return read(headers)
    except Unauthenticated as error:
        return str(error)


@pytest.mark.parametrize("name", READ_ONCE)
@given(fields=FIELDS, place=st.integers(0, 8), length=st.integers(0, 10**8))
def test_what_is_read_once_does_not_look_at_the_length(
    name: str, fields: list[tuple[bytes, bytes]], place: int, length: int
) -> None:
    before, after = fields[:place], fields[place:]
    first = (*before, (b"content-length", b"5"), *after)
    second = (*before, (b"content-length", b"%d" % length), *after)
    assert made(READ_ONCE[name], first) == made(READ_ONCE[name], second)


def test_nothing_else_is_read_once() -> None:
    package = Path(gateway.__file__).parent
    asked = {
        found
        for module in package.rglob("*.py")
        for found in re.findall(r"inbound\.told\(([^()]+)\)", module.read_text())
    }
    assert asked == set(READ_ONCE)


def test_a_fact_is_read_once_also_where_it_is_none() -> None:
    read: list[Headers] = []

    def nothing(headers: Headers) -> None:
        read.append(headers)

    headers = ((b"x-a", b"1"),)
    facts = Facts(headers)
    for _ in range(3):
        inbound = Inbound(b"GET", b"/", b"", headers, b"", facts)
        assert inbound.told(nothing) is None
    assert read == [headers]


def test_a_refusal_is_no_fact() -> None:
    facts = Facts(())
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            facts.of(admission._shown)


def test_a_request_whose_head_did_not_come_before_is_read_itself() -> None:
    for value in (b"1", b"2"):
        inbound = Inbound(b"GET", b"/", b"", ((b"content-type", value),), b"")
        assert inbound.told(header_lists.content_type) == value
