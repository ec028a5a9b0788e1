"""LIVE: the server frames of a Live session, one JSON per line; one component per turn.

A turn's total leaves its thoughts out. The model is named by the client's set-up frame, not by the server.
"""

from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, Request
from gateway.dialects.gemini.counts import LIVE_TURN, modal_counts
from gateway.dialects.gemini.tier import tier_of
from gateway.metering.asking import read_object
from gateway.metering.meter import Filter, Meter, Reading
from gateway.metering.reader import DocumentMeter, as_raw
from gateway.metering.transcript import Transcript
from gateway.metering.usage import Component, Source, UsageInvalid, component
from gateway.wire.documents import Document, Lines, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string
from gateway.wire.messages import Head

TURNS_MAX: Final = 10_000


class _Live:
    def __init__(self) -> None:
        self._components: list[Component] = []
        self._said: list[Json] = []
        self._total = 0
        self._thoughts = 0
        self._tier: str | None = None
        self._transcript = Transcript()
        self._open = False  # the model has spoken since the last usage
        self._flags: dict[str, None] = {}
        self._doubts: dict[str, None] = {}  # what was said is booked all the same

    def take(self, document: Document) -> None:
        value = document.value
        turn = at(value, "serverContent", "modelTurn")
        self._open = self._open or turn is not None
        for part in arr(turn, "parts"):
            write = (
                self._transcript.think if at(part, "thought") is True else self._transcript.write
            )
            write(string(part, "text"))
        usage = obj(value, "usageMetadata")
        if "totalTokenCount" in usage:
            self._turn(usage)

    def _turn(self, usage: dict[str, Json]) -> None:
        self._open = False
        self._tier = tier_of(usage) or self._tier
        if len(self._said) >= TURNS_MAX:
            self._flags["blind"] = None
            return
        self._said.append(usage)
        try:
            modal = modal_counts(usage, LIVE_TURN)
        except UsageInvalid:
            self._flags["usage_invalid"] = None
            return
        self._components.append(part := component(modal.counts))
        self._doubts.update(dict.fromkeys(modal.flags))
        if modal.total not in (None, part.tokens() - modal.thoughts):
            self._doubts["unbalanced"] = None  # its own: another turn may make up for it
        self._total += modal.total or 0
        self._thoughts += modal.thoughts

    def reading(self, seen: Seen) -> Reading:
        known = bool(self._said) and not self._open and not self._flags
        partial = Source.PARTIAL if self._components else Source.NONE
        return Reading(
            components=tuple(self._components),
            source=Source.PROVIDER if known else partial,
            final=known,
            stated_total=self._total if self._components else None,
            uncovered=self._thoughts,
            tier=self._tier,
            complete=not self._open,
            usage_raw=as_raw(*self._said),
            observed=self._transcript.observed(),
            flags=(*self._flags, *self._doubts),
        )


class _LiveDialect(msgspec.Struct, frozen=True):
    name: str = "gemini_live"

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """The client's set-up frame: ``{"setup": {"model": …}}``."""
        setup = obj(read_object(body, ("setup",)), "setup") if body else {}
        return Request(model=string(setup, "model"), stream=True)

    def meter(self, request: Request, head: Head) -> Meter:
        return DocumentMeter(Lines(), _Live())

    sse_end = None

    def strip(self, request: Request) -> Filter | None:
        return None

    def clamp(self, body: bytes, ceiling: int, model: str = "") -> bytes | None:
        return None


LIVE: Final[Dialect] = _LiveDialect()
