"""Entry ↔ row of ``usage_ledger``, for both dialects.

A new field of Entry is a column of tables.LEDGER under the same name; this module follows by itself.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping

from gateway.ledger.entry import Entry, Line
from gateway.storage.tables import LEDGER_COLUMNS

FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Entry))
assert set(FIELDS) == set(LEDGER_COLUMNS), "Entry and usage_ledger name different fields"

_IDS: Final = frozenset({"id", "request_id", "ref_id"})
_ENCODER: Final = msgspec.json.Encoder()
_ENTRY: Final = msgspec.json.Decoder(Entry)
LINES: Final = msgspec.json.Decoder(tuple[Line, ...])
_FLAGS: Final = msgspec.json.Decoder(tuple[str, ...])
_ID_AT: Final = tuple(FIELDS.index(name) for name in sorted(_IDS))
_LINES_AT: Final = FIELDS.index("lines")
_FLAGS_AT: Final = FIELDS.index("flags")
_TAGS_AT: Final = FIELDS.index("tags")
_NO_TAGS: Final = "[]"


def encode(entry: Entry) -> bytes:
    """The entry as JSON, as the spool and the quarantine keep it."""
    return _ENCODER.encode(entry)


def decode(text: bytes) -> Entry:
    """The entry of ``encode``. Raises msgspec.DecodeError on anything else (ValidationError included)."""
    return _ENTRY.decode(text)


def values(entry: Entry) -> list[Any]:
    """The column values in FIELDS' order, lines, flags and tags as JSON text."""
    row = list(msgspec.structs.astuple(entry))
    row[_LINES_AT] = _ENCODER.encode(entry.lines).decode()
    row[_FLAGS_AT] = _ENCODER.encode(entry.flags).decode()
    row[_TAGS_AT] = _ENCODER.encode(entry.tags).decode() if entry.tags else _NO_TAGS
    return row


def sqlite_values(entry: Entry) -> list[Any]:
    """The same with UUIDs as 16 bytes."""
    row = values(entry)
    for at in _ID_AT:
        row[at] = row[at] and row[at].bytes
    return row


def columns(entries: Sequence[Entry]) -> list[list[Any]]:
    """One list per column, for ``unnest``."""
    return [list(column) for column in zip(*map(values, entries), strict=True)]


def entry_of(row: RowMapping | dict[str, Any]) -> Entry:
    """The entry of a row read through tables.LEDGER or by asyncpg."""
    fields = {name: row[name] for name in FIELDS}
    fields["lines"] = LINES.decode(fields["lines"])
    fields["flags"] = _FLAGS.decode(fields["flags"])
    fields["tags"] = _FLAGS.decode(fields["tags"])
    fields["stream"] = bool(fields["stream"])
    return msgspec.convert(fields, Entry, builtin_types=(UUID,))


def by_id(entries: Iterable[Entry]) -> dict[UUID, Entry]:
    """One entry per id, sorted by id (so that writers lock in one order); a booking beats its estimate."""
    chosen: dict[UUID, Entry] = {}
    for entry in entries:
        other = chosen.get(entry.id)
        if other is None or (other.kind != "usage" and entry.kind == "usage"):
            chosen[entry.id] = entry
    return dict(sorted(chosen.items(), key=_number))


def _number(chosen: tuple[UUID, Entry]) -> int:
    return chosen[0].int
