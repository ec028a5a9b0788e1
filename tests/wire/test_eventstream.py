"""The AWS event-stream framing: equal to botocore's reading for every cut, and blind rather than broken."""

import binascii
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings, strategies as st

from gateway.wire.eventstream import (
    MESSAGE_BYTES_MAX,
    EventStreamDecoder,
    FrameSplitter,
    HeaderValue,
    Message,
    encode,
)

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


# -- a splitter that only cuts ---------------------------------------------------------------------


def split(chunks: list[bytes], splitter: FrameSplitter) -> list[bytes]:
    return [splitter.feed(chunk) for chunk in chunks]


@given(FRAMES, st.binary(max_size=3), CUTS)
def test_a_splitter_lets_go_of_whole_frames_only_and_loses_no_byte(
    sent: list[tuple[dict[str, str], bytes]], cut_off: bytes, places: list[int]
) -> None:
    frames = [encode(headers, payload) for headers, payload in sent]
    raw = b"".join(frames) + cut_off
    ends = {sum(map(len, frames[:n])) for n in range(len(frames) + 1)}
    for chunks in (cut(raw, places), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        splitter = FrameSplitter()
        arrived, passed = 0, 0
        for chunk in chunks:
            arrived += len(chunk)
            passed += len(splitter.feed(chunk))
            assert passed == max(end for end in ends if end <= arrived), "as soon as it is whole"
        assert passed == len(raw) - len(cut_off)
        assert splitter.rest() == cut_off
        assert splitter.rest() == b""


@pytest.mark.parametrize("total", [0, 15, 24 * 1024 * 1024 + 1, 2**32 - 1])
def test_where_a_length_cannot_be_trusted_everything_passes_from_then_on(total: int) -> None:
    splitter, good = FrameSplitter(), encode({}, b"x")
    lost = struct.pack(">I", total)
    assert split([good + lost[:3], lost[3:] + b"ab", b"c", good[:5], b""], splitter) == [
        good,
        lost + b"ab",
        b"c",
        good[:5],
        b"",
    ]
    assert splitter.rest() == b""
    assert split([good + lost, b"d"], FrameSplitter()) == [good + lost, b"d"]


@pytest.mark.parametrize("total", [16, 17, 24 * 1024 * 1024])
def test_a_length_of_any_frame_there_can_be_is_waited_for(total: int) -> None:
    splitter = FrameSplitter()
    raw = struct.pack(">I", total) + b"x" * (min(total, 100) - 4)
    assert split([raw[:4], raw[4:15], raw[15:]], splitter) == [
        b"",
        b"",
        raw if total <= 100 else b"",
    ]
    assert splitter.rest() == (b"" if total <= 100 else raw)


def test_a_bound_of_ones_own_is_kept_to_the_byte() -> None:
    frame_of = encode({}, b"x" * 84)
    assert len(frame_of) == 100
    for most, passes in ((100, True), (99, False)):
        decoder = EventStreamDecoder(most)
        assert (len(decoder.feed(frame_of)), decoder.broken) == (int(passes), not passes)
        splitter = FrameSplitter(most)
        assert splitter.feed(frame_of[:50]) == (b"" if passes else frame_of[:50])
        assert splitter.feed(frame_of[50:]) == (frame_of if passes else frame_of[50:])


def test_a_message_may_be_as_large_as_aws_sends_and_half_as_large_again() -> None:
    assert MESSAGE_BYTES_MAX == 24 * 1024 * 1024 == 25_165_824
    for total, is_broken in ((MESSAGE_BYTES_MAX, False), (MESSAGE_BYTES_MAX + 1, True)):
        lengths = struct.pack(">II", total, 0)
        decoder = EventStreamDecoder()
        decoder.feed(lengths + struct.pack(">I", binascii.crc32(lengths)))
        assert decoder.broken is is_broken


def test_the_smallest_frame_is_whole() -> None:
    (message,) = read([encode({}, b"")])
    assert message == Message({}, b"")
    assert len(encode({}, b"")) == 16


# -- headers that end early ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        b"\x01", b"\x01z", b"\x01z\x02", b"\x01z\x03\x00", b"\x01z\x04\x00\x00\x00", b"\x01z\x08" + b"\0" * 7,
        b"\x01z\x09" + b"\0" * 15, b"\x01z\x07", b"\x01z\x07\x00", b"\x01z\x07\x00\x02!", b"\x01z\x06\x00\x01",
        b"\x01z\x0a!", b"\x01z\xff", b"\xff",
    ],
    ids=repr,
)  # fmt: skip
def test_a_header_that_is_cut_or_of_no_known_type_ends_the_reading_and_no_more(rest: bytes) -> None:
    (message,) = read([frame(b"\x01a\x07\x00\x01b" + rest, b"payload")])
    assert message == Message({"a": "b"}, b"payload")


@given(st.lists(st.tuples(st.binary(max_size=3), st.sampled_from(TYPED)), max_size=4))
@settings(max_examples=60)
def test_headers_of_every_type_stand_in_any_order(
    sent: list[tuple[bytes, tuple[bytes, HeaderValue]]],
) -> None:
    raw = b"".join(bytes((len(name),)) + name + packed for name, (packed, _) in sent)
    (message,) = read([frame(raw, b"")])
    assert message.headers == {name.decode("utf-8", "replace"): value for name, (_, value) in sent}


def test_text_that_is_no_utf_8_is_read_as_far_as_it_can_be() -> None:
    (message,) = read([frame(b"\x01\xff\x07\x00\x02a\xfe", b"")])
    assert message.headers == {"\ufffd": "a\ufffd"}


def test_lengths_of_header_names_and_values_have_their_bounds() -> None:
    fitting = {"n" * 255: "v" * 65_535}
    (message,) = read([encode(fitting, b"")])
    assert message.headers == fitting
