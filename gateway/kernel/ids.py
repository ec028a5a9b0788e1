"""Identifiers: UUIDv7, time-ordered, minted here only."""

from hashlib import sha256
from typing import Final
from uuid import UUID, SafeUUID

from uuid_utils import uuid7

_FAMILY_BITS = 32  # of the 62 that are drawn: two rows of one family are no mistake, only rare
_UNKNOWN: Final = SafeUUID.unknown


def new_id() -> UUID:
    """A UUIDv7 with its lowest bit 0: its twin (id XOR 1) is reserved for the entry that adjusts it."""
    return _of_int(uuid7().int & ~1)


def _of_int(number: int) -> UUID:
    """``UUID(int=…)`` without its checks, for a number that was minted as one: half the time of every id."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def adjustment_id(entry_id: UUID) -> UUID:
    """The deterministic id of the adjustment of an entry, so that a replay books it once."""
    return UUID(int=entry_id.int ^ 1)


def reprice_id(entry_id: UUID, version: str) -> UUID:
    """The deterministic id of a row's correction by a version of its prices; of the row's own family.

    Its lowest bit is 1, as of every correction, and it is never the adjustment's.
    """
    digest = sha256(entry_id.bytes + version.encode()).digest()
    tail = int.from_bytes(digest[:4]) & (1 << _FAMILY_BITS) - 1 | 1
    made = family(entry_id) << _FAMILY_BITS | tail
    return UUID(int=made if made != entry_id.int ^ 1 else made ^ 2)


def family(entry_id: UUID) -> int:
    """What a row and its corrections have in common: in the order of ids they lie next to each other."""
    return entry_id.int >> _FAMILY_BITS


def family_span(entry_id: UUID) -> tuple[UUID, UUID]:
    """The first and the last id that a row and its corrections can have."""
    first = family(entry_id) << _FAMILY_BITS
    return UUID(int=first), UUID(int=first | (1 << _FAMILY_BITS) - 1)


def minted_us(entry_id: UUID) -> int:
    """Microseconds since the epoch at which a UUIDv7 was minted (millisecond precision)."""
    return (entry_id.int >> 80) * 1000
