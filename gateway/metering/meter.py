"""Meters: sans-I/O readers of a response. A dialect makes one per response; the relay feeds it after sending."""

from typing import Protocol, TypeGuard

import msgspec

from gateway.metering.prompt import NOTHING_OBSERVED, Observed
from gateway.metering.usage import Component, Source, total_tokens


class Reading(msgspec.Struct, frozen=True):
    """What a response said about itself.

    components    disjoint usage; () where nothing is known
    source, final how it is known; final=False asks for a count of ours or a later settlement
    stated_total  the provider's own total, where it gives one (for the balance check)
    uncovered     tokens of components the stated total leaves out by its nature
    model, tier   as the answer names them, in its own spelling; None where it does not
    complete      the protocol's own end was seen (terminal event, whole JSON body)
    usage_raw     the provider's usage object(s) as JSON bytes, lossless
    observed      the text the model wrote, for tiktoken
    work_id       the once-only id of deferred work this answer speaks of (a batch id)
    work_ended    whether that work will not change any more
    results       the id of the kept file in which that work says of each request what it used
    made          ids of what this answer made, and the provider keeps
    sessions      the containers that code ran in, which the provider bills by the session
    answer        the id under which all of it is kept to be gone on from, where its usage covers what is read then
    flags         words for the row: "unbalanced", "usage_invalid", "bad_crc", "error_event", "blind", …
    """

    components: tuple[Component, ...] = ()
    source: Source = Source.NONE
    final: bool = True
    stated_total: int | None = None
    uncovered: int = 0
    model: str | None = None
    tier: str | None = None
    complete: bool = True
    usage_raw: bytes | None = None
    observed: Observed = NOTHING_OBSERVED
    flags: tuple[str, ...] = ()
    region: str | None = None
    work_id: str | None = None
    work_ended: bool = False
    results: str | None = None
    made: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    answer: str | None = None

    @property
    def is_in_results(self) -> bool:
        """Whether what ended work used is said by its file of results only."""
        return self.work_ended and not self.final and self.results is not None

    def balances(self) -> bool:
        """Whether the sum over classes equals the provider's own total (True where it gives none)."""
        if self.stated_total is None:
            return True
        return total_tokens(self.components) - self.uncovered == self.stated_total


class Meter(Protocol):
    """Reads a response's bytes as they pass. Never raises on what others sent: it goes blind and says so."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, cut anywhere. The result must not depend on the cuts."""
        ...

    def read(self) -> Reading:
        """What is known so far. Called once after the last feed, whether or not the body was whole."""
        ...


class Finishing(Protocol):
    """A meter, or its reader, that can tell when a stream has only its own bookkeeping left to say."""

    @property
    def written(self) -> bool:
        """Whether the model seems to have written all: to stop now would save nothing and hide the usage."""
        ...


class Glancing(Protocol):
    """A meter that can be asked in the middle: for the journal, and for what a running stream has used."""

    def glance(self) -> Reading:
        """What is known while more is still to come; leaves the meter as it was."""
        ...


def has_written(meter: object) -> bool:
    """Whether a meter or reader is Finishing, and says so."""
    return bool(getattr(meter, "written", False))


def can_glance(meter: object) -> TypeGuard[Glancing]:
    """Whether a meter is Glancing, told without the many steps in which a Protocol tells it."""
    return hasattr(meter, "glance")


class Filter(Protocol):
    """Takes out of a stream what the gateway itself asked for; everything else passes byte for byte."""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on; may hold back the unfinished event that could be the one to strip."""
        ...

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        ...
