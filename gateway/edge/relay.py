"""Upstream bytes → client: every chunk is sent first and looked at second; only the end waits.

The law is "a complete response implies a durable row", and "complete" is HTTP's word, not a dialect's:

- content-length  the client has everything with the last byte, so that one byte is withheld until ``settle``
                  has returned; an answer without a body is complete with its head, so the head waits.
- chunked         every chunk goes out when it comes; the terminating zero chunk waits for ``settle``.

One exception, which costs the client nothing, since it is served by the last byte and not by those before: where
a content-length was announced and all of the body is there before anything was sent (no filter, no growing hold,
the client present), it is looked at and settled first, then head and body go out in one piece. Where it cannot be
settled nothing was sent, and the client gets an error of its protocol instead of a break.

Where the end does not come, the client sees a truncated message, never a clean end. What passes in the head is
said in passing.py.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from starlette.types import Message, Send

from gateway.edge.abandon import Abandonment, Departure, Policy
from gateway.edge.passing import Plan, announced, passing_headers, planned
from gateway.edge.presence import ClientPresence
from gateway.exchange.growth import Growth
from gateway.exchange.ports import Response
from gateway.kernel.errors import UpstreamFailed, UpstreamMalformed
from gateway.metering.meter import Filter
from gateway.wire.messages import Head, Headers

Outcome = Literal["complete", "client_left", "upstream_failed"]

_BODILESS: Final = frozenset((204, 304))


class Relayed(msgspec.Struct, frozen=True):
    """What became of a response.

    outcome        complete: the client was sent all of it; client_left: it was gone before the end;
                   upstream_failed: the upstream broke off and the client saw that
    whole          the upstream's body was read to its end (also after the client had left)
    bytes_in       body bytes that came from the upstream; bytes_out  those that went to the client
    bytes_late     those of bytes_in that came when the client had already left
    failure        what the upstream died of
    """

    outcome: Outcome
    whole: bool
    bytes_in: int
    bytes_out: int
    bytes_late: int
    failure: UpstreamFailed | None


class Way(msgspec.Struct, frozen=True):
    """How a response is to pass: what is the same for every chunk of it.

    tap     is given every upstream chunk, after it was sent (before, where the whole is held: see above)
    settle  makes the row durable; awaited once, before the end of a complete response is released, and
            also where the response did not complete. Where it raises, the client sees a truncated response,
            or nothing yet
    policy  what to do when the client leaves
    strip   takes out what only the gateway asked for; the length is then not announced
    bodiless  the request was a HEAD: the length announces what will not come
    outlasts  asked when the client leaves: True where so little is still to come that it is read on even
              under "cancel"
    headers  the gateway's own, added to the head
    growth  asked after every chunk whether the stream may go on; where not, it ends in its protocol's way
    """

    tap: Callable[[bytes], None]
    settle: Callable[[Relayed], Awaitable[None]]
    policy: Policy
    strip: Filter | None = None
    bodiless: bool = False
    outlasts: Callable[[], bool] | None = None
    headers: Headers = ()
    growth: Growth | None = None


async def relay(
    response: Response,
    send: Send,
    presence: ClientPresence,
    way: Way,
    *,
    abandonment: Abandonment,
) -> Relayed:
    """Pass a response to the client, close it, settle, release its end.

    Waiting for a slow client stops the reading of the upstream. Runs on after the client has left, as the
    policy says: call it in a task that may outlive the request. Raises what ``settle`` raises, and
    UpstreamMalformed, before anything was sent, where the announced length is no number.
    """
    head = response.head
    plan = planned(head.headers)
    try:
        left = _announced(head, plan, way)
    except UpstreamMalformed:
        await response.close()
        raise
    if left and way.growth is None and not presence.gone:
        whole = response.whole(left)
        if whole is not None:
            return await _deliver(whole, head, plan, send, presence, way)
    passage = _Passage(response, send, presence, way, plan, left)
    departure = Departure(abandonment, way.policy, response, way.outlasts)
    presence.arm(departure.begin)
    try:
        await passage.start()
        failure = await passage.pump(departure)
    finally:
        presence.disarm()
        departure.end()
        await response.close()
    whole_body = failure is None and not departure.stopped
    if departure.stopped:
        await abandonment.turn()
    return await passage.finish(failure, whole=whole_body)


def _announced(head: Head, plan: Plan, way: Way) -> int | None:
    """How many body bytes the client will be told to expect; None: it is told when they end."""
    if way.bodiless or head.status in _BODILESS:
        return 0
    length = announced(head.headers, plan)
    if way.strip is not None or length is None:
        return None
    if not length.isdigit():
        raise UpstreamMalformed("the upstream's Content-Length is not a number")
    return int(length)


def _start(head: Head, plan: Plan, way: Way) -> Message:
    framed = way.strip is None and head.status not in _BODILESS
    headers = passing_headers(head.headers, plan, framed=framed)
    headers.extend(way.headers)
    return {"type": "http.response.start", "status": head.status, "headers": headers}


async def _deliver(
    body: bytes, head: Head, plan: Plan, send: Send, presence: ClientPresence, way: Way
) -> Relayed:
    """A body that came as a whole, and of which nothing was sent: settled, then sent with its head."""
    way.tap(body)
    size = len(body)
    relayed = Relayed(
        "complete", whole=True, bytes_in=size, bytes_out=size, bytes_late=0, failure=None
    )
    await way.settle(relayed)
    presence.started = True
    await send(_start(head, plan, way))
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return relayed


class _Passage:
    """One response on its way through; the state that head, body and end share."""

    __slots__ = (
        "_bytes_in",
        "_bytes_late",
        "_bytes_left",
        "_bytes_out",
        "_held",
        "_plan",
        "_presence",
        "_response",
        "_send",
        "_stopped",
        "_way",
    )

    def __init__(
        self,
        response: Response,
        send: Send,
        presence: ClientPresence,
        way: Way,
        plan: Plan,
        left: int | None,
    ) -> None:
        self._response = response
        self._send = send
        self._presence = presence
        self._way = way
        self._plan = plan
        self._bytes_left = left
        self._bytes_in = 0
        self._bytes_out = 0
        self._bytes_late = 0
        self._held = b""
        self._stopped = False  # by us: what is held back stays back

    async def start(self) -> None:
        """Send the head now, unless it is the end already."""
        if self._bytes_left != 0:
            await self._send_head()

    async def _send_head(self) -> None:
        self._presence.started = True
        await self._send(_start(self._response.head, self._plan, self._way))

    async def pump(self, departure: Departure) -> UpstreamFailed | None:
        """Pass the body on. Returns what the upstream died of, None where it ended."""
        presence, way = self._presence, self._way
        strip, tap, growth = way.strip, way.tap, way.growth
        try:
            async for chunk in self._response.body():
                if presence.gone:
                    self._bytes_late += len(chunk)
                else:
                    await self._forward(chunk if strip is None else strip.feed(chunk))
                tap(chunk)
                self._bytes_in += len(chunk)
                if presence.gone:
                    departure.spend(len(chunk))
                if growth is not None and not await growth.step(len(chunk)):
                    return await self._stop(growth)
        except UpstreamFailed as failure:
            return failure
        if self._bytes_left and not presence.gone:
            return UpstreamMalformed("the upstream's body is shorter than it announced")
        return None

    async def _stop(self, growth: Growth) -> UpstreamFailed | None:
        """End a stream that may not go on: in its own protocol's way, or, where it has none, by a break."""
        if growth.ending is None:
            return UpstreamFailed("a budget ran out under the stream")
        self._stopped = True
        if not self._presence.gone:
            await self._forward(growth.ending)
        return None

    async def _forward(self, chunk: bytes) -> None:
        """Send a chunk, but for the byte that would complete the response."""
        if self._bytes_left is not None:
            chunk = self._withhold(chunk, self._bytes_left)
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._bytes_out += len(chunk)

    def _withhold(self, chunk: bytes, left: int) -> bytes:
        if len(chunk) > left:
            raise UpstreamMalformed("the upstream's body is longer than it announced")
        self._bytes_left = left - len(chunk)
        if self._bytes_left or not chunk:
            return chunk
        self._held = chunk[-1:]
        return chunk[:-1]

    async def finish(self, failure: UpstreamFailed | None, *, whole: bool) -> Relayed:
        """Settle, then give the client the end it is due: the rest, or the sight of a break."""
        strip, present = self._way.strip, not self._presence.gone
        if strip is not None and present and not self._stopped:
            await self._forward(strip.flush())
        if whole and present:
            return await self._complete()
        if present:
            self._presence.truncate()
        outcome: Outcome = "upstream_failed" if present else "client_left"
        relayed = self._relayed(outcome, failure, whole=whole)
        await self._way.settle(relayed)
        return relayed

    async def _complete(self) -> Relayed:
        self._bytes_out += len(self._held)
        relayed = self._relayed("complete", None, whole=True)
        settled = False
        try:
            await self._way.settle(relayed)
            settled = True
        finally:
            if not settled and self._presence.started:
                self._presence.truncate()
        if not self._presence.started:
            await self._send_head()
        await self._send({"type": "http.response.body", "body": self._held, "more_body": False})
        return relayed

    def _relayed(self, outcome: Outcome, failure: UpstreamFailed | None, *, whole: bool) -> Relayed:
        return Relayed(
            outcome,
            whole,
            self._bytes_in,
            self._bytes_out,
            self._bytes_late,
            failure,
        )
