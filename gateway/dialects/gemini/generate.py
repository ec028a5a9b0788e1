"""GENERATE: generateContent, and streamGenerateContent as SSE or as one JSON array.

Of the usage objects of a stream the last with a total counts, as a whole: they are not monotone.
To observe another kind of part: one line in ``_Generated._part``.
"""

from typing import Final

import msgspec
import orjson

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.dialects.gemini.asked import content_turn, either, functions_of, hosted_of, listed
from gateway.dialects.gemini.counts import GENERATED, modal_counts
from gateway.dialects.gemini.grounding import ENTERPRISE, Grounding
from gateway.dialects.gemini.tier import tier_of
from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import (
    TurnBuilder,
    as_json,
    asked_number,
    asked_times,
    read_object,
    require_spelt,
)
from gateway.metering.lowering import lower_inside, set_inside
from gateway.metering.meter import Reading
from gateway.metering.prompt import Prompt, Schema, Turn
from gateway.metering.reader import as_raw
from gateway.metering.sealed import sealed_characters
from gateway.metering.transcript import Transcript
from gateway.metering.unread import unread_characters
from gateway.metering.usage import Source, UsageInvalid, component
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string

_SENSITIVE: Final = (
    "generationConfig", "generation_config", "serviceTier", "service_tier", "cachedContent", "cached_content",
    "contents", "tools", "systemInstruction", "system_instruction",
)  # fmt: skip
_LIMITS: Final = ("maxOutputTokens", "max_output_tokens")
_CONFIGS: Final = ("generationConfig", "generation_config")
_DECISIVE: Final = (*_LIMITS, "candidateCount", "candidate_count")
_UNFINISHED: Final = (None, 0, "FINISH_REASON_UNSPECIFIED")
CANDIDATES_MAX: Final = 256


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    for name in _CONFIGS:
        require_spelt(asked.get(name), name, _DECISIVE)
    config = either(asked, "generationConfig")
    tier = either(asked, "serviceTier")
    if tier is not None and not isinstance(tier, str):  # a number of the enum is one of its words
        raise MalformedBody('"serviceTier" must be a word, such as "standard"')
    hosted, units = hosted_of(either(asked, "tools"))
    choices = asked_times(either(config, "candidateCount"), "candidateCount") or 1
    prompt = Prompt(
        "chat", tuple(_turns(asked)), functions_of(either(asked, "tools")), _schema(config)
    )
    return Request(
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        # Thoughts count against the limit (seen: a limit of 5, answered with 4 thoughts).
        output_ceiling=asked_number(either(config, "maxOutputTokens")),
        choices=choices,
        tier=tier,
        hosted=hosted,
        sealed=sealed_characters(asked, body, "thoughtSignature"),
        tool_units={unit: uses * choices for unit, uses in units.items()},  # each may search
        is_tied=bool(either(asked, "cachedContent")),
    )


def _lower(body: bytes, ceiling: int, model: str) -> bytes | None:
    """In the spelling that the body has; the names that it lacks as the service itself spells them."""
    asked = read_object(body, _SENSITIVE)
    either(either(asked, "generationConfig"), "maxOutputTokens")  # never both
    config = "generation_config" if "generation_config" in asked else "generationConfig"
    lowered, given = lower_inside(body, asked, config, _LIMITS, ceiling)
    return lowered if given else set_inside(body, asked, config, _LIMITS[0], ceiling)


def _turns(asked: dict[str, Json]) -> list[Turn]:
    turns: list[Turn] = []
    system = either(asked, "systemInstruction")
    if system:
        turns.append(content_turn(system, "system"))
    if either(asked, "cachedContent"):
        cached = TurnBuilder()
        cached.opaque()
        turns.append(cached.turn("user"))
    return turns + [content_turn(content) for content in listed(either(asked, "contents"))]


def _schema(config: Json) -> Schema | None:
    schema = either(config, "responseSchema") or either(config, "responseJsonSchema")
    return Schema("", None, schema) if schema else None


class _Generated:
    """Reads one answer."""

    def __init__(self, request: Request) -> None:
        self._usage: dict[str, Json] = {}
        self._model: str | None = None
        self._tier: str | None = None
        self._transcript = Transcript()
        self._grounding = Grounding(enterprise=set(request.tool_units) == {ENTERPRISE})
        self._unfinished: dict[int, bool] = {}
        self._calls = 0
        self._blocked = False
        self._failed = False

    def take(self, document: Document) -> None:
        value = document.value
        usage = obj(value, "usageMetadata")
        if usage:
            self._tier = tier_of(usage) or self._tier
            if "totalTokenCount" in usage or ("promptTokenCount" in usage and not self._usage):
                self._usage = usage
        self._model = string(value, "modelVersion") or self._model
        self._blocked = self._blocked or at(value, "promptFeedback", "blockReason") is not None
        self._failed = self._failed or value.get("error") is not None
        for place, candidate in enumerate(arr(value, "candidates")):
            self._candidate(candidate, place)

    def _candidate(self, candidate: Json, place: int) -> None:
        index = at(candidate, "index")
        number = index if isinstance(index, int) and 0 <= index < CANDIDATES_MAX else place
        self._unfinished[number] = at(candidate, "finishReason") in _UNFINISHED
        for part in arr(at(candidate, "content"), "parts"):
            self._part(part)
        metadata = obj(candidate, "groundingMetadata")
        if metadata:
            self._grounding.take(number, metadata)

    def _part(self, part: Json) -> None:
        write = self._transcript.think if at(part, "thought") is True else self._transcript.write
        write(string(part, "text"))
        write(string(at(part, "executableCode"), "code"))
        call = obj(part, "functionCall")
        if call:
            arguments = call.get("args") or call.get("partialArgs")
            self._calls += 1
            self._transcript.call(
                self._calls, string(call, "name"), as_json(arguments) if arguments else None
            )

    def reading(self, seen: Seen) -> Reading:
        finished = bool(self._unfinished) and not any(self._unfinished.values())
        complete = (seen.whole or finished or self._blocked) and not self._failed
        blank = Reading(
            source=Source.NONE,
            final=False,
            model=self._model,
            tier=self._tier,
            complete=complete,
            usage_raw=as_raw(self._usage),
            observed=self._transcript.observed(len(self._unfinished)),
            flags=("error_event",) if self._failed else (),
        )
        if not self._usage:
            return blank
        try:
            modal = modal_counts(self._usage, GENERATED)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=(*blank.flags, "usage_invalid"))
        known = complete or seen.clipped
        return msgspec.structs.replace(
            blank,
            components=(component({**modal.counts, **self._grounding.units(self._model)}),),
            source=Source.PROVIDER if known else Source.PARTIAL,
            final=known,
            stated_total=modal.total,
            flags=blank.flags + modal.flags,
        )


def _end(words: str) -> bytes:
    """A candidate cut for its length, as this protocol says it, with our words beside it."""
    candidate = {
        "index": 0,
        "content": {"role": "model", "parts": []},
        "finishReason": "MAX_TOKENS",
        "finishMessage": words,
    }
    return b"data: %b\r\n\r\n" % orjson.dumps({"candidates": [candidate]})


GENERATE: Final[Dialect] = DocumentDialect(
    "gemini",
    _read_request,
    lambda request, head: _Generated(request),
    salvaged=("usageMetadata",),
    lower=_lower,
    sse_end=_end,
)
