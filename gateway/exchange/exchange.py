"""One request's life: open → forward → observe → settle, ending in exactly one row, or in none if nothing was used.

Order of closing: read the meter → rate → ``Spool.settle`` (durable) → the relay releases the last byte.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID

from msgspec.structs import replace

from gateway.exchange import booking, entries
from gateway.exchange.admission import Admission, Admitted
from gateway.exchange.booking import Counts
from gateway.exchange.counting import Counting
from gateway.exchange.deferring import Deferring
from gateway.exchange.growth import Growth, written_by
from gateway.exchange.holding import Held
from gateway.exchange.listening import RefusalMeter, catch_up
from gateway.exchange.pace import Pace
from gateway.exchange.ports import Client, Deferred, Observer, Response, Spool, Upstreams
from gateway.exchange.reserving import Reserved, Reserving
from gateway.exchange.routing import Canonical
from gateway.exchange.sending import Sending
from gateway.kernel.clock import NS_PER_MS, Clock
from gateway.kernel.errors import UpstreamUnreachable
from gateway.kernel.ids import new_id
from gateway.ledger.entry import STOPPED, Entry, EntryKind, Outcome
from gateway.metering.meter import Filter, Glancing, Meter, Reading, has_written
from gateway.metering.usage import Source
from gateway.pricing.book import Book
from gateway.providers.contract import Call, Deployment, Kind, Provider, Served, Upstream
from gateway.wire import headers as header_lists
from gateway.wire.encoding import Decoded
from gateway.wire.messages import Head, Headers, Inbound

# Named once: looking a member up in its enum is a call, and these are looked up on every request.
_METERED, _FREE, _DEFERRED = Kind.METERED, Kind.FREE, Kind.DEFERRED
_USAGE = EntryKind.USAGE
_BY_PROVIDER = Source.PROVIDER
_SILENT = Reading(source=Source.NONE, final=False, complete=False)
_ERROR = Reading(source=Source.NONE, final=True)

Zone = Callable[[str, int], tuple[str, int]]
"""(org, epoch µs) → (day 'YYYY-MM-DD', period yyyymm) in the org's zone."""


class Exchanges:
    """Opens exchanges; holds what they share. Every collaborator is a port or a pure room."""

    def __init__(
        self,
        *,
        admission: Admission,
        upstreams: Upstreams,
        spool: Spool,
        deferred: Deferred,
        counting: Counting,
        book: Callable[[], Book],
        canonical: Canonical,
        zone: Zone,
        clock: Clock,
        observer: Observer,
        reserving: Reserving,
    ) -> None:
        self.admission = admission
        self.reserving = reserving
        self.sending = Sending(upstreams)
        self.spool = spool
        self.deferring = Deferring(deferred)
        self.counting = counting
        self.book = book
        self.canonical = canonical
        self.zone = zone
        self.clock = clock
        self.observer = observer

    def open(
        self, provider: Provider, call: Call, inbound: Inbound, request_id: UUID, client: Client
    ) -> "Exchange":
        """An exchange as a context manager; entering it admits the call or raises its refusal.

        ``client`` tells, when the exchange is cancelled, whose doing that is: the client's, or our own.
        """
        return Exchange(self, provider, call, inbound, request_id, client)


class Exchange:
    """One upstream attempt and its row."""

    def __init__(
        self,
        shared: Exchanges,
        provider: Provider,
        call: Call,
        inbound: Inbound,
        request_id: UUID,
        client: Client,
    ) -> None:
        self._shared = shared
        self._provider = provider
        self._call = call
        self._inbound = inbound
        self._request_id = request_id
        self._client = client
        self._id = new_id()
        self._started_us = shared.clock.wall_us()
        self._started_ns = shared.clock.ticks_ns()
        self._first_ns: int | None = None
        self._admitted: Admitted | None = None
        self._reserved: Reserved | None = None
        self._response: Response | None = None
        self._meter: Meter | None = None
        self._decoded: Decoded | None = None
        self._pace: Pace | None = None
        self._frame: Entry | None = None
        self._sent = False
        self._settled = False
        self._flags: tuple[str, ...] = ()
        self.growth: Growth | None = None
        self.filter: Filter | None = None

    @property
    def headers(self) -> Headers:
        """The gateway's own headers of the answer: what is left of its budgets."""
        return () if self._reserved is None else self._reserved.headers

    @property
    def admitted(self) -> Admitted:
        """What was admitted; only inside the context."""
        assert self._admitted is not None
        return self._admitted

    @property
    def upstream(self) -> Upstream:
        """Where it goes."""
        return self.admitted.upstream

    @property
    def metered(self) -> bool:
        """Whether the answer is to be observed and booked."""
        return self._call.kind is not _FREE

    @property
    def streams(self) -> bool:
        """Whether a streamed answer was asked for."""
        if self._call.streams is not None:
            return self._call.streams
        return self.admitted.request.stream

    async def __aenter__(self) -> Self:
        self._admitted = await self._shared.admission.admit(
            self._provider, self._call, self._inbound, self._started_us
        )
        if self._call.kind is _METERED or self._call.reserved:
            await self._reserve()
        return self

    async def _reserve(self) -> None:
        """Hold the most it may use. Raises the refusal of the budget that has no room."""
        self._frame = self._framed()
        reserved = self._reserved = await self._shared.reserving.reserve(
            self._request_id, self.admitted, self._inbound.body, self._frame
        )
        if reserved is not None and reserved.clamped is not None:
            clamped = reserved.clamped
            self._inbound = replace(self._inbound, body=clamped.body)
            self._admitted = replace(self.admitted, request=clamped.request)

    async def forward(self) -> Response:
        """Record the intent, send, and make the meter. Raises UpstreamFailed and its kinds."""
        if self._call.kind is _METERED:
            await self._intend()
        self._sent = True
        sent = await self._shared.sending.send(
            self._provider, self._call, self._inbound, self.admitted
        )
        response = self._response = sent.response
        self.filter, self._flags = sent.filter, sent.flags
        if self.metered and response.head.status < booking.NOT_AN_ANSWER:
            assert self._call.dialect is not None
            self._listen(self._call.dialect.meter(self.admitted.request, response.head))
            self._let_grow(response.head)
        elif self._call.kind is _METERED:
            charges = partial(self._provider.charges_refusal, self._call, response.head.status)
            self._listen(RefusalMeter(charges))
        return response

    async def _intend(self) -> None:
        """Say in the journal what is about to be sent; what passes without its hold, durably."""
        assert self._frame is not None
        spool, intent = self._shared.spool, entries.interrupted(self._frame, self.admitted)
        if self._reserved is not None and self._reserved.held.is_open:
            await spool.intent_durable(intent)
        else:
            spool.intent(intent)

    def observe(self, chunk: bytes) -> None:
        """The tap: called after the chunk was sent. Never raises on what others sent."""
        if self._first_ns is None:
            self._first_ns = self._shared.clock.ticks_ns()
        if self._meter is not None:
            self._meter.feed(chunk if self._decoded is None else self._decoded.feed(chunk))
            pace = self._pace
            if pace is not None and pace.due(len(chunk), self._shared.clock.ticks_ns()):
                self._record_progress()

    def _record_progress(self) -> None:
        """Say in the journal what a worker that dies now will have used."""
        meter: object = self._meter
        assert isinstance(meter, Glancing)
        reading, counts = meter.glance(), self.admitted.counts
        if counts is not None:
            counts = Counts(counts.input, self._shared.counting.roughly(reading.observed))
        entry = self._entry(reading, counts, Outcome.INTERRUPTED)
        self._shared.spool.progress(replace(entry, kind=EntryKind.INTERRUPTED))

    def outlasts(self) -> bool:
        """Whether a client that leaves now has its answer, and only the usage is still to come."""
        return has_written(self._meter)

    async def settle(self, outcome: Outcome, *, saw_all: bool = False) -> None:
        """Book what was used, durably. Idempotent; FREE calls book nothing.

        ``saw_all``: the client was sent everything that came, so that one who leaves right at the
        protocol's own end is recorded as complete.
        """
        if self._settled or not self.metered:
            return
        await catch_up(self._decoded, self._meter)
        reading = self._read()
        counts = await self._count(reading)
        outcome = booking.outcome_of(reading, self._status(), outcome, saw_all=saw_all)
        if self.growth is not None and self.growth.is_stopped:
            outcome, self._flags = Outcome.INTERRUPTED, (*self._flags, STOPPED)
        entry = self._entry(reading, counts, outcome)
        if self._call.kind is _DEFERRED:
            deferred = await self._shared.deferring.entry_of(
                self._call, self.upstream, entry, reading
            )
            if deferred is None:
                self._settled = True
                self._withdraw()
                return
            entry = deferred
        # No await between here and the spool's own queueing: a cancellation cannot fall in between.
        self._settled = True
        held = self._held
        entry = self._shared.reserving.holding.flagged(held, entry)
        self._shared.observer.settled(entry)
        try:
            await self._shared.spool.settle(entry)
        finally:
            self._shared.reserving.holding.settle(held, entry)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self._sent:
                self._withdraw()
            elif not self._settled and self.metered:
                await self._close(error)
        finally:
            if self._response is not None:
                await self._response.close()

    async def _close(self, error: BaseException | None) -> None:
        """The exchange failed before its relay could settle it: void, or book what may have been used."""
        if self._response is None and isinstance(error, UpstreamUnreachable):
            self._settled = True
            self._shared.spool.void(self._id)
            self._withdraw()
            return
        outcome = Outcome.UPSTREAM_FAILED
        if isinstance(error, asyncio.CancelledError):
            # Where the client is still there, it is we who stop: at the end of our own time to drain.
            outcome = Outcome.CLIENT_LEFT if self._client.gone else Outcome.INTERRUPTED
        await self.settle(outcome)

    @property
    def _held(self) -> Held | None:
        if self.growth is not None:
            return self.growth.held
        return None if self._reserved is None else self._reserved.held

    def _withdraw(self) -> None:
        """Nothing was used: what is held is free again."""
        self._shared.reserving.holding.void(self._held)

    def _listen(self, meter: Meter) -> None:
        assert self._response is not None
        self._meter = meter
        if self.streams and isinstance(meter, Glancing):
            self._pace = Pace(self._shared.clock.ticks_ns())
        encoding = header_lists.first(self._response.head.headers, b"content-encoding")
        if encoding is not None and encoding.strip().lower() != b"identity":
            self._decoded = Decoded(encoding)

    def _let_grow(self, head: Head) -> None:
        """Where only a first step is held, the hold grows as the answer does."""
        reserved, meter = self._reserved, self._meter
        if reserved is None or reserved.tokens >= reserved.most or meter is None:
            return
        written = partial(written_by, meter, self._shared.counting)
        self.growth = self._shared.reserving.growth(
            reserved, self.admitted, self._started_us, written
        )
        self.filter = self.growth.cut(head, self.filter, self.admitted.call.dialect)

    # -- closing ---------------------------------------------------------------------------------

    def _read(self) -> Reading:
        if self._response is None:
            return _SILENT
        if self._meter is None:
            return _ERROR
        return self._meter.read()

    async def _count(self, reading: Reading) -> Counts | None:
        """tiktoken's count of the output; a cancelled wait still leaves the input's."""
        counts = self.admitted.counts
        if counts is None:
            return None
        model = self._model_counted()
        try:
            output = await self._shared.counting.output(reading.observed, model)
        except asyncio.CancelledError:
            return counts
        return Counts(counts.input, output)

    def _model_counted(self) -> str:
        return self.admitted.model or ""

    def _status(self) -> int:
        return 0 if self._response is None else self._response.head.status

    def _framed(self) -> Entry:
        day, period = self._shared.zone(self.admitted.principal.org, self._started_us)
        stamp = entries.Stamp(self._id, self._request_id, self._started_us, day, period)
        return entries.frame(
            stamp, self._provider, self.admitted, self._inbound.headers, stream=self.streams
        )

    def _entry(self, reading: Reading, counts: Counts | None, outcome: Outcome) -> Entry:
        admitted, shared, name = self.admitted, self._shared, self._provider.name
        head = None if self._response is None else self._response.head
        status = self._status()
        served = Served()
        if head is not None:
            served = self._provider.served(self._call, admitted.upstream, head, reading)
        deployment, flags = booking.served_deployment(
            name, admitted.deployment or self._deployment_of(served), served, shared.canonical
        )
        tier, doubts = booking.tier_of(served.tier, admitted.tier)
        flags = (*flags, *doubts) if status else flags
        under = booking.circumstances(name, deployment, served, tier, self._started_us)
        used = booking.used(reading, status, counts)
        unseen = booking.unseen(used, self._model_counted())
        kind = _USAGE
        if head is None and outcome is Outcome.UPSTREAM_FAILED:
            # Sent, and nothing came back: whether the provider bills it only its invoice can tell.
            kind, used = EntryKind.UNCONFIRMED, booking.Used((), used.provenance)
        if counts is not None and reading.source is _BY_PROVIDER:
            shared.counting.taught(
                counts.input, used.components, self._model_counted(), admitted.principal.org
            )
        now_ns = shared.clock.ticks_ns()
        first_ns = self._first_ns
        ending = entries.Ending(
            kind=kind,
            outcome=outcome,
            status=status,
            reading=reading,
            counts=counts,
            served=served,
            used=used,
            rated=booking.priced(shared.book(), under, used.components, known=used.known),
            flags=(*self._flags, *(self._decoded.flags if self._decoded else ()), *flags, *unseen),
            first_byte_ms=None if first_ns is None else (first_ns - self._started_ns) // NS_PER_MS,
            total_us=(now_ns - self._started_ns) // 1000,
        )
        return entries.ended(self._frame or self._framed(), ending)

    def _deployment_of(self, served: Served) -> Deployment | None:
        """A finished batch names its model only: priced as the deployments of that model, if they agree."""
        if self._call.kind is not _DEFERRED or not served.model:
            return None
        shared = self._shared
        routes = shared.admission.routes
        return routes.of_model(self._provider, self.upstream, served.model, shared.canonical)
