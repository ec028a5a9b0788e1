"""PREDICT: text embeddings (tokens per instance, billable characters) and Imagen (one unit per image).

An answer of another shape is known to nobody here: it is left to be counted, never booked as free.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.dialects.gemini.asked import either, listed
from gateway.metering.asking import asked_times, read_object, require_spelt
from gateway.metering.meter import Reading
from gateway.metering.prompt import Prompt, Turn
from gateway.metering.reader import as_raw
from gateway.metering.usage import Source, UsageInvalid, component, count_of
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, arr, at, obj, string

_SENSITIVE: Final = ("instances", "parameters")
_SAMPLES_DEFAULT: Final = 4  # what the service makes where nobody says how many
_IMAGES: Final = "images_out"
_TEXTS: Final = ("content", "text", "prompt", "title")


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    require_spelt(asked.get("parameters"), "parameters", ("sampleCount", "sample_count"))
    instances = listed(asked.get("instances"))
    turns = tuple(Turn("user", text) for text in _texts(instances))
    images = sum(1 for each in instances if isinstance(each, dict) and "prompt" in each)
    samples = asked_times(either(asked.get("parameters"), "sampleCount"), "sampleCount")
    samples = samples or _SAMPLES_DEFAULT
    return Request(
        prompt=Prompt("embeddings", turns),
        # Where no prompt says that pictures are made, a model that is billed by them may make them.
        choices=samples * max(len(instances), 1),
        units={_IMAGES: images * samples} if images else {},
    )


def _texts(instances: list[Json]) -> Iterator[str]:
    for instance in instances:
        for member in _TEXTS:
            text = string(instance, member)
            if text:
                yield text


class _Predicted:
    def __init__(self, request: Request) -> None:
        self._images_asked = request.units.get(_IMAGES, 0)
        self._answer: dict[str, Json] = {}

    def take(self, document: Document) -> None:
        self._answer = document.value

    def reading(self, seen: Seen) -> Reading:
        blank = Reading(source=Source.NONE, final=False, complete=seen.whole)
        try:
            return self._counted(blank, seen)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=("usage_invalid",))

    def _counted(self, blank: Reading, seen: Seen) -> Reading:
        counts, said = self._embedded()
        if counts:
            return msgspec.structs.replace(
                blank,
                components=(component(counts),),
                source=Source.PROVIDER,
                final=True,
                usage_raw=as_raw(said),
            )
        made = [each for each in arr(self._answer, "predictions") if _is_made(each)]
        images = sum(1 for each in made if _is_image(each))
        if len(made) > images or not (images or self._images_asked):
            return blank
        if seen.whole:
            return _images(blank, images, Source.SHAPE)
        # Images too large to look at are billed all the same: as many as were asked for.
        return _images(blank, self._images_asked, Source.REQUEST) if seen.clipped else blank

    def _embedded(self) -> tuple[dict[str, int], Json]:
        """Tokens and characters of text embeddings, and where it is said."""
        statistics: list[Json] = []
        tokens = 0
        for prediction in arr(self._answer, "predictions"):
            said = obj(obj(prediction, "embeddings"), "statistics")
            count = count_of(said.get("token_count", said.get("tokenCount")))
            if count is not None:
                tokens += count
                statistics.append(said)
        metadata = obj(self._answer, "metadata")
        characters = count_of(either(metadata, "billableCharacterCount")) or 0
        if not statistics and not characters:
            return {}, None
        return {"input_text": tokens, "characters_in": characters}, [*statistics, metadata]


def _images(blank: Reading, images: int, source: Source) -> Reading:
    """Images that a filter held back are not billed, so none may be left."""
    components = (component({_IMAGES: images}),) if images else ()
    return msgspec.structs.replace(blank, components=components, source=source, final=True)


def _is_made(prediction: Json) -> bool:
    return bool(at(prediction, "bytesBase64Encoded") or at(prediction, "gcsUri"))


def _is_image(prediction: Json) -> bool:
    return (string(prediction, "mimeType") or "image/").startswith("image/")


PREDICT: Final[Dialect] = DocumentDialect(
    "gemini_predict",
    _read_request,
    lambda request, head: _Predicted(request),
    salvaged=("metadata",),
)
