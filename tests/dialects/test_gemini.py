"""Gemini's protocol: carving by modality, the last usage of a stream, grounding."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings, strategies as st

from gateway.dialects.gemini import EMBED, GENERATE, INTERACTIONS, LIVE, PREDICT
from gateway.metering.usage import Source
from tests.dialects.answers import JSON, SSE, counts, head, odd_values, read, whole

MODALITIES = ("TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
few = st.integers(0, 500)


def generated(
    usage: dict[str, object], model: str = "gemini-2.5-flash", **candidate: object
) -> bytes:
    parts = [{"text": "Hi"}]
    return whole(
        {
            "candidates": [{"content": {"parts": parts}, "finishReason": "STOP", **candidate}],
            "usageMetadata": usage,
            "modelVersion": model,
        }
    )


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + whole(each) + b"\r\n\r\n" for each in documents)


def chunk(text: str, finish: object = None, **usage: object) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}]}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}


# ── carving ──────────────────────────────────────────────────────────────────────────────────────


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    """A usage object as the provider makes it: parts within totals, details that may fall short."""
    cached = {name: draw(few) for name in MODALITIES}
    fresh = {name: draw(few) for name in MODALITIES}
    written = {name: draw(few) for name in ("TEXT", "IMAGE", "AUDIO")}
    thoughts, tools, unlisted = draw(few), draw(few), draw(few)
    prompt = sum(cached.values()) + sum(fresh.values()) + unlisted
    total = prompt + sum(written.values()) + thoughts + tools
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": sum(cached.values()),
        "candidatesTokenCount": sum(written.values()),
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tools,
        "totalTokenCount": total,
        "promptTokensDetails": details({n: cached[n] + fresh[n] for n in MODALITIES}),
        "cacheTokensDetails": details(cached) if draw(st.booleans()) else [],
        "candidatesTokensDetails": details(written),
    }


def details(counted: dict[str, int]) -> list[dict[str, object]]:
    return [{"modality": name, "tokenCount": count} for name, count in counted.items()]


@given(usage=usages())
@settings(max_examples=200, deadline=None)
def test_the_classes_sum_to_the_providers_total_whatever_the_modalities(
    usage: dict[str, Any],
) -> None:
    reading = read(GENERATE, generated(usage))
    assert reading.flags == ()
    assert reading.balances()
    found = counts(reading)
    assert (
        sum(n for unit, n in found.items() if unit.startswith("cache_read"))
        == (usage["cachedContentTokenCount"])
    )
    if usage["cacheTokensDetails"]:
        for detail in usage["cacheTokensDetails"]:
            unit = f"cache_read_{detail['modality'].lower()}"
            assert found.get(unit, 0) == detail["tokenCount"]


@given(usage=usages())
@settings(max_examples=50, deadline=None)
def test_numbers_and_words_of_an_enum_mean_the_same(usage: dict[str, Any]) -> None:
    numbered = json.loads(json.dumps(usage))
    for name in ("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails"):
        for detail in numbered[name]:
            detail["modality"] = MODALITIES.index(detail["modality"]) + 1
    assert counts(read(GENERATE, generated(numbered))) == counts(read(GENERATE, generated(usage)))


@given(
    usage=usages(),
    member=st.sampled_from(["promptTokenCount", "candidatesTokenCount", "totalTokenCount"]),
)
@settings(max_examples=60, deadline=None)
def test_an_injected_imbalance_is_seen(usage: dict[str, Any], member: str) -> None:
    assume(usage["totalTokenCount"] > 0)
    usage[member] += 1
    assert not read(GENERATE, generated(usage)).balances()


def test_cached_tokens_without_details_are_text_first() -> None:
    usage = {
        "promptTokenCount": 10_250,
        "cachedContentTokenCount": 10_000,
        "totalTokenCount": 10_250,
        "promptTokensDetails": details({"VIDEO": 9900, "TEXT": 350}),
    }
    assert counts(read(GENERATE, generated(usage))) == {
        "cache_read_text": 350, "cache_read_video": 9650, "input_video": 250,
    }  # fmt: skip


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 5},
        {"promptTokenCount": -5, "totalTokenCount": 5},
        {"promptTokenCount": 5, "totalTokenCount": 5.5},
        {"promptTokenCount": 5, "totalTokenCount": 5, "thoughtsTokenCount": "many"},
        {"promptTokenCount": 5, "totalTokenCount": 5, "promptTokensDetails": details({"AUDIO": 6})},
        {"candidatesTokenCount": 5, "totalTokenCount": 5, "candidatesTokensDetails": details({"IMAGE": 6})},
    ],
)  # fmt: skip
def test_impossible_usage_is_flagged_and_left_to_be_counted(usage: dict[str, object]) -> None:
    reading = read(GENERATE, generated(usage))
    assert reading.flags == ("usage_invalid",)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, False)
    assert reading.observed.text == "Hi"


@given(usage=odd_values | st.dictionaries(st.sampled_from(["promptTokenCount", "totalTokenCount", "trafficType",
                                                           "promptTokensDetails", "cachedContentTokenCount"]),
                                          odd_values))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_no_usage_makes_a_meter_raise(usage: object) -> None:
    bodies = (
        (GENERATE, {"candidates": usage, "usageMetadata": usage, "promptFeedback": usage}),
        (EMBED, {"usageMetadata": usage}),
        (PREDICT, {"predictions": [{"embeddings": {"statistics": usage}}], "metadata": usage}),
        (
            INTERACTIONS,
            {"usage": {"total_tokens": 1, "grounding_tool_count": usage}, "steps": usage},
        ),
        (LIVE, {"serverContent": usage, "usageMetadata": usage}),
    )
    for dialect, body in bodies:
        reading = read(dialect, whole(body))
        assert all(count >= 0 for part in reading.components for count in part.counts.values())


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


def test_the_last_usage_counts_as_a_whole() -> None:
    stream = sse(
        chunk("a", promptTokenCount=9, candidatesTokenCount=15, totalTokenCount=24),
        chunk("b", "STOP", promptTokenCount=87, totalTokenCount=87),
    )
    assert counts(read(GENERATE, stream, head(SSE))) == {"input_text": 87}


def test_a_running_count_is_a_lower_bound() -> None:
    stream = sse(chunk("a", promptTokenCount=9, candidatesTokenCount=2, totalTokenCount=11))
    reading = read(GENERATE, stream, head(SSE))
    assert (reading.source, reading.final, reading.complete) == (Source.PARTIAL, False, False)
    assert counts(reading) == {"input_text": 9, "output_text": 2}


def test_a_tier_alone_is_no_usage() -> None:
    reading = read(GENERATE, sse(chunk("a", trafficType="ON_DEMAND_FLEX")), head(SSE))
    assert (reading.source, reading.final, reading.tier) == (Source.NONE, False, "ON_DEMAND_FLEX")


def test_a_stream_is_complete_when_every_candidate_is() -> None:
    two = {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
            {"index": 1, "content": {"parts": [{"text": "b"}]}},
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    }
    half = read(GENERATE, sse(two), head(SSE))
    assert (half.complete, half.final, half.observed.choices) == (False, False, 2)
    rest = {
        "candidates": [{"index": 1, "finishReason": "STOP"}],
        "usageMetadata": two["usageMetadata"],
    }
    assert read(GENERATE, sse(two, rest), head(SSE)).complete


def test_a_blocked_prompt_is_a_whole_answer() -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
    }
    reading = read(GENERATE, sse(body), head(SSE))
    assert (reading.source, reading.final, reading.complete) == (Source.PROVIDER, True, True)


@pytest.mark.parametrize("framing", ["sse", "array"])
def test_an_error_inside_a_stream_is_no_end(framing: str) -> None:
    documents = [chunk("a", promptTokenCount=9, totalTokenCount=9), {"error": {"code": 503}}]
    answer = sse(*documents) if framing == "sse" else whole(documents)
    reading = read(GENERATE, answer, head(SSE if framing == "sse" else JSON))
    assert reading.flags == ("error_event",)
    assert (reading.complete, reading.source) == (False, Source.PARTIAL)


def test_an_array_is_metered_as_it_comes() -> None:
    documents = [chunk("a"), chunk("b", "STOP", promptTokenCount=9, totalTokenCount=9)]
    answer = whole(documents)
    ends = {read(GENERATE, answer[:end]).source for end in range(len(answer))}
    assert ends == {Source.NONE, Source.PROVIDER}  # the last element is whole before the array is
    assert read(GENERATE, answer).observed.text == "ab"


def test_what_the_model_wrote_is_observed() -> None:
    parts = [
        {"text": "hm", "thought": True},
        {"text": "Hi"},
        {"functionCall": {"name": "look", "args": {"at": "it"}}},
        {"executableCode": {"code": "1+1"}},
    ]
    observed = read(GENERATE, whole({"candidates": [{"content": {"parts": parts}}]})).observed
    assert (observed.text, observed.reasoning) == ("Hi1+1", "hm")
    assert [(call.name, call.arguments) for call in observed.tool_calls] == [
        ("look", '{"at":"it"}')
    ]


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"trafficType": 1}, "ON_DEMAND"),
        ({"trafficType": 2}, "PROVISIONED_THROUGHPUT"),
        ({"trafficType": 77}, "77"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "ON_DEMAND_PRIORITY"),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "priority", "trafficType": "ON_DEMAND"}, "priority"),
        ({}, None),
    ],
)
def test_the_tier_is_named_in_two_ways(usage: dict[str, object], tier: str | None) -> None:
    counted = {"promptTokenCount": 1, "totalTokenCount": 1}
    assert read(GENERATE, generated({**counted, **usage})).tier == tier


# ── grounding ────────────────────────────────────────────────────────────────────────────────────

USAGE = {"promptTokenCount": 1, "totalTokenCount": 1}


def grounded(model: str, *metadata: dict[str, object]) -> dict[str, int]:
    """The units of an answer whose chunks carry that grounding."""
    documents = [
        {
            "candidates": [{"content": {"parts": []}, "groundingMetadata": each, "finishReason": "STOP"}],
            "usageMetadata": USAGE,
            "modelVersion": model,
        }
        for each in metadata
    ]  # fmt: skip
    found = counts(read(GENERATE, sse(*documents), head(SSE)))
    return {unit: count for unit, count in found.items() if unit.startswith("grounding")}


@pytest.mark.parametrize(
    ("model", "units"),
    [
        ("gemini-3-pro", {"grounding_google_search": 2}),
        ("gemini-3.1-flash-lite", {"grounding_google_search": 2}),
        ("gemini-2.5-pro", {"grounding_google_search_prompts": 1}),
        ("models/gemini-2.0-flash", {"grounding_google_search_prompts": 1}),
        ("gemini-live-2.5-flash", {"grounding_google_search_prompts": 1}),
    ],
)
def test_a_generation_bills_queries_or_prompts_never_both(
    model: str, units: dict[str, int]
) -> None:
    assert grounded(model, {"webSearchQueries": ["a", "b", ""]}) == units


def test_a_stream_that_repeats_or_extends_its_queries_counts_each_once() -> None:
    model = "gemini-3-pro"
    assert grounded(model, {"webSearchQueries": ["a"]}, {"webSearchQueries": ["a", "b"]}) == {
        "grounding_google_search": 2
    }
    assert grounded(model, {"webSearchQueries": ["a"]}, {"webSearchQueries": ["b"]}) == {
        "grounding_google_search": 2
    }


@pytest.mark.parametrize(
    ("chunk_source", "units"),
    [
        ({"web": {"uri": "https://a.example"}}, {"grounding_google_search_prompts": 1}),
        ({"maps": {"uri": "https://a.example"}}, {"grounding_google_maps": 1}),
        ({"retrievedContext": {"uri": "gs://a"}}, {"grounding_retrieval": 1}),
        ({"retrievedContext": {"fileSearchStore": "s", "text": "t"}}, {}),
    ],
)
def test_a_source_is_billed_once_and_kept_files_not_at_all(
    chunk_source: dict[str, object], units: dict[str, int]
) -> None:
    assert grounded("gemini-2.5-flash", {"groundingChunks": [chunk_source, chunk_source]}) == units


def test_empty_grounding_is_none() -> None:
    assert grounded("gemini-2.5-flash", {}) == {}
