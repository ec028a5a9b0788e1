"""What a request decides does not depend on how its names are written; where two could take it otherwise, it is refused."""

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from gateway.dialects import (
    anthropic,
    bedrock_families,
    converse,
    gemini,
    openai_chat,
    openai_media,
    openai_responses,
)
from gateway.dialects.contract import Dialect
from gateway.kernel.errors import MalformedBody
from gateway.providers import bedrock
from gateway.wire.messages import Inbound
from gateway.wire.references import references
from tests.dialects.spellings import escaped_names

TEXT: Final = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
GENERATE: Final = {
    "contents": [{"role": "model", "parts": [{"text": "a", "thoughtSignature": "x" * 40}]}],
    "generationConfig": {"maxOutputTokens": 77, "candidateCount": 2},
    "tools": [{"googleSearch": {}}],
    "cachedContent": "cachedContents/1",
    "serviceTier": "flex",
}
RESPONSES: Final = {
    "model": "m", "stream": True, "max_output_tokens": 77, "service_tier": "flex", "store": False,
    "input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "z" * 9}],
    "tools": [{"type": "web_search", "container": "cntr_1", "vector_store_ids": ["vs_1"]}],
    "previous_response_id": "resp_1", "max_tool_calls": 3,
}  # fmt: skip
MESSAGES: Final = {
    "model": "m", "stream": True, "max_tokens": 900, "anthropic_version": "bedrock-2023-05-31",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "messages": [{"role": "user", "content": [TEXT]}],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 7}],
}  # fmt: skip
CONVERSE: Final = {
    "inferenceConfig": {"maxTokens": 900},
    "messages": [{"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]}],
    "additionalModelRequestFields": {
        "thinking": {"budget_tokens": 4000}, "inferenceConfig": {"max_new_tokens": 80}, "n": 2,
        "system": [TEXT],
    },
    "serviceTier": {"type": "flex"}, "guardrailConfig": {"guardrailIdentifier": "g"},
}  # fmt: skip
CHAT: Final = {
    "model": "m", "stream": True, "stream_options": {"include_usage": True}, "n": 3,
    "max_completion_tokens": 77, "service_tier": "flex", "store": True, "web_search_options": {},
    "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}],
}  # fmt: skip
FAMILY: Final = {
    "inputText": "hi", "textGenerationConfig": {"maxTokenCount": 77}, "numResults": 2,
}  # fmt: skip
ASKED: Final[tuple[tuple[Dialect, dict[str, Any]], ...]] = (
    (gemini.GENERATE, GENERATE),
    (gemini.PREDICT, {"instances": [{"prompt": "a"}], "parameters": {"sampleCount": 3}}),
    (openai_responses.RESPONSES, RESPONSES),
    (anthropic.MESSAGES, MESSAGES),
    (converse.CONVERSE, CONVERSE),
    (openai_chat.CHAT, CHAT),
    (openai_media.IMAGES, {"model": "m", "prompt": "a", "n": 3}),
    (bedrock_families.FAMILIES, FAMILY),
)
blanks = st.sampled_from(["", " ", "\r\n\t"])
letters = st.sets(st.integers(0, 300), max_size=40)


def decided(dialect: Dialect, body: bytes) -> tuple[object, object]:
    request = dialect.read_request(body, b"application/json")
    return replace(request, opted_body=None, media_bytes=0), references(body)


@settings(max_examples=300)
@given(case=st.sampled_from(ASKED), letters=letters, blank=blanks)
def test_names_in_escapes_decide_the_same(
    case: tuple[Dialect, dict[str, Any]], letters: set[int], blank: str
) -> None:
    dialect, asked = case
    body = json.dumps(asked)
    changed = escaped_names(body, letters, blank)
    assert json.loads(changed) == asked
    assert decided(dialect, changed.encode()) == decided(dialect, body.encode())


def with_twin(asked: dict[str, Any], path: tuple[str, ...], twin: str, value: object) -> str:
    """The body with another member beside the one at a path, in front of it: our decoder takes the last."""
    mark = "0beside0"
    copy = json.loads(json.dumps(asked))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = {mark: inner[path[-1]]}
    text = json.dumps(copy)
    start = text.index(f'"{path[-1]}": {{"{mark}": ')
    end = text.index("}", text.index(mark))
    held = text[text.index(mark) + len(mark) + 3 : end]
    return f'{text[:start]}"{twin}": {json.dumps(value)}, "{path[-1]}": {held}{text[end + 1 :]}'


@settings(max_examples=200)
@given(
    case=st.sampled_from(
        [
            (gemini.GENERATE, GENERATE, ("generationConfig", "maxOutputTokens")),
            (gemini.GENERATE, GENERATE, ("generationConfig", "candidateCount")),
            (gemini.PREDICT, ASKED[1][1], ("parameters", "sampleCount")),
            (anthropic.MESSAGES, MESSAGES, ("thinking", "budget_tokens")),
            (anthropic.MESSAGES, MESSAGES, ("max_tokens",)),
            (converse.CONVERSE, CONVERSE, ("inferenceConfig", "maxTokens")),
            (converse.CONVERSE, CONVERSE, ("additionalModelRequestFields", "n")),
            (
                converse.CONVERSE, CONVERSE,
                ("additionalModelRequestFields", "thinking", "budget_tokens"),
            ),
            (
                converse.CONVERSE, CONVERSE,
                ("additionalModelRequestFields", "inferenceConfig", "max_new_tokens"),
            ),
            (bedrock_families.FAMILIES, FAMILY, ("textGenerationConfig", "maxTokenCount")),
            (openai_responses.RESPONSES, RESPONSES, ("max_output_tokens",)),
            (openai_chat.CHAT, CHAT, ("n",)),
        ]
    ),
    shape=st.sampled_from([str, str.upper, str.title]),
    letters=letters,
    blank=blanks,
)  # fmt: skip
def test_a_ceiling_beside_another_spelling_of_itself_is_refused(
    case: tuple[Dialect, dict[str, Any], tuple[str, ...]], shape: Any, letters: set[int], blank: str
) -> None:
    dialect, asked, path = case
    body = with_twin(asked, path, shape(path[-1]), 99_999)
    assert json.loads(body).keys() >= asked.keys()
    with pytest.raises(MalformedBody):
        dialect.read_request(escaped_names(body, letters, blank).encode(), b"application/json")


@given(letters=letters, blank=blanks)
def test_an_opaque_profile_is_read_by_its_own_version_member(letters: set[int], blank: str) -> None:
    path = b"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fx/invoke"

    def spoken(body: str) -> object:
        return bedrock.PROVIDER.recognise(Inbound(b"POST", path, b"", (), body.encode())).dialect

    assert spoken(escaped_names(json.dumps(MESSAGES), letters, blank)) is anthropic.INVOKE
    other = FAMILY | {"stopSequences": ["anthropic_version"], "x": {"anthropic_version": "1"}}
    assert spoken(escaped_names(json.dumps(other), letters, blank)) is bedrock_families.FAMILIES
