"""The Responses API: RESPONSES creates (streamed or not), COMPACT compacts.

The usage is in the terminal event and needs no asking. What hosted tools used stands beside it, not inside.
To observe another streamed part: one line in ``_DELTAS``; another whole item: one in ``_ITEMS``;
to bill another hosted tool: ``_with_tools``.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.kernel.errors import MalformedBody, OperationRefused
from gateway.metering.asking import asked_connections, asked_number, asked_times, read_object
from gateway.metering.hosted import (
    IMAGE_TOOL,
    OWN_UNITS,
    UNSAID,
    Uses,
    hosted_tools,
    image_models,
    names_container,
    tool_units,
)
from gateway.metering.inclusive import read_inclusive, usage_reading
from gateway.metering.item_prompt import is_tied, item_prompt
from gateway.metering.lowering import lower_top
from gateway.metering.meter import Reading
from gateway.metering.reader import as_raw
from gateway.metering.sealed import sealed_characters
from gateway.metering.transcript import Transcript
from gateway.metering.unread import unread_characters
from gateway.metering.usage import (
    MAIN,
    MISMATCH,
    Component,
    Source,
    UsageInvalid,
    component,
    count_of,
    shrinks,
)
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, obj, string
from gateway.wire.messages import Head
from gateway.wire.sse import error_event

MADE_MAX: Final = (
    4_096  # ids of an answer that can be referred to later: what is beyond is nobody's
)
_WRITTEN: Final = "container_file_citation"  # other citations name files that are there already
ROLE_IMAGE_GEN: Final = "tool_image_gen"
_READ_TOOLS: Final = frozenset({"image_gen", "web_search"})
# Items of hosted tools whose uses are not counted by their items, and where ``tool_usage`` says how much.
_HOSTED: Final = {
    "web_search_call": "web_search",
    "image_generation_call": "image_gen",
}
# What an answer is made of that its own usage covers when it is read again: what the model wrote, and what tools of
# the provider's told it, once it has gone on from there. A picture that was drawn is not: it weighs more when read.
_WROTE: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_TOLD: Final = frozenset(
    {
        "code_interpreter_call", "file_search_call", "mcp_approval_request", "mcp_call", "mcp_list_tools",
        "web_search_call",
    }
)  # fmt: skip
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ITEM_TURNS: Final = {"response.output_item.added": False, "response.output_item.done": True}
_PENDING: Final = frozenset({"queued", "in_progress"})
_FAILED: Final = frozenset({"response.failed", "error"})
_CONTINUES: Final = "previous_response_id"
_CUTS: Final = "truncation"
_LIMIT: Final = "max_output_tokens"
_LIMIT_MIN: Final = 16  # the API refuses less
_SENSITIVE: Final = (
    "model", "stream", _LIMIT, "service_tier", "background", "store", "input", "instructions", "tools", "max_tool_calls",
    _CONTINUES, _CUTS, "conversation", "prompt",
)  # fmt: skip


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    model, stream = asked.get("model"), asked.get("stream")
    if model is not None and not isinstance(model, str):
        raise MalformedBody('"model" must be a string or null')
    if stream is not None and not isinstance(stream, bool):
        raise MalformedBody('"stream" must be true, false or null')
    if asked.get("background") not in (None, False):
        # Its usage would only show in a later retrieval, which is free: it would pass the meter unweighed.
        raise OperationRefused(
            "background responses do not pass this gateway, with stream=true neither: leave out background"
        )
    prompt = item_prompt(asked)
    uses_max = asked_times(asked.get("max_tool_calls"), "max_tool_calls")
    hosted = hosted_tools(arr(asked, "tools"))
    return Request(
        model=model,
        stream=stream is True,
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        output_ceiling=asked_number(asked.get(_LIMIT)),
        tier=string(asked, "service_tier"),
        stored=asked.get("store") is not False,  # kept where nothing is said
        sealed=sealed_characters(asked, body, "encrypted_content"),
        stores=asked_connections(body) if hosted else frozenset(),
        # The tools themselves are parts of the prompt that cannot be seen.
        tool_units=tool_units(hosted, uses_max),
        others=image_models(hosted, uses_max),
        is_tied=is_tied(asked) or names_container(hosted),
        continues=string(asked, _CONTINUES),
        is_cut=asked.get(_CUTS) not in (None, "disabled"),
    )


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


class _Reader:
    """Takes a whole response, or the events of a streamed one."""

    def __init__(self, request: Request, head: Head) -> None:
        self._stored = request.stored
        drawing = {name for name, _ in request.others if name != IMAGE_TOOL}
        self._drawing = drawing.pop() if len(drawing) == 1 else None
        self._made: dict[str, None] = {}
        self._model: str | None = None
        self._tier: str | None = None
        self._usage: Json = None
        self._tool_usage: dict[str, Json] = {}
        self._hosted: set[str] = set()
        self._uses = Uses()
        self._continues = request.is_tied
        self._offers_uses = not OWN_UNITS.isdisjoint(request.tool_units)
        self._ended = False
        self._failed = False
        self._shrank = False
        self._is_pending = False
        self._answer: str | None = None
        self._transcript = Transcript()
        self._wrote = False
        self.written = False  # an item has ended and no other has begun

    def take(self, document: Document) -> None:
        value = document.value
        kind = string(value, "type")
        if kind in _ITEM_TURNS:
            self.written = _ITEM_TURNS[kind]
            self._make(value.get("item"))  # it is kept although the stream is cut
            if self.written:
                self._uses.pass_by(value.get("item"))
        delta = _DELTAS.get(kind or "")
        if delta is not None:
            self._wrote = True
            delta(self._transcript, value)
            return
        self._failed = self._failed or kind in _FAILED
        if kind is None:  # not an event: the response itself, or what was salvaged of it
            self._ended = True
            self._response(value)
        elif response := obj(value, "response"):
            self._ended = self._ended or kind in _TERMINAL
            self._response(response)

    def reading(self, seen: Seen) -> Reading:
        reading = usage_reading(self._usage, settled=self._ended)
        if self._tool_usage:
            reading = _with_tools(reading, self._usage, self._tool_usage, self._drawing)
        flags = reading.flags + ("error_event",) * self._failed + (MISMATCH,) * self._shrank
        if self._is_pending and self._usage is None:  # works on in the background, out of our sight
            flags += ("unfinished",)
        # Of an answer too large to look at only the usage is found again, none of its items.
        if self._hosted - self._tool_usage.keys() or (seen.clipped and self._offers_uses):
            flags += (UNSAID,)
        used = self._uses.component()
        return replace(
            reading,
            components=reading.components if used is None else (*reading.components, used),
            model=self._model,
            tier=self._tier,
            complete=self._ended,
            observed=self._transcript.observed(),
            flags=flags + self._uses.flags(continues=self._continues),
            made=tuple(self._made),
            sessions=self._uses.sessions(),
            answer=self._answer,
        )

    def _make(self, *kept: Json) -> None:
        for each in kept:
            for made in _kept(each, stored=self._stored):
                if len(self._made) < MADE_MAX:
                    self._made[made] = None

    def _response(self, response: dict[str, Json]) -> None:
        self._model = self._model or string(response, "model") or None
        self._tier = string(response, "service_tier") or self._tier
        self._is_pending = self._ended and string(response, "status") in _PENDING
        usage = response.get("usage")
        if usage is not None:
            self._shrank = self._shrank or shrinks(self._usage, usage)
            self._usage = usage
        self._tool_usage = obj(response, "tool_usage") or self._tool_usage
        self._failed = self._failed or response.get("error") is not None
        items = arr(response, "output") if self._ended else []
        self._make(response, *items)
        if self._ended and self._stored and _is_covered(response.get("output")):
            self._answer = string(response, "id")
        if items:
            self._uses.list_all(items)
        self._hosted |= {_HOSTED.get(string(item, "type") or "", "") for item in items} - {""}
        if not self._wrote:
            for place, item in enumerate(items):
                _ITEMS.get(string(item, "type") or "", _unread)(self._transcript, place, item)


def _is_covered(output: Json) -> bool:
    """Whether the usage of an answer made of these items covers what whoever goes on from it reads of it."""
    if not isinstance(output, list):  # too large to be read whole
        return False
    kinds = [string(item, "type") for item in output]
    if _WROTE.issuperset(kinds):
        return True
    return kinds[-1] == "message" and (_WROTE | _TOLD).issuperset(kinds)


def _kept(each: Json, *, stored: bool) -> Iterator[str]:
    """Ids of what the provider keeps of a stored answer or an item: itself, its container, files written in that."""
    yield from _texts(string(each, "id") if stored else None, string(each, "container_id"))
    for part in arr(each, "content"):
        for note in arr(part, "annotations"):
            if string(note, "type") == _WRITTEN:
                yield from _texts(string(note, "container_id"), string(note, "file_id"))


def _texts(*said: str | None) -> Iterator[str]:
    yield from (each for each in said if each)


def _with_tools(
    reading: Reading, usage: Json, tool_usage: dict[str, Json], drawing: str | None
) -> Reading:
    """Add what hosted tools used: it stands beside the usage, so its tokens are outside the stated total.

    ``drawing``: the model that the request has draw, where it names one.
    """
    raw = as_raw({"usage": usage, "tool_usage": tool_usage})
    flags = reading.flags
    if any(tool_usage[name] for name in tool_usage.keys() - _READ_TOOLS):
        flags += ("tool_usage_unread",)
    try:
        images, doubts = _image_generation(obj(tool_usage, "image_gen"), drawing)
        searches = count_of(obj(tool_usage, "web_search").get("num_requests")) or 0
    except UsageInvalid:
        source = Source.PARTIAL if reading.components else Source.NONE
        flags += ("usage_invalid",)
        return replace(reading, usage_raw=raw, source=source, final=False, flags=flags)
    parts = _with_searches(reading.components, searches) + images
    return replace(
        reading,
        components=parts,
        # Without a usage of its own the main part is unknown, and only a part is said.
        source=reading.source if reading.components or not parts else Source.PARTIAL,
        uncovered=sum(part.tokens() for part in images),
        usage_raw=raw,
        flags=flags + doubts,
    )


def _with_searches(parts: tuple[Component, ...], searches: int) -> tuple[Component, ...]:
    if not searches:
        return parts
    counts = parts[0].counts if parts else {}
    return (component({**counts, "web_search_requests": searches}, MAIN),)


def _image_generation(
    usage: dict[str, Json], drawing: str | None
) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """Generated images are billed at the image model's price; which that is, the request says, else the answer may."""
    carved = read_inclusive(usage, output_rest="output_image") if usage else None
    if carved is None or not carved.counts:
        return (), ()
    part = component(carved.counts, ROLE_IMAGE_GEN, string(usage, "model") or drawing)
    return (part,), carved.doubts()


# ── what was written ─────────────────────────────────────────────────────────────────────────────


def _index(event: dict[str, Json]) -> int:
    index = event.get("output_index")
    return index if isinstance(index, int) else 0


def _text_delta(transcript: Transcript, event: dict[str, Json]) -> None:
    transcript.write(string(event, "delta"))


def _thought_delta(transcript: Transcript, event: dict[str, Json]) -> None:
    transcript.think(string(event, "delta"))


def _arguments_delta(transcript: Transcript, event: dict[str, Json]) -> None:
    transcript.call(_index(event), arguments=string(event, "delta"))


def _item_added(transcript: Transcript, event: dict[str, Json]) -> None:
    item = obj(event, "item")
    if (string(item, "type") or "").endswith("_call") and (name := string(item, "name")):
        transcript.call(_index(event), name)


_DELTAS: Final[dict[str, Callable[[Transcript, dict[str, Json]], None]]] = {
    "response.output_text.delta": _text_delta,
    "response.refusal.delta": _text_delta,
    "response.reasoning_text.delta": _thought_delta,
    "response.reasoning_summary_text.delta": _thought_delta,
    "response.function_call_arguments.delta": _arguments_delta,
    "response.custom_tool_call_input.delta": _arguments_delta,
    "response.mcp_call_arguments.delta": _arguments_delta,
    "response.code_interpreter_call_code.delta": _arguments_delta,
    "response.output_item.added": _item_added,
}


def _message(transcript: Transcript, place: int, item: Json) -> None:
    if string(item, "role") == "user":  # compaction repeats what the user said
        return
    for part in arr(item, "content"):
        transcript.write(string(part, "text") or string(part, "refusal"))


def _reasoning(transcript: Transcript, place: int, item: Json) -> None:
    for part in (*arr(item, "content"), *arr(item, "summary")):
        transcript.think(string(part, "text"))


def _call(transcript: Transcript, place: int, item: Json) -> None:
    written = string(item, "arguments") or string(item, "input") or string(item, "code")
    transcript.call(place, string(item, "name"), written)


def _unread(transcript: Transcript, place: int, item: Json) -> None:
    """Search calls, images, compactions: nothing of them is the model's own text."""


_ITEMS: Final[dict[str, Callable[[Transcript, int, Json], None]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _call,
    "mcp_call": _call,
    "code_interpreter_call": _call,
}


def _lower(body: bytes, ceiling: int, model: str) -> bytes | None:
    return lower_top(body, ceiling, (_LIMIT,), _LIMIT) if ceiling >= _LIMIT_MIN else None


def _end(words: str) -> bytes:
    """The protocol's own error event."""
    return error_event({"code": "insufficient_quota", "message": words, "param": None})


RESPONSES: Final[Dialect] = DocumentDialect(
    "openai_responses",
    _read_request,
    _Reader,
    salvaged=("usage", "tool_usage"),
    lower=_lower,
    sse_end=_end,
)
# Compacting has no ceiling of its own.
COMPACT: Final[Dialect] = DocumentDialect(
    "openai_responses", _read_request, _Reader, salvaged=("usage", "tool_usage")
)
