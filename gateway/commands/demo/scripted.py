"""A scripted provider: one ASGI app that answers as the three clouds do, on the paths their SDKs use.

It keeps its own list of what it was asked and what usage it stated: the truth the gateway's rows are held
against, in the demo and in the tests. To script another operation: one line in ``ROUTES``.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import orjson

from gateway.commands.demo import answers
from gateway.commands.demo.answers import Counts

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EVENT_STREAM: Final = b"application/vnd.amazon.eventstream"
SSE: Final = b"text/event-stream; charset=utf-8"
LARGE_BODY_BYTES: Final = 2000  # from here on part of the prompt is stated as cached
JSON: Final = b"application/json"


class Asked(msgspec.Struct, frozen=True):
    """One request as the provider saw it, and the usage it stated (None: it refused)."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    stated: Counts | None
    streamed: bool = False


class Received(msgspec.Struct, frozen=True):
    """A request to be answered; ``path`` and ``query`` as they were sent, percent-encoding and all."""

    method: str
    path: str
    query: bytes
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """A body in parts; more than one part is sent with pauses."""

    content_type: bytes
    parts: Sequence[bytes]
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Made = Callable[[str, dict[str, Any], Counts], Answer]


def _whole(body: bytes) -> Answer:
    return Answer(JSON, (body,))


def _chat(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    if not body.get("stream"):
        return _whole(answers.chat(model, counts))
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    return Answer(SSE, answers.chat_stream(model, counts, include_usage=asked))


def _responses(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    if body.get("stream"):
        return Answer(SSE, answers.responses_stream(model, counts))
    return _whole(answers.responses(model, counts))


def _embeddings(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    asked = body.get("input")
    return _whole(answers.embeddings(model, counts, len(asked) if isinstance(asked, list) else 1))


def _messages(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    if body.get("stream"):
        return Answer(SSE, answers.message_stream(model, counts))
    return _whole(answers.message(model, counts))


def _invoke(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    headers = (
        (b"X-Amzn-Bedrock-Input-Token-Count", b"%d" % counts.input),
        (b"X-Amzn-Bedrock-Output-Token-Count", b"%d" % counts.output),
        (b"X-Amzn-Bedrock-Cache-Read-Input-Token-Count", b"%d" % counts.cached),
    )
    return Answer(JSON, (answers.message(model, counts),), headers=headers)


def _invoke_stream(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    return Answer(EVENT_STREAM, answers.invoke_stream(model, counts))


def _converse(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    return _whole(answers.converse(counts))


def _converse_stream(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    return Answer(EVENT_STREAM, answers.converse_stream(counts))


def _generate(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    return _whole(answers.generate(model, counts))


def _generate_stream(model: str, body: dict[str, Any], counts: Counts) -> Answer:
    return Answer(SSE, answers.generate_stream(model, counts))


ROUTES: Final[tuple[tuple[re.Pattern[str], Made], ...]] = tuple(
    (re.compile(pattern), made)
    for pattern, made in (
        (r".*/publishers/anthropic/models/(?P<model>[^/:]+):(?:stream)?[rR]awPredict", _messages),
        (r".*/models/(?P<model>[^/:]+):generateContent", _generate),
        (r".*/models/(?P<model>[^/:]+):streamGenerateContent", _generate_stream),
        (r"/model/(?P<model>[^/]+)/converse", _converse),
        (r"/model/(?P<model>[^/]+)/converse-stream", _converse_stream),
        (r"/model/(?P<model>[^/]+)/invoke", _invoke),
        (r"/model/(?P<model>[^/]+)/invoke-with-response-stream", _invoke_stream),
        (r"(?:.*/deployments/(?P<model>[^/]+))?.*/chat/completions", _chat),
        (r"(?:.*/deployments/(?P<model>[^/]+))?.*/embeddings", _embeddings),
        (r".*/responses", _responses),
        (r".*/messages", _messages),
    )
)


class Scripted:
    """The app. ``pause_ms`` between stream parts; ``refuse`` maps a model to the status it is refused with."""

    def __init__(self, pause_ms: int = 0, refuse: dict[str, int] | None = None) -> None:
        self.asked: list[Asked] = []
        self.pause_ms = pause_ms
        self.refuse = refuse or {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request (or the lifespan, in which nothing happens)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        answer, stated = self.answer(
            Received(scope["method"], scope["raw_path"].decode(), scope["query_string"], body)
        )
        streamed = len(answer.parts) > 1
        headers = tuple((bytes(k), bytes(v)) for k, v in scope["headers"])
        self.asked.append(
            Asked(scope["method"], scope["raw_path"].decode(), headers, body, stated, streamed)
        )
        await self._send(answer, send)

    def answer(self, received: Received) -> tuple[Answer, Counts | None]:
        """What to answer, and the usage it states; override it to script more than ``ROUTES``."""
        body = received.body
        for pattern, made in ROUTES:
            found = pattern.fullmatch(received.path)
            if found is None:
                continue
            document = orjson.loads(body) if body else {}
            model = unquote(found.groupdict().get("model") or document.get("model") or "")
            if model in self.refuse:
                return _refusal(self.refuse[model]), None
            counts = stated(body)
            return made(model, document, counts), counts
        return _refusal(404), None

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [(b"content-type", answer.content_type), *answer.headers]
        if len(answer.parts) == 1:
            headers.append((b"content-length", b"%d" % len(answer.parts[0])))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for part in answer.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            if self.pause_ms:
                await asyncio.sleep(self.pause_ms / 1000)
        await send({"type": "http.response.body", "body": b""})


def stated(body: bytes) -> Counts:
    """The usage an answer to this body states: a function of its size, so that every request differs."""
    size = len(body)
    return Counts(
        input=8 + size // 4, cached=1024 if size > LARGE_BODY_BYTES else 0, output=36 + size % 7
    )


def _refusal(status: int) -> Answer:
    error = {"message": f"scripted refusal {status}", "type": "scripted", "code": str(status)}
    return Answer(JSON, (orjson.dumps({"error": error}),), status=status)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
