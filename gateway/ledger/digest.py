"""The digest chain: what a row's bytes are, and how one batch of rows is linked to the one before.

A column that is added later makes a new version in COLUMNS beside the old ones, which stay as they are:
links made before it still verify (a reader tries every version). Canonical bytes are JSON without spaces: an array of the version and the columns in order, ids as
hyphenated text, integers as they are, lines sorted and with their keys in one order; so they are equal
whichever database kept the row.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Final
from uuid import UUID

import msgspec

from gateway.ledger.entry import Entry, Line

VERSION: Final = 2
GENESIS: Final = b""  # stands where the first link's predecessor would
ID_BYTES: Final = 16

_FIRST: Final = (
    "id", "request_id", "kind", "ref_id", "occurred_us", "booked_us", "day", "period", "org", "team",
    "user", "cost_centre", "app", "key_id", "provider", "operation", "dialect", "upstream",
    "deployment", "model", "served_model", "scope", "geo", "region", "tier", "status", "stream",
    "outcome", "provenance", "list_pico", "net_pico", "price_status", "counted_input",
    "counted_output", "count_confidence", "provider_total", "usage_raw", "flags", "first_byte_ms",
    "total_ms", "provider_request_id", "client_call_id", "client_attempt", "settles", "attempt", "tags",
)  # fmt: skip  # a list to be compared by eye, version by version
COLUMNS: Final[dict[int, tuple[str, ...]]] = {1: _FIRST, 2: (*_FIRST, "catalog", "contract")}
_PICKED: Final = {version: attrgetter(*names) for version, names in COLUMNS.items()}
_ENCODE: Final = msgspec.json.Encoder().encode


def canonical(entry: Entry, version: int = VERSION) -> bytes:
    """A row as the bytes that are hashed; the lines come last. Raises KeyError on an unknown version."""
    return canonical_values(_PICKED[version](entry), entry.lines, version)


def canonical_values(values: Sequence[object], lines: Iterable[Line], version: int) -> bytes:
    """The same of a row's column values, in the order of ``COLUMNS[version]``, and of its lines."""
    rows = [_line(line) for line in lines]
    if len({row[0] for row in rows}) == len(rows):
        rows.sort()  # no unit comes twice, so that alone decides
    else:
        rows.sort(key=_line_order)
    return _ENCODE((version, *values, rows))


def rows_digest(entries: Iterable[Entry]) -> bytes:
    """SHA-256 of each row's canonical bytes, joined in the order given (that of their ids)."""
    return b"".join([sha256(canonical(entry)).digest() for entry in entries])


def link_digest(previous: bytes, rows: bytes) -> bytes:
    """The digest of a link over the one before it and over its rows (``rows_digest``)."""
    return sha256(previous + rows).digest()


def joined_ids(entries: Iterable[Entry]) -> bytes:
    """The ids of a link, ID_BYTES each."""
    return b"".join([entry.id.bytes for entry in entries])


def split_ids(ids: bytes) -> list[UUID]:
    """The ids of ``joined_ids``. Raises ValueError where the bytes are no whole number of ids."""
    if len(ids) % ID_BYTES:
        raise ValueError(f"{len(ids)} bytes are no whole number of ids")
    return [UUID(bytes=ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)]


_LineRow = tuple[str, str, str | None, str | None, int, int | None, int | None]


def _line(line: Line) -> _LineRow:
    return (
        line.unit,
        line.role,
        line.model,
        line.price_id,
        line.quantity,
        line.list_pico,
        line.net_pico,
    )


def _line_order(row: _LineRow) -> tuple[str, ...]:
    # As text: None sorts with the rest. A model called "None" is told from none at the end, where nothing else is.
    return tuple([str(part) for part in row] + [repr(part) for part in row])
