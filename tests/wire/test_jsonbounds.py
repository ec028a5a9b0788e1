"""Bodies that are small for their size and large for their reader are refused before they cost anything."""

import time

import pytest

from gateway.wire.jsonbounds import (
    COMMAS_MAX,
    CONTAINERS_MAX,
    DEPTH_MAX,
    LIGHT_BYTES,
    MEMBERS_MAX,
    OPENINGS_MAX,
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
