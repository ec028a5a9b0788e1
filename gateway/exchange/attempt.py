"""One call to one place: what was sent there, what came back, and the entry that becomes of it.

An attempt knows nothing of the others of its request: ``exchange`` makes them, one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import msgspec
from msgspec.structs import replace

from gateway.exchange import booking, entries
from gateway.exchange.admission import Admitted
from gateway.exchange.booking import Counts
from gateway.exchange.counting import Counting
from gateway.exchange.listening import RefusalMeter, catch_up
from gateway.exchange.pace import Pace
from gateway.exchange.ports import Response, Spool
from gateway.exchange.routing import Canonical, Routes
from gateway.kernel.clock import NS_PER_MS, Clock
from gateway.kernel.errors import GatewayError
from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.metering.meter import Filter, Meter, Reading, can_glance
from gateway.metering.usage import Component, Source
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.providers.contract import Call, Deployment, Kind, Provider, Served
from gateway.wire import headers as header_lists
from gateway.wire.encoding import Decoded
from gateway.wire.messages import Head, Inbound

# Named once: looking a member up in its enum is a call, and these are looked up on every request.
_METERED, _DEFERRED = Kind.METERED, Kind.DEFERRED
_USAGE = EntryKind.USAGE
_BY_PROVIDER = Source.PROVIDER
_SILENT = Reading(source=Source.NONE, final=False, complete=False)
_ERROR = Reading(source=Source.NONE, final=True)
_UNSERVED = Served()
_NS_PER_US = 1_000

Zone = Callable[[str, int], tuple[str, int]]
"""(org, epoch µs) → (day 'YYYY-MM-DD', period yyyymm) in the org's zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What all attempts of a worker are recorded with."""

    spool: Spool
    counting: Counting
    routes: Callable[[], Routes]
    book: Callable[[], Book]
    canonical: Canonical
    zone: Zone
    clock: Clock


class Asked(msgspec.Struct, frozen=True):
    """A request, as all of its attempts share it. Its start decides day, period and window of every row."""

    provider: Provider
    call: Call
    inbound: Inbound
    request_id: UUID
    started_us: int
    started_ns: int


class Attempt:
    """One of them.

    is_sent   its intent is written and not void, so it is owed a row
    has_left  a byte of it may have been written: whoever is cancelled before has used nothing
    failure   why it has no answer
    flags     of every record of it
    parts     what its entry was charged in
    """

    __slots__ = (
        "_asked", "_decoded", "_first_ns", "_frame", "_pace", "_recording", "admitted", "begun_ns", "failure", "filter",
        "flags", "has_left", "id", "is_sent", "is_settled", "meter", "number", "parts", "response",
    )  # fmt: skip

    def __init__(
        self,
        recording: Recording,
        asked: Asked,
        admitted: Admitted,
        entry_id: UUID,
        number: int = 1,
    ) -> None:
        self._recording = recording
        self._asked = asked
        self.admitted = admitted
        self.id = entry_id
        self.number = number
        self.begun_ns = asked.started_ns if number == 1 else recording.clock.ticks_ns()
        self.response: Response | None = None
        self.failure: GatewayError | None = None
        self.filter: Filter | None = None
        self.meter: Meter | None = None
        self.is_sent = False
        self.has_left = False
        self.is_settled = False
        self.flags: tuple[str, ...] = ()
        self.parts: tuple[Component, ...] = ()
        self._first_ns: int | None = None
        self._decoded: Decoded | None = None
        self._pace: Pace | None = None
        self._frame: Entry | None = None

    def leave(self) -> None:
        """Its first byte is about to be written."""
        self.has_left = True

    @property
    def streams(self) -> bool:
        """Whether a streamed answer was asked for."""
        asked = self._asked.call.streams
        return self.admitted.request.stream if asked is None else asked

    @property
    def status(self) -> int:
        """What was answered; 0 before."""
        return 0 if self.response is None else self.response.head.status

    @property
    def frame(self) -> Entry:
        """The part of its entry that is known before anything is sent."""
        if self._frame is None:
            asked, admitted = self._asked, self.admitted
            started_us = asked.started_us
            day, period = self._recording.zone(admitted.principal.org, started_us)
            stamp = entries.Stamp(self.id, asked.request_id, started_us, day, period, self.number)
            self._frame = entries.frame(
                stamp, asked.provider, admitted, asked.inbound, stream=self.streams
            )
        return self._frame

    def listen(self) -> None:
        """Make the meter of the answer that came: of what it says it used, or of why it is none."""
        assert self.response is not None
        head = self.response.head
        self.meter = self._meter_of(head)
        if self.streams and can_glance(self.meter):
            self._pace = Pace(self._recording.clock.ticks_ns())
        encoding = header_lists.first(head.headers, b"content-encoding")
        if encoding is not None and encoding.strip().lower() != b"identity":
            self._decoded = Decoded(encoding)

    def _meter_of(self, head: Head) -> Meter | None:
        asked = self._asked
        if head.status < booking.NOT_AN_ANSWER:
            assert asked.call.dialect is not None
            return asked.call.dialect.meter(self.admitted.request, head)
        if asked.call.kind is not _METERED:
            return None
        return RefusalMeter(partial(asked.provider.charges_refusal, asked.call, head.status))

    def observe(self, chunk: bytes) -> None:
        """The tap: called after the chunk was sent. Never raises on what others sent."""
        if self._first_ns is None:
            self._first_ns = self._recording.clock.ticks_ns()
        if self.meter is not None:
            self.meter.feed(chunk if self._decoded is None else self._decoded.feed(chunk))
            pace = self._pace
            if pace is not None and pace.due(len(chunk), self._recording.clock.ticks_ns()):
                self._record_progress()

    def _record_progress(self) -> None:
        """Say in the journal what a worker that dies now will have used."""
        meter: object = self.meter
        assert can_glance(meter)
        reading, counts = meter.glance(), self.admitted.counts
        if counts is not None:
            counts = Counts(counts.input, self._recording.counting.roughly(reading.observed))
        self.record(self.entry(reading, counts, Outcome.INTERRUPTED))

    def record(self, entry: Entry) -> None:
        """Say in the journal what is booked of it if the worker dies now."""
        self._recording.spool.progress(replace(entry, kind=EntryKind.INTERRUPTED))

    def unanswered(self) -> Entry:
        """The entry of one that brought no answer to be used: refused, or never heard of again."""
        outcome = Outcome.ERROR if self.status else Outcome.UPSTREAM_FAILED
        return self.entry(self.read(), self.admitted.counts, outcome)

    @property
    def is_behind(self) -> bool:
        """Whether the meter may still have to be given some of what came."""
        return self._decoded is not None

    async def caught_up(self) -> Reading:
        """What the meter has read, once it has been given all that came."""
        await catch_up(self._decoded, self.meter)
        return self.read()

    def read(self) -> Reading:
        """What the meter has read."""
        if self.response is None:
            return _SILENT
        if self.meter is None:
            return _ERROR
        return self.meter.read()

    def entry(self, reading: Reading, counts: Counts | None, outcome: Outcome) -> Entry:
        """What it is booked as."""
        asked, admitted, shared = self._asked, self.admitted, self._recording
        provider, response = asked.provider, self.response
        status, served = 0, _UNSERVED
        if response is not None:
            head = response.head
            status = head.status
            served = provider.served(asked.call, admitted.upstream, head, reading)
        under, flags = self._circumstances(served)
        used = booking.used(reading, status, counts)
        unheard = booking.unheard(reading, used, outcome, silent=self._first_ns is None)
        flags = (*flags, *booking.unseen(used, admitted.model or ""), *unheard)
        kind = _USAGE
        if response is None and outcome is Outcome.UPSTREAM_FAILED:
            # Sent, and nothing came back: whether the provider bills it only its invoice can tell.
            kind, used = EntryKind.UNCONFIRMED, booking.Used((), used.provenance)
        if counts is not None and reading.source is _BY_PROVIDER:
            shared.counting.taught(
                counts.input, used.components, admitted.model or "", admitted.principal.org
            )
        self.parts = used.components
        now_ns, first_ns = shared.clock.ticks_ns(), self._first_ns
        ending = entries.Ending(
            kind=kind,
            outcome=outcome,
            status=status,
            reading=reading,
            counts=counts,
            served=served,
            used=used,
            rated=booking.charged(shared.book(), under, used, admitted.bargain),
            flags=(*self.flags, *(self._decoded.flags if self._decoded else ()), *flags),
            first_byte_ms=None if first_ns is None else (first_ns - self.begun_ns) // NS_PER_MS,
            total_us=(now_ns - self.begun_ns) // _NS_PER_US,
            booked_us=asked.started_us + (now_ns - asked.started_ns) // _NS_PER_US,
        )
        return entries.ended(self.frame, ending)

    def _circumstances(self, served: Served) -> tuple[Circumstances, tuple[str, ...]]:
        """Under what it is charged, and what is odd about that."""
        asked, admitted, name = self._asked, self.admitted, self._asked.provider.name
        deployment, flags = booking.served_deployment(
            name,
            admitted.deployment or self._deployment_of(served),
            served,
            self._recording.canonical,
        )
        tier, doubts = booking.tier_of(served.tier, admitted.tier)
        if doubts and self.response is not None:
            flags = (*flags, *doubts)
        return booking.circumstances(name, deployment, served, tier, asked.started_us), flags

    def _deployment_of(self, served: Served) -> Deployment | None:
        """A finished batch names its model only: priced as the deployments of that model, if they agree."""
        asked, shared = self._asked, self._recording
        if asked.call.kind is not _DEFERRED or not served.model:
            return None
        return shared.routes().of_model(
            asked.provider, self.admitted.upstream, served.model, shared.canonical
        )
