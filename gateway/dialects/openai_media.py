"""Embeddings, images and audio: EMBEDDINGS, IMAGES, IMAGE_EDITS, TRANSCRIPTION (translation too), SPEECH.

Their answers may be huge or binary and are never held: the usage is read from small events, or salvaged from
the tail of large ones. To add an operation: a request function, a reader, a constant.
"""

import re
from functools import partial
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import asked_times, read_object
from gateway.metering.inclusive import UNBALANCED, read_inclusive, usage_reading
from gateway.metering.meter import Meter, Reading
from gateway.metering.plain_prompt import plain_prompt
from gateway.metering.prompt import Prompt, Turn
from gateway.metering.reader import as_raw
from gateway.metering.sized import BYTES_PER_SECOND, Sized
from gateway.metering.transcript import Transcript
from gateway.metering.transcription import duration, read_transcription
from gateway.metering.usage import Component, Source, component
from gateway.wire.documents import Document, Seen
from gateway.wire.headers import first
from gateway.wire.jsondoc import Json, arr, string
from gateway.wire.messages import Head
from gateway.wire.multipart import MalformedForm, fields

EVENT_BYTES_MAX: Final = (
    256 * 1024
)  # an event or body beyond it is an image or sound: its tail is enough
EMBEDDINGS_BYTES_MAX: Final = 4 * 1024 * 1024
ROLE_VECTOR: Final = "svg"
_SENSITIVE: Final = ("model", "stream", "n", "stream_format", "response_format", "input")
# What every picture of a request has: a part of a form, or a member that refers to it.
_PICTURED: Final = re.compile(rb'filename|"image_url"|"file_id"', re.IGNORECASE)
_FORM_FIELDS: Final = frozenset({"model", "stream", "response_format", "prompt", "n"})


# ── the requests ─────────────────────────────────────────────────────────────────────────────────


class _Asked(msgspec.Struct, frozen=True):
    """The members that all these requests share, out of JSON or a form."""

    model: str | None
    stream: bool
    prompt: str
    choices: int


def _asked_in_json(asked: dict[str, Json]) -> _Asked:
    model, stream = asked.get("model"), asked.get("stream")
    if model is not None and not isinstance(model, str):
        raise MalformedBody('"model" must be a string or null')
    if stream is not None and not isinstance(stream, bool):
        raise MalformedBody('"stream" must be true, false or null')
    return _Asked(
        model=model,
        stream=stream is True,
        prompt=string(asked, "prompt") or "",
        choices=asked_times(asked.get("n"), "n") or 1,
    )


def _asked_in_form(body: bytes, content_type: bytes) -> _Asked:
    try:
        form = fields(body, content_type, _FORM_FIELDS)
        texts = {name: value.decode() for name, value in form.items()}
    except MalformedForm as error:
        raise MalformedBody(f"{error}; send one multipart/form-data form") from error
    except UnicodeDecodeError as error:
        raise MalformedBody("the form's fields must be UTF-8") from error
    stream = texts.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0", ""):
        raise MalformedBody('the form\'s "stream" must be true or false')
    return _Asked(
        model=texts.get("model"),
        stream=stream in ("true", "1"),
        prompt=texts.get("prompt", ""),
        choices=asked_times(texts.get("n") or None, "n") or 1,
    )


def _read_embeddings(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    return Request(
        model=_asked_in_json(asked).model,
        prompt=plain_prompt("embeddings", asked.get("input")),
    )


def _read_images(body: bytes) -> Request:
    asked = _asked_in_json(read_object(body, _SENSITIVE))
    return _request(asked, Turn("user", asked.prompt))


def _read_speech(body: bytes) -> Request:
    """Sound is billed by the characters that were to be spoken, unless its events state tokens."""
    document = read_object(body, _SENSITIVE)
    text = document.get("input")
    if not isinstance(text, str):
        raise MalformedBody('"input" must be the text to speak')
    return Request(
        model=_asked_in_json(document).model,
        stream=string(document, "stream_format") == "sse",
        prompt=plain_prompt("plain", text, document.get("instructions")),
        units={"characters_in": len(text)},
    )


def _request(asked: _Asked, turn: Turn) -> Request:
    return Request(
        model=asked.model,
        stream=asked.stream,
        prompt=Prompt("plain", (turn,)),
        choices=asked.choices,
    )


# ── the answers ──────────────────────────────────────────────────────────────────────────────────


class _UsageReader:
    """Keeps the last usage that is not null, of events or of a whole body; subclasses read further."""

    _terminal: ClassVar[frozenset[str]] = frozenset()
    _is_text: ClassVar[bool] = False  # the text of request and answer is all there is to count

    def __init__(self, request: Request, head: Head) -> None:
        self._request = request
        self._model: str | None = None
        self._usage: Json = None
        self._ended = False
        self._failed = False

    def take(self, document: Document) -> None:
        value = document.value
        kind = string(value, "type")
        self._model = self._model or string(value, "model") or None
        self._failed = self._failed or kind == "error" or value.get("error") is not None
        self._ended = self._ended or kind is None or kind in self._terminal
        if value.get("usage") is not None:
            self._usage = value.get("usage")
        self._read_further(value)

    def reading(self, seen: Seen) -> Reading:
        reading = self._weighed(seen)
        flags: tuple[str, ...] = ("error_event",) if self._failed else ()
        if reading.source is Source.NONE and not reading.final and not self._is_text:
            flags += ("unmeasured",)
        return replace(
            reading, model=self._model, complete=self._ended, flags=reading.flags + flags
        )

    def _read_further(self, value: dict[str, Json]) -> None:
        """What else a document of this operation says."""

    def _weighed(self, seen: Seen) -> Reading:
        return usage_reading(self._usage)


class _EmbeddingsReader(_UsageReader):
    """Text in, vectors out."""

    _is_text = True


class _ImagesReader(_UsageReader):
    """Output that no detail explains is the image. Vector drawings are another model's, in their own usage."""

    _terminal = frozenset({"image_generation.completed", "image_edit.completed"})

    def __init__(self, request: Request, head: Head) -> None:
        super().__init__(request, head)
        self._images = 0
        self._vectors: Json = None

    def _read_further(self, value: dict[str, Json]) -> None:
        self._vectors = value.get("svg_usage", self._vectors)
        self._images += len(arr(value, "data"))

    def _weighed(self, seen: Seen) -> Reading:
        reading = usage_reading(self._usage, _read_images_usage)
        if self._usage is None and not self._request.stream:
            reading = self._counted(seen)
        return reading if self._vectors is None else self._with_vectors(reading)

    def _counted(self, seen: Seen) -> Reading:
        """Older models are billed by the picture and state no usage."""
        if self._images:
            pictures = component({"images_out": self._images})
            return Reading(components=(pictures,), source=Source.SHAPE)
        if seen.clipped:
            pictures = component({"images_out": self._request.choices})
            return Reading(components=(pictures,), source=Source.REQUEST)
        return Reading(final=False)

    def _with_vectors(self, reading: Reading) -> Reading:
        vectors = usage_reading(self._vectors)
        parts = tuple(
            Component(ROLE_VECTOR, part.counts, string(self._vectors, "model"))
            for part in vectors.components
        )
        return replace(
            reading,
            components=reading.components + parts,
            source=reading.source if reading.components else Source.PARTIAL,
            final=reading.final and vectors.final,
            uncovered=sum(part.tokens() for part in parts),
            usage_raw=as_raw({"usage": self._usage, "svg_usage": self._vectors}),
            flags=reading.flags + vectors.flags + (() if vectors.balances() else (UNBALANCED,)),
        )


class _TranscriptionReader(_UsageReader):
    """Tokens, or seconds. Subtitles and plain text say neither: they are flagged, and counted by us."""

    _terminal = frozenset({"transcript.text.done"})

    def __init__(self, request: Request, head: Head) -> None:
        super().__init__(request, head)
        kind = (first(head.headers, b"content-type") or b"").lower()
        self._is_bare_text = not (b"json" in kind or b"event-stream" in kind)
        self._transcript = Transcript()
        self._duration: Json = None

    def reading(self, seen: Seen) -> Reading:
        reading = replace(super().reading(seen), observed=self._transcript.observed())
        if self._is_bare_text and reading.source is Source.NONE:
            return replace(reading, complete=True, flags=(*reading.flags, "unmetered_format"))
        return reading

    def _read_further(self, value: dict[str, Json]) -> None:
        self._duration = value.get("duration", self._duration)
        if string(value, "type") in (None, "transcript.text.delta"):
            self._transcript.write(string(value, "delta") or string(value, "text"))

    def _weighed(self, seen: Seen) -> Reading:
        if self._usage is not None or self._duration is None:
            return usage_reading(self._usage, read_transcription)
        reading = usage_reading(self._duration, duration)
        return replace(reading, source=Source.SHAPE) if reading.final else reading


class _SpokenReader(_UsageReader):
    """Sound in events: tokens, where the last one states them."""

    _terminal = frozenset({"speech.audio.done"})

    def _weighed(self, seen: Seen) -> Reading:
        return usage_reading(self._usage, _read_speech_usage)


class _Spoken:
    """The meter of sound in bytes: they say nothing and are not kept, the request said it all."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def feed(self, chunk: bytes) -> None:
        """Nothing to learn."""

    def read(self) -> Reading:
        return Reading(components=(component(self._request.units),), source=Source.REQUEST)


_read_images_usage: Final = partial(read_inclusive, output_rest="output_image")
_read_speech_usage: Final = partial(read_inclusive, output_rest="output_audio")


# ── the dialects ─────────────────────────────────────────────────────────────────────────────────


class _FormDialect(DocumentDialect, frozen=True):
    """A dialect whose requests are forms with files in them; JSON with references is read as well.

    is_heard  the file is sound; else they are pictures
    """

    is_heard: bool = False

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """See Dialect."""
        if content_type.split(b";", 1)[0].strip().lower() == b"application/json":
            asked = _asked_in_json(read_object(body, _SENSITIVE))
        else:
            asked = _asked_in_form(body, content_type)
        # What the files weigh is not known before the provider says it.
        if self.is_heard:
            sized = Sized(seconds=len(body) // BYTES_PER_SECOND + 1)
        else:
            sized = Sized(pages=max(len(_PICTURED.findall(body)), 1))
        request = _request(asked, Turn("user", asked.prompt, opaque=1, sized=(sized,)))
        return replace(request, media_bytes=len(body))


class _SpeechDialect(DocumentDialect, frozen=True):
    """A dialect whose answers are sound: in bytes, or in events."""

    def meter(self, request: Request, head: Head) -> Meter:
        """See Dialect."""
        kind = (first(head.headers, b"content-type") or b"").lower()
        if b"event-stream" in kind:
            return super().meter(request, head)
        return _Spoken(request)


EMBEDDINGS: Final[Dialect] = DocumentDialect(
    "openai_embeddings",
    _read_embeddings,
    _EmbeddingsReader,
    document_bytes_max=EMBEDDINGS_BYTES_MAX,
)
IMAGES: Final[Dialect] = DocumentDialect(
    "openai_images",
    _read_images,
    _ImagesReader,
    salvaged=("usage", "svg_usage"),
    document_bytes_max=EVENT_BYTES_MAX,
)
IMAGE_EDITS: Final[Dialect] = _FormDialect(
    "openai_image_edits",
    _read_images,
    _ImagesReader,
    salvaged=("usage", "svg_usage"),
    document_bytes_max=EVENT_BYTES_MAX,
)
TRANSCRIPTION: Final[Dialect] = _FormDialect(
    "openai_transcription", _read_images, _TranscriptionReader, is_heard=True
)
SPEECH: Final[Dialect] = _SpeechDialect(
    "openai_speech", _read_speech, _SpokenReader, document_bytes_max=EVENT_BYTES_MAX
)
