"""Converse and ApplyGuardrail: net and gross input, lifetimes, guardrails, damaged and failing streams."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.converse import CONVERSE, GUARDRAIL
from gateway.kernel.errors import MalformedBody
from gateway.metering.meter import Reading
from gateway.metering.usage import Source
from tests.dialects.answers import (
    FRAMES,
    asked,
    counts,
    damaged,
    exception_frame,
    frame,
    head,
    odd_values,
    read,
    whole,
)

few = st.integers(0, 5000)
USAGE = {"inputTokens": 3, "outputTokens": 121, "totalTokens": 124}
STARTED = frame("messageStart", {"role": "assistant", "p": "abc"})
TEXT = frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüß "}})
STOPPED = frame("messageStop", {"stopReason": "end_turn"})
METADATA = frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}, "p": "ab"})


def conversed(usage: object, **members: object) -> Reading:
    output = {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}
    return read(CONVERSE, whole({"output": output, "usage": usage, **members}))


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "ceiling"),
    [
        ({"inferenceConfig": {"maxTokens": 50}}, 50),
        ({"additionalModelRequestFields": {"max_tokens": 70}}, 70),
        ({"additionalModelRequestFields": {"inferenceConfig": {"max_new_tokens": 70}}}, 70),
        ({"inferenceConfig": {"maxTokens": 50}, "additionalModelRequestFields": {"max_tokens": 70}}, 70),
        ({"inferenceConfig": {}}, None),
    ],
)  # fmt: skip
def test_the_limit_is_the_largest_a_model_could_take(
    body: dict[str, object], ceiling: int | None
) -> None:
    assert asked(CONVERSE, body).output_ceiling == ceiling


def test_a_model_may_be_asked_for_several_answers_in_its_own_fields() -> None:
    for name in ("n", "num_generations", "numResults"):
        assert asked(CONVERSE, {"additionalModelRequestFields": {name: 4}}).choices == 4
    assert asked(CONVERSE, {"additionalModelRequestFields": {"n": -1}}).choices == 1


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        ({"serviceTier": {"type": "priority"}}, "priority"),
        ({"performanceConfig": {"latency": "optimized"}}, "optimized"),
        ({"performanceConfig": {"latency": "standard"}}, None),
        ({}, None),
    ],
)
def test_tier_and_latency_are_asked_in_the_body(body: dict[str, object], tier: str | None) -> None:
    assert asked(CONVERSE, body).tier == tier


def test_everything_that_can_be_counted_is_in_the_prompt() -> None:
    content = [
        {"text": "one"},
        {"cachePoint": {"type": "default"}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a"}}}},
        {"document": {"name": "d", "source": {"bytes": "AA=="}}},
        {"guardContent": {"text": {"text": "two"}}},
        {"toolResult": {"toolUseId": "t", "content": [{"json": {"seen": 1}}, {"text": "three"}]}},
        {"somethingNew": {}},
    ]
    answer = [
        {"reasoningContent": {"reasoningText": {"text": "four", "signature": "s"}}},
        {"toolUse": {"toolUseId": "t", "name": "look", "input": {"at": "it"}}},
        {"citationsContent": {"content": [{"text": "five"}]}},
    ]
    prompt = asked(
        CONVERSE,
        {
            "system": [{"text": "be kind"}],
            "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}]},
            "outputConfig": {"textFormat": {"structure": {"jsonSchema": {"name": "n", "schema": "{}"}}}},
        },
    ).prompt  # fmt: skip
    system, user, assistant = prompt.turns
    assert (system.role, system.text) == ("system", "be kind")
    assert user.text.split("\n") == ["one", "two", '{"seen":1}', "three"]
    assert (len(user.images), user.opaque) == (1, 2)
    assert assistant.text.split("\n") == ["four", "five"]
    assert [(call.name, call.arguments) for call in assistant.tool_calls] == [
        ("look", '{"at":"it"}')
    ]
    assert [function.parameters for function in prompt.functions] == [{"type": "object"}]
    assert prompt.schema is not None
    assert prompt.schema.name == "n"


def test_a_prompt_the_provider_keeps_cannot_be_counted() -> None:
    prompt = asked(CONVERSE, {"promptVariables": {"topic": {"text": "rain"}}}).prompt
    assert (prompt.turns[0].text, prompt.turns[0].opaque) == ("rain", 1)


def test_a_member_that_decides_the_price_may_not_come_twice() -> None:
    body = b'{"inferenceConfig":{"maxTokens":1},"messages":[],"inferenceConfig":{"maxTokens":9}}'
    with pytest.raises(MalformedBody, match="inferenceConfig"):
        CONVERSE.read_request(body, b"application/json")


@given(body=st.dictionaries(st.sampled_from(["messages", "system", "toolConfig", "content", "serviceTier",
                                             "inferenceConfig", "outputConfig", "promptVariables"]),
                            odd_values))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_wrong_type_is_the_providers_to_refuse(body: dict[str, object]) -> None:
    for dialect in (CONVERSE, GUARDRAIL):
        assert asked(dialect, body).choices == 1


# ── counts ───────────────────────────────────────────────────────────────────────────────────────


@given(plain=few, output=few, cached=few, written=few, lifetimes=st.tuples(few, few))
@settings(max_examples=150, deadline=None)
def test_net_input_balances_with_every_split_of_the_cache(
    plain: int, output: int, cached: int, written: int, lifetimes: tuple[int, int]
) -> None:
    written += sum(lifetimes)
    reading = conversed(
        {
            "inputTokens": plain,
            "outputTokens": output,
            "totalTokens": plain + output + cached + written,
            "cacheReadInputTokens": cached,
            "cacheReadInputTokenCount": cached,
            "cacheWriteInputTokens": written,
            "cacheWriteInputTokenCount": written,
            "cacheDetails": [
                {"ttl": "5m", "inputTokens": lifetimes[0]},
                {"ttl": "1h", "inputTokens": lifetimes[1]},
            ],
        }
    )
    # Lifetimes that leave some of what was written unexplained are doubted.
    is_short = 0 < sum(lifetimes) < written
    assert reading.flags == (("count_mismatch",) if is_short else ())
    assert reading.balances()
    found = counts(reading)
    assert found.get("input_text", 0) == plain
    assert found.get("cache_read_text", 0) == cached
    assert found.get("cache_write_5m", 0) == lifetimes[0]
    assert found.get("cache_write", 0) == written - sum(lifetimes)


@given(plain=few, output=few, cached=st.integers(1, 5000))
@settings(max_examples=100, deadline=None)
def test_gross_input_is_told_by_the_total_and_carved(plain: int, output: int, cached: int) -> None:
    gross = plain + cached
    reading = conversed(
        {
            "inputTokens": gross,
            "outputTokens": output,
            "totalTokens": gross + output,
            "cacheReadInputTokens": cached,
        }
    )
    assert reading.flags == ("gross_input",)
    assert reading.balances()
    assert counts(reading).get("input_text", 0) == plain
    assert counts(reading)["cache_read_text"] == cached


def test_a_total_that_fits_neither_reading_does_not_balance() -> None:
    reading = conversed(
        {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4, "cacheReadInputTokens": 1712}
    )
    assert not reading.balances()
    assert counts(reading) == {"input_text": 3, "cache_read_text": 1712, "output_text": 1}


@pytest.mark.parametrize(
    "usage",
    [
        {**USAGE, "inputTokens": -1},
        {**USAGE, "totalTokens": "124"},
        {**USAGE, "cacheWriteInputTokens": 5, "cacheDetails": [{"ttl": "1h", "inputTokens": 6}]},
        {**USAGE, "cacheDetails": [{"ttl": "1h", "inputTokens": 6}]},
        {**USAGE, "outputTokens": 2**60},
    ],
)
def test_impossible_usage_is_flagged_and_left_to_be_counted(usage: dict[str, object]) -> None:
    reading = conversed(usage)
    assert reading.flags == ("usage_invalid",)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, False)
    assert reading.observed.text == "Hi"


@given(usage=odd_values, trace=odd_values)
@settings(max_examples=100, deadline=None)
def test_no_answer_makes_a_meter_raise(usage: object, trace: object) -> None:
    conversed(usage, trace=trace, serviceTier=usage, output=trace)
    traced = {"guardrail": {"inputAssessment": trace, "outputs": usage}}
    reading = conversed(USAGE, trace=traced)
    assert reading.source in (Source.PROVIDER, Source.NONE)
    assert read(GUARDRAIL, whole({"usage": usage})).components == ()


def test_a_tool_of_the_providers_that_has_no_unit_is_flagged() -> None:
    assert conversed({**USAGE, "serverToolUsage": {}}).flags == ()
    used = {"webSearchRequests": 1}
    assert conversed({**USAGE, "serverToolUsage": used}).flags == ("unknown_unit",)


@pytest.mark.parametrize(
    ("members", "headers", "tier"),
    [
        ({"serviceTier": {"type": "flex"}}, {}, "flex"),
        ({}, {"X_Amzn_Bedrock_Service_Tier": "priority"}, "priority"),
        ({"performanceConfig": {"latency": "optimized"}}, {}, "optimized"),
        ({}, {"X_Amzn_Bedrock_PerformanceConfig_Latency": "optimized"}, "optimized"),
        ({}, {}, None),
    ],
)
def test_the_tier_served_is_in_the_body_or_the_head(
    members: dict[str, object], headers: dict[str, str], tier: str | None
) -> None:
    reading = read(CONVERSE, whole({"usage": USAGE, **members}), head(**headers))
    assert reading.tier == tier


# ── guardrails ───────────────────────────────────────────────────────────────────────────────────


def assessment(**units: int) -> dict[str, Any]:
    return {"invocationMetrics": {"guardrailProcessingLatency": 1, "usage": units}}


def test_guardrail_units_of_input_and_output_are_billed_together() -> None:
    trace = {
        "guardrail": {
            "inputAssessment": {"g1": assessment(contentPolicyUnits=2, wordPolicyUnits=5)},
            "outputAssessments": {
                "g1": [assessment(contentPolicyUnits=1, topicPolicyUnits=1)],
                "g2": [assessment(contextualGroundingPolicyUnits=1, sensitiveInformationPolicyFreeUnits=3)],
            },
        }
    }  # fmt: skip
    in_body = conversed(USAGE, trace=trace)
    in_stream = read(CONVERSE, frame("metadata", {"usage": USAGE, "trace": trace}), head(FRAMES))
    for reading in (in_body, in_stream):
        assert counts(reading, "guardrail") == {
            "content_policy_units": 3, "topic_policy_units": 1, "contextual_grounding_policy_units": 1,
        }  # fmt: skip
        assert reading.balances()


def test_a_guardrail_applied_alone_has_units_only() -> None:
    reading = read(GUARDRAIL, whole({"usage": {"contentPolicyUnits": 1, "wordPolicyUnits": 1}}))
    assert [(part.role, part.counts) for part in reading.components] == [
        ("guardrail", {"content_policy_units": 1})
    ]
    assert (reading.source, reading.final, reading.model) == (Source.PROVIDER, True, None)


def test_a_guardrail_that_used_free_units_only_is_final_and_bills_nothing() -> None:
    reading = read(GUARDRAIL, whole({"usage": {"wordPolicyUnits": 1}}))
    assert (reading.components, reading.source, reading.final) == ((), Source.PROVIDER, True)


def test_impossible_guardrail_units_are_flagged() -> None:
    reading = read(GUARDRAIL, whole({"usage": {"contentPolicyUnits": -1}}))
    assert (reading.flags, reading.components, reading.final) == (("usage_invalid",), (), False)


def test_cited_text_is_text() -> None:
    cited = {"citationsContent": {"content": [{"text": "one"}, {"text": "two"}], "citations": []}}
    reading = read(CONVERSE, whole({"output": {"message": {"content": [cited]}}, "usage": USAGE}))
    assert reading.observed.text == "onetwo"


def test_a_guardrail_request_counts_its_text() -> None:
    content = [{"text": {"text": "one"}}, {"image": {"format": "png"}}]
    (turn,) = asked(GUARDRAIL, {"source": "INPUT", "content": content}).prompt.turns
    assert (turn.text, turn.opaque) == ("one", 1)


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


def test_wherever_a_stream_is_cut_nothing_is_guessed() -> None:
    stream = STARTED + TEXT + STOPPED + METADATA
    for end in range(len(stream)):
        reading = read(CONVERSE, stream[:end], head(FRAMES))
        assert (reading.source, reading.final, reading.complete) == (Source.NONE, False, False)
    ended = read(CONVERSE, stream, head(FRAMES))
    assert (ended.source, ended.final, ended.complete) == (Source.PROVIDER, True, True)


def test_an_exception_after_the_head_leaves_what_was_seen_to_be_counted() -> None:
    stream = STARTED + TEXT + exception_frame("throttlingException")
    reading = read(CONVERSE, stream, head(FRAMES))
    assert reading.flags == ("error_event",)
    assert (reading.source, reading.final) == (Source.NONE, False)
    assert reading.observed.text == "Grüß "


def test_a_damaged_frame_is_stepped_over() -> None:
    stream = STARTED + damaged(TEXT) + STOPPED + METADATA
    reading = read(CONVERSE, stream, head(FRAMES))
    assert (reading.flags, reading.final, counts(reading)["input_text"]) == (("bad_crc",), True, 3)


def test_usage_in_a_damaged_frame_is_not_final() -> None:
    reading = read(CONVERSE, STARTED + damaged(METADATA), head(FRAMES))
    assert (reading.flags, reading.source, reading.final) == (("bad_crc",), Source.PARTIAL, False)


def test_what_the_model_wrote_is_observed() -> None:
    stream = b"".join(
        (
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
            TEXT,
            frame("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"name": "look"}}}),
            frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"at":'}}}),
            frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"it"}'}}}),
        )
    )  # fmt: skip
    streamed = read(CONVERSE, stream, head(FRAMES)).observed
    content = [
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"text": "Grüß "},
        {"citationsContent": {"content": []}},
        {"toolUse": {"name": "look", "input": {"at": "it"}}},
    ]
    at_once = read(CONVERSE, whole({"output": {"message": {"content": content}}})).observed
    assert at_once == streamed
    assert (streamed.text, streamed.reasoning) == ("Grüß ", "hm")
    assert [(call.name, call.arguments) for call in streamed.tool_calls] == [
        ("look", '{"at":"it"}')
    ]


def test_a_guardrail_without_a_trace_is_flagged() -> None:
    asked = whole(
        {"messages": [], "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}
    )
    request = CONVERSE.read_request(asked, b"")
    meter = CONVERSE.meter(request, head())
    meter.feed(whole({"usage": USAGE}))
    assert meter.read().flags == ("guardrail_unmeasured",)
    meter = CONVERSE.meter(request, head())
    units = {"invocationMetrics": {"usage": {"contentPolicyUnits": 1}}}
    meter.feed(whole({"usage": USAGE, "trace": {"guardrail": {"inputAssessment": {"g": units}}}}))
    assert meter.read().flags == ()
