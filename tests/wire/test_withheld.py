"""A stream without certain events: the rest passes byte for byte, at every cut."""

from itertools import pairwise

from hypothesis import given, settings, strategies as st

from gateway.wire.jsondoc import Json
from gateway.wire.withheld import HELD_BYTES_MAX, WithheldEvents

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
KEPT = st.sampled_from(
    [
        b"data: {}",
        b'data: {"drop":false}',
        b": drop",
        b"event: drop",
        b"data: drop",
        b'data: {"a":"\\"drop\\":true"}',
    ]
)
DROPPED = st.sampled_from(
    [b'data: {"drop":true}', b'data:{"drop":true,"a":1}', b'event: x\ndata: {"drop":\ndata: true}']
)


def withheld() -> WithheldEvents:
    return WithheldEvents(lambda event: b"drop" in event, _is_dropped)


def _is_dropped(document: dict[str, Json]) -> bool:
    return document.get("drop") is True


@settings(max_examples=200)
@given(
    events=st.lists(st.tuples(st.booleans(), KEPT, DROPPED), max_size=6),
    end=ENDS,
    data=st.data(),
)
def test_only_the_unwanted_events_are_taken(
    events: list[tuple[bool, bytes, bytes]], end: bytes, data: st.DataObject
) -> None:
    written = [(drop, (dropped if drop else kept)) for drop, kept, dropped in events]
    stream = b"".join(event.replace(b"\n", end) + end * 2 for _, event in written)
    want = b"".join(event.replace(b"\n", end) + end * 2 for drop, event in written if not drop)
    ends = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    held = withheld()
    sent = [held.feed(stream[a:b]) for a, b in pairwise([0, *ends, len(stream)])]
    assert b"".join(sent) + held.flush() == want


def test_an_unfinished_unwanted_event_is_taken_too() -> None:
    held = withheld()
    assert held.feed(b'data: {}\n\ndata: {"drop":true}') == b"data: {}\n\n"
    assert held.flush() == b""


def test_a_large_event_is_let_go_unread() -> None:
    held = withheld()
    large = b'data: {"drop":true,"a":"' + b"x" * (2 * HELD_BYTES_MAX) + b'"}\n\n'
    sent = [held.feed(large[at : at + 4096]) for at in range(0, len(large), 4096)]
    assert max(map(len, sent)) <= HELD_BYTES_MAX + 4096
    assert b"".join(sent) + held.feed(b'data: {"drop":true}\n\n') + held.flush() == large
