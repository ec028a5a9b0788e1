"""Gemini requests: two spellings of every member, and everything that can be counted."""

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.gemini import EMBED, GENERATE, INTERACTIONS, LIVE, PREDICT
from gateway.kernel.errors import MalformedBody
from tests.dialects.answers import JSON, asked, odd_values

# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        {"generationConfig": {"maxOutputTokens": 50, "candidateCount": 3}},
        {"generation_config": {"max_output_tokens": 50, "candidate_count": 3}},
        {"generationConfig": {"maxOutputTokens": "50", "candidateCount": 3.0}},
    ],
)
def test_limits_are_read_in_every_spelling_that_protobuf_takes(body: dict[str, object]) -> None:
    request = asked(GENERATE, body)
    assert (request.output_ceiling, request.choices) == (50, 3)


@pytest.mark.parametrize(
    "body",
    [
        {"generationConfig": {}, "generation_config": {}},
        {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}},
    ],
)
def test_two_spellings_at_once_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(MalformedBody, match="both"):
        asked(GENERATE, body)


def test_one_spelling_twice_is_refused() -> None:
    body = b'{"generationConfig":{},"contents":[],"generationConfig":{"maxOutputTokens":9}}'
    with pytest.raises(MalformedBody, match="generationConfig"):
        GENERATE.read_request(body, JSON.encode())


def test_everything_that_can_be_counted_is_in_the_prompt() -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzIAAAABlBMVEX///+/v7+jQ3Y5"
    parts = [
        {"text": "one"},
        {"inlineData": {"mimeType": "image/png", "data": png}},
        {"inline_data": {"mime_type": "audio/wav", "data": "AA=="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://pictures/a"}},
        {"functionResponse": {"name": "look", "response": {"seen": 1}}},
        {"executableCode": {"code": "print(1)"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://films/a"}},
        "no part",
    ]
    body = {
        "system_instruction": {"parts": {"text": "be kind"}},
        "contents": [
            {"role": "user", "parts": parts},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"at": "it"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": {"type": "OBJECT"}}]},
                  {"googleSearch": {}}],
        "cachedContent": "cachedContents/1",
        "generationConfig": {"responseSchema": {"type": "OBJECT"}},
    }  # fmt: skip
    prompt = asked(GENERATE, body).prompt
    system, cached, user, model = prompt.turns
    assert (system.role, system.text) == ("system", "be kind")
    assert cached.opaque == 1
    assert user.text.split("\n") == ["one", "look", '{"seen":1}', "print(1)"]
    assert [(image.width, image.height) for image in user.images] == [(8, 8), (None, None)]
    assert user.opaque == 3
    assert [(call.name, call.arguments) for call in model.tool_calls] == [("look", '{"at":"it"}')]
    assert [function.name for function in prompt.functions] == ["look", "googleSearch"]
    assert prompt.schema is not None


@given(body=st.dictionaries(st.sampled_from(["contents", "systemInstruction", "tools", "generationConfig",
                                             "requests", "content", "instances", "parameters", "input"]),
                            odd_values))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_wrong_type_is_the_providers_to_refuse(body: dict[str, object]) -> None:
    for dialect in (GENERATE, EMBED, PREDICT, INTERACTIONS):
        assert asked(dialect, body).choices >= 1


def test_embedding_requests_count_each_text() -> None:
    one = {"content": {"parts": [{"text": "a"}, {"text": "b"}]}}
    assert [turn.text for turn in asked(EMBED, one).prompt.turns] == ["a\nb"]
    batch = {"requests": [one, {"content": {"parts": [{"text": "c"}]}}]}
    prompt = asked(EMBED, batch).prompt
    assert [turn.text for turn in prompt.turns] == ["a\nb", "c"]
    assert prompt.shape == "embeddings"


def test_an_interaction_request_is_read() -> None:
    body = {
        "model": "gemini-3-pro",
        "stream": True,
        "system_instruction": "be kind",
        "input": [
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "audio"}]}
        ],
        "generation_config": {"max_output_tokens": 64},
    }
    request = asked(INTERACTIONS, body)
    assert (request.model, request.stream, request.output_ceiling) == ("gemini-3-pro", True, 64)
    assert [turn.text for turn in request.prompt.turns] == ["be kind", "one"]
    assert request.prompt.turns[1].opaque == 1


def test_every_item_of_an_interaction_is_read() -> None:
    said = [
        {"type": "image", "data": "AA=="},
        {"type": "function_call", "name": "look", "arguments": {"at": "it"}},
        {"type": "function_result", "result": {"seen": 1}},
    ]
    request = asked(INTERACTIONS, {"agent": "a", "input": said, "previous_interaction_id": "i"})
    (turn,) = request.prompt.turns
    assert request.model == "a"
    assert (turn.text, len(turn.images), turn.opaque) == ('{"seen":1}', 1, 1)
    assert [(call.name, call.arguments) for call in turn.tool_calls] == [("look", '{"at":"it"}')]


def test_a_live_session_is_set_up_by_its_first_frame() -> None:
    request = asked(LIVE, {"setup": {"model": "models/gemini-live"}})
    assert (request.model, request.stream) == ("models/gemini-live", True)
    assert LIVE.read_request(b"", b"").model is None
    assert LIVE.strip(request) is None
