"""Marks that ask for caching, wherever they stand and however their name is spelt."""

import json

from hypothesis import given, strategies as st

from gateway.metering.marks import asked_writes
from gateway.wire.jsondoc import Json

MARK = "cache_control"


def found(asked: dict[str, Json]) -> tuple[str, ...]:
    return asked_writes(asked, json.dumps(asked).encode(), MARK)


def test_a_mark_asks_for_its_lifetime() -> None:
    block: dict[str, Json] = {"type": "text", MARK: {"type": "ephemeral"}}
    assert found({"system": [block]}) == ("cache_write_5m",)
    assert found({MARK: {"type": "ephemeral", "ttl": "1h"}}) == ("cache_write_1h",)
    assert found({"a": [block, {"b": {MARK: {"ttl": "1h"}}}]}) == (
        "cache_write_1h",
        "cache_write_5m",
    )


def test_a_lifetime_nobody_knows_counts_as_the_longest() -> None:
    assert found({MARK: {"ttl": "7d"}}) == ("cache_write_1h",)


def test_what_only_speaks_of_the_mark_asks_for_nothing() -> None:
    assert found({"messages": [{"content": f'use "{MARK}": now'}]}) == ()
    assert found({"tools": [{MARK: None}]}) == ()
    assert found({}) == ()


def test_a_name_spelt_with_escapes_is_found() -> None:
    body = b'{"cache\\u005fcontrol":{"ttl":"1h"}}'
    assert asked_writes(json.loads(body), body, MARK) == ("cache_write_1h",)


documents = st.recursive(
    st.none() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(documents, st.sampled_from(["5m", "1h"]))
def test_a_mark_is_found_at_any_depth(rest: Json, lifetime: str) -> None:
    asked: dict[str, Json] = {"rest": rest, "deep": [[{"x": {MARK: {"ttl": lifetime}}}]]}
    assert found(asked) == (f"cache_write_{lifetime}",)
    assert found({"rest": rest}) == ()
