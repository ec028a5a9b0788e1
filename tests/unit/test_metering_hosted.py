"""Tools that the provider runs itself: which they are, what they may bill at most, and what an answer says of them."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.errors import MalformedBody
from gateway.metering.hosted import (
    CONTAINERS_MAX,
    OWN_UNITS,
    TOOL_UNITS,
    TOOL_USES_MAX,
    Uses,
    hosted_tools,
    image_models,
    names_container,
    other_models,
    parted,
    search_units,
    system_tools,
    tool_units,
    used_units,
)
from gateway.metering.units import UNITS
from gateway.metering.usage import Component, UsageInvalid
from gateway.wire.jsondoc import Json


@pytest.mark.parametrize(
    ("tool", "is_hosted"),
    [
        ({"type": "function", "function": {"name": "f"}}, False),
        ({"type": "custom", "name": "f"}, False),
        ({"name": "f", "input_schema": {}}, False),
        ({"function": {"name": "f"}}, False),
        ({"custom": {}}, False),
        ({"type": None, "name": "f"}, False),
        ({"type": "web_search_20250305", "name": "web_search"}, True),
        ({"type": "file_search"}, True),
        ({"type": "", "name": "f"}, True),
        ({"type": 7, "name": "f"}, True),
        ({"googleSearch": {}}, True),
        ({"systemTool": {"name": "grounding"}}, True),
        ({}, True),
        ("web_search", True),
        (None, True),
    ],
)
def test_a_tool_is_the_providers_unless_it_is_told_to_be_the_clients(
    tool: Any, *, is_hosted: bool
) -> None:
    own: Json = {"type": "function"}
    assert hosted_tools([own, tool, own]) == ([tool] if is_hosted else [])


@pytest.mark.parametrize("tool", [{"Type": "web_search"}, {"type": "web_search", "MAX_USES": 1}])
def test_what_decides_is_spelt_as_it_is(tool: Json) -> None:
    with pytest.raises(MalformedBody, match="in another case"):
        hosted_tools([{"type": "function"}, tool])


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("web_search", "web_search_requests"),
        ("web_search_20250305", "web_search_requests"),
        ("web_search_preview", "web_search_requests"),
        ("web_fetch_20250910", "web_fetch_requests"),
        ("file_search", "file_search_calls"),
        ("code_interpreter", "code_interpreter_sessions"),
    ],
)
def test_a_tool_that_is_billed_by_the_use_is_held_as_often_as_it_may_be_used(
    kind: str, unit: str
) -> None:
    assert TOOL_USES_MAX == 10
    assert tool_units([{"type": kind}]) == {unit: 10}
    assert tool_units([{"type": kind}], 3) == {unit: 3}
    assert tool_units([{"type": kind, "max_uses": 4}], 3) == {unit: 4}
    assert tool_units([{"type": kind, "max_uses": 4}, {"type": kind}]) == {unit: 14}
    assert tool_units([{"type": kind, "max_uses": 0}]) == {unit: 10}
    with pytest.raises(MalformedBody, match="max_uses"):
        tool_units([{"type": kind, "max_uses": "many"}])


def test_other_tools_bill_nothing_by_the_use() -> None:
    assert tool_units([{"type": "image_generation"}, {"type": None}, {}, "web_search", {"type": "a web_search"}]) == {}  # fmt: skip
    both = tool_units([{"type": "file_search"}, {"type": "web_search", "max_uses": 2}])
    assert both == {"file_search_calls": 10, "web_search_requests": 2}
    assert both.keys() <= TOOL_UNITS <= UNITS.keys()
    assert frozenset({"file_search_calls", "code_interpreter_sessions"}) == OWN_UNITS


def test_advisors_and_whom_to_fall_back_to_are_other_models() -> None:
    hosted: list[Json] = [
        {"type": "advisor_20260301", "model": "m", "max_uses": 2},
        {"type": "advisor_20260301", "model": "n"},
        {"type": "advisor_20260301"},
        {"type": "advisor_20260301", "model": ""},
        {"type": "web_search", "model": "no"},
        {"model": "no"},
    ]
    asked: dict[str, Json] = {"fallbacks": ["a", {"model": "b"}, {"model": None}, {}, "", 7]}
    assert other_models(asked, hosted) == (("m", 2), ("n", 10), ("a", 1), ("b", 1))
    assert other_models({}, []) == ()
    assert other_models({"fallbacks": "a"}, []) == ()


def test_a_tool_that_draws_does_so_by_the_model_it_names_or_by_its_own_name() -> None:
    hosted: list[Json] = [
        {"type": "image_generation", "model": "gpt-image-1"},
        {"type": "image_generation"},
        {"type": "web_search", "model": "no"},
        {"type": None},
    ]
    assert image_models(hosted, None) == (("gpt-image-1", 10), ("image_generation", 10))
    assert image_models(hosted, 2) == (("gpt-image-1", 2), ("image_generation", 2))
    assert image_models([], 2) == ()


def test_the_systems_of_a_conversation_are_tools() -> None:
    system: Json = {"systemTool": {"name": "grounding"}}
    tools: list[Json] = [system, {"toolSpec": {"name": "f"}}, {"systemTool": None}, "x"]
    assert system_tools({"toolConfig": {"tools": tools}}) == [system]
    assert system_tools({"toolConfig": []}) == system_tools({}) == []


def test_what_was_used_is_counted_and_what_has_no_unit_is_told() -> None:
    assert used_units({"web_search_requests": 2, "web_fetch_requests": None}) == (
        {"web_search_requests": 2, "web_fetch_requests": 0},
        (),
    )
    assert used_units({"dreams": 0}) == ({}, ())
    assert used_units({"dreams": 1, "web_search_requests": 3.0}) == (
        {"web_search_requests": 3},
        ("unknown_unit",),
    )
    with pytest.raises(UsageInvalid):
        used_units({"dreams": -1})


COUNTS = st.dictionaries(
    st.sampled_from(["input_text", "output_text", "web_search_requests", *sorted(OWN_UNITS)]),
    st.integers(1, 9),
)


@given(COUNTS)
def test_the_parts_of_a_call_are_the_models_own_and_what_stands_beside_it(
    counts: dict[str, int],
) -> None:
    parts = parted(counts)
    joined = {unit: count for part in parts for unit, count in part.counts.items()}
    assert joined == counts
    assert [part.role for part in parts] == [
        role
        for role, is_there in (
            ("main", bool(counts.keys() - OWN_UNITS)),
            ("hosted_tool", bool(counts.keys() & OWN_UNITS)),
        )
        if is_there
    ]
    for part in parts:
        assert (part.role == "hosted_tool") == (part.counts.keys() <= OWN_UNITS)


def test_code_may_run_in_a_container_that_is_there() -> None:
    assert names_container([{"type": "web_search"}, {"container": "cntr_1"}])
    assert not names_container([{"container": {"type": "auto"}}, {"container": ""}, {}])


SEARCH: Json = {"type": "file_search_call"}


def ran(container: str | None) -> Json:
    return {"type": "code_interpreter_call", "container_id": container}


ITEMS = st.lists(
    st.sampled_from([SEARCH, ran("a"), ran("b"), ran(None), ran(""), {"type": "message"}, "x"]),
    max_size=8,
)


@given(items=ITEMS, streamed=st.booleans(), listed=st.booleans())
@settings(max_examples=80)
def test_a_search_is_counted_each_time_and_a_container_once_however_the_answer_came(
    *, items: list[Json], streamed: bool, listed: bool
) -> None:
    uses = Uses()
    for item in items if streamed else ():
        uses.pass_by(item)
    if listed:
        uses.list_all(iter(items))
    seen = items if streamed or listed else []
    searches = sum(item == SEARCH for item in seen)
    containers = {item["container_id"] for item in seen if isinstance(item, dict) and item.get("container_id")}  # fmt: skip
    counts = {"file_search_calls": searches, "code_interpreter_sessions": len(containers)}
    expected = {unit: count for unit, count in counts.items() if count}
    assert uses.component() == (Component("hosted_tool", expected) if expected else None)
    unsaid = ("tool_usage_unsaid",) * any(item in (ran(None), ran("")) for item in seen)
    assert uses.flags(continues=False) == unsaid
    assert uses.flags(continues=True) == unsaid + ("session_continued",) * bool(containers)


def test_an_answer_cut_short_has_what_it_was_seen_to_use() -> None:
    uses = Uses()
    for item in (SEARCH, SEARCH, SEARCH):
        uses.pass_by(item)
    uses.list_all([SEARCH])
    assert uses.component() == Component("hosted_tool", {"file_search_calls": 3})
    uses.list_all([SEARCH] * 5)
    assert uses.component() == Component("hosted_tool", {"file_search_calls": 5})


def test_containers_are_bounded() -> None:
    assert CONTAINERS_MAX == 4096
    uses = Uses()
    for number in range(CONTAINERS_MAX + 2):
        uses.pass_by(ran(f"cntr_{number}"))
    found = uses.component()
    assert found is not None
    assert found.counts == {"code_interpreter_sessions": 4096}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"web_search_options": {}}, {"web_search_requests": 1}),
        ({"web_search_options": {}, "n": 3}, {"web_search_requests": 3}),
        ({"web_search_options": {}, "n": 0}, {"web_search_requests": 1}),
        ({"web_search_options": None, "n": 3}, {}),
        ({"n": 3}, {}),
    ],
)
def test_a_chat_of_its_own_search_searches_once_for_every_answer(
    asked: dict[str, Json], expected: dict[str, int]
) -> None:
    assert search_units(asked) == expected
