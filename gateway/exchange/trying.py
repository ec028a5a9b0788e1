"""The attempts of one request, one after the other: each its own intent and its own row, or none where nothing was sent.

An attempt that was sent and did not serve stays behind: its row is written once a later one was really sent, with the flag
that the request goes on; where none is, it has the last word and its answer is passed on as it came.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from gateway.exchange import entries
from gateway.exchange.admission import Admitted
from gateway.exchange.attempt import Asked, Attempt, Recording
from gateway.exchange.failover import (
    ANSWERED,
    REFUSED,
    UNANSWERED,
    UNREACHABLE,
    Failover,
    is_refusal,
)
from gateway.exchange.ports import Client, Observer, Response
from gateway.exchange.sending import Sending
from gateway.exchange.whole import read_kept
from gateway.kernel.errors import BadRequest, GatewayError, UpstreamFailed, UpstreamUnreachable
from gateway.kernel.ids import new_id
from gateway.ledger.entry import FAIL_OPEN, FAILED_OVER, Entry
from gateway.providers.contract import Kind
from gateway.wire.messages import Inbound

_METERED = Kind.METERED  # looked up on every request
_RANDOM: Final = (1 << 62) - 1  # of a UUIDv7: all behind its variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all requests of a worker are tried with."""

    recording: Recording
    sending: Sending
    failover: Failover
    observer: Observer


class Trying:
    """``attempt``: the one that runs; ``tried``: how many there were, those included that sent nothing."""

    __slots__ = (
        "_asked", "_behind", "_chosen_ns", "_client", "_has_choice", "_left", "_means", "attempt", "tried",
    )  # fmt: skip

    def __init__(self, means: Means, asked: Asked, client: Client, admitted: Admitted) -> None:
        self._means = means
        self._asked = asked
        self._client = client
        self._behind: Attempt | None = None
        self._left: list[Admitted] = []
        self._has_choice = False
        self._chosen_ns = 0  # when the place of the attempt that runs was
        # Made before anything is held: the hold is named by it.
        self.attempt = Attempt(means.recording, asked, admitted, new_id())
        self.tried = 0

    async def run(
        self,
        admitted: Admitted,
        inbound: Inbound,
        *,
        held: tuple[str, ...],
        placed: Callable[[], None] | None,
    ) -> Response:
        """Try until one answers or none is left; the answer that is to be passed on.

        ``held``: flags of its hold; where it passes without one, its intents are made durable. ``placed``:
        called before every attempt. Raises UpstreamFailed and its kinds.
        """
        self._has_choice = bool(admitted.elsewhere)
        self._left = list(admitted.options) if self._has_choice else [admitted]
        failure: GatewayError | None = None
        while self._choose():
            if placed is not None:
                placed()
            self.attempt.flags = held
            failure = await self._send(inbound)
            if failure is None:
                if not (self._has_choice and self._is_refused()):
                    return self._response
                await self._refused()
        self._conclude(failure)
        return self._response

    @property
    def _response(self) -> Response:
        assert self.attempt.response is not None
        return self.attempt.response

    def _choose(self) -> bool:
        """Make the next attempt; whether there is one. The first has its id already."""
        first, means = self.attempt, self._means
        if not self.tried and not self._has_choice:
            first.admitted = self._left.pop()
        elif self.tried and not self._may_go_on():
            return False
        else:
            # With an answer to pass on, a place that is skipped need not be asked.
            admitted = means.failover.choose(self._left, must=self._behind is None)
            if admitted is None:
                return False
            # Until something was sent, under the name that the hold has.
            entry_id = first.id if self._behind is None else new_id()
            number = self.tried + 1
            self._chosen_ns = means.recording.clock.ticks_ns()
            self.attempt = Attempt(means.recording, self._asked, admitted, entry_id, number)
        self.tried += 1
        return True

    async def _send(self, inbound: Inbound) -> GatewayError | None:
        """One attempt; returns why it has no answer, where another place may be asked instead."""
        attempt, asked, sending = self.attempt, self._asked, self._means.sending
        durable = self._intend(attempt)
        if durable is not None:
            await self._durably(durable)
        attempt.is_sent = True
        admitted, leave = attempt.admitted, attempt.leave
        try:
            if admitted.request.opted_body is None:
                attempt.response = await sending.plainly(
                    asked.provider, asked.call, inbound, admitted, leave, inbound.body
                )
            else:
                sent = await sending.opted(asked.provider, asked.call, inbound, admitted, leave)
                attempt.response, attempt.filter = sent.response, sent.filter
                attempt.flags = (*attempt.flags, *sent.flags)
        except (UpstreamFailed, BadRequest) as error:
            return await self._failed(attempt, error)
        except asyncio.CancelledError:
            if not attempt.has_left:
                self._void(attempt)
            raise
        if self._behind is not None:
            await self.close_behind()
        return None

    async def _failed(
        self, attempt: Attempt, error: UpstreamFailed | BadRequest
    ) -> UpstreamFailed | BadRequest:
        """It has no answer. Raises the error where no other place may be asked."""
        if attempt.has_left and not isinstance(error, UpstreamUnreachable):
            return await self._unanswered(attempt, error)
        self._void(attempt)
        if isinstance(error, UpstreamFailed):
            self._note(attempt, UNREACHABLE)
        return error

    async def _unanswered(
        self, attempt: Attempt, error: UpstreamFailed | BadRequest
    ) -> UpstreamFailed | BadRequest:
        """It was sent, and nothing came back. Raises the error where no other place may be asked."""
        attempt.failure = error
        self._note(attempt, UNANSWERED)
        await self.close_behind()
        if not (self._means.failover.retry_unanswered and self._may_go_on()):
            raise error
        self._leave(attempt)
        return error

    def _intend(self, attempt: Attempt) -> Awaitable[None] | None:
        """Say in the journal what is about to be sent, and before it what then becomes of the one before.

        What it returns is still to be waited for: the hold names the first attempt only, so a later one that the
        power takes has nothing but this, durable.
        """
        if self._behind is not None:
            self._behind.record(followed(self._behind))
        if self._asked.call.kind is not _METERED:
            return None
        spool = self._means.recording.spool
        intent = entries.interrupted(attempt.frame, attempt.admitted, attempt.flags)
        if FAIL_OPEN in attempt.flags or self.tried > 1:
            return spool.intent_durable(intent)
        spool.intent(intent)
        return None

    async def _durably(self, intended: Awaitable[None]) -> None:
        """Wait for an intent; one that cannot be made durable is void, and the one before it may be the last after all."""
        is_durable = False
        try:
            await intended
            is_durable = True
        finally:
            if not is_durable and self._behind is not None:
                self._behind.record(self._behind.unanswered())

    def _void(self, attempt: Attempt) -> None:
        """Nothing was sent: it leaves no row, and the one before it may be the last after all."""
        if self._behind is not None:
            self._behind.record(self._behind.unanswered())
        attempt.is_sent = False
        self._means.recording.spool.void(attempt.id)

    def _is_refused(self) -> bool:
        """Whether the answer is a refusal that another place may spare the client."""
        is_refused = is_refusal(self.attempt.status)
        self._note(self.attempt, REFUSED if is_refused else ANSWERED)
        return is_refused and self._may_go_on()

    async def _refused(self) -> None:
        """The refusal is kept for now: it may be the last word after all."""
        attempt = self.attempt
        attempt.response = await read_kept(self._response)
        self._leave(attempt)

    def _may_go_on(self) -> bool:
        """Whether there is another place to try, and somebody to try it for."""
        is_allowed = self.tried < self._means.failover.attempts
        return bool(self._left) and is_allowed and not self._client.gone

    def _leave(self, attempt: Attempt) -> None:
        """It was sent and did not serve: its row waits."""
        self._behind = attempt
        attempt.record(attempt.unanswered())

    async def close_behind(self) -> None:
        """A later attempt was really sent: book the one before it."""
        behind = self._behind
        if behind is None:
            return
        entry = followed(behind)
        # No await between here and the spool's own queueing: a cancellation cannot fall in between.
        self._behind, behind.is_settled = None, True
        self._means.failover.left(behind.admitted.place)
        self._means.observer.settled(entry)
        await self._means.recording.spool.settle(entry)

    def _conclude(self, failure: GatewayError | None) -> None:
        """No place is left: the last that was really sent has the word. Raises why it, or all, have none."""
        if self._behind is not None:
            failure = self._behind.failure
        self.fall_back()
        if failure is not None:
            raise failure

    def fall_back(self) -> None:
        """Where nothing was sent after it, the attempt that stayed behind is the one that counts."""
        behind = self._behind
        if behind is not None and (behind is self.attempt or not self.attempt.is_sent):
            self.attempt, self._behind = behind, None

    def _note(self, attempt: Attempt, ended: str) -> None:
        """Tell the breakers, where there was a choice."""
        if self._has_choice:
            self._means.failover.tried(attempt.admitted.place, ended, self._chosen_ns)


def followed(attempt: Attempt) -> Entry:
    """The entry of an attempt that another one follows: its request is counted with that one."""
    entry = attempt.unanswered()
    return replace(entry, flags=(*entry.flags, FAILED_OVER))


def drawn(request_id: UUID) -> int:
    """The random bits of a request's id, but for the lowest, which is always 0."""
    return (request_id.int & _RANDOM) >> 1
