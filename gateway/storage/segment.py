"""The spool's file format: records that prove themselves whole, and a reader that stops at nothing.

A record is length u32, CRC-32 u32 (seeded with the type), type u8, payload; little-endian. The payload is
the entry's id in 16 bytes and, for intents and settlements, the entry as JSON. Behind the last record lie zeros.
To add a record type: a member of Kind; readers pass over kinds they do not know.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final
from uuid import UUID

import msgspec

from gateway.ledger.entry import Entry
from gateway.storage.rows import encode

RECORD_BYTES_MAX: Final = 16 * 1024 * 1024  # above it a length is damage, not a record
ID_BYTES: Final = 16
SUFFIX: Final = ".seg"
_HEADER: Final = struct.Struct("<IIB")
HEADER_BYTES: Final = _HEADER.size
_LENGTH_BYTES: Final = 4
_WRITTEN: Final = re.compile(rb"[^\0]")
_crc = zlib.crc32
_pack = _HEADER.pack


class Kind(IntEnum):
    """What a record says about its entry."""

    INTENT = 1  # about to be forwarded, or still running; what to book if nothing more is heard
    SETTLE = 2  # final
    VOID = 3  # nothing was consumed


class Record(msgspec.Struct, frozen=True, gc=False):
    """A whole record. ``end``: the offset behind it; ``text``: the entry's JSON, b'' for a void."""

    kind: int
    entry_id: UUID
    text: bytes
    end: int


def packed(kind: int, entry: Entry) -> bytes:
    """The record of an entry."""
    payload = entry.id.bytes + encode(entry)
    return _pack(len(payload), _crc(payload, kind), kind) + payload


def packed_void(entry_id: UUID) -> bytes:
    """The record that an intent came to nothing."""
    payload = entry_id.bytes
    return _pack(ID_BYTES, _crc(payload, Kind.VOID), Kind.VOID) + payload


def struck(record: bytes) -> bytes:
    """The header that makes a record a void where it lies: over its own, it takes no room."""
    payload = record[HEADER_BYTES:]
    return _pack(len(payload), _crc(payload, Kind.VOID), Kind.VOID)


def records(blob: bytes, start: int = 0) -> Iterator[Record]:
    """The whole records of a segment, in order.

    Damage (a torn end, a flipped bit) is passed over: reading resumes at the next record that proves
    itself. The JSON in a payload has no zero bytes, so its middle cannot pass for a header.
    """
    at = start
    while at + HEADER_BYTES <= len(blob):
        record = _record_at(blob, at)
        if record is None:
            at = _next(blob, at)
        else:
            yield record
            at = record.end


def damaged_bytes(blob: bytes) -> int:
    """How many bytes of a segment belong to no whole record; the zeros at its end are none."""
    whole = end = 0
    for record in records(blob):
        whole += HEADER_BYTES + ID_BYTES + len(record.text)
        end = record.end
    return max(end, len(blob.rstrip(b"\0"))) - whole


def _next(blob: bytes, at: int) -> int:
    """Where a record may begin behind ``at``: zeros are passed over at once, but for those of a length."""
    written = _WRITTEN.search(blob, at + 1)
    return len(blob) if written is None else max(at + 1, written.start() - _LENGTH_BYTES + 1)


def _record_at(blob: bytes, at: int) -> Record | None:
    length, checksum, kind = _HEADER.unpack_from(blob, at)
    end = at + HEADER_BYTES + length
    if not ID_BYTES <= length <= RECORD_BYTES_MAX or end > len(blob):
        return None
    payload = blob[at + HEADER_BYTES : end]
    if _crc(payload, kind) != checksum:
        return None
    return Record(kind, UUID(bytes=payload[:ID_BYTES]), payload[ID_BYTES:], end)
