"""CONVERSE: one conversation API for every vendor's models, JSON or event-stream; GUARDRAIL: ApplyGuardrail.

Usage is in the answer's own member, in a stream in its ``metadata`` event; there are no token headers.
To read another content block: one line in ``_BLOCKS``; another event: one line in ``_Conversed.take``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.metering.asking import (
    TurnBuilder,
    as_json,
    asked_ceiling,
    asked_number,
    asked_times,
    largest,
    read_object,
    require_spelt,
    with_thoughts,
)
from gateway.metering.guardrails import guarded, guardrail_component, traced_usages
from gateway.metering.hosted import hosted_tools, other_models, system_tools, tool_units
from gateway.metering.invocation import runtime_usage, served_tier, tier_of
from gateway.metering.iterations import sums_up
from gateway.metering.lowering import lower_inside, set_inside, thinks_beyond
from gateway.metering.marks import asked_writes
from gateway.metering.meter import Reading
from gateway.metering.prompt import Function, Prompt, Schema, Turn
from gateway.metering.reader import as_raw
from gateway.metering.sized import file_part, sound_part
from gateway.metering.transcript import Transcript
from gateway.metering.unread import unread_characters
from gateway.metering.usage import MAIN, Source, UsageInvalid, component
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string
from gateway.wire.messages import Head

_CONFIG: Final = "inferenceConfig"
_OWN: Final = "additionalModelRequestFields"
_TIERS: Final = {"serviceTier": ("type",), "performanceConfig": ("latency",)}
_SENSITIVE: Final = (_CONFIG, _OWN, *_TIERS, "messages", "system", "toolConfig", "guardrailConfig")
# What a model's own fields may call its limit: they reach it beside inferenceConfig.
_OWN_LIMITS: Final = (
    "max_tokens",
    "maxTokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_gen_len",
)
# And how many answers it writes, of which only one is shown.
_OWN_ANSWERS: Final = ("n", "num_generations", "numResults")
# What decides one level down in them.
_OWN_INSIDE: Final = {
    _CONFIG: _OWN_LIMITS,
    "thinking": ("budget_tokens",),
    "reasoningConfig": ("maxReasoningEffort",),
}
_NESTING_MAX: Final = 4


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    own = obj(asked, _OWN)
    require_spelt(asked.get(_CONFIG), _CONFIG, ("maxTokens",))
    require_spelt(own, _OWN, (*_OWN_LIMITS, *_OWN_ANSWERS, *_OWN_INSIDE))
    for name, decisive in _OWN_INSIDE.items():
        require_spelt(own.get(name), name, decisive)
    answers = [asked_times(own.get(name), name) for name in _OWN_ANSWERS] if own else ()
    for name, decisive in _TIERS.items():
        require_spelt(asked.get(name), name, decisive)
    own_tools = hosted_tools(arr(own, "tools"))
    writes = asked_writes(asked, body, "cachePoint")
    if own:
        writes += asked_writes(own, body, "cache_control")
    prompt = _prompt(asked)
    return Request(
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        passes=1 + sums_up(own),
        output_ceiling=with_thoughts(_ceiling(asked, own), own.get("thinking")),
        choices=largest(*answers) or 1,
        # Of a latency and a tier that are both asked for, the dearer may be served.
        tier=tier_of(None, asked.get("performanceConfig"))
        or tier_of(asked.get("serviceTier"), None),
        writes=writes,
        guarded=bool(asked.get("guardrailConfig")),
        hosted=len(system_tools(asked)) + len(own_tools) + len(arr(own, "mcp_servers")),
        tool_units=tool_units(own_tools),
        others=other_models(own, own_tools),
    )


def _ceiling(asked: dict[str, Json], own: dict[str, Json]) -> int | None:
    """The largest limit by any of the names that may reach the model."""
    given = obj(asked, _CONFIG).get("maxTokens")
    if not own:  # as nearly always
        return asked_number(given)
    owns = [each.get(name) for each in (own, obj(own, _CONFIG)) for name in _OWN_LIMITS]
    return asked_ceiling(given, *owns)


def _lower(body: bytes, ceiling: int, model: str) -> bytes | None:
    """The config's own limit, and whatever a model's own fields say beside it."""
    asked = read_object(body, _SENSITIVE)
    own = obj(asked, _OWN)
    effort = string(own.get("reasoningConfig"), "maxReasoningEffort")
    # The highest effort takes no limit; a limit two levels down is not worth a way to change it.
    if thinks_beyond(own.get("thinking"), ceiling) or effort == "high" or obj(own, _CONFIG):
        return None
    lowered, given = lower_inside(body, asked, _CONFIG, ("maxTokens",), ceiling)
    lowered, beside = lower_inside(lowered, asked, _OWN, _OWN_LIMITS, ceiling)
    if given or beside:
        return lowered
    return set_inside(body, asked, _CONFIG, "maxTokens", ceiling)


def _prompt(asked: dict[str, Json]) -> Prompt:
    turns: list[Turn] = []
    if asked.get("system"):
        turns.append(_turn("system", asked["system"]))
    turns += [_turn(string(each, "role"), at(each, "content")) for each in arr(asked, "messages")]
    if asked.get("promptVariables"):
        turns.append(_variables(obj(asked, "promptVariables")))
    tools = arr(obj(asked, "toolConfig"), "tools")
    schema = _schema(asked) if "outputConfig" in asked else None
    return Prompt("chat", tuple(turns), tuple([_function(tool) for tool in tools]), schema)


def _schema(asked: dict[str, Json]) -> Schema | None:
    structure = at(asked, "outputConfig", "textFormat", "structure", "jsonSchema")
    if not structure:
        return None
    return Schema(string(structure, "name") or "", None, string(structure, "schema"))


def _variables(variables: dict[str, Json]) -> Turn:
    """A prompt kept by the provider is not in the request: only what fills it in."""
    turn = TurnBuilder()
    turn.opaque()
    for value in variables.values():
        turn.text(string(value, "text"))
    return turn.turn("user")


def _function(tool: Json) -> Function:
    spec = obj(tool, "toolSpec") or obj(tool, "systemTool")
    parameters = at(spec, "inputSchema", "json")
    return Function(string(spec, "name") or "", string(spec, "description"), parameters)


def _turn(role: str | None, content: Json) -> Turn:
    turn = TurnBuilder()
    _read_content(turn, content, _NESTING_MAX)
    return turn.turn(role)


def _read_content(turn: TurnBuilder, content: Json, nesting: int) -> None:
    for block in content if isinstance(content, list) and nesting else ():
        for member, value in block.items() if isinstance(block, dict) else ():
            if member in ("toolResult", "searchResult"):
                _read_content(turn, at(value, "content"), nesting - 1)
            else:
                _BLOCKS.get(member, _unknown_block)(turn, value)


def _unknown_block(turn: TurnBuilder, value: Json) -> None:
    turn.opaque()


def _document(turn: TurnBuilder, value: Json) -> None:
    """A file in bytes, or text in a document's own parts; one kept in a bucket is nowhere to be seen."""
    source = at(value, "source")
    if text := string(source, "text"):
        turn.text(text)
        return
    turn.opaque(file_part(string(source, "bytes"), string(value, "format")))


def _sound(turn: TurnBuilder, value: Json) -> None:
    turn.opaque(sound_part(string(at(value, "source"), "bytes")))


def _text(turn: TurnBuilder, value: Json) -> None:
    turn.text(value if isinstance(value, str) else None)


def _cited(turn: TurnBuilder, value: Json) -> None:
    for part in arr(value, "content"):
        turn.text(string(part, "text"))


_BLOCKS: Final[dict[str, Callable[[TurnBuilder, Json], None]]] = {
    "text": _text,
    "document": _document,
    "audio": _sound,
    "json": lambda turn, value: turn.json(value),
    "image": lambda turn, value: turn.image(string(at(value, "source"), "bytes")),
    "toolUse": lambda turn, value: turn.call(string(value, "name"), at(value, "input")),
    "guardContent": lambda turn, value: turn.text(string(at(value, "text"), "text")),
    "reasoningContent": lambda turn, value: turn.text(string(at(value, "reasoningText"), "text")),
    "citationsContent": _cited,
    "cachePoint": lambda turn, value: None,
}


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


class _Conversed:
    """Reads one answer. ``doubtful``: the usage came in a frame with a wrong checksum."""

    def __init__(self, request: Request, head: Head) -> None:
        self._is_guarded = request.guarded
        self._head_tier = served_tier(head.headers)
        self._metadata: dict[str, Json] = {}
        self._doubtful = False
        self._transcript = Transcript()

    def take(self, document: Document) -> None:
        value = document.value
        event = document.event
        if event == "contentBlockDelta":
            self._delta(value.get("delta"), str(value.get("contentBlockIndex")))
        elif event == "contentBlockStart":
            name = string(at(value, "start", "toolUse"), "name")
            if name is not None:
                self._transcript.call(str(value.get("contentBlockIndex")), name)
        elif event == "metadata" or not event:
            self._metadata = value
            self._doubtful = not document.intact
            for index, block in enumerate(arr(at(value, "output", "message"), "content")):
                self._block(block, str(index))

    def _delta(self, delta: Json, key: str) -> None:
        self._transcript.write(string(delta, "text"))
        self._transcript.think(string(at(delta, "reasoningContent"), "text"))
        arguments = string(at(delta, "toolUse"), "input")
        if arguments:
            self._transcript.call(key, None, arguments)

    def _block(self, block: Json, key: str) -> None:
        self._transcript.write(string(block, "text"))
        self._transcript.think(string(at(block, "reasoningContent", "reasoningText"), "text"))
        for part in arr(at(block, "citationsContent"), "content"):
            self._transcript.write(string(part, "text"))
        used = obj(block, "toolUse")
        if used:
            arguments = used.get("input")
            self._transcript.call(
                key, string(used, "name"), as_json(arguments) if arguments else None
            )

    def reading(self, seen: Seen) -> Reading:
        usage = obj(self._metadata, "usage")
        traced = traced_usages(self._metadata.get("trace"))
        tier = tier_of(self._metadata.get("serviceTier"), self._metadata.get("performanceConfig"))
        blank = Reading(
            source=Source.NONE,
            final=False,
            tier=tier or self._head_tier,
            complete=bool(self._metadata) and not seen.clipped,
            usage_raw=as_raw(usage, *traced),
            observed=self._transcript.observed(),
        )
        try:
            return self._counted(blank, usage)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=("usage_invalid",))

    def _counted(self, blank: Reading, usage: dict[str, Json]) -> Reading:
        stated = runtime_usage(usage)
        if stated is None:
            return blank
        parts, unmeasured = guarded(
            (component(stated.counts, MAIN),),
            self._metadata.get("trace"),
            looked_at=self._is_guarded,
        )
        tools = obj(usage, "serverToolUsage")
        # No service model names these counts yet, so they cannot be booked; they must not be lost.
        flags = stated.flags + ("unknown_unit",) * any(tools.values())
        sure = stated.whole and not self._doubtful
        return msgspec.structs.replace(
            blank,
            components=parts,
            source=Source.PROVIDER if sure else Source.PARTIAL,
            final=sure,
            stated_total=stated.total,
            flags=unmeasured + flags,
        )


# ── guardrails of their own ──────────────────────────────────────────────────────────────────────


def _read_guarded(body: bytes) -> Request:
    asked = read_object(body, ("content", "source"))
    turn = TurnBuilder()
    for block in arr(asked, "content"):
        text = string(at(block, "text"), "text")
        if text is None:
            turn.opaque()
        turn.text(text)
    return Request(prompt=Prompt("plain", (turn.turn("user"),)))


class _Guarded:
    """Units are all there is to bill; an answer without any has used none."""

    def __init__(self) -> None:
        self._usage: dict[str, Json] = {}

    def take(self, document: Document) -> None:
        self._usage = obj(document.value, "usage")

    def reading(self, seen: Seen) -> Reading:
        blank = Reading(final=False, complete=seen.whole, usage_raw=as_raw(self._usage))
        if not self._usage:
            return blank
        try:
            guardrail = guardrail_component((self._usage,))
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=("usage_invalid",))
        return msgspec.structs.replace(
            blank,
            components=() if guardrail is None else (guardrail,),
            source=Source.PROVIDER,
            final=True,
        )


CONVERSE: Final[Dialect] = DocumentDialect(
    "converse",
    _read_request,
    _Conversed,
    salvaged=("usage", "trace", "serviceTier"),
    lower=_lower,
)
GUARDRAIL: Final[Dialect] = DocumentDialect(
    "guardrail", _read_guarded, lambda request, head: _Guarded()
)
