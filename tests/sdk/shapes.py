"""Answers of operations the demo does not script, in the providers' recorded shapes, with usage that adds up.

Every function is pure: counts in, bytes out. Its partner in ``cloud.ROUTES`` says what units that is.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from gateway.commands.demo.answers import TEXT, Counts, openai_usage, pieces, sse
from gateway.wire.eventstream import encode
from gateway.wire.jsondoc import Json

PIXEL: Final = base64.b64encode(b"\x89PNG-pixel").decode()
SOUND: Final = b"ID3\x04" + bytes(range(256)) * 40
VECTOR: Final[Json] = [0.25, 0.5, 0.75]
CREATED: Final = 1790000000
RECORDED: Final = Path(__file__).parents[1] / "transcripts"
HOSTED: Final = {
    "input_text": 4186,
    "cache_read_text": 1024,
    "output_text": 248,
    "output_reasoning": 64,
    "file_search_calls": 2,
    "code_interpreter_sessions": 1,
}
"""What the recorded answer of hosted tools states, and what its items show."""


# ── OpenAI ───────────────────────────────────────────────────────────────────────────────────────


def completion(model: str, counts: Counts) -> bytes:
    """A legacy text completion."""
    choice: Json = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
    return orjson.dumps(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": CREATED,
            "model": model,
            "choices": [choice],
            "usage": openai_usage(counts),
        }
    )


def completion_stream(model: str, counts: Counts, *, include_usage: bool) -> list[bytes]:
    """A streamed one."""

    def chunk(choices: list[Json], usage: Json = None) -> bytes:
        event: dict[str, Json] = {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": CREATED,
            "model": model,
            "choices": choices,
        }
        if include_usage:
            event["usage"] = usage
        return sse(event)

    events = [
        chunk([{"index": 0, "text": piece, "finish_reason": None, "logprobs": None}])
        for piece in pieces(TEXT)
    ]
    if include_usage:
        usage: Json = openai_usage(counts)
        events.append(chunk([], usage))
    return [*events, b"data: [DONE]\n\n"]


def compaction(counts: Counts) -> bytes:
    """A compacted conversation."""
    item: Json = {"id": "cmp_1", "type": "compaction", "encrypted_content": "c2VhbGVk"}
    usage: Json = {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.output + counts.reasoning,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.output + counts.reasoning,
    }
    return orjson.dumps(
        {
            "id": "resp_compacted",
            "object": "response.compaction",
            "created_at": CREATED,
            "output": [item],
            "usage": usage,
        }
    )


def images(counts: Counts) -> bytes:
    """A picture: text in, image tokens out, no model named."""
    usage: Json = {
        "input_tokens": counts.input,
        "input_tokens_details": {"text_tokens": counts.input, "image_tokens": 0},
        "output_tokens": 4160,
        "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
        "total_tokens": counts.input + 4160,
    }
    return orjson.dumps({"created": CREATED, "data": [{"b64_json": PIXEL}], "usage": usage})


def edited_images(counts: Counts) -> bytes:
    """A picture made of another: image tokens in as well."""
    usage: Json = {
        "input_tokens": counts.output + 323,
        "input_tokens_details": {"text_tokens": counts.output, "image_tokens": 323},
        "output_tokens": 1056,
        "output_tokens_details": {"image_tokens": 1056, "text_tokens": 0},
        "total_tokens": counts.output + 323 + 1056,
    }
    return orjson.dumps({"created": CREATED, "data": [{"b64_json": PIXEL}], "usage": usage})


TRANSCRIBED: Final = {"input_text": 12, "input_audio": 14, "output_text": 45}
_TRANSCRIPTION_USAGE: Final[Json] = {
    "type": "tokens",
    "input_tokens": 26,
    "input_token_details": {"text_tokens": 12, "audio_tokens": 14},
    "output_tokens": 45,
    "total_tokens": 71,
}


def transcription() -> bytes:
    """What was heard, billed by tokens."""
    return orjson.dumps({"text": TEXT, "usage": _TRANSCRIPTION_USAGE})


def transcription_stream() -> list[bytes]:
    """The same as it is heard."""
    events = [sse({"type": "transcript.text.delta", "delta": piece}) for piece in pieces(TEXT)]
    done: Json = {"type": "transcript.text.done", "text": TEXT, "usage": _TRANSCRIPTION_USAGE}
    return [*events, sse(done)]


def heard_seconds(seconds: int) -> bytes:
    """What was heard, billed by time."""
    return orjson.dumps({"text": TEXT, "usage": {"type": "duration", "seconds": seconds}})


def file_object() -> bytes:
    """An uploaded file."""
    return orjson.dumps(
        {
            "id": "file-1",
            "object": "file",
            "bytes": 120,
            "created_at": CREATED,
            "filename": "requests.jsonl",
            "purpose": "batch",
            "status": "processed",
        }
    )


BATCHED: Final = {
    "input_text": 800,
    "cache_read_text": 200,
    "output_text": 200,
    "output_reasoning": 100,
}


def batch(number: int, status: str, model: str | None) -> bytes:
    """A batch object; the cumulative usage stands in it from the completion on."""
    usage: Json = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 200},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 100},
        "total_tokens": 1300,
    }
    document: dict[str, Json] = {
        "id": f"batch_{number}",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "completion_window": "24h",
        "status": status,
        "created_at": CREATED,
        "request_counts": {"total": 2, "completed": 2, "failed": 0},
    }
    if model is not None:
        document["model"] = model
    if status == "completed":
        document |= {"usage": usage, "output_file_id": "file-2"}
    return orjson.dumps(document)


def listing(*entries: Json) -> bytes:
    """A list object."""
    return orjson.dumps({"object": "list", "data": list(entries), "has_more": False})


# ── Bedrock ──────────────────────────────────────────────────────────────────────────────────────


def chunks(documents: Sequence[dict[str, Json]], counts: Counts) -> list[bytes]:
    """InvokeModel stream frames of a family's documents; the last with the invocation metrics."""
    last: dict[str, Json] = {
        **documents[-1],
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": counts.input,
            "outputTokenCount": counts.output,
            "invocationLatency": 900,
            "firstByteLatency": 200,
        },
    }
    return [_chunk(document) for document in (*documents[:-1], last)]


def _chunk(document: dict[str, Json]) -> bytes:
    headers = {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    body = {"bytes": base64.b64encode(orjson.dumps(document)).decode(), "p": "abcdefgh"}
    return encode(headers, orjson.dumps(body))


def thrown(kind: str, message: str) -> bytes:
    """An exception frame inside a stream that began with 200."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(headers, orjson.dumps({"message": message}))


def family(model: str, counts: Counts) -> dict[str, Json]:
    """An InvokeModel answer of the family a model id names."""
    spoken: Json = {"role": "assistant", "content": [{"text": TEXT}]}
    usage: Json = {"inputTokens": counts.input, "outputTokens": counts.output}
    answers: dict[str, dict[str, Json]] = {
        "amazon.nova": {"output": {"message": spoken}, "stopReason": "end_turn", "usage": usage},
        "amazon.titan-text": {
            "inputTextTokenCount": float(counts.input),
            "results": [
                {
                    "tokenCount": float(counts.output),
                    "outputText": TEXT,
                    "completionReason": "FINISH",
                }
            ],
        },
        "amazon.titan-embed": {"embedding": VECTOR, "inputTextTokenCount": counts.input},
        "meta.llama": {
            "generation": TEXT,
            "prompt_token_count": counts.input,
            "generation_token_count": counts.output,
            "stop_reason": "stop",
        },
        "mistral.mistral": {"outputs": [{"text": TEXT, "stop_reason": "stop"}]},
        "cohere.command": {
            "id": "g1",
            "generations": [{"text": TEXT, "finish_reason": "COMPLETE"}],
        },
        "cohere.embed": {"id": "e1", "embeddings": {"float": [VECTOR]}, "texts": ["x"]},
    }
    return answers[family_of(model)]


FAMILIES: Final = (
    "amazon.nova",
    "amazon.titan-text",
    "amazon.titan-embed",
    "meta.llama",
    "mistral.mistral",
    "cohere.command",
    "cohere.embed",
)


def family_of(model: str) -> str:
    """The family of a model id; '' for a family that the demo's own answers speak for."""
    return next((name for name in FAMILIES if name in model), "")


PICTURES: Final = {
    (512, "standard"): "images_out_512",
    (1024, "standard"): "images_out_1024",
    (1024, "premium"): "images_out_1024_premium",
    (2048, "premium"): "images_out_2048_premium",
}
"""By their side and quality, the unit of square pictures."""


def pictures(side: int, count: int) -> bytes:
    """What Titan Image and Nova Canvas answer: square pictures, each with a header that says its size."""
    sides = side.to_bytes(4, "big") * 2
    drawn = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + sides + bytes(45)
    picture = base64.b64encode(drawn).decode()
    images: list[Json] = [picture] * count
    return orjson.dumps({"images": images, "error": None})


def family_stream(model: str, counts: Counts) -> list[bytes]:
    """The same, streamed."""
    parts = pieces(TEXT)
    match family_of(model):
        case "amazon.nova":
            usage: Json = {"inputTokens": counts.input, "outputTokens": counts.output}
            said: list[dict[str, Json]] = [
                {"contentBlockDelta": {"delta": {"text": part}, "contentBlockIndex": 0}}
                for part in parts
            ]
            said.append({"metadata": {"usage": usage, "metrics": {}}})
        case "meta.llama":
            said = [
                {"generation": part, "generation_token_count": number, "stop_reason": None}
                for number, part in enumerate(parts, 1)
            ]
            said[0]["prompt_token_count"] = counts.input
            said[-1] |= {"generation_token_count": counts.output, "stop_reason": "stop"}
        case _:
            said = [{"outputs": [{"text": part, "stop_reason": None}]} for part in parts]
            said[-1] = {"outputs": [{"text": parts[-1], "stop_reason": "stop"}]}
    return chunks(said, counts)


GUARDED: Final = {"topic_policy_units": 1, "content_policy_units": 2}


def guarded() -> bytes:
    """An ApplyGuardrail answer: what is billed stands in its units."""
    usage: Json = {
        "topicPolicyUnits": 1,
        "contentPolicyUnits": 2,
        "wordPolicyUnits": 1,
        "sensitiveInformationPolicyUnits": 0,
        "sensitiveInformationPolicyFreeUnits": 1,
        "contextualGroundingPolicyUnits": 0,
    }
    return orjson.dumps({"usage": usage, "action": "NONE", "outputs": [], "assessments": []})


# ── Google ───────────────────────────────────────────────────────────────────────────────────────


def batch_embedded(counts: Counts, items: int) -> bytes:
    """batchEmbedContents: details under another name, and no total."""
    rows: list[Json] = [{"values": VECTOR} for _ in range(items)]
    details: Json = [{"modality": "TEXT", "tokenCount": counts.input}]
    usage: Json = {"promptTokenCount": counts.input, "promptTokenDetails": details}
    return orjson.dumps({"embeddings": rows, "usageMetadata": usage})


def embedded(counts: Counts) -> bytes:
    """embedContent."""
    usage: Json = {"promptTokenCount": counts.input, "totalTokenCount": counts.input}
    return orjson.dumps({"embedding": {"values": VECTOR}, "usageMetadata": usage})


def predicted(tokens: Sequence[int], characters: int) -> bytes:
    """predict of a text embedding model."""
    rows: list[Json] = [
        {"embeddings": {"values": VECTOR, "statistics": {"token_count": n, "truncated": False}}}
        for n in tokens
    ]
    metadata: Json = {"billableCharacterCount": characters}
    return orjson.dumps({"predictions": rows, "metadata": metadata})


def painted(pictures: int) -> bytes:
    """predict of Imagen: no usage, so many pictures."""
    picture: Json = {"mimeType": "image/png", "bytesBase64Encoded": PIXEL}
    return orjson.dumps({"predictions": [picture] * pictures})
