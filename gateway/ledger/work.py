"""Deferred work: a batch that was created through the gateway, and is to be asked for what it used."""

from enum import Enum

import msgspec

from gateway.kernel.names import known_by
from gateway.ledger.entry import Entry


def work_name(provider: str, upstream: str, work_id: str) -> str:
    """What work is known by, once only: its provider's id, where that was given."""
    return f"{provider}/{upstream}/{known_by(work_id)}"


class Work(msgspec.Struct, frozen=True):
    """What is known of it when it is created.

    work      its name, once only: 'azure/openai-main/batch_1'
    raw_path, query  the request that asks how it is getting on, without a key
    creator   the entry of its creation: who is charged
    """

    work: str
    provider: str
    upstream: str
    raw_path: bytes
    query: bytes
    creator: Entry
    made_us: int


class Look(Enum):
    """What one question about work has shown."""

    OPEN = "open"  # not its end, or nobody answered
    ENDED = "ended"  # and what it used is booked, if anything
    LOST = "lost"  # its end, but what would say what it used is not there


class Told(msgspec.Struct, frozen=True):
    """A client's own look has shown that work has ended.

    is_booked  what it used is booked, or it used nothing: it need not be asked any more; else it is asked at once
    """

    work: str
    at_us: int
    is_booked: bool


class Due(msgspec.Struct, frozen=True):
    """Work that is to be asked now. ``attempts``: how often it was, this time included."""

    work: Work
    attempts: int
