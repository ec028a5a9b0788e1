"""What a wire name means, from the request to the row: scope, place, tier and price, on real sockets."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from gateway.kernel.money import format_usd
from gateway.ledger.entry import Entry
from tests.serving import RawUpstream, Running, Script, raw_exchange, serving

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
TUNED = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/nobody-maps-me"
CONFIGURED = f"""
[[deployments]]
name = "chat-eu"
upstream = "azure-test"
model = "gpt-5.4"
scope = "data_zone"
geo = "eu"

[[deployments]]
name = "reserved"
upstream = "azure-test"
model = "gpt-5.4"
scope = "provisioned"

[[deployments]]
name = "{ARN}"
upstream = "runtime-test"
model = "anthropic.claude-sonnet-4-5"
scope = "geo"
geo = "us"
"""
CHAT_USAGE = {
    "prompt_tokens": 100_000,
    "completion_tokens": 2000,
    "total_tokens": 102_000,
    "prompt_tokens_details": {"cached_tokens": 88_000},
}
CLAUDE_USAGE = {"inputTokens": 1000, "outputTokens": 1000, "totalTokens": 2000}


class Case(NamedTuple):
    """A request, the answer's head and model, and the row's fields it must become; ``usd`` is the list price."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    answer: dict[str, Any]
    usd: str
    fields: dict[str, Any]


def chat(model: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "model": model,
        "choices": [],
        "usage": CHAT_USAGE,
        **more,
    }


def azure(
    wire: str, answer: dict[str, Any], usd: str, headers: dict[str, str], **fields: Any
) -> Case:
    path = f"/azure/openai/deployments/{wire}/chat/completions?api-version=2026-01-01"
    asked = {"messages": [], **fields.pop("asked", {})}
    return Case(path, asked, headers, answer, usd, fields)


def converse(wire: str, usd: str, **fields: Any) -> Case:
    answer = {
        "output": {"message": {"role": "assistant", "content": []}},
        "stopReason": "end_turn",
        "usage": CLAUDE_USAGE,
    }
    body = {"messages": [{"role": "user", "content": [{"text": "weigh"}]}]}
    return Case(f"/bedrock/model/{quote(wire, safe='')}/converse", body, {}, answer, usd, fields)


def vertex(location: str, wire: str, usd: str, **fields: Any) -> Case:
    answer = {
        "id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": [],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1000, "output_tokens": 1000},
    }  # fmt: skip
    path = (
        f"/google/v1/projects/p/locations/{location}/publishers/anthropic/models/{wire}:rawPredict"
    )
    body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": []}
    return Case(path, body, {}, answer, usd, fields)


CASES = {
    "a deployment's scope and geo are its configuration's, its region the answer's": azure(
        "chat-eu", chat("gpt-5.4-2026-03-05"), "0.0902", {"x-ms-region": "Sweden Central"},
        model="gpt-5.4", scope="data_zone", geo="eu", region="swedencentral", flags=(),
    ),
    "another model than the deployment maps to is charged as served": azure(
        "chat-eu", chat("gpt-5.4-mini-2026-03-17"), "", {},
        model="gpt-5.4-mini", flags=("model_mismatch",),
    ),
    "a model nobody knows leaves the mapped one, flagged": azure(
        "chat-eu", chat("gpt-99"), "0.0902", {}, model="gpt-5.4", flags=("served_model_unknown",),
    ),
    "another tier than was asked for is charged as served": azure(
        "chat-eu", chat("gpt-5.4-2026-03-05", service_tier="default"), "0.0902", {},
        asked={"service_tier": "priority"}, tier="standard", flags=("tier_mismatch",),
    ),
    "provisioned capacity costs nothing more, and shows what it would have": azure(
        "reserved", chat("gpt-5.4-2026-03-05"), "0.082", {}, price_status="zero_marginal", net_pico=0,
    ),
    "what spilled over is charged pay-as-you-go": azure(
        "reserved", chat("gpt-5.4-2026-03-05"), "0.082", {"x-ms-is-spilled-over": "true"},
        price_status="priced", net_pico=82 * 10**9, flags=("spilled_over",),
    ),
    "a bare id is in the upstream's region": converse(
        "anthropic.claude-sonnet-4-6", "0.0198", scope="in_region", geo=None, region="us-east-1",
    ),
    "a geo profile says its geo": converse(
        "eu.anthropic.claude-sonnet-4-6", "0.0198", scope="geo", geo="eu",
    ),
    "a global profile is global": converse("global.anthropic.claude-sonnet-4-6", "0.018", scope="global"),
    "a government profile has its own price": converse(
        "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "0.0216", scope="geo", geo="us-gov",
    ),
    "a profile's ARN names its model": converse(
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "0.0198", model="anthropic.claude-sonnet-4-5", scope="geo", geo="us",
    ),
    "an application profile is what the configuration says": converse(
        ARN, "0.0198", model="anthropic.claude-sonnet-4-5", scope="geo", geo="us", deployment=ARN,
    ),
    "an application profile nobody mapped has no price": converse(
        TUNED, "", model=None, price_status="unpriced", flags=("unpriced",),
    ),
    "a name that only looks like a model is none": converse(
        "anthropic.claude-sonnet-4-6-turbo", "", model=None, price_status="unpriced",
    ),
    "a location of Vertex is a region at its uplift": vertex(
        "europe-west1", "claude-sonnet-4-5@20250929", "0.0198", scope="regional", region="europe-west1",
        model="claude-sonnet-4-5",
    ),
    "the global location is global": vertex(
        "global", "claude-sonnet-4-5@20250929", "0.018", scope="global", model="claude-sonnet-4-5",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[list[Case], str]]:
    """An upstream that answers with the case at hand."""
    at_hand: list[Case] = []

    def answer(head: bytes, body: bytes) -> Script:
        case = at_hand[-1]
        headers = [("content-type", "application/json"), *case.headers.items()]
        return Script(200, headers, [json.dumps(case.answer).encode()])

    with RawUpstream(answer).running() as url:
        yield at_hand, url


@pytest.fixture(scope="module")
def running(
    cloud: tuple[list[Case], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("resolution"), cloud[1], CONFIGURED) as gateway:
        yield gateway


def asked(running: Running, case: Case, key: str) -> tuple[int, bytes]:
    body = json.dumps(case.body).encode()
    request = (
        f"POST {case.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    head, content, _ = raw_exchange(running.port, request)
    return int(head.split()[1]), content


@pytest.mark.parametrize("what", CASES)
def test_a_wire_name_means_one_model_at_one_place_at_one_price(
    what: str, cloud: tuple[list[Case], str], running: Running
) -> None:
    case = CASES[what]
    cloud[0].append(case)
    before = {row.id for row in running.rows(0, 0)}
    status, content = asked(running, case, running.key.key)
    assert status == 200, content
    (row,) = (row for row in running.rows(len(before) + 1) if row.id not in before)
    assert {name: value(row, name) for name in case.fields} == case.fields
    if case.usd:
        assert row.list_pico is not None
        assert format_usd(row.list_pico) == case.usd


def value(row: Entry, name: str) -> object:
    found: object = getattr(row, name)
    return found


def test_a_name_that_hides_its_model_is_refused_with_the_cure(
    cloud: tuple[list[Case], str], running: Running
) -> None:
    case = CASES["an application profile nobody mapped has no price"]
    cloud[0].append(case)
    strict = running.make_key(allow_unpriced=False)
    status, content = asked(running, case, strict.key)
    assert status == 403
    assert b"[[deployments]]" in content
    assert b"application inference profile" in content
