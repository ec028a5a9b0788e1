"""Marks that ask for caching, wherever they stand and however their name is spelt."""

import json

import pytest
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


@pytest.mark.parametrize("lifetime", [3600, 3600.0, True, "", "5M", ["5m"], {"seconds": 300}])
def test_a_lifetime_that_is_no_word_we_know_counts_as_the_longest(lifetime: Json) -> None:
    assert found({MARK: {"ttl": lifetime}}) == ("cache_write_1h",)
    twice = b'{"cache_control":{"ttl":%b,"ttl":null}}' % json.dumps(lifetime).encode()
    assert asked_writes({MARK: {"ttl": None}}, twice, MARK) == ("cache_write_1h", "cache_write_5m")


def test_a_lifetime_that_is_not_given_is_the_shortest() -> None:
    marks: list[Json] = [{}, {"ttl": None}, {"type": "default"}, "ephemeral", True, [{"ttl": "1h"}]]
    for mark in marks:
        assert found({MARK: mark}) == ("cache_write_5m",)


def test_a_lifetime_given_twice_counts_as_both() -> None:
    body = b'{"cache_control":{"ttl":"1h","ttl":"5m"}}'
    assert asked_writes({MARK: {"ttl": "5m"}}, body, MARK) == ("cache_write_1h", "cache_write_5m")


def test_marks_and_lifetimes_are_read_in_either_case() -> None:
    for asked in ({"cacheControl": {"TTL": "1h"}}, {MARK: {"Ttl": "1h"}}):
        assert found(asked) == ("cache_write_1h",)  # type: ignore[arg-type]  # literal JSON


def test_a_lifetime_beside_a_mark_is_not_the_marks() -> None:
    assert found({MARK: {"type": "ephemeral"}, "ttl": "1h"}) == ("cache_write_5m",)
    assert found({"ttl": "1h"}) == ()
