"""A request as bytes: what is given goes out, and nothing that could be read as two requests."""

import asyncio

import httpx
import pytest
from hypothesis import given, strategies as st

from gateway.upstream.outgoing import JOIN_BYTES_MAX, PART_BYTES, encode, origin_of

TOKEN = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=30).filter(lambda raw: not set(raw) & {*range(9), *range(10, 32), 127})
FRAMING = {b"content-length", b"transfer-encoding"}


def request(
    headers: list[tuple[bytes, bytes]], body: bytes, target: bytes = b"/x?y"
) -> httpx.Request:
    return httpx.Request(
        "POST",
        "http://127.0.0.1:1",
        headers=headers,
        stream=httpx.ByteStream(body),
        extensions={"target": target},
    )


@given(
    st.lists(
        st.tuples(TOKEN, VALUE).filter(lambda pair: pair[0].lower() not in FRAMING), max_size=9
    ),
    st.binary(max_size=50),
)
def test_head_and_body_are_exactly_what_was_given(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    headers = [(b"Host", b"h"), *headers, (b"Content-Length", b"%d" % len(body))]
    packet = encode(request(headers, body)).packet
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    assert packet == b"POST /x?y HTTP/1.1\r\n" + lines + b"\r\n" + body


@given(TOKEN, st.binary(max_size=20), st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b"\x7f"]))
def test_a_control_byte_anywhere_in_a_head_is_refused(
    name: bytes, value: bytes, control: bytes
) -> None:
    for pair in ((name, value + control + b"x: y"), (name + control + b"x: y", value)):
        with pytest.raises(httpx.LocalProtocolError):
            encode(request([(b"Host", b"h"), pair], b""))


@pytest.mark.parametrize(
    "framing",
    [
        [],
        [(b"Content-Length", b"4")],
        [(b"Content-Length", b"+3")],
        [(b"Content-Length", b"3"), (b"content-length", b"3")],
        [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    ],
)
def test_framing_that_does_not_describe_the_body_is_refused(
    framing: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        encode(request([(b"Host", b"h"), *framing], b"abc"))


@pytest.mark.parametrize("size", [0, 1, JOIN_BYTES_MAX - 1, JOIN_BYTES_MAX, PART_BYTES * 2 + 1])
def test_small_bodies_are_one_packet_and_large_ones_parts_that_join_to_the_same(size: int) -> None:
    body = bytes(size)
    outgoing = encode(request([(b"Host", b"h"), (b"Content-Length", b"%d" % size)], body))

    async def parts() -> list[bytes]:
        return [part async for part in outgoing.parts()]

    assert (outgoing.packet is not None) == (size < JOIN_BYTES_MAX)
    collected = asyncio.run(parts())
    assert b"".join(collected) == body
    assert all(len(part) <= PART_BYTES for part in collected)


def test_the_origin_has_the_schemes_own_port_and_no_other_scheme_passes() -> None:
    assert origin_of(httpx.URL("https://example.test/x")) == (b"https", b"example.test", 443)
    assert origin_of(httpx.URL("http://[::1]:81")) == (b"http", b"::1", 81)
    with pytest.raises(httpx.UnsupportedProtocol):
        origin_of(httpx.URL("ftp://example.test"))
