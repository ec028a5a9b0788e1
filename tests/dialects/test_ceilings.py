"""Every field by which a client may bound its answer, in every dialect that has one."""

import json
from typing import Any

import pytest

from gateway.dialects.anthropic import INVOKE, MESSAGES
from gateway.dialects.bedrock_families import FAMILIES
from gateway.dialects.contract import Dialect, Request
from gateway.dialects.converse import CONVERSE
from gateway.dialects.gemini import GENERATE, INTERACTIONS
from gateway.dialects.openai_chat import CHAT, COMPLETIONS, MISTRAL
from gateway.dialects.openai_media import IMAGES, TRANSCRIPTION
from gateway.dialects.openai_responses import RESPONSES

CHATTED: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}]}
PROMPTED: dict[str, Any] = {"prompt": "a"}
NOTHING: dict[str, Any] = {}


def labelled(value: object) -> str:
    return getattr(value, "name", str(value))


def read(dialect: Dialect, *parts: dict[str, Any]) -> Request:
    body: dict[str, Any] = {}
    for part in parts:
        body |= part
    return dialect.read_request(json.dumps(body).encode(), b"application/json")


CEILINGS: list[tuple[Dialect, dict[str, Any], dict[str, Any]]] = [
    (CHAT, CHATTED, {"max_tokens": 70}),
    (CHAT, CHATTED, {"max_completion_tokens": 70}),
    (CHAT, CHATTED, {"max_completion_tokens": 70, "max_tokens": 7}),
    (MISTRAL, CHATTED, {"max_tokens": 70}),
    (COMPLETIONS, PROMPTED, {"max_tokens": 70}),
    (RESPONSES, NOTHING, {"max_output_tokens": 70}),
    (MESSAGES, CHATTED, {"max_tokens": 70}),
    (INVOKE, CHATTED, {"max_tokens": 70}),
    (INVOKE, PROMPTED, {"max_tokens_to_sample": 70}),
    (CONVERSE, CHATTED, {"inferenceConfig": {"maxTokens": 70}}),
    *(
        (CONVERSE, CHATTED, {"inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": own})
        for own in (
            {"max_tokens": 70}, {"maxTokens": 70}, {"max_new_tokens": 70}, {"max_gen_len": 70},
            {"max_completion_tokens": 70}, {"inferenceConfig": {"maxTokens": 70}},
        )
    ),
    *(
        (FAMILIES, PROMPTED, own)
        for own in (
            {"max_gen_len": 70}, {"max_tokens": 70}, {"maxTokens": 70}, {"max_new_tokens": 70},
            {"max_completion_tokens": 70}, {"max_tokens_to_sample": 70},
        )
    ),
    (FAMILIES, {"inputText": "a"}, {"textGenerationConfig": {"maxTokenCount": 70}}),
    (FAMILIES, CHATTED, {"inferenceConfig": {"maxTokens": 70}}),
    (FAMILIES, CHATTED, {"inferenceConfig": {"max_new_tokens": 70}}),
    (GENERATE, NOTHING, {"generationConfig": {"maxOutputTokens": 70}}),
    (GENERATE, NOTHING, {"generation_config": {"max_output_tokens": "70"}}),
    (INTERACTIONS, {"input": "a"}, {"generation_config": {"max_output_tokens": 70}}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "body", "own"), CEILINGS, ids=labelled)
def test_a_ceiling_is_read_by_whatever_name(
    dialect: Dialect, body: dict[str, Any], own: dict[str, Any]
) -> None:
    assert read(dialect, body).output_ceiling is None
    assert read(dialect, body, own).output_ceiling == 70


@pytest.mark.parametrize(
    ("dialect", "body", "own"),
    [
        (CHAT, CHATTED, {"n": 3}),
        (MISTRAL, CHATTED, {"n": 3}),
        (COMPLETIONS, PROMPTED, {"n": 3}),
        (COMPLETIONS, PROMPTED, {"n": 2, "best_of": 3}),
        (COMPLETIONS, {"prompt": ["a", "b", "c"]}, NOTHING),
        (IMAGES, PROMPTED, {"n": 3}),
        (FAMILIES, PROMPTED, {"n": 3}),
        (FAMILIES, PROMPTED, {"num_generations": 3}),
        (FAMILIES, PROMPTED, {"numResults": 3}),
        (GENERATE, NOTHING, {"generationConfig": {"candidateCount": 3}}),
        (GENERATE, NOTHING, {"generation_config": {"candidate_count": 3}}),
    ],
    ids=labelled,
)
def test_every_answer_that_is_asked_for_counts(
    dialect: Dialect, body: dict[str, Any], own: dict[str, Any]
) -> None:
    assert read(dialect, body, own).choices == 3


@pytest.mark.parametrize(
    ("budget", "ceiling"), [(1, 2048), (2047, 2048), (2048, 4096), (10_000, 12_048), (None, 2048)]
)
def test_thoughts_are_part_of_the_ceiling_unless_their_budget_is_not_below_it(
    budget: int | None, ceiling: int
) -> None:
    thinking: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": budget}}
    for dialect in (MESSAGES, INVOKE):
        assert read(dialect, CHATTED, {"max_tokens": 2048}, thinking).output_ceiling == ceiling
        assert read(dialect, CHATTED, thinking).output_ceiling is None
    own = {"inferenceConfig": {"maxTokens": 2048}, "additionalModelRequestFields": thinking}
    assert read(CONVERSE, CHATTED, own).output_ceiling == ceiling


def test_a_thinking_budget_of_gemini_is_part_of_its_ceiling() -> None:
    config = {"maxOutputTokens": 70, "thinkingConfig": {"thinkingBudget": 24_000}}
    assert read(GENERATE, {"generationConfig": config}).output_ceiling == 70


@pytest.mark.parametrize(
    ("dialect", "own", "hosted", "units"),
    [
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "max_uses": 3}]}, 1, {"web_search_requests": 3}),
        (MESSAGES, {"tools": [{"type": "web_fetch_20250910"}]}, 1, {"web_fetch_requests": 10}),
        (MESSAGES, {"tools": [{"type": "code_execution_20250522"}], "mcp_servers": [{}]}, 2, {}),
        (MESSAGES, {"tools": [{"name": "own"}, {"type": "custom", "name": "own"}]}, 0, {}),
        (CHAT, {"web_search_options": {}, "n": 2}, 1, {"web_search_requests": 2}),
        (CHAT, {"tools": [{"type": "vendor:web_search"}]}, 1, {}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "own"}}]}, 0, {}),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, 0, {"web_search_requests": 10}),
        (RESPONSES, {"tools": [{"type": "web_search_preview"}], "max_tool_calls": 2}, 0, {"web_search_requests": 2}),
        (GENERATE, {"tools": [{"googleSearch": {}}]}, 1, {"grounding_google_search": 10, "grounding_google_search_prompts": 1}),
        (GENERATE, {"tools": [{"google_maps": {}}, {"urlContext": {}}]}, 2, {"grounding_google_maps": 1}),
        (GENERATE, {"tools": [{"functionDeclarations": [{"name": "own"}]}]}, 0, {}),
        (CONVERSE, {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}, {"toolSpec": {"name": "own"}}]}}, 1, {}),
    ],
    ids=labelled,
)  # fmt: skip
def test_tools_that_the_provider_runs_are_told_from_the_clients_own(
    dialect: Dialect, own: dict[str, Any], hosted: int, units: dict[str, int]
) -> None:
    body = NOTHING if dialect is RESPONSES else CHATTED
    request = read(dialect, body, own)
    assert (request.hosted, request.tool_units) == (hosted, units)


def test_a_file_that_a_function_answers_with_is_a_part_of_the_prompt() -> None:
    parts = [
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"fileData": {"mimeType": "application/pdf"}},
    ]
    answer = {"functionResponse": {"name": "get_file", "response": {"a": 1}, "parts": parts}}
    (turn,) = read(GENERATE, {"contents": [{"role": "user", "parts": [answer]}]}).prompt.turns
    assert (len(turn.images), turn.opaque) == (1, 1)


def test_sealed_thoughts_that_are_sent_back_are_known_by_their_length() -> None:
    part = {"functionCall": {"name": "f"}, "thoughtSignature": "x" * 40}
    body = {"contents": [{"role": "model", "parts": [part, {"thought_signature": "y" * 2}]}]}
    assert read(GENERATE, body).sealed == 42
    items = [
        {"type": "reasoning", "encrypted_content": "z" * 9},
        {"role": "user", "content": "encrypted_content"},
    ]
    assert read(RESPONSES, {"input": items}).sealed == 9
    assert read(RESPONSES, {"input": "a"}).sealed == 0


def test_the_size_of_a_form_is_known() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--x--\r\n'
    request = TRANSCRIPTION.read_request(body, b"multipart/form-data; boundary=x")
    assert request.media_bytes == len(body)
