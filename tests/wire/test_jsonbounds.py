"""Bodies that are small for their size and large for their reader are refused before they cost anything."""

import time

import orjson
import pytest

from gateway.wire.jsonbounds import (
    COMMAS_MAX,
    CONTAINERS_MAX,
    DEPTH_MAX,
    LIGHT_BYTES,
    MEMBERS_MAX,
    OPENINGS_MAX,
    QUICK_BYTES,
    QUICK_PIECES,
    is_quick,
    overgrown,
    swarm,
)
from gateway.wire.jsondoc import MalformedJson, parse_object


def listed(item: bytes, count: int) -> bytes:
    return b'{"a":[' + (item + b",") * (count - 1) + item + b"]}"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (listed(b"[]", OPENINGS_MAX), "too many pieces"),
        (listed(b"{}", OPENINGS_MAX), "too many pieces"),
        (listed(b"1", COMMAS_MAX + 2), "too many pieces"),
        (listed(b"[]", CONTAINERS_MAX), "objects and arrays"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(MEMBERS_MAX + 1)) + b"}", "members"),
        (b'{"a":1,"a":2,"b":"' + b"x" * LIGHT_BYTES + b'"}', "twice"),
    ],
    ids=["arrays", "objects", "numbers", "containers", "members", "doubles"],
)
def test_a_swarm_is_refused_and_soon(raw: bytes, why: str) -> None:
    began = time.thread_time()  # of this thread alone, whatever else the machine does
    with pytest.raises(MalformedJson, match=why):
        parse_object(raw, ("model",))
    assert time.thread_time() - began < 3  # minutes, before


@pytest.mark.parametrize(
    "raw",
    [
        listed(b"[]", CONTAINERS_MAX - 2),
        listed(b"1", 300_000),  # the most token ids one embedding call takes
        listed(b'"%b"' % (b"[{," * 100_000), 1),  # brackets of a text are no pieces of the body
        b"{" + b",".join(b'"%d":1' % n for n in range(MEMBERS_MAX)) + b"}",
        b'{"a":' + b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1) + b"}",
    ],
    ids=["containers", "numbers", "text", "members", "depth"],
)
def test_what_clients_really_send_passes(raw: bytes) -> None:
    assert parse_object(raw, ("model",))


def test_the_bounds_are_those_that_were_measured() -> None:
    assert (DEPTH_MAX, CONTAINERS_MAX, MEMBERS_MAX) == (64, 200_000, 1_000)
    assert (OPENINGS_MAX, COMMAS_MAX, LIGHT_BYTES) == (1_000_000, 4_000_000, 262_144)


@pytest.mark.parametrize(
    ("most", "one"),
    [
        (b"{" * 500_000 + b"[" * 500_000, b"{"),
        (b"{" * 500_000 + b"[" * 500_000, b"["),
        (b"," * 4_000_000, b","),
        (b"{[," * 500_000, b"["),
    ],
    ids=["objects", "arrays", "commas", "all"],
)
def test_one_piece_more_than_the_most_is_a_swarm(most: bytes, one: bytes) -> None:
    assert swarm(most + b"x" * 9) is None
    assert swarm(most + one) == "the body is made of too many pieces"


def test_a_light_body_is_no_swarm_whatever_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.jsonbounds.OPENINGS_MAX", 10)
    assert swarm(b"[" * 262_144) is None
    assert swarm(b"[" * 262_145) is not None


def nested(levels: int, *, objects: bool) -> bytes:
    """A document of so many levels, its outermost object one of them."""
    inner = levels - 1
    if objects:
        return b'{"a":' * inner + b"{}" + b"}" * inner
    return b'{"a":' + b"[" * inner + b"]" * inner + b"}"


@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("levels", [2, 63, 64, 65, 66, 200])
def test_sixty_four_levels_are_the_most(levels: int, *, objects: bool) -> None:
    raw = nested(levels, objects=objects)
    said = overgrown(orjson.loads(raw), raw)
    assert said == (None if levels <= 64 else "the body is nested deeper than 64 levels")
    mixed = raw.replace(b"{}", b'{"t":[]}') if objects else raw
    if objects:
        said = overgrown(orjson.loads(mixed), mixed)
        assert said == (None if levels <= 63 else "the body is nested deeper than 64 levels")


def test_a_wide_body_is_not_deep_and_every_branch_is_looked_into() -> None:
    deep = orjson.loads(nested(64, objects=False))
    for document in (
        {"a": deep, "z": [[]] * 99},
        {"a": [[]] * 99, "z": deep},
        {"a": [0, "t", deep]},
    ):
        raw = orjson.dumps(document)
        assert overgrown(document, raw) == "the body is nested deeper than 64 levels"
    wide = {"a": [[]] * 99, "b": [{}] * 99, "t": "[{" * 99}
    assert overgrown(wide, orjson.dumps(wide)) is None


def test_objects_and_arrays_of_all_levels_count_together() -> None:
    of_b = [{"c": list[int]()}] * 50_000
    for pieces, said in (
        (99_997, None),
        (99_998, "the body has more than 200000 objects and arrays"),
    ):
        document = {"a": [list[int]()] * pieces, "b": of_b}  # and the three that hold them
        assert overgrown(document, orjson.dumps(document)) == said


def test_a_thousand_members_are_the_most() -> None:
    members = {str(n): 1 for n in range(1_000)}
    assert overgrown(members, orjson.dumps(members)) is None
    members["more"] = 1
    assert overgrown(members, b"") == "the body has more than 1000 members"


@pytest.mark.parametrize(
    "piece", [b"[],", b"{},", b'"",', b"1,", b"\n", b'{"a":1}\n', b'{"a":"b"},']
)
def test_no_body_of_many_pieces_is_quick(piece: bytes) -> None:
    many = QUICK_PIECES * len(piece) + QUICK_BYTES
    assert not is_quick(piece * (many // len(piece)))
    assert is_quick(piece * (QUICK_BYTES // len(piece)))


def test_a_body_is_quick_that_is_small_or_is_mostly_text() -> None:
    turn = b'{"role":"user","content":"%b"},' % (b"what clients say " * 20)
    assert is_quick(turn * (LIGHT_BYTES // len(turn)))
    assert is_quick(b"x" * LIGHT_BYTES)
    assert not is_quick(b"x" * (LIGHT_BYTES + 1))
