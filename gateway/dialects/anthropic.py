"""The Messages protocol of Anthropic: MESSAGES wherever it is spoken in its own shape, INVOKE inside a runtime's.

Both meter plain JSON, SSE and event-stream alike, by the head. INVOKE adds what the runtime states around
the model's body: token-count headers, invocation metrics, guardrail traces, and the tier as a header.
To read a new content block: one line in ``_BLOCKS``; a new counted tool: metering.hosted.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.metering.asking import (
    TurnBuilder,
    as_json,
    asked_ceiling,
    read_object,
    require_spelt,
    with_thoughts,
)
from gateway.metering.guardrails import ACTION, guarded
from gateway.metering.hosted import TOOL_UNITS, hosted_tools, other_models, tool_units, used_units
from gateway.metering.invocation import (
    METRICS,
    TRACE,
    Stated,
    disagree,
    header_usage,
    runtime_usage,
    served_tier,
)
from gateway.metering.iterations import iterations, sums_up
from gateway.metering.lowering import at_top
from gateway.metering.marks import asked_writes
from gateway.metering.meter import Reading
from gateway.metering.prompt import Function, Prompt, Turn
from gateway.metering.reader import as_raw
from gateway.metering.sized import TOLD_BLOCKS, file_part, told_part
from gateway.metering.transcript import Transcript
from gateway.metering.unread import unread_characters
from gateway.metering.usage import (
    MAIN,
    MISMATCH,
    Source,
    UsageInvalid,
    carve,
    component,
    count_of,
    misses_lifetimes,
    retracts,
    total_tokens,
)
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string
from gateway.wire.messages import Head
from gateway.wire.sse import error_event

_LIMITS: Final = ("max_tokens", "max_tokens_to_sample")
_SENSITIVE: Final = (
    "model", "stream", *_LIMITS, "thinking", "service_tier", "speed", "messages", "system", "tools", "mcp_servers",
    "context_management", "fallbacks",
)  # fmt: skip
_BASE_SPEED: Final = "standard"
_LIFETIMES: Final = {
    "ephemeral_5m_input_tokens": "cache_write_5m",
    "ephemeral_1h_input_tokens": "cache_write_1h",
}
_NO_GEO: Final = "not_available"
_BLOCKS_NESTING_MAX: Final = 4


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    speed = string(asked, "speed")
    require_spelt(asked.get("thinking"), "thinking", ("budget_tokens",))
    hosted = hosted_tools(arr(asked, "tools")) if "tools" in asked else ()
    prompt = _prompt(asked)
    return Request(
        model=string(asked, "model"),
        stream=asked.get("stream") is True,
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        passes=1 + sums_up(asked),
        # The second name is that of the older text completions.
        output_ceiling=with_thoughts(
            asked_ceiling(*[asked.get(name) for name in _LIMITS]), asked.get("thinking")
        ),
        tier=string(asked, "service_tier") if speed in (None, _BASE_SPEED) else speed,
        writes=asked_writes(asked, body, "cache_control"),
        hosted=len(hosted) + len(arr(asked, "mcp_servers")),
        tool_units=tool_units(hosted) if hosted else {},
        others=other_models(asked, hosted),
    )


def _prompt(asked: dict[str, Json]) -> Prompt:
    turns = [_turn("system", asked["system"])] if asked.get("system") else []
    turns += [_turn(string(each, "role"), at(each, "content")) for each in arr(asked, "messages")]
    legacy = string(asked, "prompt")
    if legacy is not None:
        turns.append(Turn("user", legacy))
    functions = tuple([_function(tool) for tool in arr(asked, "tools")])
    return Prompt("chat", tuple(turns), functions)


def _function(tool: Json) -> Function:
    parameters = obj(tool, "input_schema")
    name = string(tool, "name") or string(tool, "type") or ""
    return Function(name, string(tool, "description"), parameters or None)


def _turn(role: str | None, content: Json) -> Turn:
    if isinstance(content, str):
        return Turn(role or "user", content)
    turn = TurnBuilder()
    _read_content(turn, content, _BLOCKS_NESTING_MAX)
    return turn.turn(role)


def _read_content(turn: TurnBuilder, content: Json, nesting: int) -> None:
    if isinstance(content, str):
        turn.text(content)
    for block in content if isinstance(content, list) and nesting else ():
        kind = string(block, "type") or ""
        if not isinstance(block, dict):
            turn.opaque()
        elif kind.endswith("tool_result"):
            _read_content(turn, block.get("content"), nesting - 1)
        else:
            _BLOCKS.get(kind, _unknown_block)(turn, block)


def _unknown_block(turn: TurnBuilder, block: dict[str, Json]) -> None:
    turn.opaque()


def _tool_use(turn: TurnBuilder, block: dict[str, Json]) -> None:
    turn.call(string(block, "name"), block.get("input"))


def _image(turn: TurnBuilder, block: dict[str, Json]) -> None:
    turn.image(string(block.get("source"), "data"))


def _document(turn: TurnBuilder, block: dict[str, Json]) -> None:
    source = block.get("source")
    if string(source, "type") == "text":
        turn.text(string(source, "data"))
    elif string(source, "type") == "content":
        _read_content(turn, at(source, "content"), 1)
    elif string(source, "type") == "base64":
        turn.opaque(file_part(string(source, "data"), string(source, "media_type")))
    else:
        turn.opaque()


def _search_result(turn: TurnBuilder, block: dict[str, Json]) -> None:
    turn.text(string(block, "title"))
    _read_content(turn, block.get("content"), 1)


_BLOCKS: Final[dict[str, Callable[[TurnBuilder, dict[str, Json]], None]]] = {
    "text": lambda turn, block: turn.text(string(block, "text")),
    "thinking": lambda turn, block: turn.text(string(block, "thinking")),
    "compaction": lambda turn, block: turn.text(string(block, "content")),
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "mcp_tool_use": _tool_use,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    **dict.fromkeys(TOLD_BLOCKS, lambda turn, block: turn.opaque(told_part(block))),
}


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


class _Anthropic:
    """Reads an answer, streamed or not. ``merged`` is the usage: the start, overwritten by what follows."""

    def __init__(self) -> None:
        self.merged: dict[str, Json] = {}
        self.model: str | None = None
        self.transcript = Transcript()
        self.ended = False  # the terminal event, or a whole message
        self.settled = False  # the output count is the final one
        self.running = False  # an output count beyond the placeholder was seen
        self.written = False  # a block has ended and no other has begun
        self.failed = False
        self.doubtful = False  # the usage came in a frame with a wrong checksum
        self._container: str | None = None
        self._said: list[dict[str, Json]] = []

    def take(self, document: Document) -> None:
        value = document.value
        kind = string(value, "type")
        if kind == "content_block_delta":
            self._delta(value)
        elif kind == "content_block_stop":
            self.written = True
        elif kind == "content_block_start":
            self.written = False
            self._block(value.get("content_block"), value.get("index"))
        elif kind == "message_start":
            self._message(obj(value, "message"), document)
        elif kind == "message_delta":
            self._overwrite(obj(value, "usage"), document)
            self._keep(obj(value, "delta"))
            self.running = self.running or obj(value, "usage").get("output_tokens") is not None
            if self.running and string(value.get("delta"), "stop_reason") is not None:
                self.settled = True
        elif kind == "message_stop":
            self.ended = True
        else:
            self._other(kind, value, document)

    def _other(self, kind: str | None, value: dict[str, Json], document: Document) -> None:
        if kind == "error":
            self.failed = True
        elif kind == "message" or "usage" in value:
            self._message(value, document)
            self.ended = self.settled = self.running = True
        elif kind in (None, "completion"):  # text completions of old
            self.transcript.write(string(value, "completion"))
            self.ended = self.ended or string(value, "stop_reason") is not None

    def _message(self, message: dict[str, Json], document: Document) -> None:
        self.model = string(message, "model") or self.model
        self._keep(message)
        self._overwrite(obj(message, "usage"), document)
        for index, block in enumerate(arr(message, "content")):
            self._block(block, index)

    def _keep(self, message: dict[str, Json]) -> None:
        """The container that code ran in can be used again, by its id."""
        self._container = string(message.get("container"), "id") or self._container

    def _overwrite(self, usage: dict[str, Json], document: Document) -> None:
        if usage:
            self._said.append(usage)
            self.doubtful = self.doubtful or not document.intact
            self.merged.update((name, value) for name, value in usage.items() if value is not None)

    def _block(self, block: Json, index: Json) -> None:
        self.transcript.write(string(block, "text"))
        self.transcript.think(string(block, "thinking"))
        name = string(block, "name")
        if name is not None and isinstance(block, dict):
            arguments = block.get("input")
            self.transcript.call(str(index), name, as_json(arguments) if arguments else None)

    def _delta(self, value: dict[str, Json]) -> None:
        delta = value.get("delta")
        self.transcript.write(string(delta, "text"))
        self.transcript.think(string(delta, "thinking"))
        arguments = string(delta, "partial_json")
        if arguments:
            self.transcript.call(str(value.get("index")), None, arguments)

    def reading(self, seen: Seen) -> Reading:
        flags = ("error_event",) if self.failed else ()
        blank = Reading(
            source=Source.NONE,
            final=False,
            model=self.model,
            tier=self._tier(),
            complete=self.ended and not self.failed,
            usage_raw=as_raw(*self._said),
            observed=self.transcript.observed(),
            flags=flags,
            region=self._region(),
            made=() if self._container is None else (self._container,),
        )
        try:
            return self._counted(blank)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=(*flags, "usage_invalid"))

    def _counted(self, blank: Reading) -> Reading:
        if self.merged.get("input_tokens") is None and self.merged.get("output_tokens") is None:
            return blank
        both = [self.merged.get(name) for name in ("input_tokens", "output_tokens")]
        known = self.settled and not self.doubtful and None not in both
        main = _tokens(self.merged, with_output=self.running)
        units, unknown = used_units(obj(self.merged, "server_tool_use"))
        others, inside, flags = iterations(arr(self.merged, "iterations"), _tokens)
        # What the start says of the output is a placeholder.
        is_odd = misses_lifetimes(main) or retracts(self._said, placeholder="output_tokens")
        return msgspec.structs.replace(
            blank,
            components=(component({**main, **units}, MAIN), *others),
            source=Source.PROVIDER if known else Source.PARTIAL,
            final=known,
            stated_total=inside,
            uncovered=total_tokens(others),
            flags=(*blank.flags, *flags, *unknown, *(MISMATCH,) * is_odd),
        )

    def _tier(self) -> str | None:
        speed = string(self.merged, "speed")
        return string(self.merged, "service_tier") if speed in (None, _BASE_SPEED) else speed

    def _region(self) -> str | None:
        geo = string(self.merged, "inference_geo")
        return None if geo == _NO_GEO else geo


def _tokens(usage: dict[str, Json], *, with_output: bool = True) -> dict[str, int]:
    """Disjoint token counts of one usage object; input excludes the cache, output includes thinking."""
    split = obj(usage, "cache_creation")
    writes = {unit: count_of(split.get(member)) or 0 for member, unit in _LIFETIMES.items()}
    written = count_of(usage.get("cache_creation_input_tokens"))
    counts = {
        "input_text": count_of(usage.get("input_tokens")) or 0,
        "cache_read_text": count_of(usage.get("cache_read_input_tokens")) or 0,
        **carve("cache_write", sum(writes.values()) if written is None else written, writes),
    }
    if with_output:
        thinking = count_of(obj(usage, "output_tokens_details").get("thinking_tokens")) or 0
        output = count_of(usage.get("output_tokens")) or 0
        counts |= carve("output_text", output, {"output_reasoning": thinking})
    return counts


class _Invoked(_Anthropic):
    """The same inside a runtime: its own counts check the body's, and stand in where the body has none."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self._head_tier = served_tier(head.headers)
        self._head_usage = header_usage(head.headers)
        self._metrics: dict[str, Json] = {}
        self._metrics_intact = True
        self._trace: Json = None
        self._is_guarded = False

    def take(self, document: Document) -> None:
        super().take(document)
        self._trace = document.value.get(TRACE) or self._trace
        self._is_guarded = self._is_guarded or ACTION in document.value
        metrics = obj(document.value, METRICS)
        if metrics:
            self._metrics = metrics
            self._metrics_intact = document.intact
            self.ended = True

    def reading(self, seen: Seen) -> Reading:
        # The id in the path is what is billed and names the model; the body's own name is another's.
        reading = msgspec.structs.replace(
            super().reading(seen), model=None, tier=self._head_tier, region=None
        )
        try:
            return self._with_runtime(reading)
        except UsageInvalid:
            return msgspec.structs.replace(reading, flags=(*reading.flags, "usage_invalid"))

    def _with_runtime(self, reading: Reading) -> Reading:
        stated = runtime_usage(self._metrics or self._head_usage)
        if stated is not None:
            reading = self._settled(reading, stated)
        parts, flags = guarded(reading.components, self._trace, looked_at=self._is_guarded)
        return msgspec.structs.replace(reading, components=parts, flags=(*reading.flags, *flags))

    def _settled(self, reading: Reading, stated: Stated) -> Reading:
        body = next((each for each in reading.components if each.role == MAIN), None)
        if reading.final and body is not None:
            told = Stated({name: n for name, n in body.counts.items() if name not in TOOL_UNITS})
            flags = (MISMATCH,) if stated.odd or disagree(told, stated) else ()
            return msgspec.structs.replace(reading, flags=(*reading.flags, *flags))
        known = self._metrics_intact
        return msgspec.structs.replace(
            reading,
            components=(component(stated.counts, MAIN),),
            source=Source.PROVIDER if known else Source.PARTIAL,
            final=known,
            stated_total=stated.total,
            usage_raw=reading.usage_raw or as_raw(self._metrics or self._head_usage),
            flags=reading.flags + stated.flags,
        )


MESSAGES: Final[Dialect] = DocumentDialect(
    "anthropic",
    _read_request,
    lambda request, head: _Anthropic(),
    lower=at_top(*_LIMITS),
    sse_end=lambda words: error_event({"error": {"type": "rate_limit_error", "message": words}}),
)
INVOKE: Final[Dialect] = DocumentDialect(
    "anthropic_invoke",
    _read_request,
    lambda request, head: _Invoked(head),
    salvaged=("usage", TRACE),
    lower=at_top(*_LIMITS),
)
