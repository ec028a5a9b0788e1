"""Files: UPLOAD reads what an input file of batches asks for, line by line, and says under which id a file is kept.

What another purpose's file holds is nobody's business. To read a further member of a line: ``_line``.
"""

from collections.abc import Iterator
from typing import Final

from gateway.dialects.contract import NAME_CHARS_MAX, Dialect, DocumentDialect, Request
from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import asked_connections, asked_sources
from gateway.metering.meter import Reading
from gateway.metering.usage import UsageInvalid, count_of
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, MalformedJson, at, member_span, parse, parse_object, string
from gateway.wire.messages import Head
from gateway.wire.multipart import MalformedForm, fields, file_span
from gateway.wire.references import References, TooManyReferences, references

MODELS_MAX: Final = 64  # of one file; a batch is one model's, as a rule
REFERENCES_MAX: Final = 4_096  # of one file
_BATCH: Final = b"batch"
_RESULTS: Final = "batch_output"
_FIELDS: Final = frozenset({"purpose"})
_FILE: Final = "file"
_NUL: Final = "\0"  # which no database keeps
_CURE: Final = (
    'every line of a batch file must be a JSON object with "body", an object that names its "model"'
)


class _Upload(DocumentDialect, frozen=True):
    """A dialect whose requests are forms with a file in them."""

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """See Dialect."""
        try:
            purpose = fields(body, content_type, _FIELDS).get("purpose", b"").strip().lower()
            span = file_span(body, content_type, _FILE)
        except MalformedForm as error:
            raise MalformedBody(f"{error}; send one multipart/form-data form") from error
        if purpose != _BATCH:
            return Request()
        models: dict[str, None] = {}
        refers: set[str] = set()
        brings: set[str] = set()
        for number, line in _lines(body, span):
            model, named = _line(number, line)
            models[model] = None
            refers |= named.named
            brings |= named.brought
            if len(models) > MODELS_MAX or len(refers) + len(brings) > REFERENCES_MAX:
                raise MalformedBody(
                    f"a batch file may name {MODELS_MAX} models and {REFERENCES_MAX} kept things: split it"
                )
        return Request(
            named=tuple(models), refers=frozenset(refers), brings=frozenset(brings - refers)
        )


def _lines(body: bytes, span: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
    """The lines that hold something, with their numbers; one at a time, none is kept."""
    start, end = span
    number = 0
    while start < end:
        stop = body.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        number += 1
        line = body[start:stop].strip()
        if line:
            yield number, line
        start = stop + 1


def _line(number: int, line: bytes) -> tuple[str, References]:
    """The model that a line names, and the ids of kept things."""
    try:
        parse_object(line, ("body", "url", "method"))
        span = member_span(line, "body")
        inner = b"" if span is None else line[slice(*span)]
        asked = parse_object(inner, ("model",))
        model = string(asked, "model")
        named = references(inner)
        is_searched = bool(asked_sources(asked, inner) or asked_connections(inner))
    except (MalformedJson, TooManyReferences) as error:
        raise MalformedBody(f"line {number} of the file: {error}; {_CURE}") from error
    if is_searched:
        raise MalformedBody(
            f"line {number} of the file has a store searched with the gateway's own identity: batches do not search"
        )
    if not model:
        raise MalformedBody(f"line {number} of the file names no model; {_CURE}")
    if len(model) > NAME_CHARS_MAX or _NUL in model:
        raise MalformedBody(
            f"line {number} of the file: a model's name has at most {NAME_CHARS_MAX} characters, and no zero byte"
        )
    return model, named


class _Uploaded:
    """Takes the file object that an upload is answered with."""

    def __init__(self, request: Request, head: Head) -> None:
        self._file: dict[str, Json] = {}

    def take(self, document: Document) -> None:
        if string(document.value, "object") == "file":
            self._file = document.value

    def reading(self, seen: Seen) -> Reading:
        made = string(self._file, "id")
        return Reading(made=() if not made else (made,))


def results_written(body: bytes, now_us: int) -> int | None:
    """When the file that a file object describes was written, epoch microseconds, if a batch may have written it.

    ``now_us`` where the object does not say; None where it says that the file is for something else.
    """
    try:
        described = parse(body)
    except MalformedJson:
        return now_us
    if string(described, "purpose") not in (_RESULTS, None):
        return None
    try:
        created_s = count_of(at(described, "created_at"))
    except UsageInvalid:
        return now_us
    return now_us if created_s is None else created_s * US_PER_SECOND


UPLOAD: Final[Dialect] = _Upload("openai_files", lambda body: Request(), _Uploaded)
