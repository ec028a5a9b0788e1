"""The AWS event-stream framing: equal to botocore's reading for every cut, and blind rather than broken."""

import binascii
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings, strategies as st

from gateway.wire.eventstream import EventStreamDecoder, HeaderValue, Message, encode

BEDROCK = Path(__file__).parents[1] / "transcripts" / "bedrock"
STREAMS = sorted(path for path in BEDROCK.glob("*.response") if path.read_bytes()[:2] == b"\0\0")
RECORDED = Path(__file__).parents[2] / ".." / "shared" / "recorded" / "streams"
CORRUPT = "converse-stream-corrupt-crc.response"

NAMES = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20)
HEADERS = st.dictionaries(NAMES, st.text(max_size=40), max_size=5)
FRAMES = st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=5)
CUTS = st.lists(st.integers(0, 10_000), max_size=8)

# Type byte and packed value of every header type, with what a reader makes of it.
TYPED = (
    (b"\x00", True),
    (b"\x01", False),
    (b"\x02\xfe", -2),
    (b"\x03\xff\x00", -256),
    (b"\x04\x00\x01\x00\x00", 65_536),
    (b"\x05" + struct.pack(">q", -(2**40)), -(2**40)),
    (b"\x06\x00\x03\x00\x01\x02", b"\x00\x01\x02"),
    (b"\x07\x00\x02\xc3\xa9", "é"),
    (b"\x08" + struct.pack(">q", 1_700_000_000_000), 1_700_000_000_000),
    (b"\x09" + bytes(range(16)), bytes(range(16))),
)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(ends)]


def read(chunks: list[bytes]) -> list[Message]:
    decoder = EventStreamDecoder()
    return [message for chunk in chunks for message in decoder.feed(chunk)]


def as_botocore(raw: bytes) -> list[Message]:
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return [Message(dict(event.headers), event.payload) for event in buffer]


def frame(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", binascii.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", binascii.crc32(body))


@given(FRAMES, CUTS)
def test_what_was_encoded_is_read_by_us_and_by_botocore_however_it_is_cut(
    sent: list[tuple[dict[str, str], bytes]], places: list[int]
) -> None:
    raw = b"".join(encode(headers, payload) for headers, payload in sent)
    expected = [Message(dict(headers), payload) for headers, payload in sent]
    assert as_botocore(raw) == expected
    assert read([raw]) == expected
    assert read(cut(raw, places)) == expected
    assert read([raw[i : i + 1] for i in range(len(raw))]) == expected


@pytest.mark.parametrize(("packed", "value"), TYPED, ids=lambda part: repr(part)[:20])
def test_every_header_type_is_read_as_botocore_reads_it(packed: bytes, value: HeaderValue) -> None:
    raw = frame(b"\x01a" + packed + b"\x01z\x07\x00\x01!", b"payload")
    assert read([raw]) == as_botocore(raw) == [Message({"a": value, "z": "!"}, b"payload")]
    assert type(read([raw])[0].headers["a"]) is type(value)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
@settings(max_examples=15)
@given(places=CUTS)
def test_transcripts_read_as_botocore_reads_them(path: Path, places: list[int]) -> None:
    raw = path.read_bytes()
    messages = read(cut(raw, places))
    assert messages == read([raw])
    if path.name != CORRUPT:
        assert messages == as_botocore(raw)


def test_there_are_transcripts_of_event_streams() -> None:
    assert len(STREAMS) >= 8
    assert CORRUPT in {path.name for path in STREAMS}


def test_recorded_streams_read_as_botocore_reads_them() -> None:
    paths = [path for path in RECORDED.glob("*") if path.read_bytes()[:2] == b"\0\0"]
    if not paths:
        pytest.skip("recorded streams are kept beside the checkout, and are not here")
    for path in paths:
        raw = path.read_bytes()
        expected = as_botocore(raw)
        for step in (1, 7, 1000):
            chunks = [raw[i : i + step] for i in range(0, len(raw), step)]
            assert read(chunks) == expected, path.name


def test_a_wrong_checksum_is_stepped_over_and_the_usage_behind_it_found() -> None:
    messages = read([(BEDROCK / CORRUPT).read_bytes()])
    assert sum(not message.crc_ok for message in messages) == 1
    (usage,) = [message for message in messages if message.event_type == "metadata"]
    assert usage.crc_ok
    assert b'"usage"' in usage.payload


@given(FRAMES.filter(bool), st.data())
def test_one_flipped_bit_never_passes_as_intact(
    sent: list[tuple[dict[str, str], bytes]], draw: st.DataObject
) -> None:
    frames = [encode(headers, payload) for headers, payload in sent]
    hit = draw.draw(st.integers(0, len(frames) - 1))
    place = draw.draw(st.integers(0, len(frames[hit]) - 1))
    damaged = bytearray(frames[hit])
    damaged[place] ^= 1 << draw.draw(st.integers(0, 7))
    decoder = EventStreamDecoder()
    messages = decoder.feed(b"".join([*frames[:hit], bytes(damaged), *frames[hit + 1 :]]))
    before = [Message(dict(headers), payload) for headers, payload in sent[:hit]]
    assert messages[:hit] == before
    prelude_hit = place < 12
    assert decoder.broken == prelude_hit
    assert len(messages) == (hit if prelude_hit else len(sent))
    assert [m.crc_ok for m in messages[hit:]] == [False, *[True] * (len(sent) - hit - 1)][
        : len(messages) - hit
    ]


def test_a_frame_says_what_it_is() -> None:
    event, failure, silent = read(
        [
            encode({":message-type": "event", ":event-type": "metadata"}, b"{}")
            + encode({":message-type": "exception", ":exception-type": "throttled"}, b"{}")
            + frame(b"\x0b:event-type\x00", b"")
        ]
    )
    assert (event.message_type, event.event_type, event.exception_type) == ("event", "metadata", "")
    assert (failure.message_type, failure.exception_type) == ("exception", "throttled")
    assert (silent.message_type, silent.event_type) == ("", "")


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (20, 5), (2**32 - 1, 0), (24 * 1024 * 1024 + 1, 0), (16, 1)]
)
def test_absurd_lengths_break_the_decoder_at_once(total: int, headers: int) -> None:
    lengths = struct.pack(">II", total, headers)
    decoder = EventStreamDecoder()
    good = encode({}, b"x")
    assert len(decoder.feed(good + lengths + struct.pack(">I", binascii.crc32(lengths)))) == 1
    assert decoder.broken
    assert decoder.feed(good) == []
    assert not decoder.holds


@given(st.binary(max_size=80))
def test_lawless_headers_give_what_could_be_read(raw: bytes) -> None:
    (message,) = read([frame(b"\x01a\x07\x00\x01b" + raw, b"payload")])
    assert message.payload == b"payload"
    assert message.crc_ok
    assert "a" in message.headers


@given(st.binary(max_size=200), CUTS)
def test_noise_never_raises(raw: bytes, places: list[int]) -> None:
    assert read(cut(raw, places)) == read([raw])


@given(HEADERS, st.binary(max_size=60), st.integers(0, 1000))
def test_a_cut_stream_is_known_by_what_is_held(
    headers: dict[str, str], payload: bytes, place: int
) -> None:
    raw = encode(headers, payload)
    decoder = EventStreamDecoder()
    decoder.feed(raw + raw[: place % len(raw)])
    assert decoder.holds == (place % len(raw) > 0)


@pytest.mark.parametrize("headers", [{"n" * 256: "v"}, {"n": "v" * 65_536}])
def test_a_header_that_does_not_fit_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(headers, b"")
