"""Identifiers: UUIDv7, time-ordered, minted here only."""

from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    """A UUIDv7 with its lowest bit 0: its twin (id XOR 1) is reserved for the entry that adjusts it."""
    return UUID(int=uuid_utils.uuid7().int & ~1)


def adjustment_id(entry_id: UUID) -> UUID:
    """The deterministic id of the adjustment of an entry, so that a replay books it once."""
    return UUID(int=entry_id.int ^ 1)


def minted_us(entry_id: UUID) -> int:
    """Microseconds since the epoch at which a UUIDv7 was minted (millisecond precision)."""
    return (entry_id.int >> 80) * 1000
