"""Anthropic's protocol: what a request asks, and what an answer says at every point it can break off."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.anthropic import INVOKE, MESSAGES
from gateway.kernel.errors import MalformedBody
from gateway.metering.usage import Source, total_tokens
from tests.dialects.answers import (
    FRAMES,
    SSE,
    asked,
    chunk_frames,
    counts,
    events,
    head,
    odd_values,
    read,
    whole,
)

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "type": "message",
        "model": "claude-x",
        "content": [],
        "usage": {
            "input_tokens": 25,
            "cache_read_input_tokens": 9000,
            "cache_creation_input_tokens": 700,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 500},
            "output_tokens": 3,
        },
    },
}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüß "}}
DELTA = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 215, "output_tokens_details": {"thinking_tokens": 100}},
}
STOP = {"type": "message_stop"}
INPUT_SIDE = {
    "input_text": 25,
    "cache_read_text": 9000,
    "cache_write_5m": 200,
    "cache_write_1h": 500,
}
OUTPUT_SIDE = {"output_text": 115, "output_reasoning": 100}
METRICS = {
    "inputTokenCount": 25,
    "outputTokenCount": 215,
    "cacheReadInputTokenCount": 9000,
    "cacheWriteInputTokenCount": 700,
}
ENDED = {**STOP, "amazon-bedrock-invocationMetrics": METRICS}


def message(**usage: object) -> bytes:
    return whole({"type": "message", "model": "claude-x", "content": [], "usage": usage})


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_says_model_limit_and_stream() -> None:
    request = asked(MESSAGES, {"model": "m", "max_tokens": 50, "stream": True, "messages": []})
    assert (request.model, request.output_ceiling, request.stream) == ("m", 50, True)


def test_the_thinking_budget_is_inside_the_limit() -> None:
    thinking = {"type": "enabled", "budget_tokens": 4000}
    assert asked(MESSAGES, {"max_tokens": 5000, "thinking": thinking}).output_ceiling == 5000


def test_a_limit_that_is_no_number_leaves_the_models_own() -> None:
    assert asked(MESSAGES, {"max_tokens": {"a": 1}}).output_ceiling is None


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        ({"service_tier": "standard_only"}, "standard_only"),
        ({"speed": "fast"}, "fast"),
        ({"speed": "standard", "service_tier": "auto"}, "auto"),
        ({}, None),
    ],
)
def test_fast_mode_is_a_tier(body: dict[str, object], tier: str | None) -> None:
    assert asked(MESSAGES, body).tier == tier


def test_everything_that_can_be_counted_is_in_the_prompt() -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzIAAAABlBMVEX///+/v7+jQ3Y5"
    content = [
        {"type": "text", "text": "one"},
        {"type": "image", "source": {"type": "base64", "data": png}},
        {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}},
        {"type": "document", "source": {"type": "text", "data": "two"}},
        {"type": "document", "source": {"type": "base64", "data": "JVBERi0="}},
        {"type": "tool_result", "content": [{"type": "text", "text": "three"}]},
        {"type": "tool_result", "content": "four"},
        {"type": "document", "source": {"type": "content", "content": "five"}},
        {"type": "search_result", "title": "six", "content": [{"type": "text", "text": "seven"}]},
        {"type": "something_new"},
    ]
    used = {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "it"}}
    thought = {"type": "thinking", "thinking": "eight", "signature": "x"}
    prompt = asked(
        MESSAGES,
        {
            "system": [{"type": "text", "text": "be kind"}],
            "messages": [
                {"role": "user", "content": content},
                {"role": "assistant", "content": [thought, used]},
            ],
            "tools": [
                {"name": "look", "description": "looks", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305"},
            ],
        },
    ).prompt
    system, user, assistant = prompt.turns
    assert (system.role, system.text) == ("system", "be kind")
    assert user.text.split("\n") == ["one", "two", "three", "four", "five", "six", "seven"]
    assert [(each.width, each.height) for each in user.images] == [(8, 8), (None, None)]
    assert user.opaque == 2
    assert assistant.text == "eight"
    assert [(call.name, call.arguments) for call in assistant.tool_calls] == [
        ("look", '{"at":"it"}')
    ]
    assert [function.name for function in prompt.functions] == ["look", "web_search_20250305"]


def test_text_completions_of_old_are_counted_too() -> None:
    request = asked(INVOKE, {"prompt": "\n\nHuman: hi", "max_tokens_to_sample": 50})
    assert request.prompt.turns[0].text == "\n\nHuman: hi"
    assert request.output_ceiling == 50


@pytest.mark.parametrize("name", ["model", "stream", "max_tokens", "service_tier", "speed"])
def test_a_member_that_decides_the_price_may_not_come_twice(name: str) -> None:
    body = f'{{"{name}": 1, "messages": [], "{name}": 2}}'.encode()
    with pytest.raises(MalformedBody, match=name):
        MESSAGES.read_request(body, b"application/json")


@given(body=st.dictionaries(st.sampled_from(["messages", "system", "tools", "prompt"]), odd_values))
@settings(max_examples=100, deadline=None)
def test_a_wrong_type_is_the_providers_to_refuse(body: dict[str, object]) -> None:
    assert asked(MESSAGES, body).choices == 1


@given(
    content=odd_values,
    kind=st.sampled_from(["text", "image", "document", "tool_result", "tool_use"]),
)
@settings(max_examples=100, deadline=None)
def test_no_content_block_breaks_the_reading(content: object, kind: str) -> None:
    block = {"type": kind, "text": content, "source": content, "content": content, "input": content}
    prompt = asked(MESSAGES, {"messages": [{"role": "user", "content": [block]}]}).prompt
    assert len(prompt.turns) == 1


# ── streams, cut anywhere ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dialect", "stream", "kind"),
    [
        (MESSAGES, events(START, TEXT, DELTA, STOP), SSE),
        (INVOKE, chunk_frames(START, TEXT, DELTA, ENDED), FRAMES),
    ],
)
def test_wherever_a_stream_is_cut_nothing_is_guessed(
    dialect: Any, stream: bytes, kind: str
) -> None:
    seen = set()
    for end in range(len(stream) + 1):
        reading = read(dialect, stream[:end], head(kind))
        found = counts(reading)
        seen.add(reading.source)
        if reading.source is Source.NONE:
            assert not reading.final
            assert not found
        elif reading.source is Source.PARTIAL:
            assert not reading.final
            assert found == INPUT_SIDE
        else:
            assert reading.final
            assert found == {**INPUT_SIDE, **OUTPUT_SIDE}
    assert seen == {Source.NONE, Source.PARTIAL, Source.PROVIDER}


def test_complete_means_that_the_last_event_was_seen() -> None:
    assert read(MESSAGES, events(START, TEXT, DELTA, STOP), head(SSE)).complete
    cut = read(MESSAGES, events(START, TEXT, DELTA), head(SSE))
    assert cut.final
    assert not cut.complete


def test_a_repeated_input_side_overwrites_and_is_never_added() -> None:
    usage = {"input_tokens": 30, "cache_read_input_tokens": 9000, "output_tokens": 7}
    again = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    reading = read(MESSAGES, events(START, again, STOP), head(SSE))
    assert counts(reading) == {**INPUT_SIDE, "input_text": 30, "output_text": 7}


def test_a_null_never_overwrites() -> None:
    usage = {"input_tokens": None, "cache_creation": None, "output_tokens": 7}
    again = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    reading = read(MESSAGES, events(START, again, STOP), head(SSE))
    assert counts(reading) == {**INPUT_SIDE, "output_text": 7}


def test_a_running_output_count_is_a_lower_bound() -> None:
    running = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}
    reading = read(MESSAGES, events(START, running), head(SSE))
    assert (reading.source, reading.final) == (Source.PARTIAL, False)
    assert counts(reading) == {**INPUT_SIDE, "output_text": 7}


def test_an_error_inside_a_stream_is_no_end() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    reading = read(MESSAGES, events(START, TEXT, error), head(SSE))
    assert reading.flags == ("error_event",)
    assert not reading.complete
    assert (reading.source, counts(reading)) == (Source.PARTIAL, INPUT_SIDE)
    assert reading.observed.text == "Grüß "


def test_what_the_model_wrote_is_observed() -> None:
    documents = (
        START,
        TEXT,
        {"type": "content_block_delta", "index": 1, "delta": {"thinking": "hm"}},
        {"type": "content_block_start", "index": 2, "content_block": {"name": "look", "input": {}}},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"at":'}},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '"it"}'}},
    )
    observed = read(MESSAGES, events(*documents), head(SSE)).observed
    assert (observed.text, observed.reasoning) == ("Grüß ", "hm")
    assert [(call.name, call.arguments) for call in observed.tool_calls] == [
        ("look", '{"at":"it"}')
    ]


# ── usage ────────────────────────────────────────────────────────────────────────────────────────


def test_advisor_and_compaction_are_billed_beside_the_top_level() -> None:
    reading = read(
        MESSAGES,
        message(
            input_tokens=220,
            output_tokens=8,
            iterations=[
                {"type": "compaction", "input_tokens": 55_196, "output_tokens": 125},
                {"type": "advisor_message", "model": "claude-y", "input_tokens": 2518, "output_tokens": 22},
                {"type": "message", "input_tokens": 220, "output_tokens": 8},
            ],
        ),
    )  # fmt: skip
    assert counts(reading) == {"input_text": 220, "output_text": 8}
    assert counts(reading, "compaction") == {"input_text": 55_196, "output_text": 125}
    assert counts(reading, "advisor_message") == {"input_text": 2518, "output_text": 22}
    assert [part.model for part in reading.components] == [None, None, "claude-y"]
    assert reading.balances()


def test_iterations_that_do_not_sum_to_the_top_level_do_not_balance() -> None:
    iterations = [{"type": "message", "input_tokens": 219, "output_tokens": 8}]
    reading = read(MESSAGES, message(input_tokens=220, output_tokens=8, iterations=iterations))
    assert not reading.balances()


@pytest.mark.parametrize(
    ("kind", "flag"),
    [("fallback_message", "fallback_message"), ("brand_new", "unknown_iteration")],
)
def test_an_iteration_nobody_has_seen_is_flagged(kind: str, flag: str) -> None:
    iterations = [{"type": kind, "input_tokens": 5, "output_tokens": 2}]
    reading = read(MESSAGES, message(input_tokens=5, output_tokens=2, iterations=iterations))
    assert reading.flags == (flag,)
    assert reading.balances()


def test_iterations_without_end_are_bounded_and_none_of_their_kind_is_lost() -> None:
    kinds = ("compaction", "advisor_message")
    rounds = [{"type": kinds[i % 2], "input_tokens": 3, "output_tokens": 1} for i in range(3000)]
    body = message(input_tokens=5, output_tokens=2, iterations=rounds)
    reading = read(MESSAGES, body)
    assert len(reading.components) == 1 + 1024
    assert total_tokens(reading.components) == 7 + 3000 * 4
    assert reading.flags == ("iterations_clipped",)


def test_a_cache_lifetime_is_the_part_that_is_known() -> None:
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 40}
    reading = read(
        MESSAGES, message(input_tokens=1, cache_creation_input_tokens=100, cache_creation=split)
    )
    assert counts(reading) == {"input_text": 1, "cache_write_1h": 40, "cache_write": 60}


def test_tools_of_the_provider_are_units_and_unknown_ones_are_flagged() -> None:
    used = {"web_search_requests": 3, "web_fetch_requests": 0, "code_execution_requests": 1}
    reading = read(MESSAGES, message(input_tokens=1, output_tokens=1, server_tool_use=used))
    assert counts(reading)["web_search_requests"] == 3
    assert "web_fetch_requests" not in counts(reading)
    assert reading.flags == ("unknown_unit",)


@pytest.mark.parametrize(
    ("usage", "tier", "region"),
    [
        ({"service_tier": "priority", "inference_geo": "us"}, "priority", "us"),
        ({"service_tier": "standard", "speed": "fast"}, "fast", None),
        ({"speed": "standard", "inference_geo": "not_available"}, None, None),
    ],
)
def test_an_answer_names_tier_and_place(
    usage: dict[str, object], tier: str | None, region: str | None
) -> None:
    reading = read(MESSAGES, message(input_tokens=1, output_tokens=1, **usage))
    assert (reading.tier, reading.region, reading.model) == (tier, region, "claude-x")


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": "7", "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 2**63, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 6}},
        {"input_tokens": 1, "output_tokens": 1, "iterations": [{"type": "message", "input_tokens": -1}]},
        {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": -1}},
    ],
)  # fmt: skip
def test_impossible_usage_is_flagged_and_left_to_be_counted(usage: dict[str, object]) -> None:
    reading = read(MESSAGES, message(**usage))
    assert reading.flags == ("usage_invalid",)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, False)


@given(usage=st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "cache_creation", "iterations", "server_tool_use",
                     "cache_creation_input_tokens", "output_tokens_details", "inference_geo", "speed"]),
    odd_values))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_no_usage_makes_a_meter_raise(usage: dict[str, object]) -> None:
    for reading in (
        read(MESSAGES, message(**usage)),
        read(INVOKE, chunk_frames({**DELTA, "usage": usage}, ENDED), head(FRAMES)),
    ):
        assert all(count >= 0 for part in reading.components for count in part.counts.values())
        assert "usage_invalid" not in reading.flags or reading.source is not Source.PARTIAL


@given(
    junk=st.binary(max_size=200),
    kind=st.sampled_from([SSE, FRAMES, "application/json", "text/html"]),
)
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_a_meter_raise(junk: bytes, kind: str) -> None:
    for dialect in (MESSAGES, INVOKE):
        assert read(dialect, junk, head(kind)).source is Source.NONE


def test_the_raw_usage_is_kept() -> None:
    reading = read(MESSAGES, events(START, DELTA, STOP), head(SSE))
    assert reading.usage_raw is not None
    assert json.loads(reading.usage_raw) == [START["message"]["usage"], DELTA["usage"]]


def test_the_container_that_code_ran_in_is_what_was_made() -> None:
    container = {"id": "container_1", "expires_at": "2026-11-22T00:00:00Z"}
    assert read(MESSAGES, message(input_tokens=1, output_tokens=1)).made == ()
    whole_one = json.loads(message(input_tokens=1, output_tokens=1)) | {"container": container}
    assert read(MESSAGES, whole(whole_one)).made == ("container_1",)
    delta = {**DELTA, "delta": {"stop_reason": "end_turn", "container": container}}
    assert read(MESSAGES, events(START, TEXT, delta, STOP), head(SSE)).made == ("container_1",)
