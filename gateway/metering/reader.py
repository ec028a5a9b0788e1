"""The meter of an answer made of JSON documents: framing outside, one protocol's understanding inside.

To meter a new protocol: a Reader with ``take`` and ``reading``, wrapped in a DocumentMeter.
"""

from typing import Protocol

import msgspec
import orjson

from gateway.metering.meter import Reading, has_written
from gateway.wire.documents import Document, Documents, Seen
from gateway.wire.jsondoc import Json


class Reader(Protocol):
    """Understands one protocol's documents. Never raises on what others sent."""

    def take(self, document: Document) -> None:
        """The next document, in order."""
        ...

    def reading(self, seen: Seen) -> Reading:
        """What is known so far; ``seen`` is what the framing had to say. May be asked more than once."""
        ...


class DocumentMeter:
    """A Meter (see ``metering.meter``) over any framing; adds the framing's own flags to the reading."""

    def __init__(self, documents: Documents, reader: Reader) -> None:
        self._documents = documents
        self._reader = reader

    @property
    def written(self) -> bool:
        """See Finishing; a reader that cannot tell never says so."""
        return has_written(self._reader)

    def feed(self, chunk: bytes) -> None:
        for document in self._documents.feed(chunk):
            self._reader.take(document)

    def read(self) -> Reading:
        for document in self._documents.finish():
            self._reader.take(document)
        return self.glance()

    def glance(self) -> Reading:
        """See Glancing."""
        seen = self._documents.seen
        reading = self._reader.reading(seen)
        flags = reading.flags + _framing_flags(seen)
        if not flags:
            return reading
        return msgspec.structs.replace(reading, flags=tuple(dict.fromkeys(flags)))


def _framing_flags(seen: Seen) -> tuple[str, ...]:
    if not (seen.blind or seen.clipped or seen.bad_crc or seen.failed):
        return ()
    flags = (
        ("blind", seen.blind),
        ("body_clipped", seen.clipped),
        ("bad_crc", seen.bad_crc),
        ("error_event", seen.failed),
    )
    return tuple(name for name, raised in flags if raised)


def as_raw(*objects: Json) -> bytes | None:
    """Usage objects for the row: one as it is, several as an array, none as None."""
    said = [each for each in objects if each]
    if not said:
        return None
    try:
        return orjson.dumps(said[0] if len(said) == 1 else said)
    except orjson.JSONEncodeError:  # numbers beyond 64 bit: the counts are refused anyway
        return None
