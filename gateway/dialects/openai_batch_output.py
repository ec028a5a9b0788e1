"""The output file of a batch: RESULTS adds up what each line says its request used, by model.

For APIs whose batch object says no usage. To read another shape of a line: ``_Results.take``.
"""

from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.metering.hosted import Uses
from gateway.metering.inclusive import read_inclusive
from gateway.metering.meter import Meter, Reading
from gateway.metering.reader import Reader, as_raw
from gateway.metering.usage import MAIN, Source, UsageInvalid, component
from gateway.wire.documents import Document, Documents, Seen, documents
from gateway.wire.jsondoc import Json, arr, at, obj, string
from gateway.wire.messages import Head

MODELS_MAX: Final = 64
TIER: Final = "batch"
_LINE: Final = Head(200, ((b"content-type", b"application/json"),))
_DONE: Final = 200


class _Results:
    """Takes the lines of a file; ``work_id``: the batch whose file it is."""

    def __init__(self, work_id: str | None) -> None:
        self._work_id = work_id
        self._requests = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._uses = Uses()
        self._flags: dict[str, None] = {}

    def take(self, document: Document) -> None:
        line = document.value
        answer = at(line, "response", "body")
        if at(line, "response", "status_code") not in (_DONE, None):
            return
        self._requests += 1
        for item in arr(answer, "output"):
            self._uses.pass_by(item)
        try:
            # Of a line beyond the bound only its usage was found.
            carved = read_inclusive(obj(answer, "usage") or obj(line, "usage"))
        except UsageInvalid:
            self._flags["usage_invalid"] = None
            return
        if carved is None:
            self._flags["usage_unsaid"] = None
            return
        self._flags.update(dict.fromkeys(carved.doubts()))
        self._add(string(answer, "model"), carved.counts)

    def _add(self, named: str | None, counts: dict[str, int]) -> None:
        model = named or next(iter(self._counts), "")
        if model not in self._counts and len(self._counts) >= MODELS_MAX:
            model = next(iter(self._counts))
            self._flags["model_mismatch"] = None
        sums = self._counts.setdefault(model, {})
        for unit, count in counts.items():
            sums[unit] = sums.get(unit, 0) + count

    def reading(self, seen: Seen) -> Reading:
        """That the file is whole only its transfer knows: one that was cut is not to be booked."""
        first = next(iter(self._counts), None)
        parts = [
            component(counts, MAIN, None if model == first else model)
            for model, counts in self._counts.items()
        ]
        used = self._uses.component()
        raw: dict[str, Json] = {"requests": self._requests}
        return Reading(
            components=tuple(parts if used is None else [*parts, used]),
            source=Source.PROVIDER,
            model=first or None,
            tier=TIER,
            usage_raw=as_raw(raw),
            flags=(*self._flags, *self._uses.flags(continues=False)),
            work_id=self._work_id,
            work_ended=True,
        )


class _LineMeter:
    """A Meter over lines, each of them a document with the bounds of one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._framing: Documents | None = None
        self._is_blind = False

    def feed(self, chunk: bytes) -> None:
        """See Meter."""
        first, *others = chunk.split(b"\n")
        self._more(first)
        for piece in others:
            self._end()
            self._more(piece)

    def read(self) -> Reading:
        """See Meter."""
        self._end()
        reading = self._reader.reading(Seen())
        return replace(reading, flags=(*reading.flags, "blind")) if self._is_blind else reading

    def _more(self, piece: bytes) -> None:
        if self._framing is None:
            piece = piece.lstrip()
            if not piece:
                return
            self._framing = documents(_LINE)
        for document in self._framing.feed(piece):
            self._reader.take(document)

    def _end(self) -> None:
        framing, self._framing = self._framing, None
        if framing is not None:
            for document in framing.finish():
                self._reader.take(document)
            self._is_blind = self._is_blind or framing.seen.blind


class _Lines(DocumentDialect, frozen=True):
    """A dialect whose answers are lines."""

    def meter(self, request: Request, head: Head) -> Meter:
        """See Dialect."""
        return _LineMeter(self.reader(request, head))


RESULTS: Final[Dialect] = _Lines(
    "openai_batch",
    lambda body: Request(),
    lambda request, head: _Results(request.works_on),
)
