"""Reports with one thing wrong, in every dialect: never an exception, never silently booked as if they were right."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects import (
    anthropic,
    bedrock_families,
    converse,
    gemini,
    openai_batch,
    openai_batch_output,
    openai_chat,
    openai_media,
    openai_responses,
)
from gateway.dialects.contract import Dialect
from gateway.metering.meter import Reading
from gateway.metering.usage import Source, total_tokens
from tests.dialects.answers import SSE, counts, events, head, odd_values, read, whole

MEMBERS = ("text_tokens", "audio_tokens", "image_tokens")


class Spoken(NamedTuple):
    """A dialect, an answer with usage in it, and whether a usage adds up, by its own words."""

    dialect: Dialect
    answer: Callable[[Any], Any]
    usage: dict[str, Any]
    adds_up: Callable[[dict[str, Any]], bool]


def _of(usage: dict[str, Any], *names: str) -> int:
    return sum(usage.get(name) or 0 for name in names)


def _openai(usage: dict[str, Any]) -> bool:
    """Sides to the total, each list of modalities to its side; reasoning inside its side or exactly beside it."""
    sides = []
    reasoning = 0
    for one, other in (("prompt", "input"), ("completion", "output")):
        name = one if f"{one}_tokens" in usage else other
        total = usage.get(f"{name}_tokens", 0)
        details = usage.get(f"{name}_tokens_details") or {}
        thoughts = details.get("reasoning_tokens", 0)
        if "text_tokens" in details and total not in (
            _of(details, *MEMBERS),
            _of(details, *MEMBERS) + thoughts,
        ):
            return False
        sides.append(total)
        reasoning += thoughts
    beyond = usage["total_tokens"] - sum(sides)
    return bool((beyond == 0 and reasoning <= sides[-1]) or beyond == reasoning)


def _google(usage: dict[str, Any]) -> bool:
    """At its compatible endpoint any total above both sides counts thoughts, where none are named."""
    beyond: int = usage["total_tokens"] - _of(usage, "prompt_tokens", "completion_tokens")
    return beyond >= 0


def _messages(usage: dict[str, Any]) -> bool:
    split = usage["cache_creation"]
    thinking = usage["output_tokens_details"]["thinking_tokens"]
    rounds = [each for each in usage["iterations"] if each["type"] == "message"]
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    )
    return (
        sum(split.values()) == usage["cache_creation_input_tokens"]
        and thinking <= usage["output_tokens"]
        and sum(_of(each, *names) for each in rounds) == _of(usage, *names)
    )


def _conversed(usage: dict[str, Any]) -> bool:
    lifetimes: int = sum(each["inputTokens"] for each in usage["cacheDetails"])
    sides = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    total: int = usage["totalTokens"]
    return lifetimes == usage["cacheWriteInputTokens"] and total == _of(usage, *sides)


def _generated(usage: dict[str, Any]) -> bool:
    """Lists may say less than their total: what they leave is text."""
    lists = (
        ("promptTokensDetails", "promptTokenCount"),
        ("cacheTokensDetails", "cachedContentTokenCount"),
        ("candidatesTokensDetails", "candidatesTokenCount"),
    )
    sides = (
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "toolUsePromptTokenCount",
    )
    return (
        usage["totalTokenCount"] == _of(usage, *sides)
        and usage["cachedContentTokenCount"] <= usage["promptTokenCount"]
        and all(sum(each["tokenCount"] for each in usage[a]) <= usage[b] for a, b in lists)
    )


PROMPTED: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
DETAILED: dict[str, Any] = {
    "input_tokens": 40,
    "output_tokens": 30,
    "total_tokens": 70,
    "input_tokens_details": {"cached_tokens": 8, "text_tokens": 36, "image_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 7, "text_tokens": 20, "image_tokens": 3},
}
COUNTED: dict[str, Any] = {
    "input_tokens": 25,
    "output_tokens": 215,
    "cache_read_input_tokens": 90,
    "cache_creation_input_tokens": 70,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50},
    "output_tokens_details": {"thinking_tokens": 100},
    "iterations": [
        {"type": "message", "input_tokens": 15, "output_tokens": 15, "cache_read_input_tokens": 90},
        {
            "type": "message",
            "input_tokens": 10,
            "output_tokens": 200,
            "cache_creation_input_tokens": 70,
        },
    ],
}
RUN: dict[str, Any] = {
    "inputTokens": 3,
    "outputTokens": 121,
    "totalTokens": 172,
    "cacheReadInputTokens": 12,
    "cacheWriteInputTokens": 36,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 10}, {"ttl": "5m", "inputTokens": 26}],
}
GENERATED: dict[str, Any] = {
    "promptTokenCount": 60,
    "cachedContentTokenCount": 20,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 28,
    "toolUsePromptTokenCount": 4,
    "totalTokenCount": 112,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 50},
        {"modality": "AUDIO", "tokenCount": 10},
    ],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
}


def _usage(usage: Any) -> Any:
    return {"id": "a", "model": "m", "choices": [], "usage": usage}


def _batch(usage: Any) -> Any:
    return {
        "object": "batch",
        "id": "b",
        "status": "completed",
        "output_file_id": "f",
        "usage": usage,
    }


def _message(usage: Any) -> Any:
    return {"type": "message", "model": "m", "content": [], "usage": usage}


def _line(usage: Any) -> Any:
    return {"response": {"status_code": 200, "body": {"model": "m", "usage": usage}}}


def _drawn(usage: Any) -> Any:
    return {"usage": DETAILED, "tool_usage": {"image_gen": usage}}


SPOKEN = {
    "chat": Spoken(openai_chat.CHAT, _usage, PROMPTED, _openai),
    "compatible": Spoken(openai_chat.COMPATIBLE, _usage, PROMPTED, _google),
    "completions": Spoken(openai_chat.COMPLETIONS, _usage, PROMPTED, _openai),
    "mistral": Spoken(openai_chat.MISTRAL, _usage, PROMPTED, _openai),
    "responses": Spoken(openai_responses.RESPONSES, _usage, DETAILED, _openai),
    "drawn": Spoken(openai_responses.RESPONSES, _drawn, DETAILED, _openai),
    "images": Spoken(openai_media.IMAGES, _usage, DETAILED, _openai),
    "vectors": Spoken(
        openai_media.IMAGES,
        lambda usage: {"usage": DETAILED, "svg_usage": usage},
        DETAILED,
        _openai,
    ),
    "batch": Spoken(openai_batch.BATCH, _batch, PROMPTED, _openai),
    "results": Spoken(openai_batch_output.RESULTS, _line, PROMPTED, _openai),
    "messages": Spoken(anthropic.MESSAGES, _message, COUNTED, _messages),
    "invoked": Spoken(anthropic.INVOKE, _message, COUNTED, _messages),
    "converse": Spoken(converse.CONVERSE, lambda usage: {"usage": usage}, RUN, _conversed),
    "families": Spoken(bedrock_families.FAMILIES, lambda usage: {"usage": usage}, RUN, _conversed),
    "invoked choices": Spoken(bedrock_families.FAMILIES, _usage, PROMPTED, _openai),
    "gemini": Spoken(
        gemini.GENERATE, lambda usage: {"usageMetadata": usage}, GENERATED, _generated
    ),
    "gemini embeddings": Spoken(
        gemini.EMBED, lambda usage: {"usageMetadata": usage}, GENERATED, _generated
    ),
}
spoken = pytest.mark.parametrize("name", SPOKEN)


def places(report: Any) -> Iterator[tuple[Any, Any]]:
    """Where a report keeps its numbers."""
    for key, value in report.items() if isinstance(report, dict) else enumerate(report):
        if isinstance(value, dict | list):
            yield from places(value)
        elif isinstance(value, int):
            yield report, key


def is_flagged(reading: Reading) -> bool:
    return bool(reading.flags) or not reading.balances() or not reading.final


def sound(reading: Reading) -> bool:
    """No line below nothing, and no more than the stated total without a flag."""
    if any(count < 0 for part in reading.components for count in part.counts.values()):
        return False
    if reading.stated_total is None or is_flagged(reading):
        return True
    return total_tokens(reading.components) - reading.uncovered <= reading.stated_total


@spoken
def test_a_report_that_adds_up_is_not_flagged(name: str) -> None:
    case = SPOKEN[name]
    reading = read(case.dialect, whole(case.answer(case.usage)))
    assert case.adds_up(case.usage)
    assert (reading.flags, reading.balances(), reading.final) == ((), True, True)


@spoken
@settings(max_examples=40)
@given(data=st.data())
def test_one_number_wrong_is_flagged_or_adds_up_by_itself(name: str, data: Any) -> None:
    case = SPOKEN[name]
    usage = deepcopy(case.usage)
    place, key = data.draw(st.sampled_from(list(places(usage))))
    near = st.integers(max(1 - place[key], -3), 3).map(place[key].__add__)
    place[key] = data.draw(near | st.integers(1, 200) | st.just(10**9))
    reading = read(case.dialect, whole(case.answer(usage)))
    assert sound(reading)
    assert case.adds_up(usage) or is_flagged(reading), usage


@spoken
@settings(max_examples=40)
@given(data=st.data())
def test_whatever_stands_where_a_number_belongs_nothing_is_raised_or_below_nothing(
    name: str, data: Any
) -> None:
    case = SPOKEN[name]
    usage = deepcopy(case.usage)
    for _ in range(data.draw(st.integers(1, 3))):
        place, key = data.draw(st.sampled_from(list(places(usage))))
        if isinstance(place, dict) and data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(odd_values)
        if not list(places(usage)):
            break
    assert sound(read(case.dialect, whole(case.answer(usage))))


@pytest.mark.parametrize(
    ("dialect", "documents"),
    [
        (openai_chat.CHAT, [_usage({**PROMPTED, "completion_tokens": 6}), _usage(PROMPTED)]),
        (
            openai_responses.RESPONSES,
            [
                {"type": "response.incomplete", "response": {"usage": DETAILED}},
                {
                    "type": "response.completed",
                    "response": {"usage": PROMPTED | {"total_tokens": 9}},
                },
            ],
        ),
        (
            anthropic.MESSAGES,
            [
                {"type": "message_start", "message": {"usage": COUNTED}},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"input_tokens": 24, "output_tokens": 300},
                },
            ],
        ),
    ],
    ids=["chat", "responses", "messages"],
)
def test_a_later_event_that_takes_back_what_was_said_is_doubted(
    dialect: Dialect, documents: list[dict[str, Any]]
) -> None:
    assert "count_mismatch" in read(dialect, events(*documents), head(SSE)).flags
    # Running counts grow, and the placeholder of the output may be anything.
    grown = [documents[0], documents[0]]
    assert "count_mismatch" not in read(dialect, events(*grown), head(SSE)).flags


@pytest.mark.parametrize("said", [{"input_tokens": 25}, {"output_tokens": 25}])
def test_half_a_message_is_no_whole_one(said: dict[str, int]) -> None:
    reading = read(anthropic.MESSAGES, whole(_message(said)))
    assert (reading.source, reading.final) == (Source.PARTIAL, False)
    (name,) = said
    for members in (
        {name.replace("_t", "T"): 25},
        {name.replace("_t", "T"): 25, "totalTokens": 25},
    ):
        reading = read(converse.CONVERSE, whole({"usage": members}))
        assert (reading.source, reading.final) == (Source.PARTIAL, False)


def test_two_names_of_one_count_that_differ_are_doubted() -> None:
    twins = {"cacheReadInputTokenCount": 13, "inputTokenCount": 4, "cacheWriteInputTokenCount": 1}
    for name, count in twins.items():
        reading = read(converse.CONVERSE, whole({"usage": {**RUN, name: count}}))
        assert reading.flags == ("count_mismatch",)
    reading = read(openai_chat.CHAT, whole(_usage({**PROMPTED, "input_tokens": 11})))
    assert reading.flags == ("count_mismatch",)


def test_choices_that_do_not_balance_beside_a_runtime_that_counts_otherwise_are_doubted() -> None:
    usage = {**PROMPTED, "total_tokens": 99}
    named = {
        "X_Amzn_Bedrock_Input_Token_Count": "10",
        "X_Amzn_Bedrock_Output_Token_Count": "6",
    }
    reading = read(bedrock_families.FAMILIES, whole(_usage(usage)), head(**named))
    assert counts(reading) == {"input_text": 10, "output_text": 6}
    assert reading.flags == ("count_mismatch",)


@spoken
@settings(max_examples=40)
@given(odd=odd_values)
def test_a_usage_that_is_no_usage_is_not_final_or_books_nothing(name: str, odd: Any) -> None:
    case = SPOKEN[name]
    if isinstance(odd, dict) and odd.keys() & case.usage.keys():
        return
    reading = read(case.dialect, whole(case.answer(odd)))
    assert sound(reading)
