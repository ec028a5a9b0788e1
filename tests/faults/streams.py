"""One streamed call in each dialect: what is asked, what is answered part by part, and what it says is used.

To add a dialect: one function and its line in ``BUILDERS``.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import orjson

from gateway.commands.demo import answers
from gateway.commands.demo.answers import Counts
from gateway.ledger.entry import Entry
from tests.faults.origin import Asked, Step, streamed

COUNTS: Final = Counts(input=61, cached=0, output=47)
EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
SSE: Final = "text/event-stream"
PROMPT: Final = "How much does a lorry weigh?"


class Stream(NamedTuple):
    """A dialect's streamed call.

    whole    the terminal usage event is the part with this index; before it usage is not final
    running  from this many parts on the provider's own (running or input-side) usage is known; None: never
    """

    name: str
    path: str
    body: dict[str, Any]
    content_type: str
    parts: list[bytes]
    whole: int
    running: int | None

    def steps(self, pause_s: float = 0) -> list[Step]:
        return streamed(self.content_type, self.parts, pause_s=pause_s)

    def octets(self) -> bytes:
        """The answer as it goes over the wire, head included."""
        return b"".join(step for step in self.steps() if isinstance(step, bytes))

    def offset(self, parts: int) -> int:
        """How many octets there are up to the end of so many parts; 0: of the head."""
        steps = [step for step in self.steps() if isinstance(step, bytes)]
        return sum(map(len, steps[: parts + 1]))

    def content(self) -> bytes:
        """The body."""
        return b"".join(self.parts)


def used(row: Entry) -> dict[str, int]:
    """What a row charges for, by unit."""
    return {line.unit: line.quantity for line in row.lines if line.quantity}


EXACT: Final = {"input_text": COUNTS.input, "output_text": COUNTS.output}


def _chat(
    name: str, asked: dict[str, Any], counts: Counts, *, include_usage: bool = True
) -> Stream:
    parts = answers.chat_stream("gpt-4o-2024-11-20", counts, include_usage=include_usage)
    path = "/azure/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    body = {"messages": [{"role": "user", "content": PROMPT}], "stream": True, **asked}
    return Stream(name, path, body, SSE, parts, len(parts) - 2, None)


def _responses(counts: Counts) -> Stream:
    parts = answers.responses_stream("gpt-5.4", counts)
    body = {"model": "gpt-5.4", "input": PROMPT, "stream": True}
    return Stream("responses", "/azure/openai/v1/responses", body, SSE, parts, len(parts) - 1, None)


def _messages(counts: Counts) -> Stream:
    parts = answers.message_stream("claude-sonnet-4-5", counts)
    turn = {"role": "user", "content": PROMPT}
    body = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [turn], "stream": True}
    return Stream("messages", "/azure/anthropic/v1/messages", body, SSE, parts, len(parts) - 2, 1)


def _converse(counts: Counts) -> Stream:
    parts = answers.converse_stream(counts)
    body = {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
    path = "/bedrock/model/us.amazon.nova-lite-v1%3A0/converse-stream"
    return Stream("converse", path, body, EVENT_STREAM, parts, len(parts) - 1, None)


def _gemini(counts: Counts) -> Stream:
    """With running usage in every event, as the Gemini API has it."""
    parts = answers.generate_stream("gemini-2.5-flash", counts)
    running = [_gemini_running(part, counts, index, len(parts)) for index, part in enumerate(parts)]
    body = {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
    path = "/google/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    return Stream("gemini", path, body, SSE, running, len(parts) - 1, 1)


def _gemini_running(part: bytes, counts: Counts, index: int, count: int) -> bytes:
    if index == count - 1:
        return part
    event = orjson.loads(part.removeprefix(b"data: "))
    written = counts.output * (index + 1) // count
    event["usageMetadata"] = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": written,
        "totalTokenCount": counts.input + written,
    }
    return b"data: " + orjson.dumps(event) + b"\r\n\r\n"


_ASKING: Final = {"stream_options": {"include_usage": True}}
BUILDERS: Final[dict[str, Callable[[Counts], Stream]]] = {
    "chat": partial(_chat, "chat", _ASKING),
    "responses": _responses,
    "messages": _messages,
    "converse": _converse,
    "gemini": _gemini,
}
STREAMS: Final = tuple(build(COUNTS) for build in BUILDERS.values())
BY_NAME: Final = {stream.name: stream for stream in STREAMS}
CHAT: Final = BY_NAME["chat"]
UNASKED: Final = _chat("chat-unasked", {}, COUNTS)
SILENT: Final = _chat("chat-silent", {}, COUNTS, include_usage=False)

_TARGETS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r".*/chat/completions", "chat"),
        (r".*/responses", "responses"),
        (r".*/messages", "messages"),
        (r".*/converse-stream", "converse"),
        (r".*:streamGenerateContent", "gemini"),
    )
)


def stream_of(asked: Asked) -> Stream:
    """The stream that answers a request."""
    path = asked.target.partition("?")[0]
    return next(BY_NAME[name] for pattern, name in _TARGETS if pattern.fullmatch(path))


def answering(pause_s: float = 0) -> Callable[[Asked], list[Step]]:
    """An origin's answer: the stream of whatever dialect was asked in."""
    return lambda asked: stream_of(asked).steps(pause_s)
