"""EMBED: embedContent and batchEmbedContents. A batch names its details differently and gives no total."""

from typing import Final

import msgspec

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.dialects.gemini.asked import content_turn, either, listed
from gateway.dialects.gemini.counts import GENERATED, modal_counts
from gateway.dialects.gemini.tier import tier_of
from gateway.metering.asking import read_object
from gateway.metering.meter import Reading
from gateway.metering.prompt import Prompt
from gateway.metering.reader import as_raw
from gateway.metering.usage import Source, UsageInvalid, component
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, obj

_SENSITIVE: Final = ("content", "requests")


def _read_request(body: bytes) -> Request:
    asked = read_object(body, _SENSITIVE)
    each = listed(either(asked, "requests")) or [asked]
    turns = tuple(content_turn(either(one, "content")) for one in each)
    return Request(prompt=Prompt("embeddings", turns))


class _Embedded:
    def __init__(self) -> None:
        self._usage: dict[str, Json] = {}

    def take(self, document: Document) -> None:
        self._usage = obj(document.value, "usageMetadata") or self._usage

    def reading(self, seen: Seen) -> Reading:
        blank = Reading(
            source=Source.NONE,
            final=False,
            complete=seen.whole,
            tier=tier_of(self._usage),
            usage_raw=as_raw(self._usage),
        )
        if "promptTokenCount" not in self._usage:
            return blank
        try:
            modal = modal_counts(self._usage, GENERATED)
        except UsageInvalid:
            return msgspec.structs.replace(blank, flags=("usage_invalid",))
        return msgspec.structs.replace(
            blank,
            components=(component(modal.counts),),
            source=Source.PROVIDER,
            final=True,
            stated_total=modal.total,
            flags=modal.flags,
        )


EMBED: Final[Dialect] = DocumentDialect(
    "gemini_embed",
    _read_request,
    lambda request, head: _Embedded(),
    salvaged=("usageMetadata",),
)
