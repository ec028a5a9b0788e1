"""What a scripted provider answers: recorded shapes with usage that adds up, whole or as stream events.

Every function is pure: text and counts in, bytes out. To script another operation: one function here and
its line in ``scripted.ROUTES``.
"""

import base64
from typing import Final

import msgspec
import orjson

from gateway.wire.eventstream import encode
from gateway.wire.jsondoc import Json

TEXT: Final = (
    "A weighbridge weighs lorries as they drive across: nothing is unloaded. This answer crosses one, "
    "token by token, and every token of it ends up on exactly one row."
)


class Counts(msgspec.Struct, frozen=True):
    """The usage a scripted answer states: disjoint parts."""

    input: int
    cached: int
    output: int
    reasoning: int = 0

    @property
    def prompt(self) -> int:
        """Input with its cached part, as OpenAI and Gemini state it."""
        return self.input + self.cached


def pieces(text: str, size: int = 12) -> list[str]:
    """A text in stream-sized pieces."""
    return [text[i : i + size] for i in range(0, len(text), size)]


def sse(event: Json, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + orjson.dumps(event) + b"\n\n"


# -- OpenAI ------------------------------------------------------------------------------------------


def openai_usage(counts: Counts) -> dict[str, Json]:
    """CompletionUsage: inclusive totals with details."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output + counts.reasoning,
        "total_tokens": counts.prompt + counts.output + counts.reasoning,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "audio_tokens": 0},
    }


def chat(model: str, counts: Counts) -> bytes:
    """A chat completion."""
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    return orjson.dumps(
        {
            "id": "chatcmpl-demo",
            "object": "chat.completion",
            "created": 1790000000,
            "model": model,
            "service_tier": "default",
            "choices": [
                {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
            ],
            "usage": openai_usage(counts),
        }
    )


def chat_stream(model: str, counts: Counts, *, include_usage: bool) -> list[bytes]:
    """A streamed chat completion; the first chunk has no choices, as Azure's has."""

    def chunk(choices: list[Json], **more: Json) -> bytes:
        event: dict[str, Json] = {
            "id": "chatcmpl-demo",
            "object": "chat.completion.chunk",
            "created": 1790000000,
            "model": model,
            "choices": choices,
            **more,
        }
        if include_usage:
            event.setdefault("usage", None)
        return sse(event)

    def delta(content: dict[str, Json], finish: str | None = None) -> list[Json]:
        return [{"index": 0, "delta": content, "finish_reason": finish, "logprobs": None}]

    events = [
        chunk([], prompt_filter_results=[]),
        chunk(delta({"role": "assistant", "content": ""})),
    ]
    events += [chunk(delta({"content": piece})) for piece in pieces(TEXT)]
    events.append(chunk(delta({}, "stop")))
    if include_usage:
        usage: Json = openai_usage(counts)
        events.append(chunk([], usage=usage))
    return [*events, b"data: [DONE]\n\n"]


def _response(model: str, counts: Counts, status: str) -> dict[str, Json]:
    output: Json = {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
    }
    usage: Json = {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.output + counts.reasoning,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.output + counts.reasoning,
    }
    done = status == "completed"
    return {
        "id": "resp_demo",
        "object": "response",
        "created_at": 1790000000,
        "status": status,
        "model": model,
        "output": [output] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "usage": usage if done else None,
    }


def responses(model: str, counts: Counts) -> bytes:
    """A Responses API answer."""
    return orjson.dumps(_response(model, counts, "completed"))


def responses_stream(model: str, counts: Counts) -> list[bytes]:
    """A streamed one: usage in the terminal event only, no [DONE]."""
    item: dict[str, Json] = {"id": "msg_demo", "type": "message", "role": "assistant"}
    place: dict[str, Json] = {"item_id": "msg_demo", "output_index": 0, "content_index": 0}
    begun: Json = {**item, "status": "in_progress", "content": []}
    part: Json = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Json]] = [
        {"type": "response.created", "response": _response(model, counts, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", "part": part, **place},
    ]
    events += [
        {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **place}
        for piece in pieces(TEXT)
    ]
    whole: Json = {"type": "output_text", "text": TEXT, "annotations": []}
    ended: Json = {**item, "status": "completed", "content": [whole]}
    events += [
        {"type": "response.output_text.done", "text": TEXT, "logprobs": [], **place},
        {"type": "response.content_part.done", "part": whole, **place},
        {"type": "response.output_item.done", "output_index": 0, "item": ended},
        {"type": "response.completed", "response": _response(model, counts, "completed")},
    ]
    return [
        sse({**event, "sequence_number": number}, str(event["type"]))
        for number, event in enumerate(events)
    ]


def embeddings(model: str, counts: Counts, items: int) -> bytes:
    """Embeddings as base64, which is what the SDK silently asks for."""
    vector = base64.b64encode(b"\x00\x00\x80\x3f" * 8).decode()
    rows: list[Json] = [
        {"object": "embedding", "index": i, "embedding": vector} for i in range(items)
    ]
    usage: Json = {"prompt_tokens": counts.prompt, "total_tokens": counts.prompt}
    return orjson.dumps({"object": "list", "data": rows, "model": model, "usage": usage})


# -- Anthropic ---------------------------------------------------------------------------------------


def _anthropic_usage(counts: Counts, output: int) -> dict[str, Json]:
    return {
        "input_tokens": counts.input,
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def message(model: str, counts: Counts) -> bytes:
    """A Messages API answer."""
    return orjson.dumps(
        {
            "id": "msg_demo",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": _anthropic_usage(counts, counts.output),
        }
    )


def message_events(model: str, counts: Counts) -> list[dict[str, Json]]:
    """The events of a streamed one; message_delta's usage is cumulative."""
    start: Json = {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _anthropic_usage(counts, 1),
    }
    block: Json = {"type": "text", "text": ""}
    events: list[dict[str, Json]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
    ]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in pieces(TEXT)
    ]
    events += [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": counts.output},
        },
        {"type": "message_stop"},
    ]
    return events


def message_stream(model: str, counts: Counts) -> list[bytes]:
    """The same as server-sent events."""
    return [sse(event, str(event["type"])) for event in message_events(model, counts)]


def invoke_stream(model: str, counts: Counts) -> list[bytes]:
    """The same as InvokeModel event-stream chunks, the last with invocation metrics."""
    events = message_events(model, counts)
    events[-1]["amazon-bedrock-invocationMetrics"] = {
        "inputTokenCount": counts.input,
        "outputTokenCount": counts.output,
        "cacheReadInputTokenCount": counts.cached,
        "cacheWriteInputTokenCount": 0,
        "invocationLatency": 900,
        "firstByteLatency": 200,
    }
    return [
        _frame("chunk", {"bytes": base64.b64encode(orjson.dumps(event)).decode(), "p": "abcdef"})
        for event in events
    ]


# -- Converse ----------------------------------------------------------------------------------------


def _converse_usage(counts: Counts) -> dict[str, Json]:
    return {
        "inputTokens": counts.input,
        "outputTokens": counts.output,
        "totalTokens": counts.input + counts.cached + counts.output,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": 0,
    }


def converse(counts: Counts) -> bytes:
    """A Converse answer."""
    return orjson.dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
            "stopReason": "end_turn",
            "usage": _converse_usage(counts),
            "metrics": {"latencyMs": 900},
        }
    )


def converse_stream(counts: Counts) -> list[bytes]:
    """A streamed one as event-stream frames; usage in the last, ``metadata``."""
    frames = [_frame("messageStart", {"role": "assistant", "p": "abc"})]
    frames += [
        _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}, "p": "ab"})
        for piece in pieces(TEXT)
    ]
    frames += [
        _frame("contentBlockStop", {"contentBlockIndex": 0}),
        _frame("messageStop", {"stopReason": "end_turn"}),
        _frame("metadata", {"usage": _converse_usage(counts), "metrics": {"latencyMs": 900}}),
    ]
    return frames


def _frame(kind: str, payload: dict[str, Json]) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode(headers, orjson.dumps(payload))


# -- Gemini ------------------------------------------------------------------------------------------


def _gemini(model: str, text: str, usage: dict[str, Json], *, last: bool) -> dict[str, Json]:
    candidate: dict[str, Json] = {
        "content": {"role": "model", "parts": [{"text": text}]},
        "index": 0,
    }
    if last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": "demo",
    }


def _gemini_usage(counts: Counts) -> dict[str, Json]:
    return {
        "promptTokenCount": counts.prompt,
        "cachedContentTokenCount": counts.cached,
        "candidatesTokenCount": counts.output,
        "thoughtsTokenCount": counts.reasoning,
        "totalTokenCount": counts.prompt + counts.output + counts.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
        "trafficType": "ON_DEMAND",
    }


def generate(model: str, counts: Counts) -> bytes:
    """A generateContent answer."""
    return orjson.dumps(_gemini(model, TEXT, _gemini_usage(counts), last=True))


def generate_stream(model: str, counts: Counts) -> list[bytes]:
    """A streamed one: CRLF events; only trafficType until the last chunk, as on Vertex."""
    parts = pieces(TEXT)
    events = [
        _gemini(
            model,
            part,
            _gemini_usage(counts) if i == len(parts) - 1 else {"trafficType": "ON_DEMAND"},
            last=i == len(parts) - 1,
        )
        for i, part in enumerate(parts)
    ]
    return [b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in events]
