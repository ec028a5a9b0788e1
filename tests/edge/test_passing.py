"""What passes is decided by the names once; whatever the values are then, it is what each list alone would give."""

import re

from hypothesis import given, settings, strategies as st

from gateway.edge.passing import DROPPED, announced, passing_headers, planned
from gateway.wire.headers import first, named_by_connection
from gateway.wire.messages import Headers

NAMES = st.sampled_from(
    [b"a", b"X-Hop", b"x-hop", b"Connection", b"Content-Length", b"content-length", b"Date", b"b\r", b""]
)  # fmt: skip
VALUES = st.sampled_from([b"1", b"22", b"x-hop", b"close, X-HOP", b"content-length", b"a\nb", b""])


def one_by_one(headers: Headers, *, framed: bool) -> list[tuple[bytes, bytes]]:
    """The same by looking at each header alone."""
    dropped = DROPPED | named_by_connection(headers) | (set() if framed else {b"content-length"})
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in dropped
        and re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name)
        and not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)
    ]


@settings(max_examples=200)
@given(names=st.lists(NAMES, max_size=6), data=st.data(), framed=st.booleans())
def test_a_plan_gives_what_each_list_alone_would(
    names: list[bytes], data: st.DataObject, *, framed: bool
) -> None:
    for _ in range(2):  # the second list has the plan of the first
        values = data.draw(st.lists(VALUES, min_size=len(names), max_size=len(names)))
        headers = tuple(zip(names, values, strict=True))
        plan = planned(headers)
        assert passing_headers(headers, plan, framed=framed) == one_by_one(headers, framed=framed)
        assert announced(headers, plan) == first(headers, b"content-length")
