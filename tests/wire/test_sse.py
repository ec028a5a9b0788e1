"""Server-sent events: the same events for every cut and every line end, and never a byte lost."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from gateway.wire.sse import (
    EVENT_BYTES_MAX,
    RawSseSplitter,
    SseDecoder,
    SseEvent,
    error_event,
)

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
STREAMS = sorted(
    path
    for path in TRANSCRIPTS.glob("*/*.response")
    if path.read_bytes()[:6] in {b"data: ", b"data:{", b"event:", b": keep", b":keepa"}
)

RECORDED = Path(__file__).parents[2] / ".." / "shared" / "recorded" / "streams"

TEXT = st.text(
    alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30
).map(str.encode)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.one_of(
    TEXT.map(lambda text: b"data: " + text),
    TEXT.map(lambda text: b"data:" + text),
    TEXT.map(lambda text: b": " + text),
    st.sampled_from([b"data", b"event: ping", b"event:x", b"id: 1", b"retry: 5", b"dat: no", b""]),
)
LAWLESS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda lines: b"".join(part for line in lines for part in line)
)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(ends)]


def read(chunks: list[bytes], event_bytes_max: int = 1 << 20) -> tuple[list[SseEvent], int]:
    decoder = SseDecoder(event_bytes_max)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.finish(), decoder.overflowed


def as_the_standard_says(raw: bytes) -> list[SseEvent]:
    """The WHATWG algorithm, line by line, but for the last event, which needs no blank line here."""
    lines = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[SseEvent] = []
    data: list[bytes] = []
    name = b""
    for line in [*lines.split(b"\n"), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line and data:
            events.append(SseEvent(b"\n".join(data), name))
        if not line:
            data, name = [], b""
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(LAWLESS, CUTS, st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_events_are_those_of_the_standard_however_the_bytes_are_cut(
    body: bytes, places: list[int], mark: bytes
) -> None:
    raw = mark + body
    expected = as_the_standard_says(raw)
    assert read([raw])[0] == expected
    assert read(cut(raw, places))[0] == expected
    assert read([raw[i : i + 1] for i in range(len(raw))])[0] == expected


@given(st.lists(st.tuples(TEXT, st.sampled_from([b"", b"delta"])), max_size=6), ENDS, CUTS)
def test_every_line_end_gives_the_same_events(
    sent: list[tuple[bytes, bytes]], end: bytes, places: list[int]
) -> None:
    raw = b"".join(
        (b"event: " + name + end if name else b"") + b"data: " + data + end + end
        for data, name in sent
    )
    assert read(cut(raw, places))[0] == [SseEvent(data, name) for data, name in sent]


@given(LAWLESS, CUTS, st.integers(4, 60))
def test_the_splitter_loses_nothing_and_its_events_do_not_depend_on_the_cuts(
    raw: bytes, places: list[int], event_bytes_max: int
) -> None:
    for chunks in (cut(raw, places), [raw[i : i + 1] for i in range(len(raw))]):
        splitter = RawSseSplitter(event_bytes_max)
        blocks = [block for chunk in chunks for block in splitter.feed(chunk)]
        assert b"".join(blocks) + splitter.rest() == raw
        assert splitter.rest() == b""
    whole, single = RawSseSplitter(), RawSseSplitter()
    expected = whole.feed(raw)
    assert [b for i in range(len(raw)) for b in single.feed(raw[i : i + 1])] == expected
    assert single.rest() == whole.rest()


@given(st.lists(TEXT, min_size=1, max_size=5), ENDS, CUTS, st.integers(12, 40))
def test_only_events_beyond_the_bound_are_passed_over(
    sent: list[bytes], end: bytes, places: list[int], event_bytes_max: int
) -> None:
    blocks = [b"data: " + data + end + end for data in sent]
    small = [
        data for data, block in zip(sent, blocks, strict=True) if len(block) <= event_bytes_max
    ]
    raw = b"".join(blocks) + b"data: end" + end  # what follows a CR is needed to know its event
    for chunks in (cut(raw, places), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        events, overflowed = read(chunks, event_bytes_max)
        assert [event.data for event in events] == [*small, b"end"]
        assert overflowed == len(sent) - len(small)


@given(LAWLESS, LAWLESS)
def test_a_filter_can_take_out_one_event_and_leave_every_other_byte(
    before: bytes, after: bytes
) -> None:
    splitter = RawSseSplitter()
    ours = b'data: {"choices":[],"usage":{"a":1}}\n\n'
    head = before + b"\n\n"
    blocks = [*splitter.feed(head), *splitter.feed(ours), *splitter.feed(after)]
    rest = splitter.rest()
    kept = [block for block in blocks if block.lstrip(b"\r\n") != ours]
    assert len(kept) < len(blocks)
    assert (b"".join(kept) + rest).replace(b"\n", b"") == (head + after).replace(b"\n", b"")


def test_an_event_too_large_is_passed_over_in_constant_memory() -> None:
    decoder = SseDecoder(event_bytes_max=10_000)
    held_max = 0
    decoder.feed(b"data: before\n\ndata: ")
    for _ in range(2_000):
        assert decoder.feed(b"A" * 1_000) == []
        held_max = max(held_max, len(decoder._splitter._tail))
    assert decoder.feed(b"\n\ndata: after\n") == []
    assert decoder.feed(b"\n") == [SseEvent(b"after")]
    assert decoder.overflowed == 1
    assert held_max <= 10_000


def test_an_oversized_event_that_never_ends_is_not_delivered() -> None:
    decoder = SseDecoder(event_bytes_max=100)
    assert decoder.feed(b"data: " + b"x" * 200) == []
    assert decoder.finish() == []
    assert decoder.overflowed == 1


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_a_last_event_without_its_blank_line_is_delivered_once(end: bytes) -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: one\n\ndata: two" + end) == [SseEvent(b"one")]
    assert decoder.finish() == [SseEvent(b"two")]
    assert decoder.finish() == []


def test_a_crlf_split_over_chunks_ends_one_line() -> None:
    decoder = SseDecoder()
    fed = [decoder.feed(chunk) for chunk in (b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n", b"\r\n")]
    assert [event for events in fed for event in events] == [SseEvent(b"a\nb")]
    assert decoder.finish() == []


def test_the_end_marker_inside_a_string_is_text() -> None:
    assert read([b'data: {"t":"data: [DONE]"}\n\ndata: [DONE]\n\n'])[0] == [
        SseEvent(b'{"t":"data: [DONE]"}'),
        SseEvent(b"[DONE]"),
    ]


def test_one_byte_chunks_cost_in_proportion_to_the_bytes() -> None:
    searched = 0

    class Counting(RawSseSplitter):
        def _end_of_event(self) -> int:
            nonlocal searched
            searched += len(self._tail) - self._searched
            return super()._end_of_event()

    splitter = Counting()
    for _ in range(20_000):
        splitter.feed(b"x")
    assert searched <= 20_000 * 4


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: f"{path.parent.name}-{path.name}")
@settings(max_examples=20)
@given(places=CUTS)
def test_transcripts_read_the_same_however_they_are_cut(path: Path, places: list[int]) -> None:
    raw = path.read_bytes()
    expected = as_the_standard_says(raw)
    assert expected
    assert read(cut(raw, places))[0] == expected
    splitter = RawSseSplitter()
    assert b"".join(b for c in cut(raw, places) for b in splitter.feed(c)) + splitter.rest() == raw


def test_there_are_transcripts_of_streams() -> None:
    assert len(STREAMS) > 20


def test_recorded_streams_read_as_the_standard_says() -> None:
    paths = [path for path in RECORDED.glob("*") if path.read_bytes()[:6] in {b"data: ", b"event:"}]
    if not paths:
        pytest.skip("recorded streams are kept beside the checkout, and are not here")
    for path in paths:
        raw = path.read_bytes()
        for step in (1, 7, 1000):
            chunks = [raw[i : i + step] for i in range(0, len(raw), step)]
            assert read(chunks)[0] == as_the_standard_says(raw), path.name


def test_an_error_is_told_as_an_event_of_its_own() -> None:
    said = error_event({"message": "a\nb", "code": 7})
    assert said == b'event: error\ndata: {"type":"error","message":"a\\nb","code":7}\n\n'
    assert read([said])[0] == [SseEvent(b'{"type":"error","message":"a\\nb","code":7}', b"error")]


def test_an_event_of_a_mebibyte_is_the_largest_that_is_read() -> None:
    assert EVENT_BYTES_MAX == 1_048_576
    for size, overflowed in ((EVENT_BYTES_MAX, 0), (EVENT_BYTES_MAX + 1, 1)):
        raw = b"data: " + b"x" * (size - 8) + b"\n\n"
        for chunks in ([raw], [raw[:100], raw[100:]], [raw[:-1], raw[-1:]], [b": \n\n" + raw]):
            decoder = SseDecoder()
            events = [event for chunk in chunks for event in decoder.feed(chunk)]
            assert (len(events), decoder.overflowed) == (1 - overflowed, overflowed)


ENDED = st.lists(st.tuples(st.integers(0, 30), st.sampled_from([b"\n\n", b"\r\n\r\n"])), max_size=6)


@given(ENDED, CUTS, st.integers(8, 24))
@settings(max_examples=40)
def test_no_more_is_held_than_an_event_may_have_and_it_is_told_which_outgrew_it(
    sent: list[tuple[int, bytes]], places: list[int], event_bytes_max: int
) -> None:
    blocks = [b"x" * size + end for size, end in sent]
    raw = b"".join(blocks)
    large = sum(len(block) > event_bytes_max for block in blocks)
    for chunks in (cut(raw, places), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        splitter = RawSseSplitter(event_bytes_max)
        passed = 0
        for chunk in chunks:
            passed += sum(map(len, splitter.feed(chunk)))
            assert len(splitter._tail) <= event_bytes_max
            assert splitter.holds or not splitter._tail
        assert passed == len(raw)
        assert (splitter.overflowed, splitter.holds) == (large, False)


def test_what_is_under_way_is_told() -> None:
    splitter = RawSseSplitter(10)
    for chunk, holds, oversized in (
        (b"data: a\n\n", False, False),
        (b"data: ", True, False),
        (b"b\n\n", False, False),
        (b"data: much too long", True, True),
        (b"\n", True, True),
        (b"\n", False, False),
        (b"data: much too long\n\n", False, False),
    ):
        splitter.feed(chunk)
        assert (splitter.holds, splitter.oversized) == (holds, oversized), chunk
    assert splitter.overflowed == 2


def test_the_end_leaves_nothing_behind() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\ndata: ") == []
    assert decoder.finish() == [SseEvent(b"a\n")]
    assert decoder.feed(b"data: b\n\n") == [SseEvent(b"b")]
    assert decoder.finish() == []


def test_a_mark_of_byte_order_is_taken_off_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"
    for chunks in (
        [mark + b"data: a\n\n"],
        [mark, b"data: a\n\n"],
        [mark[:1], mark[1:] + b"data: a\n\n"],
    ):
        decoder = SseDecoder()
        assert [e for chunk in chunks for e in decoder.feed(chunk)] == [SseEvent(b"a")]
        assert decoder.feed(mark + b"data: b\n\n") == [], "a field of that name is none"
    late = SseDecoder()
    assert late.feed(b"data: a\n\n") == [SseEvent(b"a")]
    assert late.feed(mark + b"data: b\n\n") == []


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b"data:a", SseEvent(b"a")), (b"data:  a", SseEvent(b" a")), (b"data", SseEvent(b"")),
        (b"data\ndata", SseEvent(b"\n")), (b"event: x\ndata: a", SseEvent(b"a", b"x")),
        (b"data: a\nevent:x\nevent:y", SseEvent(b"a", b"y")), (b"data: a:b", SseEvent(b"a:b")),
        (b"data : a", None), (b"event: x", None), (b": data: a", None), (b"", None),
    ],
)  # fmt: skip
def test_fields_are_read_as_the_standard_says(block: bytes, event: SseEvent | None) -> None:
    expected = [] if event is None else [event]
    assert read([block + b"\n\n"])[0] == expected
    assert read([b": first\n", block + b"\n\n"])[0] == expected
    assert read([block.replace(b"\n", b"\r\n") + b"\r\n\r\n"])[0] == expected


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((b"data: a\n", b"data: b\n\n"), [b"a\nb"]),
        ((b"data: a\nd", b"ata: b\n\n"), [b"a\nb"]),
        ((b"data: a\nb\n", b"\n"), [b"a"]),
        ((b"data: a\rdata: b\n\n",), [b"a\nb"]),
        ((b"data: a\r\rdata: b\n\n",), [b"a", b"b"]),
        ((b": x\n\ndata: a\r\rdata: b\n\n",), [b"a", b"b"]),
        ((b"event: x\r\n\r\ndata: b\n\n",), [b"b"]),
    ],
)
def test_what_looks_like_one_event_and_is_not_is_read_as_what_it_is(
    chunks: tuple[bytes, ...], expected: list[bytes]
) -> None:
    events, _ = read(list(chunks))
    assert [event.data for event in events] == expected


def test_the_splitter_cuts_behind_a_blank_line_of_another_kind_too() -> None:
    assert RawSseSplitter().feed(b"a\r\rb\n\n") == [b"a\r\r", b"b\n\n"]
    assert RawSseSplitter().feed(b"a\n\r\nb\n\n") == [b"a\n\r\n", b"b\n\n"]


def test_a_splitter_begins_anew_behind_its_rest() -> None:
    for rest in (b"data: a", b"data: a\r"):
        splitter = RawSseSplitter()
        splitter.feed(rest)
        assert splitter.rest() == rest
        assert splitter.feed(b"\n\ndata: b\n\nx") == [b"\n\n", b"data: b\n\n"]


def test_an_event_too_large_is_let_go_as_it_arrives() -> None:
    splitter = RawSseSplitter(10)
    assert splitter.feed(b"x" * 20) == [b"x" * 17]
    assert splitter.feed(b"y" * 5) == [b"xxxyy"]
    assert splitter.feed(b"") == []
    assert splitter.feed(b"z") == [b"y"]
    assert splitter.feed(b"\n\nnext") == [b"yyz\n\n"]
    assert splitter.rest() == b"next"
