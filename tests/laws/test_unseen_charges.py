"""What a request may make a cloud charge is held before it is sent, or the request is refused.

Each case is a request that asks for more in a way of its own, and the dearest answer that it may get.
"""

import json
from typing import Any, Final, NamedTuple

import pytest

from gateway.exchange import booking
from gateway.exchange.booking import Counts
from gateway.exchange.bound import Bound
from gateway.exchange.bounds import most
from gateway.kernel.errors import MalformedBody
from gateway.pricing.dimensions import DISCOUNTED, STANDARD
from gateway.pricing.rate import Charge
from gateway.providers.contract import (
    BELOW,
    STANDARD as PROVIDERS_STANDARD,
    Deployment,
    Served,
    Upstream,
)
from gateway.wire.messages import Head, Inbound
from tests.laws.test_bounds import BOOK, CEILINGS, COUNTER, DEFAULT, NOW_US, PROVIDERS

LONG: Final = "word " * 50_000
READ: Final = 60_000  # tokens that it may be
V1: Final = "/azure/openai/v1/chat/completions"
RESPONSES: Final = "/azure/openai/v1/responses"
FOUNDRY: Final = "/azure/anthropic/v1/messages"
SONNET: Final = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA: Final = "/bedrock/model/us.amazon.nova-pro-v1:0"
GEMINI: Final = "/google/v1beta/models/gemini-2.5-flash:generateContent"
VERTEX: Final = "/google/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent"
IMAGEN: Final = "/google/v1/projects/p/locations/us-central1/publishers/google/models/imagen-4.0-generate-001:predict"
TURN: Final = [{"role": "user", "content": "hi"}]
BLOCKS: Final = [{"role": "user", "content": [{"text": "hi"}]}]
CONTENTS: Final = [{"role": "user", "parts": [{"text": "hi"}]}]
SHARED: Final = "x-vertex-ai-llm-shared-request-type"
SERVICE_TIER: Final = "x-amzn-bedrock-service-tier"
LATENCY: Final = "x-amzn-bedrock-performanceconfig-latency"


class Weighed(NamedTuple):
    bound: Bound
    charge: Charge
    asked_tier: str


def weighed(path: str, body: Any, answer: Any, *headers: tuple[str, str], model: str = "gpt-5.4") -> Weighed:  # fmt: skip
    """A call as it is held for and as its answer is booked; ``headers`` of both, the answer's with one value."""
    said = tuple((name.encode(), value.encode()) for name, value in headers)
    inbound = Inbound(b"POST", path.encode(), b"", said, json.dumps(body).encode())
    provider = PROVIDERS[path.split("/")[1]]
    call = provider.recognise(inbound)
    assert call.dialect is not None
    request = call.dialect.read_request(inbound.body, b"application/json")
    place = call.location or "us-east-1"
    upstream = Upstream("u", provider.name, "", call.service, "us-east-1", None, place)
    wire = provider.wire(call.wire_model or model, call.location, place)
    named = BOOK.canonical(provider.name, wire.names)
    assert named is not None
    deployment = Deployment("d", "u", named, wire.scope or "global", wire.geo, wire.region)
    asked_tier = provider.asked_tier(call, inbound, request)
    told = [(name, value.split(b",")[0]) for name, value in said]
    head = Head(200, ((b"content-type", b"application/json"), *told))
    meter = call.dialect.meter(request, head)
    meter.feed(json.dumps(answer).encode())
    reading = meter.read()
    counts = Counts(COUNTER.input(request.prompt, named), COUNTER.output(reading.observed, named))
    under = booking.circumstances(provider.name, deployment, Served(), asked_tier, NOW_US)
    bound = most(BOOK, under, request, counts, CEILINGS, DEFAULT)
    served = provider.served(call, upstream, head, reading)
    tier, _ = booking.tier_of(served.tier, asked_tier)
    charged = booking.circumstances(provider.name, deployment, served, tier, NOW_US)
    components = booking.used(reading, head.status, counts).components
    return Weighed(bound, booking.priced(BOOK, charged, components).charge, asked_tier)


def chat(read: int, written: int, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return {"id": "x", "model": "gpt-5.4", "choices": [choice], "usage": usage, **more}


def conversed(read: int, written: int, **more: Any) -> dict[str, Any]:
    usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
    return {"output": {"message": {"content": [{"text": "x"}]}}, "usage": usage, **more}


def generated(
    read: int, written: int, traffic: str = "ON_DEMAND", /, **more: Any
) -> dict[str, Any]:
    usage = {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + written}  # fmt: skip
    candidate = {"index": 0, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": {**usage, "trafficType": traffic, **more}}


def answered(read: int, written: int, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": read, "output_tokens": written, **more}
    return {"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}


def own(**fields: Any) -> dict[str, Any]:
    held = {"inferenceConfig": {"maxTokens": 100}, "messages": BLOCKS}
    return {**held, "additionalModelRequestFields": fields}


def searched(candidate: int) -> dict[str, Any]:
    queries = [f"{candidate}.{query}" for query in range(10)]
    return {"index": candidate, "finishReason": "STOP", "groundingMetadata": {"webSearchQueries": queries}}  # fmt: skip


PLAIN: Final = {"model": "gpt-5.4", "messages": TURN, "max_tokens": 100}
SOURCED: Final = {
    "type": "azure_search",
    "parameters": {"endpoint": "https://a", "authentication": {"type": "api_key"}, "role_information": LONG},
}  # fmt: skip
CLAUDE: Final = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": TURN}
CONFIGURED: Final = {"maxOutputTokens": 9_000}
SUMMED: Final = {"edits": [{"type": "compact_20260112"}]}
PICTURE: Final[dict[str, Any]] = {
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]
}
CASES: Final[dict[str, tuple[Any, ...]]] = {
    "a prediction that does not come true": (
        V1, {**PLAIN, "prediction": {"type": "content", "content": LONG}}, chat(8, 50_100),
    ),
    "text that a data source brings": (V1, {**PLAIN, "data_sources": [SOURCED]}, chat(READ, 100)),
    "text under a name of tomorrow": (V1, {**PLAIN, "persona": LONG}, chat(50_000, 100)),
    "text beside the content": (
        V1, {**PLAIN, "messages": [{"role": "assistant", "content": "a", "thoughts": LONG}]}, chat(50_000, 100),
    ),
    "a tool without a type": (V1, {**PLAIN, "tools": [{"google_search": {}}]}, chat(20_000, 100)),
    "an item of tomorrow": (
        RESPONSES, {"model": "gpt-5.4", "max_output_tokens": 100, "input": [{"type": "seen", "output": LONG}]},
        {"model": "gpt-5.4", "output": [], "usage": {"input_tokens": READ, "output_tokens": 100, "total_tokens": READ + 100}},
    ),
    "a model's own tools": (
        f"{SONNET}/converse", own(tools=[{"type": "custom", "name": "x", "description": LONG}]), conversed(READ, 100),
    ),
    "a model's own words": (f"{SONNET}/converse", own(system=LONG), conversed(READ, 100)),
    "a model's own search": (
        f"{SONNET}/converse", own(tools=[{"type": "web_search_20250305", "name": "s"}]), conversed(25_000, 100),
    ),
    "a member of tomorrow": (f"{SONNET}/invoke", {**CLAUDE, "persona": LONG}, answered(READ, 100)),
    "a family's member of tomorrow": (
        f"{NOVA}/invoke", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 100}, "persona": LONG}, conversed(50_000, 100),
    ),
    "a system's tool in a raw invocation": (
        f"{NOVA}/invoke",
        {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 100}, "toolConfig": {"tools": [{"systemTool": {"name": "g"}}]}},
        conversed(25_000, 100),
    ),
    "a part of tomorrow": (
        GEMINI, {"contents": [{"parts": [{"text": "hi", "said": LONG}]}], "generationConfig": CONFIGURED}, generated(50_000, 100),
    ),
    "searches of every candidate": (
        GEMINI.replace("2.5", "3.5"),
        {"contents": CONTENTS, "generationConfig": {"candidateCount": 4}, "tools": [{"googleSearch": {}}]},
        {**generated(9, 9), "candidates": [searched(each) for each in range(4)], "modelVersion": "gemini-3.5-flash"},
    ),
    "a picture beyond the ceiling": (
        GEMINI.replace("flash", "flash-image"),
        {"contents": CONTENTS, "generationConfig": {"maxOutputTokens": 1}}, generated(9, 1290, **PICTURE),
    ),
    "pictures of pictures": (
        IMAGEN, {"instances": [{"image": {}}], "parameters": {"sampleCount": 4}},
        {"predictions": [{"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}] * 4},
    ),
    "priority in the body, a discount in a header": (
        VERTEX, {"contents": CONTENTS, "generationConfig": CONFIGURED, "serviceTier": "priority"},
        generated(9, 9_000, "ON_DEMAND_PRIORITY"), (SHARED, "flex"),
    ),
    "a header that says two tiers": (
        VERTEX, {"contents": CONTENTS, "generationConfig": CONFIGURED}, generated(9, 9_000, "ON_DEMAND_PRIORITY"),
        (SHARED, "flex"), (SHARED, "priority"),
    ),
    "a line that says two tiers": (
        f"{NOVA}/invoke", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 9_000}}, conversed(9, 9_000),
        (SERVICE_TIER, "priority, default"),
    ),
    "a body's tier beside a header that nobody reads": (
        f"{NOVA}/converse", {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 9_000}, "serviceTier": {"type": "priority"}},
        conversed(9, 9_000, serviceTier={"type": "priority"}), (SERVICE_TIER, "flex"),
    ),
    "a ceiling beside one that is no number": (
        V1, {**PLAIN, "max_completion_tokens": " 90000 "}, chat(8, 90_000),
    ),
    "thoughts whose budget is no number": (
        f"{SONNET}/invoke", {**CLAUDE, "thinking": {"type": "enabled", "budget_tokens": " 50000 "}}, answered(9, 50_000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_request_may_cost_is_held(name: str) -> None:
    path, body, answer, *headers = CASES[name]
    bound, charge, _ = weighed(path, body, answer, *headers)
    assert charge.net_pico, "the dearest answer has its price"
    assert charge.net_pico <= (bound.estimate.net_pico or 0)
    used = {line.unit: line.quantity for line in charge.lines}
    held = bound.estimate.units
    assert {unit: count for unit, count in used.items() if count > held.get(unit, 0)} == {}


def test_a_prompt_that_may_be_summed_up_is_held_for_twice() -> None:
    turns = [{"role": "user", "content": LONG}]
    summing = {"type": "compaction", "input_tokens": READ, "output_tokens": 4_000}
    rest = {"type": "message", "input_tokens": 400, "output_tokens": 4_000}
    answer = answered(400, 4_000, iterations=[summing, rest])
    asked = {"model": "m", "max_tokens": 4_000, "messages": turns}
    once = weighed(FOUNDRY, asked, answer, model="claude-opus-4-6").bound.estimate
    asked = {**asked, "context_management": SUMMED}
    bound, charge, _ = weighed(FOUNDRY, asked, answer, model="claude-opus-4-6")
    assert (charge.net_pico or 0) <= (bound.estimate.net_pico or 0)
    assert bound.estimate.input_tokens == 2 * once.input_tokens
    assert bound.estimate.output_tokens == 2 * once.output_tokens


@pytest.mark.parametrize("value", [" 5 ", "+5", 5.5, "five", [5], True, "1_0", 10**12])
def test_a_number_of_answers_that_only_another_reader_may_read_is_refused(value: object) -> None:
    bodies = (
        (V1, {**PLAIN, "n": value}),
        (f"{SONNET}/converse", own(n=value)),
        (f"{NOVA}/invoke", {"inputText": "a", "numResults": value}),
        (GEMINI, {"contents": CONTENTS, "generationConfig": {"candidateCount": value}}),
        (IMAGEN, {"instances": [{"prompt": "a"}], "parameters": {"sampleCount": value}}),
        ("/azure/openai/v1/images/generations", {"model": "m", "prompt": "a", "n": value}),
    )
    for path, body in bodies:
        with pytest.raises(MalformedBody, match="must be a whole number"):
            weighed(path, body, {})


@pytest.mark.parametrize("tier", [3, ["priority"], True])
def test_a_tier_that_is_no_word_is_refused(tier: object) -> None:
    with pytest.raises(MalformedBody, match="must be a word"):
        weighed(GEMINI, {"contents": CONTENTS, "serviceTier": tier}, {})


def test_a_latency_that_is_asked_by_header_is_asked_for() -> None:
    body = {"messages": BLOCKS, "inferenceConfig": {"maxTokens": 100}}
    answer = conversed(9, 100)
    assert weighed(f"{NOVA}/invoke", body, answer, (LATENCY, "optimized")).asked_tier == "latency"
    assert weighed(f"{NOVA}/invoke", body, answer, (LATENCY, "standard")).asked_tier == STANDARD
    assert weighed(f"{NOVA}/converse", body, answer, (LATENCY, "optimized")).asked_tier == STANDARD


def test_the_web_index_for_enterprises_is_not_booked_as_the_public_one() -> None:
    answer = generated(9, 9)
    answer["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["a", "b"]}
    body = {"contents": CONTENTS, "tools": [{"enterpriseWebSearch": {}}]}
    charge = weighed(VERTEX.replace("2.5", "3.5"), body, answer).charge
    units = {line.unit: (line.quantity, line.list_pico) for line in charge.lines}
    assert units["grounding_enterprise_web_search"] == (2, None)  # without a price, never another's
    both = {"contents": CONTENTS, "tools": [{"enterpriseWebSearch": {}, "googleSearch": {}}]}
    charge = weighed(VERTEX.replace("2.5", "3.5"), both, answer).charge
    assert "grounding_google_search" in {line.unit for line in charge.lines}


def test_tiers_below_standard_are_the_same_to_providers_and_prices() -> None:
    assert (BELOW, PROVIDERS_STANDARD) == (DISCOUNTED, STANDARD)


def test_what_costs_nothing_is_not_held_for() -> None:
    free = {
        "metadata": {"note": LONG}, "user": "u" * 900, "prompt_cache_key": "k" * 64, "safety_identifier": "s" * 64,
        "service_tier": "default", "tool_choice": "auto", "parallel_tool_calls": True,
    }  # fmt: skip
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBO" * 9_000}}
    answer = chat(8, 100)
    plain = weighed(V1, PLAIN, answer).bound
    assert weighed(V1, {**PLAIN, **free}, answer).bound == plain
    seen = {**PLAIN, "messages": [{"role": "user", "content": [image]}]}
    assert weighed(V1, seen, answer).bound.estimate.input_tokens < 9_000


ADVISED: Final = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6"}


@pytest.mark.parametrize(
    ("beside", "times"),
    [
        ({"tools": [ADVISED | {"max_uses": 2}]}, 2),
        ({"tools": [ADVISED]}, 10),
        ({"fallbacks": [{"model": "claude-opus-4-6"}]}, 1),
    ],
)
def test_another_model_that_a_request_has_asked_is_held_at_its_own_price(
    beside: dict[str, Any], times: int
) -> None:
    asked = {"model": "m", "max_tokens": 4_000, "messages": [{"role": "user", "content": LONG}]}
    each = {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": READ, "output_tokens": 4_000}  # fmt: skip
    own_ = {"type": "message", "input_tokens": READ, "output_tokens": 4_000}
    answer = answered(READ, 4_000, iterations=[own_, *[each] * times])
    bound, charge, _ = weighed(FOUNDRY, asked | beside, answer, model="claude-haiku-4-5")
    dear = [line for line in charge.lines if line.model == "claude-opus-4-6"]
    assert len(dear) == 2 * times
    assert (charge.net_pico or 0) <= (bound.estimate.net_pico or 0)
    alone = weighed(FOUNDRY, asked, answer, model="claude-haiku-4-5").bound.estimate
    assert (alone.net_pico or 0) < (charge.net_pico or 0)


def test_another_model_without_a_price_is_wanting() -> None:
    asked = {
        "model": "m",
        "max_tokens": 9,
        "messages": TURN,
        "fallbacks": [{"model": "of-tomorrow"}],
    }
    assert weighed(FOUNDRY, asked, answered(9, 9), model="claude-haiku-4-5").bound.wanting == "of-tomorrow"  # fmt: skip
