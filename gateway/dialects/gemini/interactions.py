"""INTERACTIONS: one interaction as JSON, or its events as SSE; the usage is in the last one.

To bill another grounding tool: register the unit ``grounding_<type>``; until then its use is flagged.
"""

from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.dialects.gemini.asked import functions_of
from gateway.dialects.gemini.counts import INTERACTED, modal_counts
from gateway.dialects.gemini.grounding import search_units
from gateway.metering.asking import TurnBuilder, as_json, asked_number, read_object
from gateway.metering.lowering import lower_inside, set_inside
from gateway.metering.meter import Reading
from gateway.metering.prompt import Prompt, Turn
from gateway.metering.reader import as_raw
from gateway.metering.transcript import Transcript
from gateway.metering.units import UNITS
from gateway.metering.usage import Source, UsageInvalid, component, count_of
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, obj, string

_CONFIG: Final = "generation_config"
_LIMIT: Final = "max_output_tokens"
_SENSITIVE: Final = ("model", "stream", _CONFIG, "service_tier")
_ENDED: Final = frozenset({"completed", "incomplete", "requires_action", "failed", "cancelled"})
_NESTING_MAX: Final = 4


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    system = string(asked, "system_instruction")
    turn = TurnBuilder()
    _read_input(turn, asked.get("input"), _NESTING_MAX)
    if asked.get("previous_interaction_id"):
        turn.opaque()
    turns = (*((Turn("system", system),) if system else ()), turn.turn("user"))
    config = obj(asked, _CONFIG)
    return Request(
        model=string(asked, "model") or string(asked, "agent"),
        stream=asked.get("stream") is True,
        prompt=Prompt("chat", turns, functions_of(asked.get("tools"))),
        output_ceiling=asked_number(config.get(_LIMIT)),
        tier=string(asked, "service_tier"),
    )


def _lower(body: bytes, ceiling: int, model: str) -> bytes | None:
    asked = read_object(body, _SENSITIVE)
    lowered, given = lower_inside(body, asked, _CONFIG, (_LIMIT,), ceiling)
    return lowered if given else set_inside(body, asked, _CONFIG, _LIMIT, ceiling)


def _read_input(turn: TurnBuilder, said: Json, nesting: int) -> None:
    if isinstance(said, str):
        turn.text(said)
    elif isinstance(said, list):
        for each in said if nesting else ():
            _read_input(turn, each, nesting - 1)
    elif isinstance(said, dict):
        _read_item(turn, said, nesting)


def _read_item(turn: TurnBuilder, item: dict[str, Json], nesting: int) -> None:
    kind = string(item, "type")
    if "content" in item:
        _read_input(turn, item["content"], nesting - 1)
    elif kind == "text":
        turn.text(string(item, "text"))
    elif kind == "image":
        turn.image(string(item, "data"))
    elif kind == "function_call":
        turn.call(string(item, "name"), item.get("arguments"))
    elif kind == "function_result":
        turn.json(item.get("result"))
    else:
        turn.opaque()


class _Interacted:
    def __init__(self) -> None:
        self._usage: dict[str, Json] = {}
        self._model: str | None = None
        self._tier: str | None = None
        self._ended = False
        self._failed = False
        self._transcript = Transcript()

    def take(self, document: Document) -> None:
        value = document.value
        event = string(value, "event_type")
        if event is None:
            self._interaction(value)
            for index, step in enumerate(arr(value, "steps")):
                self._step(step, index)
            return
        self._interaction(obj(value, "interaction"))
        delta = value.get("delta")
        self._content(delta, str(value.get("index")))
        self._failed = self._failed or event == "error"

    def _interaction(self, interaction: dict[str, Json]) -> None:
        self._model = string(interaction, "model") or self._model
        self._tier = string(interaction, "service_tier") or self._tier
        self._usage = obj(interaction, "usage") or self._usage
        self._ended = self._ended or string(interaction, "status") in _ENDED
        self._failed = self._failed or interaction.get("error") is not None

    def _step(self, step: Json, index: int) -> None:
        for content in arr(step, "content"):
            self._content(content, str(index))
        self._content(step, str(index))

    def _content(self, content: Json, key: str) -> None:
        kind = string(content, "type") or ""
        write = self._transcript.think if "thought" in kind else self._transcript.write
        write(string(content, "text"))
        if kind == "function_call" and isinstance(content, dict):
            arguments = content.get("arguments")
            self._transcript.call(
                key, string(content, "name"), as_json(arguments) if arguments else None
            )

    def reading(self, seen: Seen) -> Reading:
        blank = Reading(
            source=Source.NONE,
            final=False,
            model=self._model,
            tier=self._tier,
            complete=self._ended and not self._failed,
            usage_raw=as_raw(self._usage),
            observed=self._transcript.observed(),
            flags=("error_event",) if self._failed else (),
        )
        if not self._usage:
            return blank
        try:
            return self._counted(blank)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=(*blank.flags, "usage_invalid"))

    def _counted(self, blank: Reading) -> Reading:
        modal = modal_counts(self._usage, INTERACTED)
        units, flags = _grounding(arr(self._usage, "grounding_tool_count"), self._model)
        return msgspec.structs.replace(
            blank,
            components=(component({**modal.counts, **units}),),
            source=Source.PROVIDER if self._ended else Source.PARTIAL,
            final=self._ended,
            stated_total=modal.total,
            flags=(*blank.flags, *modal.flags, *flags),
        )


def _grounding(said: list[Json], model: str | None) -> tuple[dict[str, int], tuple[str, ...]]:
    units: dict[str, int] = {}
    flags: tuple[str, ...] = ()
    for each in said:
        count = count_of(each.get("count")) if isinstance(each, dict) else None
        kind = string(each, "type") or ""
        if not count:
            continue
        if kind == "google_search":
            units |= search_units(model, count)
        elif f"grounding_{kind}" in UNITS:
            units[f"grounding_{kind}"] = count
        else:
            flags = ("unknown_unit",)
    return units, flags


INTERACTIONS: Final[Dialect] = DocumentDialect(
    "gemini_interactions", _read_request, lambda request, head: _Interacted(), lower=_lower
)
