"""A body as documents: the same whatever the framing, and whatever the cuts."""

import json
from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.wire import documents as under_test
from gateway.wire.documents import Document, Documents, Lines, documents
from gateway.wire.eventstream import encode
from gateway.wire.messages import Head

FRAMES = b"application/vnd.amazon.eventstream"
objects = st.dictionaries(
    st.text(max_size=6), st.none() | st.integers(-9, 9) | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=3),
    max_size=4,
)  # fmt: skip


def head(content_type: bytes) -> Head:
    return Head(200, ((b"Content-Type", content_type),))


def frame(kind: bytes | str, payload: bytes, name: str = ":event-type") -> bytes:
    message_type = "event" if name == ":event-type" else "exception"
    return encode({":message-type": message_type, name: str(kind)}, payload)


def framed(framing: str, values: list[dict[str, Any]]) -> tuple[bytes, Documents]:
    """The values in that framing, and a reader for it."""
    raw = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    if framing == "sse":
        return b"".join(
            b"data: %b\r\n\r\n" % each for each in raw
        ) + b"data: [DONE]\n\n", documents(head(b"text/event-stream; charset=utf-8"))
    if framing == "array":
        return b"[" + b"\n,\r\n".join(raw) + b"]", documents(head(b"application/json"))
    if framing == "lines":
        return b"\n".join(raw), Lines()
    if framing == "chunks":
        wrapped = [json.dumps({"bytes": b64encode(each).decode()}).encode() for each in raw]
        return b"".join(frame("chunk", each) for each in wrapped), documents(head(FRAMES))
    return b"".join(frame("metadata", each) for each in raw), documents(head(FRAMES))


def read(reader: Documents, *chunks: bytes) -> list[Document]:
    found = [document for chunk in chunks for document in reader.feed(chunk)]
    return found + reader.finish()


@pytest.mark.parametrize("framing", ["sse", "array", "lines", "chunks", "frames"])
@settings(max_examples=60, deadline=None)
@given(values=st.lists(objects, max_size=4), data=st.data())
def test_every_framing_yields_its_objects_however_it_is_cut(
    framing: str, values: list[dict[str, Any]], data: st.DataObject
) -> None:
    body, reader = framed(framing, values)
    places = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    bounds = [0, *sorted(places), len(body)]
    chunks = [body[start:end] for start, end in pairwise(bounds)]
    assert [document.value for document in read(reader, *chunks)] == values
    assert not reader.seen.blind


@pytest.mark.parametrize(
    ("body", "found"), [(b' \n{"a":1}', 1), (b'{"a":', 0), (b"", 0), (b"null", 0)]
)
def test_a_body_is_whole_when_it_is_an_object(body: bytes, found: int) -> None:
    reader = documents(head(b"application/json"))
    assert len(read(reader, body)) == found
    assert reader.seen.whole is bool(found)


def test_an_array_is_whole_when_it_is_closed() -> None:
    reader = documents(head(b"application/json"))
    assert [document.value for document in read(reader, b'[{"a":1},{"b":')] == [{"a": 1}]
    assert not reader.seen.whole


def test_a_stray_event_stream_is_recognised_without_its_content_type() -> None:
    reader = documents(Head(200, ()))
    assert [document.value for document in read(reader, b'data: {"a":1}\n\n')] == [{"a": 1}]


def test_a_body_beyond_the_bound_gives_up_what_was_asked_for() -> None:
    reader = documents(head(b"application/json"), ("usage",), 1000)
    body = json.dumps({"image": "x" * 2000, "usage": {"n": 7}}).encode()
    assert [document.value for document in read(reader, body)] == [{"usage": {"n": 7}}]
    assert (reader.seen.clipped, reader.seen.whole) == (True, False)


def test_a_wrong_checksum_is_told_and_the_frame_still_read() -> None:
    raw = frame("metadata", b'{"a":1}')
    reader = documents(head(FRAMES))
    (document,) = read(reader, raw[:-1] + bytes((raw[-1] ^ 1,)))
    assert (document.value, document.event, document.intact) == ({"a": 1}, "metadata", False)
    assert reader.seen.bad_crc


def test_an_exception_frame_is_no_document() -> None:
    reader = documents(head(FRAMES))
    assert read(reader, frame("throttlingException", b'{"message":"no"}', ":exception-type")) == []
    assert reader.seen.failed


@pytest.mark.parametrize("payload", [b"{", b'{"bytes":"!"}', b'{"bytes":"e30"}'])
def test_what_cannot_be_read_is_told(payload: bytes) -> None:
    reader = documents(head(FRAMES))
    assert read(reader, frame("chunk", payload)) == []
    assert reader.seen.blind


def test_lengths_that_cannot_be_trusted_make_it_blind() -> None:
    reader = documents(head(FRAMES))
    assert read(reader, b"\x00" * 64) == []
    assert reader.seen.blind


def test_what_strict_parsers_refuse_is_still_read() -> None:
    reader = documents(head(b"text/event-stream"))
    found = read(reader, b'data: {"half":"\\ud83d","n":NaN}\n\n')
    assert found[0].value["half"] == "\ud83d"
    assert not reader.seen.blind


def test_a_line_that_never_ends_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "DOCUMENT_BYTES_MAX", 100)
    reader = Lines()
    assert read(reader, b"x" * 101, b'\n{"a":1}\n') == [Document({"a": 1})]
    assert reader.seen.blind


@given(
    junk=st.binary(max_size=300),
    kind=st.sampled_from([b"text/event-stream", FRAMES, b"application/json", b""]),
)
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_raise(junk: bytes, kind: bytes) -> None:
    for document in read(documents(head(kind)), junk[:7], junk[7:]):
        assert isinstance(document.value, dict)
