"""Chat completions and the older text completions: CHAT, COMPLETIONS, and MISTRAL, which is CHAT unasked.

COMPATIBLE is CHAT as the Gemini API speaks it: its totals count thoughts that no member names.

CHAT and COMPLETIONS say a stream's usage only when asked, so a streaming request that does not ask is opted in,
and the event that only our asking brought is withheld from the client again. MISTRAL always says it.
To add an operation of the same answer shape: a function that reads its request, and a constant.
"""

from typing import Final

import orjson

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import (
    as_json,
    asked_ceiling,
    asked_number,
    asked_sources,
    asked_times,
    largest,
    read_object,
)
from gateway.metering.chat_prompt import chat_prompt, continues_sound
from gateway.metering.choices import ChoicesReader
from gateway.metering.families import family_of
from gateway.metering.hosted import hosted_tools, search_units
from gateway.metering.lowering import at_top, lower_top
from gateway.metering.meter import Filter
from gateway.metering.plain_prompt import plain_prompt, texts_in
from gateway.metering.unread import unread_characters
from gateway.wire.jsondoc import Json, arr, member_span, replace_member, splice_member, string
from gateway.wire.messages import Head
from gateway.wire.sources import EMBEDDING
from gateway.wire.withheld import WithheldEvents

_OPTIONS: Final = "stream_options"
_WISH: Final = "include_usage"
_ASKED: Final = b'{"include_usage":true}'
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_EMBEDDED: Final = "embedding_unmetered"
_UNSAID: Final = "tool_usage_unsaid"
_COMPLETED_DEFAULT: Final = 16  # what a text completion without a ceiling writes at most
_SENSITIVE: Final = (
    "model", "stream", _OPTIONS, "n", "best_of", *_LIMITS, "service_tier", "data_sources", "store",
    "messages", "tools", "functions", "prediction", "web_search_options",
)  # fmt: skip


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def _read_chat(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    stream = _streams(asked)
    hosted = len(hosted_tools(arr(asked, "tools"))) if "tools" in asked else 0
    searches = asked.get("web_search_options") is not None
    prompt = chat_prompt(asked)
    return Request(
        model=_model(asked),
        stream=stream,
        stored=asked.get("store") is True,
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        output_ceiling=_ceiling(asked),
        choices=asked_times(asked.get("n"), "n") or 1,
        tier=string(asked, "service_tier"),
        hosted=hosted + searches,
        tool_units=search_units(asked) if searches else {},
        stores=asked_sources(asked, body),
        opted_body=_opted(body, asked) if stream else None,
        is_tied=any(map(continues_sound, arr(asked, "messages"))),
    )


def _read_unasked(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    prompt = chat_prompt(asked)
    return Request(
        model=_model(asked),
        stream=_streams(asked),
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        output_ceiling=asked_number(asked.get("max_tokens")),
        choices=asked_times(asked.get("n"), "n") or 1,
        tier=string(asked, "service_tier"),
        hosted=len(hosted_tools(arr(asked, "tools"))),
    )


def _read_completions(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    stream = _streams(asked)
    each = largest(*[asked_times(asked.get(name), name) for name in ("n", "best_of")]) or 1
    return Request(
        model=_model(asked),
        stream=stream,
        prompt=plain_prompt("plain", asked.get("prompt"), asked.get("suffix")),
        output_ceiling=asked_number(asked.get("max_tokens")),
        choices=each * texts_in(asked.get("prompt")),
        tier=string(asked, "service_tier"),
        stores=asked_sources(asked, body),
        opted_body=_opted(body, asked) if stream else None,
    )


def _ceiling(asked: dict[str, Json]) -> int | None:
    """A prediction that does not come true is written for all that, beyond any ceiling; no token is below a byte."""
    ceiling = asked_ceiling(*[asked.get(name) for name in _LIMITS])
    predicted = asked.get("prediction")
    if ceiling is None or not predicted:
        return ceiling
    return ceiling + len(as_json(predicted).encode())


def _model(asked: dict[str, Json]) -> str | None:
    """The body's model; null is sent by clients whose path names it."""
    model = asked.get("model")
    if model is not None and not isinstance(model, str):
        raise MalformedBody('"model" must be a string or null')
    return model


def _streams(asked: dict[str, Json]) -> bool:
    """Whether a stream is asked for, in a way no server can read otherwise."""
    stream = asked.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise MalformedBody('"stream" must be true, false or null')
    return stream is True


# ── lowering the ceiling ─────────────────────────────────────────────────────────────────────────


def _lower_chat(body: bytes, ceiling: int, model: str) -> bytes | None:
    """Models that think refuse the older name, servers of other vendors do not know the newer one.

    What a prediction may cost no ceiling lowers.
    """
    asked = read_object(body, _SENSITIVE)
    if asked.get("prediction"):
        return None
    name = model or string(asked, "model") or ""
    return lower_top(body, ceiling, _LIMITS, _LIMITS[0 if family_of(name).reasoning else 1])


def _lower_completions(body: bytes, ceiling: int, model: str) -> bytes | None:
    """Without a ceiling few tokens are written: that must not become more."""
    asked = read_object(body, _SENSITIVE)
    if asked.get("max_tokens") is None:
        ceiling = min(ceiling, _COMPLETED_DEFAULT)
    return lower_top(body, ceiling, ("max_tokens",), "max_tokens")


# ── the opt-in ───────────────────────────────────────────────────────────────────────────────────


def _opted(body: bytes, asked: dict[str, Json]) -> bytes | None:
    """The body that asks for usage; None where it already does, or where asking is refused.

    Only the bytes of the wish change: a client's other stream options stay as they are written.
    """
    sources = asked.get("data_sources")
    if isinstance(sources, list) and sources:  # an empty list searches nothing, and hides no usage
        return None
    options = asked.get(_OPTIONS)
    if options is None:
        edit = replace_member if _OPTIONS in asked else splice_member
        return edit(body, _OPTIONS, _ASKED)
    if not isinstance(options, dict):
        raise MalformedBody(f'"{_OPTIONS}" must be an object or null')
    start, end = member_span(body, _OPTIONS) or (0, 0)
    written = body[start:end]
    if read_object(written, (_WISH,)).get(_WISH) is True:
        return None
    edit = replace_member if _WISH in options else splice_member
    return body[:start] + edit(written, _WISH, b"true") + body[end:]


def _may_say_usage(event: bytes) -> bool:
    """Once asked, a server puts ``"usage":null`` into every other event."""
    return event.count(b'"usage"') > event.count(b'"usage":null')


def _only_says_usage(document: dict[str, Json]) -> bool:
    return document.get("usage") is not None and document.get("choices") == []


# ── the dialects ─────────────────────────────────────────────────────────────────────────────────


class _Opting(DocumentDialect, frozen=True):
    """A dialect whose streams say their usage when asked."""

    def strip(self, request: Request) -> Filter | None:
        """See Dialect: the event that the client did not ask for."""
        return (
            None if request.opted_body is None else WithheldEvents(_may_say_usage, _only_says_usage)
        )


def _reader(request: Request, head: Head) -> ChoicesReader:
    return ChoicesReader(stored=request.stored, beside=_beside(request))


def _thoughtful(request: Request, head: Head) -> ChoicesReader:
    return ChoicesReader(stored=request.stored, unnamed_thoughts=True, beside=_beside(request))


def _beside(request: Request) -> tuple[str, ...]:
    """Flags for what the provider may have done and charged of which no such answer says a word."""
    embeds = any(store.startswith(EMBEDDING) for store in request.stores)
    return (_EMBEDDED,) * embeds + (_UNSAID,) * bool(request.hosted)


def _end_chat(words: str) -> bytes:
    """A choice cut for its length, as this protocol says it, with our words beside it."""
    choice: dict[str, Json] = {"index": 0, "delta": {}, "finish_reason": "length"}
    return _end("chat.completion.chunk", choice, words)


def _end_completions(words: str) -> bytes:
    return _end("text_completion", {"index": 0, "text": "", "finish_reason": "length"}, words)


def _end(kind: str, choice: dict[str, Json], words: str) -> bytes:
    event = {
        "id": "weighbridge",
        "object": kind,
        "created": 0,
        "model": "",
        "choices": [choice],
        "weighbridge": words,
    }
    return b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(event)


CHAT: Final[Dialect] = _Opting(
    "openai_chat", _read_chat, _reader, lower=_lower_chat, sse_end=_end_chat
)
COMPATIBLE: Final[Dialect] = _Opting(
    "openai_chat", _read_chat, _thoughtful, lower=_lower_chat, sse_end=_end_chat
)
COMPLETIONS: Final[Dialect] = _Opting(
    "openai_completions",
    _read_completions,
    _reader,
    lower=_lower_completions,
    sse_end=_end_completions,
)
MISTRAL: Final[Dialect] = DocumentDialect(
    "mistral_chat",
    _read_unasked,
    _reader,
    lower=at_top("max_tokens"),
    sse_end=_end_chat,
)
