"""Anthropic's protocol inside a runtime: what is stated around the body checks it and stands in for it."""

from typing import Any

from gateway.dialects.anthropic import INVOKE
from gateway.metering.usage import Source
from tests.dialects.answers import FRAMES, chunk_frames, counts, damaged, head, read, whole

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
METRICS = {
    "inputTokenCount": 25,
    "outputTokenCount": 215,
    "cacheReadInputTokenCount": 9000,
    "cacheWriteInputTokenCount": 700,
}
ENDED = {**STOP, "amazon-bedrock-invocationMetrics": METRICS}


def message(**usage: object) -> bytes:
    return whole({"type": "message", "model": "claude-x", "content": [], "usage": usage})


# ── inside a runtime ─────────────────────────────────────────────────────────────────────────────

HEADERS = {
    "X_Amzn_Bedrock_Input_Token_Count": "25",
    "X_Amzn_Bedrock_Output_Token_Count": "215",
    "X_Amzn_Bedrock_Cache_Read_Input_Token_Count": "9000",
    "X_Amzn_Bedrock_Cache_Write_Input_Token_Count": "700",
}


def test_the_model_a_runtimes_body_names_is_not_the_one_that_is_billed() -> None:
    assert read(INVOKE, message(input_tokens=1, output_tokens=1)).model is None


def test_headers_stand_in_for_a_body_without_usage() -> None:
    reading = read(INVOKE, b'{"type":"message","content":[]}', head(**HEADERS))
    assert (reading.source, reading.final) == (Source.PROVIDER, True)
    assert counts(reading) == {
        "input_text": 25, "cache_read_text": 9000, "cache_write": 700, "output_text": 215,
    }  # fmt: skip


def test_headers_that_contradict_the_body_are_flagged_and_the_body_counts() -> None:
    reading = read(INVOKE, message(input_tokens=24, output_tokens=215), head(**HEADERS))
    assert reading.flags == ("count_mismatch",)
    assert counts(reading) == {"input_text": 24, "output_text": 215}


def test_headers_that_are_no_numbers_do_not_hide_the_body() -> None:
    odd = head(X_Amzn_Bedrock_Input_Token_Count="many")
    reading = read(INVOKE, message(input_tokens=24, output_tokens=215), odd)
    assert reading.flags == ("usage_invalid",)
    assert counts(reading) == {"input_text": 24, "output_text": 215}


def test_metrics_settle_a_stream_whose_usage_was_damaged() -> None:
    broken = {**DELTA, "usage": {"output_tokens": -1}}
    reading = read(INVOKE, chunk_frames(START, broken, ENDED), head(FRAMES))
    assert reading.flags == ("usage_invalid",)
    assert counts(reading)["output_text"] == 215


def test_usage_in_a_damaged_frame_is_not_final() -> None:
    stream = chunk_frames(START) + damaged(chunk_frames(DELTA)) + chunk_frames(STOP)
    reading = read(INVOKE, stream, head(FRAMES))
    assert reading.flags == ("bad_crc",)
    assert (reading.source, reading.final) == (Source.PARTIAL, False)
    settled = read(INVOKE, stream + chunk_frames(ENDED), head(FRAMES))
    assert (settled.source, settled.final) == (Source.PROVIDER, True)


def test_text_completions_of_old_are_metered_by_the_metrics() -> None:
    last = {
        "completion": "Hi",
        "stop_reason": "stop_sequence",
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 25, "outputTokenCount": 4},
    }
    reading = read(INVOKE, chunk_frames(last), head(FRAMES))
    assert counts(reading) == {"input_text": 25, "output_text": 4}
    assert (reading.observed.text, reading.complete) == ("Hi", True)


def test_a_guardrail_on_the_way_is_billed_too() -> None:
    assessment = {"invocationMetrics": {"usage": {"contentPolicyUnits": 2, "wordPolicyUnits": 9}}}
    trace = {"guardrail": {"input": {"g": assessment}, "outputs": [{"g": assessment}]}}
    body = {"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}}
    reading = read(INVOKE, whole({**body, "amazon-bedrock-trace": trace}))
    assert counts(reading, "guardrail") == {"content_policy_units": 4}


def test_a_guardrail_without_a_trace_is_flagged() -> None:
    body = {"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}}
    reading = read(INVOKE, whole({**body, "amazon-bedrock-guardrailAction": "NONE"}))
    assert reading.flags == ("guardrail_unmeasured",)
    assert counts(reading) == {"input_text": 1, "output_text": 1}


def test_the_tier_is_a_header() -> None:
    flex = head(X_Amzn_Bedrock_Service_Tier="flex")
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": "standard"}
    assert read(INVOKE, message(**usage), flex).tier == "flex"
