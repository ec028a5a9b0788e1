"""InvokeModel bodies of every vendor but Anthropic: FAMILIES tells the family from the body's own shape.

The runtime's counts are the truth (headers of a JSON answer, invocation metrics of a stream); a body's own
numbers check them, refine them, or stand in. ASYNC prices a video from what was asked.
To read another family: its members in ``_WRITERS`` (text), ``_COUNTS`` and ``_ENDS`` (answer), ``_LIMITS`` (request).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.metering.asking import (
    TurnBuilder,
    as_json,
    asked_ceiling,
    asked_times,
    largest,
    read_object,
    require_spelt,
)
from gateway.metering.choices import ChoicesReader
from gateway.metering.guardrails import ACTION, guarded
from gateway.metering.hosted import system_tools
from gateway.metering.invocation import (
    METRICS,
    TRACE,
    Stated,
    disagree,
    header_usage,
    runtime_usage,
    served_tier,
)
from gateway.metering.lowering import lower_family
from gateway.metering.meter import Reading
from gateway.metering.pictures import DECISIVE, SIZED, unit_of
from gateway.metering.pieces import IMAGES, VIDEO, asked_pieces, video_seconds
from gateway.metering.prompt import Function, Prompt, Shape, Turn
from gateway.metering.reader import as_raw
from gateway.metering.transcript import Transcript
from gateway.metering.unread import unread_characters
from gateway.metering.usage import MAIN, MISMATCH, Source, UsageInvalid, component, count_of
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string
from gateway.wire.messages import Head

# ── the request ──────────────────────────────────────────────────────────────────────────────────

_LIMITS: Final = (
    "max_tokens", "max_completion_tokens", "max_gen_len", "max_new_tokens", "maxTokens",
    "maxTokenCount", "max_tokens_to_sample",
)  # fmt: skip
_CONFIGS: Final = ("inferenceConfig", "textGenerationConfig")
_ALTERNATIVES: Final = ("n", "num_generations", "numResults")
_SENSITIVE: Final = (
    *_LIMITS, *_CONFIGS, *_ALTERNATIVES, "model", "stream", "service_tier", "imageGenerationConfig", "taskType",
    "messages", "prompt", "system", "toolConfig",
)  # fmt: skip
_TEXTS: Final = ("system", "preamble", "prompt", "inputText", "message", "query")
_LISTS: Final = ("texts", "documents", "chat_history", "text_prompts", "inputs")
_EMBEDDED: Final = frozenset({"texts", "inputs", "singleEmbeddingParams", "inputImage", "images"})
_NESTING_MAX: Final = 6


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    for name in (*_CONFIGS, "imageGenerationConfig"):
        require_spelt(asked.get(name), name, (*_LIMITS, *DECISIVE))
    configs = (asked, *(obj(asked, name) for name in _CONFIGS))
    prompt = _prompt(asked)
    return Request(
        model=string(asked, "model"),
        stream=asked.get("stream") is True,
        prompt=prompt,
        unread=unread_characters(asked, prompt),
        hosted=len(system_tools(asked)),
        output_ceiling=asked_ceiling(*[each.get(name) for each in configs for name in _LIMITS]),
        choices=largest(*[asked_times(asked.get(name), name) for name in _ALTERNATIVES]) or 1,
        tier=string(asked, "service_tier"),
        units=asked_pieces(asked),
    )


def _prompt(asked: dict[str, Json]) -> Prompt:
    turns = [_turn("user", asked[name]) for name in (*_TEXTS, *_LISTS) if asked.get(name)]
    turns += [_turn(string(each, "role"), at(each, "content")) for each in arr(asked, "messages")]
    wrapped = [asked[name] for name in asked if name.endswith("Params")]
    turns += [_turn("user", value) for value in wrapped]
    if "inputImage" in asked:
        turns.append(_turn("user", {"image": asked["inputImage"]}))
    tools = arr(asked, "tools") + arr(obj(asked, "toolConfig"), "tools")
    shape: Shape = "chat" if "messages" in asked else "plain"
    if _EMBEDDED & asked.keys():
        shape = "embeddings"
    return Prompt(shape, tuple(turns), tuple(_function(tool) for tool in tools))


def _function(tool: Json) -> Function:
    spec = obj(tool, "toolSpec") or obj(tool, "function") or tool
    parameters = at(spec, "inputSchema", "json") or at(spec, "parameters")
    return Function(string(spec, "name") or "", string(spec, "description"), parameters)


def _turn(role: str | None, content: Json) -> Turn:
    turn = TurnBuilder()
    _read_content(turn, content, _NESTING_MAX)
    return turn.turn(role)


def _read_content(turn: TurnBuilder, content: Json, nesting: int) -> None:
    """Text wherever a family puts it: as such, in blocks, or under a member of its own."""
    if isinstance(content, str):
        turn.text(content)
    elif isinstance(content, list):
        for each in content if nesting else ():
            _read_content(turn, each, nesting - 1)
    elif isinstance(content, dict):
        _read_block(turn, content, nesting)


def _read_block(turn: TurnBuilder, block: dict[str, Json], nesting: int) -> None:
    for member, value in block.items():
        if member in ("text", "message", "value", "content", "json", "toolResult"):
            _read_content(turn, value, nesting - 1)
        elif member == "toolUse":
            turn.call(string(value, "name"), at(value, "input"))
        elif member in ("image", "image_url", "inputImage"):
            turn.image(value if isinstance(value, str) else string(at(value, "source"), "bytes"))
        elif member in ("audio", "video", "document", "input_audio"):
            turn.opaque()


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def _write(transcript: Transcript, value: Json) -> None:
    """A text, or a list of parts that each hold one."""
    if isinstance(value, str):
        transcript.write(value)
    for part in value if isinstance(value, list) else ():
        transcript.write(string(part, "text") or string(part, "outputText"))
        transcript.write(string(at(part, "data"), "text"))
        transcript.think(string(at(part, "reasoningContent", "reasoningText"), "text"))
        used = obj(part, "toolUse")
        if used:
            transcript.call(
                string(used, "toolUseId"), string(used, "name"), as_json(used.get("input"))
            )


def _write_message(transcript: Transcript, value: Json) -> None:
    _write(transcript, at(value, "message", "content") or at(value, "content"))


def _write_delta(transcript: Transcript, value: Json) -> None:
    delta = at(value, "delta")
    transcript.write(string(delta, "text"))
    transcript.think(string(at(delta, "reasoningContent"), "text"))
    arguments = string(at(delta, "toolUse"), "input")
    if arguments:
        transcript.call(str(at(value, "contentBlockIndex")), None, arguments)


def _start_call(transcript: Transcript, value: Json) -> None:
    name = string(at(value, "start", "toolUse"), "name")
    if name:
        transcript.call(str(at(value, "contentBlockIndex")), name)


_WRITERS: Final[dict[str, Callable[[Transcript, Json], None]]] = {
    "outputText": _write,
    "results": _write,
    "generation": _write,
    "generations": _write,
    "outputs": _write,
    "completions": _write,
    "completion": _write,
    "text": _write,
    "content": _write,
    "output": _write_message,
    "message": _write_message,
    "contentBlockDelta": _write_delta,
    "contentBlockStart": _start_call,
}
# Numbers of Titan and Llama bodies, by the runtime's names. Streamed ones are running counts.
_COUNTS: Final = (
    ("inputTextTokenCount", "inputTokenCount"),
    ("totalOutputTextTokenCount", "outputTokenCount"),
    ("prompt_token_count", "inputTokenCount"),
    ("generation_token_count", "outputTokenCount"),
)
_ENDS: Final = (
    "stop_reason",
    "completionReason",
    "totalOutputTextTokenCount",
    "finish_reason",
    "metadata",
)


class _Answer:
    """Reads one answer of any family.

    What is billed by the piece has been asked for by the piece, but for pictures that a bare prompt is enough for.
    """

    def __init__(self, request: Request, head: Head) -> None:
        self._asked = request.units
        self._tier = served_tier(head.headers)
        self._runtime = header_usage(head.headers)
        self._body: dict[str, Json] = {}
        self._results: list[Json] = []
        self._trace: Json = None
        self._is_guarded = False
        self._choices: ChoicesReader | None = None
        self._transcript = Transcript()
        self._sized = next((unit for unit in request.units if unit in SIZED), None)
        self._pieces = 0  # images in the answer
        self._by_size: dict[str, int] = {}
        self._drawn = (
            0  # of these, those it brings itself: Cohere's embeddings describe the client's own
        )
        self._ended = False
        self._intact = True

    def take(self, document: Document) -> None:
        value = document.value
        self._intact = self._intact and document.intact
        self._trace = value.get(TRACE) or self._trace
        self._is_guarded = self._is_guarded or ACTION in value
        metrics = obj(value, METRICS)
        if metrics:
            self._runtime = metrics
            self._intact = document.intact
        self._ended = self._ended or bool(metrics) or any(value.get(name) for name in _ENDS)
        if "choices" in value or "prompt_tokens" in obj(value, "usage"):
            self._choices = self._choices or ChoicesReader()
            self._choices.take(document)
            return
        self._count(value)
        images = arr(value, "images")
        self._pieces += len(images) + len(arr(value, "artifacts"))
        drawn = [image for image in images if isinstance(image, str)]
        self._drawn += len(drawn)
        for image in drawn if self._sized else ():
            unit = unit_of(image, self._sized or IMAGES)
            self._by_size[unit] = self._by_size.get(unit, 0) + 1
        for name, written in value.items():
            writer = _WRITERS.get(name)
            if writer is not None:
                writer(self._transcript, written)

    def _count(self, value: dict[str, Json]) -> None:
        usage = obj(value, "usage") or obj(obj(value, "metadata"), "usage")
        if "inputTokens" in usage:
            self._body = dict(usage)
        for member, name in _COUNTS:
            if value.get(member) is not None:
                self._body[name] = value[member]
        results = [at(each, "tokenCount") for each in arr(value, "results")]
        self._results += [each for each in results if each is not None]

    def _body_usage(self) -> dict[str, Json]:
        if not self._results:
            return self._body
        written = sum(count_of(each) or 0 for each in self._results)
        return {**self._body, "outputTokenCount": written}

    def reading(self, seen: Seen) -> Reading:
        ended = self._ended or seen.whole
        blank = Reading(
            source=Source.NONE,
            final=False,
            tier=self._tier,
            complete=ended,
            usage_raw=as_raw(self._runtime, self._body),
            observed=self._transcript.observed(),
        )
        if self._choices is not None:
            blank = self._chosen(blank, seen)
        try:
            return self._with_guardrail(self._counted(blank, seen, ended=ended))
        except UsageInvalid:
            return msgspec.structs.replace(
                blank, components=(), source=Source.NONE, final=False, flags=("usage_invalid",)
            )

    def _chosen(self, blank: Reading, seen: Seen) -> Reading:
        """Bodies made of choices: their own reader carves what they say inclusively."""
        assert self._choices is not None
        reading = self._choices.reading(seen)
        return msgspec.structs.replace(
            reading,
            model=None,
            tier=self._tier or reading.tier,
            complete=blank.complete or reading.complete,
            usage_raw=as_raw(self._runtime) if reading.usage_raw is None else reading.usage_raw,
        )

    def _counted(self, blank: Reading, seen: Seen, *, ended: bool) -> Reading:
        is_drawn = self._drawn and self._choices is None and not self._body
        # Pictures too large to look at are billed all the same: as many as were asked for, in the size asked for.
        is_made = blank.complete or (seen.clipped and self._sized is not None)
        if is_made and (self._asked or is_drawn):
            return self._by_the_piece(blank)
        runtime, body = runtime_usage(self._runtime), runtime_usage(self._body_usage())
        if blank.final and blank.source is Source.PROVIDER:
            told = Stated(blank.components[0].counts)
            if blank.balances() or runtime is None:
                return blank if runtime is None else _checked(blank, told, runtime)
        if runtime is not None:
            reading = _stated(blank, runtime, known=self._intact)
            if blank.components and blank.final:  # the choices' own usage, which does not balance
                body = Stated(blank.components[0].counts)
            return reading if body is None or not ended else _checked(reading, body, runtime)
        return blank if body is None else _stated(blank, body, known=ended and self._intact)

    def _by_the_piece(self, blank: Reading) -> Reading:
        units, source = self._asked, Source.REQUEST
        if self._by_size:
            units, source = self._by_size, Source.SHAPE
        elif self._pieces and (IMAGES in units or not units):
            units, source = {IMAGES: self._pieces}, Source.SHAPE
        return msgspec.structs.replace(
            blank, components=(component(units),), source=source, final=True
        )

    def _with_guardrail(self, reading: Reading) -> Reading:
        parts, flags = guarded(reading.components, self._trace, looked_at=self._is_guarded)
        return msgspec.structs.replace(reading, components=parts, flags=(*reading.flags, *flags))


def _stated(blank: Reading, stated: Stated, *, known: bool) -> Reading:
    return msgspec.structs.replace(
        blank,
        components=(component(stated.counts, MAIN),),
        source=Source.PROVIDER if known else Source.PARTIAL,
        final=known,
        stated_total=stated.total,
        flags=blank.flags + stated.flags,
    )


def _checked(reading: Reading, body: Stated, runtime: Stated) -> Reading:
    if not disagree(body, runtime):
        return reading
    return msgspec.structs.replace(reading, flags=(*reading.flags, MISMATCH))


# ── videos, made later ───────────────────────────────────────────────────────────────────────────


def _read_async(body: bytes) -> Request:
    asked = read_object(body, ("modelId", "modelInput"))
    wanted = obj(asked, "modelInput")
    seconds = video_seconds(wanted)
    return Request(
        model=string(asked, "modelId"),
        prompt=_prompt(wanted),
        units={VIDEO: seconds} if seconds else {},
    )


class _Started:
    """No usage ever passes: what was asked stands until the work is settled."""

    def __init__(self, request: Request) -> None:
        self._asked = request.units

    def take(self, document: Document) -> None:
        pass

    def reading(self, seen: Seen) -> Reading:
        return Reading(
            components=(component(self._asked),) if self._asked else (),
            source=Source.REQUEST if self._asked else Source.NONE,
            final=False,
            complete=seen.whole,
        )


FAMILIES: Final[Dialect] = DocumentDialect(
    "invoke_families",
    _read_request,
    _Answer,
    salvaged=("usage", METRICS, TRACE),
    lower=lambda body, ceiling, model: lower_family(body, ceiling, model, _LIMITS, _CONFIGS),
)
ASYNC: Final[Dialect] = DocumentDialect(
    "invoke_async", _read_async, lambda request, head: _Started(request)
)
