"""Realtime conversations: REALTIME reads the server's frames, one JSON object per line.

Every finished response states its own usage (cancelled ones too), and so does every transcription of what the
user said, which another model made. To read another frame: one line in ``_FRAMES``.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from gateway.dialects.contract import Dialect, Request
from gateway.kernel.errors import OperationRefused
from gateway.metering.inclusive import Inclusive, read_inclusive
from gateway.metering.meter import Filter, Meter, Reading
from gateway.metering.reader import as_raw
from gateway.metering.transcription import read_transcription
from gateway.metering.usage import (
    MAIN,
    Component,
    Source,
    UsageInvalid,
    component,
)
from gateway.wire.jsondoc import Json, MalformedJson, at, obj, parse, string
from gateway.wire.messages import Head

FRAME_BYTES_MAX: Final = 4 * 1024 * 1024  # a frame beyond it is sound
PARTS_MAX: Final = (
    256  # of a longer conversation, further parts are added to the last of their role
)
ROLE_TRANSCRIPTION: Final = "transcription"


class _Meter:
    """Meter of a conversation. It has no end of its own: what was said so far is what is known."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_skipping = False  # a frame too large is under way
        self._blind = False
        self._invalid = False
        self._model: str | None = None
        self._listener: str | None = None
        self._parts: list[Component] = []
        self._stated: int | None = None
        self._uncovered = 0
        self._raw: list[Json] = []
        self._flags: dict[str, None] = {}

    def feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._hold(line)
            self._end_frame()
        self._hold(rest)

    def read(self) -> Reading:
        self._end_frame()
        parts = tuple(self._parts)
        known = Source.PROVIDER if parts else Source.NONE
        flags = (("blind", self._blind), ("usage_invalid", self._invalid))
        return Reading(
            components=parts,
            source=Source.PARTIAL if parts and (self._blind or self._invalid) else known,
            final=not (self._blind or self._invalid),
            stated_total=self._stated,
            uncovered=self._uncovered,
            model=self._model,
            usage_raw=as_raw(*self._raw),
            flags=(*(name for name, raised in flags if raised), *self._flags),
        )

    def _hold(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > FRAME_BYTES_MAX:
            self._is_skipping = True
            self._line.clear()
        if not self._is_skipping:
            self._line += piece

    def _end_frame(self) -> None:
        line = bytes(self._line).strip()
        self._line.clear()
        self._blind = self._blind or self._is_skipping
        self._is_skipping = False
        if not line:
            return
        try:
            frame = parse(line)
        except MalformedJson:
            self._blind = True
            return
        reader = self._FRAMES.get(string(frame, "type") or "")
        if reader is not None and isinstance(frame, dict):
            reader(self, frame)

    def _session(self, frame: dict[str, Json]) -> None:
        session = obj(frame, "session")
        self._model = self._model or string(session, "model") or None
        self._listener = (
            string(at(session, "audio", "input", "transcription"), "model")
            or string(obj(session, "input_audio_transcription"), "model")
            or self._listener
        )

    def _response(self, frame: dict[str, Json]) -> None:
        self._add(at(frame, "response", "usage"), read_inclusive, MAIN, None)

    def _transcribed(self, frame: dict[str, Json]) -> None:
        self._add(frame.get("usage"), read_transcription, ROLE_TRANSCRIPTION, self._listener)

    def _add(
        self,
        usage: Json,
        read: Callable[[Json], Inclusive | None],
        role: str,
        model: str | None,
    ) -> None:
        if usage is None:
            return
        try:
            carved = read(usage)
        except UsageInvalid:
            self._invalid = True
            return
        if carved is None:
            return
        part = component(carved.counts, role, model)
        self._flags.update(dict.fromkeys(carved.doubts()))
        if carved.stated_total is None:
            self._uncovered += part.tokens()
        else:
            self._stated = (self._stated or 0) + carved.stated_total
        self._keep(part, usage)

    def _keep(self, part: Component, usage: Json) -> None:
        if len(self._parts) < PARTS_MAX:
            self._parts.append(part)
            self._raw.append(usage)
            return
        for place in range(PARTS_MAX - 1, -1, -1):
            other = self._parts[place]
            if (other.role, other.model) == (part.role, part.model):
                self._parts[place] = _sum(other, part)
                return
        self._parts.append(part)  # the first of its role: there are few

    _FRAMES: ClassVar[dict[str, Callable[["_Meter", dict[str, Json]], None]]] = {
        "session.created": _session,
        "session.updated": _session,
        "response.done": _response,
        "conversation.item.input_audio_transcription.completed": _transcribed,
    }


def _sum(one: Component, other: Component) -> Component:
    units = one.counts.keys() | other.counts.keys()
    counts = {unit: one.counts.get(unit, 0) + other.counts.get(unit, 0) for unit in units}
    return component(counts, one.role, one.model)


class _Realtime:
    """The dialect; opening a conversation through the gateway is refused until sockets are relayed."""

    name = "openai_realtime"

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """See Dialect."""
        raise OperationRefused("realtime conversations are not relayed; use chat or responses")

    def meter(self, request: Request, head: Head) -> Meter:
        """See Dialect."""
        return _Meter()

    sse_end = None

    def strip(self, request: Request) -> Filter | None:
        """See Dialect: never anything."""
        return None

    def clamp(self, body: bytes, ceiling: int, model: str = "") -> bytes | None:
        """See Dialect: never."""
        return None


REALTIME: Final[Dialect] = _Realtime()
