"""Reads answers made of choices (chat and text completions, whole or in chunks): usage, model, text written.

To observe another member of a message: one line in ``_WRITERS``. To follow a new place where a
served tier is said: ``_tier``.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from gateway.metering.inclusive import read_inclusive, usage_reading
from gateway.metering.meter import Reading
from gateway.metering.prompt import Observed
from gateway.metering.transcript import Transcript
from gateway.metering.usage import MISMATCH, shrinks
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, obj, string

TRANSCRIPTS_MAX: Final = 16  # further choices write into the last one: each may hold megabytes
CHOICES_MAX: Final = 1024


def _write(transcript: Transcript, value: Json) -> None:
    """Content: text, or parts of text and thinking."""
    if isinstance(value, str):
        transcript.write(value)
    elif isinstance(value, list):
        for part in value:
            transcript.write(string(part, "text"))
            for thought in arr(part, "thinking"):
                transcript.think(string(thought, "text"))


def _think(transcript: Transcript, value: Json) -> None:
    if isinstance(value, str):
        transcript.think(value)


def _call(transcript: Transcript, value: Json) -> None:
    """Tool calls; a streamed one comes in pieces under its index."""
    for place, call in enumerate(value if isinstance(value, list) else ()):
        index = call.get("index") if isinstance(call, dict) else None
        key = index if isinstance(index, int) else place
        function = obj(call, "function")
        transcript.call(key, string(function, "name"), string(function, "arguments"))
        custom = obj(call, "custom")
        transcript.call(key, string(custom, "name"), string(custom, "input"))


def _legacy_call(transcript: Transcript, value: Json) -> None:
    transcript.call("legacy", string(value, "name"), string(value, "arguments"))


_WRITERS: Final[dict[str, Callable[[Transcript, Json], None]]] = {
    "content": _write,
    "refusal": _write,
    "reasoning_content": _think,
    "reasoning": _think,
    "tool_calls": _call,
    "function_call": _legacy_call,
}


_read_unnamed: Final = partial(read_inclusive, unnamed_thoughts=True)


class ChoicesReader:
    """Takes the documents of one answer. The last usage that is not null counts, wherever it stands."""

    def __init__(
        self, *, stored: bool = False, unnamed_thoughts: bool = False, beside: tuple[str, ...] = ()
    ) -> None:
        """``stored``: the answer is kept under its id; ``unnamed_thoughts``: see read_inclusive.

        ``beside``: flags for what the request has charged beside the answer.
        """
        self._stored = stored
        self._beside = beside
        self._read = _read_unnamed if unnamed_thoughts else read_inclusive
        self._id: str | None = None
        self._sounds: dict[str, None] = {}  # kept for an hour, to be named in a later request
        self._model: str | None = None
        self._tier: str | None = None
        self._usage: Json = None
        self._usage_with_choices = False
        self._failed = False
        self._shrank = False
        self._transcripts: dict[int, Transcript] = {}
        self._finished: set[int] = set()

    def take(self, document: Document) -> None:
        """The next document: a whole answer, or one chunk."""
        value = document.value
        choices = value.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                self._choice(choice)
        usage = value.get("usage")
        if usage is not None:
            self._shrank = self._shrank or shrinks(self._usage, usage)
            self._usage = usage
            self._usage_with_choices = bool(choices)
        if self._stored and self._id is None:
            self._id = string(value, "id")
        if self._model is None:
            self._model = string(value, "model") or None
        if value.get("service_tier") is not None:
            self._tier = string(value, "service_tier") or self._tier
        if value.get("error") is not None:
            self._failed = True

    @property
    def written(self) -> bool:
        """Whether every choice has its finish reason: only the usage is still to come."""
        return bool(self._finished) and self._finished >= self._transcripts.keys()

    def reading(self, seen: Seen) -> Reading:
        """What is known so far."""
        finished = self.written
        settled = seen.whole or finished or not self._usage_with_choices
        usage = self._usage
        reading = usage_reading(usage, self._read, settled=settled)
        made = tuple(self._sounds)
        return replace(
            reading,
            model=self._model,
            tier=self._tier or _traffic_type(usage),
            complete=seen.whole or (finished and usage is not None),
            observed=self._observed(),
            flags=(
                *reading.flags,
                *("error_event",) * self._failed,
                *(MISMATCH,) * self._shrank,
                *self._beside,
            ),
            made=made if self._id is None else (self._id, *made),
        )

    def _choice(self, choice: Json) -> None:
        if not isinstance(choice, dict):
            return
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if choice.get("finish_reason") is not None:
            self._finished.add(index)
        transcript = self._transcripts.get(index) or self._begun(index)
        part = choice.get("delta") or choice.get("message")
        if isinstance(part, dict):
            sound = string(part.get("audio"), "id")
            if sound and len(self._sounds) < CHOICES_MAX:
                self._sounds[sound] = None
            for name, value in part.items():
                if value and (writer := _WRITERS.get(name)) is not None:
                    writer(transcript, value)
        elif isinstance(text := choice.get("text"), str):
            transcript.write(text)

    def _begun(self, index: int) -> Transcript:
        others = self._transcripts
        if len(others) < TRANSCRIPTS_MAX:
            return others.setdefault(index, Transcript())
        last = next(reversed(others.values()))
        if len(others) < CHOICES_MAX:
            others[index] = last
        return last

    def _observed(self) -> Observed:
        own = (self._transcripts[index] for index in sorted(self._transcripts))
        each = [transcript.observed() for transcript in dict.fromkeys(own)]
        return Observed(
            text="".join(one.text for one in each),
            reasoning="".join(one.reasoning for one in each),
            tool_calls=tuple(call for one in each for call in one.tool_calls),
            choices=max(len(self._transcripts), 1),
            clipped=any(one.clipped for one in each),
        )


def _traffic_type(usage: Json) -> str | None:
    """The tier that a compatible endpoint says inside the usage, under its own vendor's name."""
    for extra in obj(usage, "extra_properties").values():
        if found := string(extra, "traffic_type"):
            return found
    return None
