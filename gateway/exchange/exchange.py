"""One request's life: open → forward → observe → settle, ending in one row per attempt, or in none if nothing was used.

Order of closing: read the meter → rate → ``Spool.settle`` (durable) → the relay releases the last byte.
Attempts follow each other in ``trying``; what one becomes in the ledger is said in ``attempt``.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from gateway.exchange import booking
from gateway.exchange.admission import Admission, Admitted
from gateway.exchange.attempt import Asked, Attempt, Recording, Zone
from gateway.exchange.booking import Counts
from gateway.exchange.carrying import carries
from gateway.exchange.counting import Counting
from gateway.exchange.deferring import Deferring
from gateway.exchange.failover import Failover
from gateway.exchange.fetching import fetches, readable
from gateway.exchange.growth import Growth, written_by
from gateway.exchange.holding import Held
from gateway.exchange.owning import Owning
from gateway.exchange.ports import Client, Deferred, Observer, Response, Spool, Upstreams
from gateway.exchange.reserving import Over, Reserved, Reserving
from gateway.exchange.routing import Canonical
from gateway.exchange.sending import Sending
from gateway.exchange.trying import Means, Trying, drawn
from gateway.kernel.clock import Clock
from gateway.ledger.entry import STOPPED, Entry, Outcome
from gateway.ledger.reprice import Tariff
from gateway.metering.meter import Filter, Reading, has_written
from gateway.pricing.book import Book
from gateway.providers.contract import Call, Kind, Provider, Upstream
from gateway.wire.messages import Head, Headers, Inbound

# Named once: looking a member up in its enum is a call, and these are looked up on every request.
_METERED, _FREE, _DEFERRED = Kind.METERED, Kind.FREE, Kind.DEFERRED


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
        failover: Failover,
        owning: Owning,
    ) -> None:
        self.admission = admission
        self.owning = owning
        self.reserving = reserving
        self.sending = Sending(upstreams)
        self.spool = spool
        self.deferring = Deferring(deferred, lambda: Tariff(book(), admission.contracts))
        self.counting = counting
        self.clock = clock
        self.observer = observer
        self.means = Means(
            recording=Recording(
                spool=spool,
                counting=counting,
                routes=admission.routes,
                book=book,
                canonical=canonical,
                zone=zone,
                clock=clock,
            ),
            sending=self.sending,
            failover=failover,
            observer=observer,
        )

    def open(
        self, provider: Provider, call: Call, inbound: Inbound, request_id: UUID, client: Client
    ) -> "Exchange":
        """An exchange as a context manager; entering it admits the call or raises its refusal.

        ``client`` tells, when the exchange is cancelled, whose doing that is: the client's, or our own.
        """
        return Exchange(self, provider, call, inbound, request_id, client)


class Exchange:
    """One request, with its hold and its attempts."""

    is_a_clients: ClassVar[bool] = True  # not the gateway's own question

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
        self._client = client
        self._asked = Asked(
            provider,
            call,
            inbound,
            request_id,
            shared.clock.wall_us(),
            shared.clock.ticks_ns(),
        )
        self._admitted: Admitted | None = None
        self._reserved: Reserved | None = None
        self._trying: Trying | None = None
        self.creator: Entry | None = None  # of the deferred work it asks about, where that is known
        self.reading: Reading | None = None  # once settled
        self.growth: Growth | None = None
        self.filter: Filter | None = None

    @property
    def headers(self) -> Headers:
        """The gateway's own headers of the answer: what is left of its budgets, and how often it was tried."""
        said = () if self._reserved is None else self._reserved.headers
        tried = self.trying.tried
        return said if tried == 1 else (*said, (b"x-weighbridge-attempts", b"%d" % tried))

    @property
    def trying(self) -> Trying:
        """Its attempts; only inside the context."""
        assert self._trying is not None
        return self._trying

    @property
    def attempt(self) -> Attempt:
        """The attempt that runs, or whose answer is passed on."""
        assert self._trying is not None
        return self._trying.attempt

    @property
    def upstream(self) -> Upstream:
        """Where it goes."""
        return self.attempt.admitted.upstream

    @property
    def metered(self) -> bool:
        """Whether the answer is to be observed and booked."""
        return self._call.kind is not _FREE

    @property
    def streams(self) -> bool:
        """Whether a streamed answer was asked for."""
        return self.attempt.streams

    @property
    def observe(self) -> Callable[[bytes], None]:
        """The tap of the attempt that is answered."""
        return self.attempt.observe

    async def __aenter__(self) -> Self:
        asked = self._asked
        admitted = await self._shared.admission.admit(
            self._provider, self._call, self._inbound, asked.started_us, drawn(asked.request_id)
        )
        owning = self._shared.owning
        if owning.concerns(admitted, self._inbound.body):
            admitted = await owning.admit(self._provider, self._inbound, admitted, asked.started_us)
        if fetches(self._provider, admitted):
            admitted = await readable(self._provider, self._inbound.body, admitted)
        if admitted.owner is not None:
            admitted = self._shared.admission.bargained(admitted, asked.started_us)
        self._admitted = admitted
        self._trying = Trying(self._shared.means, asked, self._client, admitted)
        if self._call.kind is _METERED or self._call.reserved:
            over = self._shared.reserving.over(admitted, self._provider.name)
            if over is not None:
                await self._reserve(admitted, over)
        return self

    async def _reserve(self, admitted: Admitted, over: Over) -> None:
        """Hold the most it may use. Raises the refusal of the budget that has no room."""
        reserved = self._reserved = await self._shared.reserving.reserve(
            self._asked.request_id, over, admitted, self._inbound.body, self.attempt.frame
        )
        self._admitted = reserved.admitted
        if reserved.clamped is not None:
            self._inbound = replace(self._inbound, body=reserved.clamped.body)

    async def forward(self, placed: Callable[[], None] | None = None) -> Response:
        """Record the intent, send, and make the meter; where a place cannot serve, ask the next.

        ``placed``: called before every attempt. Raises UpstreamFailed and its kinds.
        """
        assert self._admitted is not None
        held = () if self._reserved is None else self._reserved.held.flags
        trying = self.trying
        response = await trying.run(self._admitted, self._inbound, held=held, placed=placed)
        attempt = trying.attempt
        self.filter = attempt.filter
        if self._call.dialect is not None:
            attempt.listen()
            if self._reserved is not None and response.head.status < booking.NOT_AN_ANSWER:
                self._let_grow(response.head)
        return response

    def _let_grow(self, head: Head) -> None:
        """Where only a first step is held, the hold grows as the answer does."""
        reserved, meter = self._reserved, self.attempt.meter
        if reserved is None or reserved.tokens >= reserved.most or meter is None:
            return
        written = partial(written_by, meter, self._shared.counting)
        self.growth = self._shared.reserving.growth(
            reserved, self.attempt.admitted, self._asked.started_us, written
        )
        self.filter = self.growth.cut(head, self.filter, self._call.dialect)

    # -- closing ---------------------------------------------------------------------------------

    def outlasts(self) -> bool:
        """Whether a client that leaves now has its answer, and only the usage is still to come."""
        return has_written(self.attempt.meter)

    async def settle(self, outcome: Outcome, *, saw_all: bool = False) -> None:
        """Book what was used, durably. Idempotent; FREE calls book nothing.

        ``saw_all``: the client was sent everything that came, so that one who leaves right at the
        protocol's own end is recorded as complete.
        """
        attempt = self.attempt
        if attempt.is_settled:
            return
        reading = self.reading = await self._read()
        if not self.metered:
            attempt.is_settled = True
            await self._keep(reading)
            return
        counts = self._counted(reading) or await self._count(reading)
        outcome = booking.outcome_of(reading, attempt.status, outcome, saw_all=saw_all)
        if self.growth is not None and self.growth.is_stopped:
            outcome, attempt.flags = Outcome.INTERRUPTED, (*attempt.flags, STOPPED)
        entry = attempt.entry(reading, counts, outcome)
        if self._call.kind is _DEFERRED:
            deferred = await self._shared.deferring.entry_of(
                self._call, self.upstream, entry, reading, attempt.parts, self.creator
            )
            if deferred is None:
                attempt.is_settled = True
                self._withdraw()
                await self._keep(reading)
                return
            entry = deferred
        # No await between here and the spool's own queueing: a cancellation cannot fall in between.
        attempt.is_settled = True
        held = self._held
        entry = self._shared.reserving.flagged(held, attempt.admitted, entry)
        self._shared.observer.settled(entry)
        try:
            await self._shared.spool.settle(entry)
        finally:
            self._shared.reserving.holding.settle(held, entry)
        if reading.made:
            await self._keep(reading, entry)

    async def _read(self) -> Reading:
        """What is known of the answer, without the sessions that an earlier one has paid for."""
        attempt = self.attempt
        reading = await attempt.caught_up() if attempt.is_behind else attempt.read()
        if not reading.sessions:
            return reading
        return await self._shared.owning.unbooked(self._call, reading, self._asked.started_us)

    async def _keep(self, reading: Reading, entry: Entry | None = None) -> None:
        """Claim what the answer made, durably, for whoever may touch it from now on."""
        if reading.made:
            owning, now_us = self._shared.owning, self._shared.clock.wall_us()
            admitted, created, tokens = self.attempt.admitted, None, None
            if entry is not None:
                created = entry if self._call.reserved else None
                tokens = carries(admitted, reading, entry, self.attempt.parts)
            owning.keep(self._provider, self._inbound, admitted, reading, now_us, created, tokens)
            if self.is_a_clients:
                owning.told(admitted, reading, now_us)
            if self._call.kind is not _METERED or not admitted.upstream.single_tenant:
                await owning.kept()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.trying.fall_back()
        attempt = self.attempt
        try:
            if not attempt.is_sent:
                self._withdraw()
            elif not attempt.is_settled and self.metered:
                await self._close(error)
        finally:
            if attempt.response is not None:
                await attempt.response.close()

    async def _close(self, error: BaseException | None) -> None:
        """The exchange failed before its relay could settle it: book what may have been used."""
        outcome = Outcome.UPSTREAM_FAILED
        if isinstance(error, asyncio.CancelledError) and self.attempt.failure is None:
            # Where the client is still there, it is we who stop: at the end of our own time to drain.
            outcome = Outcome.CLIENT_LEFT if self._client.gone else Outcome.INTERRUPTED
        try:
            await self.trying.close_behind()
        finally:
            await self.settle(outcome)

    @property
    def _held(self) -> Held | None:
        if self.growth is not None:
            return self.growth.held
        return None if self._reserved is None else self._reserved.held

    def _withdraw(self) -> None:
        """Nothing was used: what is held is free again."""
        self._shared.reserving.holding.void(self._held)

    def _counted(self, reading: Reading) -> Counts | None:
        """The same as ``_count``, where that is quick and nothing need be waited for; else None."""
        admitted = self.attempt.admitted
        if admitted.counts is None:
            return None
        output = self._shared.counting.output_at_once(reading.observed, admitted.model or "")
        return None if output is None else Counts(admitted.counts.input, output)

    async def _count(self, reading: Reading) -> Counts | None:
        """tiktoken's count of the output; a cancelled wait still leaves the input's."""
        admitted = self.attempt.admitted
        counts = admitted.counts
        if counts is None:
            return None
        try:
            output = await self._shared.counting.output(reading.observed, admitted.model or "")
        except asyncio.CancelledError:
            return counts
        return Counts(counts.input, output)
