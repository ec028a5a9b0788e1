"""Usage by law: what goes into a total comes out of it once, and what cannot be a count never passes."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.units import UNITS
from gateway.metering.usage import (
    COUNT_MAX,
    Component,
    UsageInvalid,
    are_several,
    carve,
    component,
    count_of,
    misses_lifetimes,
    retracts,
    shrinks,
    total_tokens,
)

COUNTS = st.integers(0, 10**6)
TOKENS = sorted(unit.name for unit in UNITS.values() if unit.is_token)
COUNTED = sorted(unit.name for unit in UNITS.values() if not unit.is_token)


@settings(max_examples=50)
@given(st.integers(0, COUNT_MAX))
def test_a_whole_number_is_its_own_count(count: int) -> None:
    assert count_of(count) == count


@settings(max_examples=50)
@given(st.integers(0, COUNT_MAX))
def test_an_integral_float_is_a_count_and_becomes_an_int(count: int) -> None:
    found = count_of(float(count))
    assert found == count
    assert type(found) is int


def test_floats_have_the_bounds_of_counts() -> None:
    assert count_of(0.0) == 0
    assert count_of(float(COUNT_MAX)) == COUNT_MAX
    with pytest.raises(UsageInvalid, match="not a count"):
        count_of(float(COUNT_MAX + 1))


def test_absent_is_not_zero() -> None:
    assert count_of(None) is None
    assert count_of(0) == 0


def test_the_largest_count_is_ten_milliards_which_a_json_number_keeps() -> None:
    assert COUNT_MAX == 10_000_000_000
    assert count_of(COUNT_MAX) == COUNT_MAX < 2**53


@pytest.mark.parametrize(
    "value",
    [-1, COUNT_MAX + 1, 0.5, -1.0, float("inf"), float("nan"), True, False, "3", "", [], {}, b"1"],
)
def test_what_cannot_be_a_count_is_refused(value: Any) -> None:
    with pytest.raises(UsageInvalid, match="not a count"):
        count_of(value)


@settings(max_examples=100)
@given(rest=COUNTS, parts=st.dictionaries(st.sampled_from(TOKENS), st.integers(0, 3), max_size=5))
def test_carving_keeps_the_total_and_every_part(rest: int, parts: dict[str, int]) -> None:
    total = rest + sum(parts.values())
    found = carve("input_text", total, parts)
    assert sum(found.values()) == total
    assert all(found.values())
    for unit in set(found) | set(parts):
        own = rest if unit == "input_text" else 0
        assert found.get(unit, 0) == parts.get(unit, 0) + own


def test_a_total_is_carved_as_the_page_says() -> None:
    found = carve("input_text", 1200, {"cache_read_text": 1024})
    assert found == {"cache_read_text": 1024, "input_text": 176}


def test_parts_may_fill_their_total_and_not_exceed_it() -> None:
    assert carve("input_text", 5, {"cache_read_text": 5}) == {"cache_read_text": 5}
    with pytest.raises(UsageInvalid, match="exceed their total 5"):
        carve("input_text", 5, {"cache_read_text": 4, "cache_write": 2})


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from([*TOKENS, *COUNTED]), st.integers(0, 3), max_size=5))
def test_a_component_holds_what_was_counted_and_no_zeros(counts: dict[str, int]) -> None:
    made = component(counts, "guardrail", "model-a")
    assert made == Component(
        "guardrail", {unit: count for unit, count in counts.items() if count}, "model-a"
    )
    assert component(counts) == Component("main", made.counts, None)


def test_every_registered_unit_may_be_in_one_component() -> None:
    assert component(dict.fromkeys(UNITS, 1)).counts == dict.fromkeys(UNITS, 1)


def test_a_unit_nobody_registered_is_refused_by_name() -> None:
    with pytest.raises(UsageInvalid, match=r"unregistered units: gremlins, moonbeams$"):
        component({"moonbeams": 1, "input_text": 1, "gremlins": 0})


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*TOKENS[:3], *COUNTED[:3]]), COUNTS, max_size=5),
        max_size=3,
    )
)
def test_only_token_classes_make_the_token_total(parts: list[dict[str, int]]) -> None:
    made = tuple(Component("main", counts) for counts in parts)
    expected = [sum(count for unit, count in counts.items() if unit in TOKENS) for counts in parts]
    assert [part.tokens() for part in made] == expected
    assert total_tokens(made) == sum(expected)


def test_several_parts_are_those_of_one_role_and_one_model() -> None:
    step = component({"input_text": 1}, "step")
    main = component({"input_text": 1})
    assert are_several(()) is False
    assert are_several((main,)) is False
    assert are_several((main, step, component({"input_text": 1}, "step", "m"))) is False
    assert are_several((step, main, component({"output_text": 1}, "step"))) is True


def test_running_counts_only_grow() -> None:
    assert shrinks({"a": 1, "b": 2}, {"a": 1, "b": 3}) is False
    assert shrinks({"a": 1, "b": 2}, {"a": 9, "b": 1}) is True
    assert shrinks({"a": 1}, {"b": 0}) is False
    assert shrinks(None, {"a": 0}) is False
    assert shrinks({"a": 1}, None) is False
    assert shrinks({"a": "9"}, {"a": 1}) is False
    assert shrinks({"a": 9}, {"a": "1"}) is False


def test_the_placeholder_of_the_first_statement_is_none() -> None:
    assert retracts([{"in": 5, "out": 88}], "out") is False
    assert retracts([{"in": 5, "out": 88}, {"out": 3}], "out") is False
    assert retracts([{"in": 5, "out": 88}, {"out": 3}, {"out": 5}], "out") is False
    assert retracts([{"in": 5, "out": 88}, {"out": 3}, {"out": 2}], "out") is True
    assert retracts([{"in": 5}, {"in": 4}], "out") is True


def test_each_statement_is_held_against_the_one_just_before_it() -> None:
    assert retracts([{"in": 5}, {"in": 7}, {"in": 6}], "out") is True
    assert retracts([{"in": 5}, {"in": 6}, {"in": 6}, {"in": 7}], "out") is False
    assert retracts([], "out") is False


def test_lifetimes_that_leave_a_rest_are_missed() -> None:
    assert misses_lifetimes({"cache_write": 1, "cache_write_5m": 1}) is True
    assert misses_lifetimes({"cache_write": 1, "input_text": 1}) is False
    assert misses_lifetimes({"cache_write_5m": 1, "cache_write_1h": 1}) is False
    assert misses_lifetimes({}) is False
