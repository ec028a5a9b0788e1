"""The scripted clouds of the SDK tests: everything the demo scripts, and every further operation that passes.

Beside each request it keeps the units that its answer states: the truth that the gateway's rows are held against.
A model whose name ends in a status (``gpt-4o-429``) is refused with it, in the provider's own shape.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import orjson

from gateway.commands.demo.answers import Counts, converse_stream, generate_stream
from gateway.commands.demo.scripted import (
    EVENT_STREAM,
    JSON,
    ROUTES as DEMO_ROUTES,
    SSE,
    Answer,
    Made,
    Received,
    Scripted,
    Send,
    stated,
)
from tests.sdk import shapes
from tests.sdk.refused import refusal, unknown_parameter

Units = dict[str, int]

SERVED: Final = {"chat-prod": "gpt-4o-2024-11-20"}  # deployments that are named unlike their model
REASONING: Final = ("gpt-5", "gemini-2.5-pro")
NO_STREAM_OPTIONS: Final = "gpt-4o-old"
PROJECT: Final = "proj-1"
HELD_SECONDS_MAX: Final = 10
BATCHES_RUN: Final = 2  # so many polls find a batch still running


class Call(msgspec.Struct, frozen=True):
    """A request taken apart."""

    received: Received
    model: str
    document: dict[str, Any]
    counts: Counts


class Said(msgspec.Struct, frozen=True):
    """An answer and the units it states; None: nothing that is ever billed."""

    answer: Answer
    units: Units | None


def tokens(counts: Counts) -> Units:
    """What a text answer states, in the gateway's words."""
    found = {
        "input_text": counts.input,
        "cache_read_text": counts.cached,
        "output_text": counts.output,
        "output_reasoning": counts.reasoning,
    }
    return {unit: count for unit, count in found.items() if count}


def _whole(body: bytes, units: Units | None = None, kind: bytes = JSON) -> Said:
    return Said(Answer(kind, (body,)), units)


# ── OpenAI ───────────────────────────────────────────────────────────────────────────────────────


def _completions(call: Call) -> Said:
    if not call.document.get("stream"):
        return _whole(shapes.completion(call.model, call.counts), tokens(call.counts))
    asked = bool((call.document.get("stream_options") or {}).get("include_usage"))
    parts = shapes.completion_stream(call.model, call.counts, include_usage=asked)
    return Said(Answer(SSE, parts), tokens(call.counts))


def _compaction(call: Call) -> Said:
    return _whole(shapes.compaction(call.counts), tokens(call.counts))


def _images(call: Call) -> Said:
    units = {"input_text": call.counts.input, "output_image": 4160}
    return _whole(shapes.images(call.counts), units)


def _edits(call: Call) -> Said:
    units = {"input_text": call.counts.output, "input_image": 323, "output_image": 1056}
    return _whole(shapes.edited_images(call.counts), units)


def _transcription(call: Call) -> Said:
    if "whisper" in call.model:
        return _whole(shapes.heard_seconds(9), {"audio_seconds": 9})
    if b'name="stream"' in call.received.body:
        return Said(Answer(SSE, shapes.transcription_stream()), shapes.TRANSCRIBED)
    return _whole(shapes.transcription(), shapes.TRANSCRIBED)


def _speech(call: Call) -> Said:
    return _whole(shapes.SOUND, {"characters_in": len(call.document["input"])}, b"audio/mpeg")


def _files(call: Call) -> Said:
    if call.received.path.endswith("/content"):
        return _whole(b'{"custom_id":"1"}\n', kind=b"application/octet-stream")
    return _whole(shapes.file_object())


def _models(call: Call) -> Said:
    if not call.received.path.startswith("/openai"):
        return _whole(b'{"models":[{"name":"models/gemini-2.5-flash"}]}')
    model: Any = {"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "azure"}
    return _whole(shapes.listing(model))


def _responses(call: Call) -> Said:
    """What hosted tools did is recorded; the rest is as the demo scripts it."""
    hosted = {tool["type"] for tool in call.document.get("tools") or ()}
    if not hosted & {"file_search", "code_interpreter"}:
        return _scripted(call, _made("/openai/v1/responses"))
    streamed = bool(call.document.get("stream"))
    name = "responses-hosted-tools-stream" if streamed else "responses-hosted-tools"
    body = (shapes.RECORDED / "azure" / f"{name}.response").read_bytes()
    parts = [part + b"\n\n" for part in body.split(b"\n\n") if part] if streamed else [body]
    return Said(Answer(SSE if streamed else JSON, parts), shapes.HOSTED)


def _input_tokens(call: Call) -> Said:
    return _whole(orjson.dumps({"object": "response.input_tokens", "input_tokens": 7}))


# ── Anthropic, Bedrock ───────────────────────────────────────────────────────────────────────────


def _count_messages(call: Call) -> Said:
    return _whole(b'{"input_tokens":7}')


def _count_converse(call: Call) -> Said:
    return _whole(b'{"inputTokens":7}')


def _guardrail(call: Call) -> Said:
    return _whole(shapes.guarded(), shapes.GUARDED)


def _family(call: Call) -> Said:
    """Titan and Llama say it in the body too; Mistral and Cohere in the headers only."""
    counts, embeds = call.counts, "embed" in call.model
    headers = [(b"X-Amzn-Bedrock-Input-Token-Count", b"%d" % counts.input)]
    if not embeds:
        headers.append((b"X-Amzn-Bedrock-Output-Token-Count", b"%d" % counts.output))
    body = orjson.dumps(shapes.family(call.model, counts))
    units = {"input_text": counts.input} | ({} if embeds else {"output_text": counts.output})
    return Said(Answer(JSON, (body,), headers=tuple(headers)), units)


def _pictures(call: Call) -> Said:
    """As many as asked for, in the size asked for."""
    config = call.document["imageGenerationConfig"]
    side, count = config.get("width", 1024), config["numberOfImages"]
    unit = shapes.PICTURES[side, config.get("quality", "standard")]
    return _whole(shapes.pictures(side, count), {unit: count})


def _family_stream(call: Call) -> Said:
    units = {"input_text": call.counts.input, "output_text": call.counts.output}
    return Said(Answer(EVENT_STREAM, shapes.family_stream(call.model, call.counts)), units)


def _throttled_stream(call: Call) -> Said:
    """A stream that is broken off by an exception frame, before any usage."""
    parts = converse_stream(call.counts)[:6]
    error = shapes.thrown("throttlingException", "scripted: too many tokens")
    return Said(Answer(EVENT_STREAM, [*parts, error]), {})


# ── Google ───────────────────────────────────────────────────────────────────────────────────────


def _count_tokens(call: Call) -> Said:
    return _whole(b'{"totalTokens":7}')


def _batch_embed(call: Call) -> Said:
    items = len(call.document["requests"])
    return _whole(shapes.batch_embedded(call.counts, items), {"input_text": call.counts.input})


def _embed(call: Call) -> Said:
    return _whole(shapes.embedded(call.counts), {"input_text": call.counts.input})


def _predict(call: Call) -> Said:
    instances = call.document["instances"]
    if "prompt" in instances[0]:
        pictures = call.document["parameters"]["sampleCount"]
        return _whole(shapes.painted(pictures), {"images_out": pictures})
    counted = [3 + number for number, _ in enumerate(instances)]
    characters = sum(len(each["content"]) for each in instances)
    units = {"input_text": sum(counted), "characters_in": characters}
    return _whole(shapes.predicted(counted, characters), units)


def _array_stream(call: Call) -> Said:
    """What streamGenerateContent is without ``alt=sse``: one JSON array."""
    events = [
        event.removeprefix(b"data: ").strip() for event in generate_stream(call.model, call.counts)
    ]
    parts = [b"[" + events[0], *(b",\r\n" + event for event in events[1:]), b"]"]
    return Said(Answer(JSON, parts), tokens(call.counts))


Handler = Callable[[Call], Said]
_VERTEX: Final = r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+"
_GEMINI: Final = r"/v1(?:beta1?)?(?:/projects/[^/]+/locations/[^/]+/publishers/google)?"
_OPENAI: Final = r"/openai(?:/v1)?"
_DEPLOYED: Final = _OPENAI + r"(?:/deployments/(?P<model>[^/]+))?"
_FAMILIES: Final = rf"/model/(?P<model>[^/]*(?:{'|'.join(shapes.FAMILIES)})[^/]*)"

ROUTES: Final[tuple[tuple[str, re.Pattern[str], Handler], ...]] = tuple(
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("POST", _DEPLOYED + r"/completions", _completions),
        ("POST", _DEPLOYED + r"/images/generations", _images),
        ("POST", _DEPLOYED + r"/images/edits", _edits),
        ("POST", _DEPLOYED + r"/audio/(?:transcriptions|translations)", _transcription),
        ("POST", _DEPLOYED + r"/audio/speech", _speech),
        ("POST", _OPENAI + r"/responses", _responses),
        ("POST", _OPENAI + r"/responses/compact", _compaction),
        ("POST", _OPENAI + r"/responses/input_tokens", _input_tokens),
        ("POST", _OPENAI + r"/files", _files),
        ("GET", _OPENAI + r"/files/[^/]+(?:/content)?", _files),
        ("GET", r".*/models", _models),
        ("POST", r"/anthropic/v1/messages/count_tokens", _count_messages),
        ("POST", r".*/models/count-tokens:rawPredict", _count_messages),
        ("POST", r"/model/[^/]+/count-tokens", _count_converse),
        ("POST", r"/guardrail/[^/]+/version/[^/]+/apply", _guardrail),
        ("POST", r"/model/(?P<model>amazon\.throttled)/converse-stream", _throttled_stream),
        ("POST", r"/model/(?P<model>amazon\.(?:nova-canvas|titan-image)[^/]*)/invoke", _pictures),
        ("POST", _FAMILIES + r"/invoke", _family),
        ("POST", _FAMILIES + r"/invoke-with-response-stream", _family_stream),
        ("POST", _GEMINI + r"/models/[^/:]+:countTokens", _count_tokens),
        ("POST", _GEMINI + r"/models/(?P<model>[^/:]+):batchEmbedContents", _batch_embed),
        ("POST", _GEMINI + r"/models/(?P<model>[^/:]+):embedContent", _embed),
        ("POST", _VERTEX + r"/publishers/google/models/(?P<model>[^/:]+):predict", _predict),
    )
)  # fmt: skip
_ARRAY: Final = re.compile(_GEMINI + r"/models/(?P<model>[^/:]+):streamGenerateContent")
_MISTRAL: Final = re.compile(
    _VERTEX + r"/publishers/mistralai/models/(?P<model>[^/:]+):(?:stream)?[rR]awPredict"
)
_CHAT_PATH: Final = "/v1/chat/completions"
_BATCHES: Final = re.compile(_OPENAI + r"/batches(?:/batch_(?P<number>\d+))?")
_STATUS: Final = re.compile(r".*-([45]\d\d)")
_FORM_MODEL: Final = re.compile(rb'name="model"\r\n\r\n([^\r]+)')


class Cloud(Scripted):
    """All clouds in one app. ``truth`` runs beside ``asked``: the units that each answer states."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: list[Units | None] = []
        self._polls: list[int] = []
        self._going_on = threading.Event()
        self._held_after: int | None = None

    @contextmanager
    def held(self, after: int) -> Iterator[Callable[[], None]]:
        """Streams stop after so many parts, until what is yielded here is called (or the block ends)."""
        self._held_after = after
        self._going_on.clear()
        try:
            yield self._going_on.set
        finally:
            self._going_on.set()
            self._held_after = None

    async def _send(self, answer: Answer, send: Send) -> None:
        if self._held_after is None:
            await super()._send(answer, send)
            return
        headers = [(b"content-type", answer.content_type), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for number, part in enumerate(answer.parts):
            if number == self._held_after:
                await asyncio.to_thread(self._going_on.wait, HELD_SECONDS_MAX)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def answer(self, received: Received) -> tuple[Answer, Counts | None]:
        said = self._say(received)
        self.truth.append(said.units)
        return said.answer, None

    def _say(self, received: Received) -> Said:
        batches = _BATCHES.fullmatch(received.path)
        if batches is not None:
            return self._batch(batches["number"])
        for method, pattern, handler in ROUTES:
            found = pattern.fullmatch(received.path)
            if found is not None and method == received.method:
                return self._handled(_call(received, found), handler)
        return self._otherwise(received)

    def _otherwise(self, received: Received) -> Said:
        array = _ARRAY.fullmatch(received.path)
        if array is not None and b"alt=sse" not in received.query:
            return _array_stream(_call(received, array))
        mistral = _MISTRAL.fullmatch(received.path)
        if mistral is not None:  # chat completions on a path of its own, with usage unasked
            call = _call(received, mistral)
            document = {**call.document, "stream_options": {"include_usage": True}}
            return _scripted(msgspec.structs.replace(call, document=document), _made(_CHAT_PATH))
        for pattern, made in DEMO_ROUTES:
            found = pattern.fullmatch(received.path)
            if found is not None:
                handler = partial(_scripted, made=made)
                return self._handled(_call(received, found), handler)
        return Said(refusal(received.path, 404), {})

    @staticmethod
    def _handled(call: Call, handler: Handler) -> Said:
        status = _STATUS.fullmatch(call.model)
        if status is not None:
            return Said(refusal(call.received.path, int(status[1])), {})
        if call.model == NO_STREAM_OPTIONS and "stream_options" in call.document:
            # The gateway's own second attempt is part of the same exchange: this answer has no row.
            return Said(unknown_parameter(), None)
        return handler(call)

    def _batch(self, number: str | None) -> Said:
        if number is None:
            self._polls.append(0)
            return _whole(shapes.batch(len(self._polls) - 1, "validating", None), {})
        index = int(number)
        self._polls[index] += 1
        status = "in_progress" if self._polls[index] <= BATCHES_RUN else "completed"
        first = self._polls[index] == BATCHES_RUN + 1
        document = shapes.batch(index, status, "gpt-4o-2024-11-20")
        return _whole(document, shapes.BATCHED if first else None)


def _made(path: str) -> Made:
    return next(made for pattern, made in DEMO_ROUTES if pattern.fullmatch(path))


def _scripted(call: Call, made: Made) -> Said:
    """What the demo scripts for an operation."""
    answer = made(SERVED.get(call.model, call.model), call.document, call.counts)
    return Said(answer, _spoken(call))


def _call(received: Received, found: re.Match[str]) -> Call:
    form = _FORM_MODEL.search(received.body)
    is_json = received.body[:1] in (b"{", b"[")
    document = orjson.loads(received.body) if is_json else {}
    named = found.groupdict().get("model") or document.get("model")
    model = unquote(named or (form[1].decode() if form else ""))
    counts = stated(received.body)
    if SERVED.get(model, model).startswith(REASONING):
        counts = msgspec.structs.replace(counts, reasoning=17)
    return Call(received, model, document, counts)


def _spoken(call: Call) -> Units:
    """Embeddings state their whole prompt and nothing else."""
    if call.received.path.endswith("/embeddings"):
        return {"input_text": call.counts.prompt}
    if "/model/" in call.received.path or "anthropic" in call.received.path:
        return tokens(msgspec.structs.replace(call.counts, reasoning=0))
    return tokens(call.counts)
