"""Rounds of one answer: each is billed once, inside the top-level usage or beside it."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.iterations import LINES_MAX, iterations, sums_up
from gateway.metering.usage import Component, UsageInvalid, component, count_of
from gateway.wire.jsondoc import Json

KINDS = st.sampled_from(["advisor_message", "compaction", "message", "fallback_message", "new"])
ROUNDS = st.lists(
    st.builds(
        lambda kind, model, into, out: {"type": kind, "model": model, "in": into, "out": out},
        KINDS, st.sampled_from([None, "m", "n"]), st.integers(0, 9), st.integers(0, 9),
    ),
    max_size=12,
)  # fmt: skip


def counted(said: dict[str, Json]) -> dict[str, int]:
    counts = {"input_text": count_of(said.get("in")), "output_text": count_of(said.get("out"))}
    return {unit: count for unit, count in counts.items() if count}


def is_outside(said: dict[str, Any]) -> bool:
    return said["type"] in {"advisor_message", "compaction"}


@given(ROUNDS)
@settings(max_examples=60)
def test_every_token_is_counted_once_inside_or_outside(said: list[dict[str, Any]]) -> None:
    found, inside, _ = iterations(said, counted)
    outside = sum(sum(part.counts.values()) for part in found)
    assert outside + (inside or 0) == sum(each["in"] + each["out"] for each in said)
    beside = [each for each in said if is_outside(each)]
    assert list(found) == [component(counted(one), one["type"], one["model"]) for one in beside]
    assert (inside is None) == (len(beside) == len(said))


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("message", ()),
        ("advisor_message", ()),
        ("compaction", ()),
        ("fallback_message", ("fallback_message",)),
        ("dreaming", ("unknown_iteration",)),
        (None, ("unknown_iteration",)),
        (7, ("unknown_iteration",)),
    ],
)
def test_a_kind_that_changes_the_bill_is_told_once(kind: Json, flags: tuple[str, ...]) -> None:
    said: list[Json] = [{"type": kind, "in": 1}, {"type": "message"}, {"type": kind, "in": 2}]
    assert iterations(said, counted)[2] == flags


def test_what_is_no_object_uses_nothing_and_is_told() -> None:
    assert iterations([None, "compaction"], counted) == ((), 0, ("unknown_iteration",))
    assert iterations([], counted) == ((), None, ())


def test_what_cannot_be_a_count_is_passed_on() -> None:
    with pytest.raises(UsageInvalid):
        iterations([{"type": "message", "in": -1}], counted)


def beyond(*more: dict[str, Json]) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    full: list[Json] = [{"type": "compaction", "model": "m", "in": 1} for _ in range(LINES_MAX)]
    found, inside, flags = iterations([*full, *more], counted)
    assert inside is None
    return found, flags


def test_up_to_the_bound_every_round_is_a_component_of_its_own() -> None:
    assert LINES_MAX == 1024
    found, flags = beyond()
    assert found == (Component("compaction", {"input_text": 1}, "m"),) * LINES_MAX
    assert flags == ()


def test_beyond_the_bound_counts_join_the_last_of_their_kind_and_model() -> None:
    found, flags = beyond(
        {"type": "compaction", "model": "m", "in": 5},
        {"type": "compaction", "model": "m", "out": 7},
        {"type": "compaction", "model": "n", "in": 100},
        {"type": "advisor_message", "model": "m", "in": 100},
    )
    assert flags == ("iterations_clipped",)
    assert found[:-1] == (Component("compaction", {"input_text": 1}, "m"),) * (LINES_MAX - 1)
    assert found[-1] == Component("compaction", {"input_text": 6, "output_text": 7}, "m")


def test_a_like_is_found_wherever_it_stands() -> None:
    said: list[Json] = [{"type": "advisor_message", "in": 2}, {"type": "message", "in": 3}]
    said += [{"type": "compaction", "in": 1} for _ in range(LINES_MAX)]
    said += [{"type": "advisor_message", "in": 40}]
    found, inside, flags = iterations(said, counted)
    assert (len(found), inside, flags) == (LINES_MAX, 3, ("iterations_clipped",))
    assert found[0] == Component("advisor_message", {"input_text": 42})
    assert found[-1] == Component("compaction", {"input_text": 2})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, True),
        ({"context_management": {"edits": [{"type": "clear"}, {"type": "compact"}]}}, True),
        ({"context_management": {"edits": [{"type": "clear_tool_uses"}]}}, False),
        ({"context_management": {"edits": [{}, 7, {"type": None}]}}, False),
        ({"context_management": {"edits": []}}, False),
        ({"context_management": [{"type": "compact"}]}, False),
        ({}, False),
    ],
)
def test_a_request_may_have_its_prompt_summed_up_first(
    asked: dict[str, Json], *, expected: bool
) -> None:
    assert sums_up(asked) is expected
