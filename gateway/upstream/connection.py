"""One HTTP/1.1 connection to an upstream: bytes in, a response head and body parts out.

A connection serves one call at a time. Its owner (connections.py) lends it, sweeps its deadlines and
takes it back; whoever holds it calls ``begin``, writes, then looks at ``head``, ``parts``, ``done`` and
``error`` in that order and awaits ``changed()`` between two looks. To refuse one more kind of answer:
raise through ``_refuse`` in the parser's callback that sees it.
"""

import asyncio
from typing import Final, Never, Protocol, TypeAlias, cast

import httptools
import httpx

from gateway.upstream.deadlines import Limits
from gateway.upstream.kernel import Line

Origin: TypeAlias = tuple[bytes, bytes, int]
"""Scheme, host and port."""

# A provider's head has some 40 fields and 4 KiB; beyond these it is an attack or a fault.
HEAD_BYTES_MAX: Final = 64 * 1024
HEAD_FIELDS_MAX: Final = 200
INFORMATIONAL_MAX: Final = 8
# RFC 9110 section 15: there is no class beyond, and no server that would pass it on.
STATUS_MAX: Final = 599
# Above this, reading pauses and the provider's TCP window closes: what bounds a stalled client's memory.
BUFFER_BYTES_HIGH: Final = 256 * 1024

_CONTINUE: Final = 100
_OK: Final = 200
_SWITCHING_PROTOCOLS: Final = 101
_REFUSAL: Final = 400
_REQUEST_TIMEOUT: Final = 408  # what a server may say to a connection that has asked it nothing
_TRANSFER_ENCODING: Final = b"transfer-encoding"
_FRAMING: Final = frozenset({b"content-length", _TRANSFER_ENCODING})


class Owner(Protocol):
    """Who lends connections."""

    now: float
    """Seconds of the coarse clock: refreshed by the sweep, so that a read costs no clock call."""

    def opened(self, connection: "Connection") -> None:
        """The connection is up (TLS included)."""
        ...

    def lost(self, connection: "Connection") -> None:
        """The connection is gone; called once."""
        ...


class _Refused(Exception):
    """Stops the parser; the reason stands in ``Connection._reason``."""


class Connection(asyncio.Protocol):
    """The protocol object; see the module's first lines for who calls what.

    head      the final response head has arrived: ``status`` and ``headers`` hold it
    parts     received body bytes nobody has taken yet; ``size`` of them together
    done      the response is complete
    error     why there will be no more; set after all received bytes were put into ``parts``
    got       at least one byte of an answer arrived
    used      it has served a call before, so its peer may have closed it in between
    sent      the whole request is out
    """

    __slots__ = (
        "_bodiless", "_buffered", "_ends", "_field_bytes", "_full", "_head_bytes", "_held",
        "_informational", "_keep",
        "_limits", "_line", "_loop", "_owner", "_parser", "_reason", "_stamp", "_transport", "_unheard",
        "_waiter", "_written",
        "busy", "closed", "done", "error", "got", "head", "headers", "idle_since", "origin", "parts",
        "sent", "size", "status", "used", "writing",
    )  # fmt: skip

    def __init__(self, owner: Owner, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport = asyncio.Transport()
        self._line: Line | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._limits: Limits | None = None
        self._full = self._held = False
        self.origin = origin
        self.busy = self.closed = self.used = False
        self.idle_since = 0.0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.error: httpx.TransportError | None = None
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers = []
        self.head = self.done = self.got = self.sent = False
        self._keep = self._bodiless = False
        self.size = self._head_bytes = self._field_bytes = self._informational = self._buffered = 0
        self._written = self._unheard = 0
        self._reason = ""

    # What the holder calls.

    def begin(self, limits: Limits, *, bodiless: bool) -> None:
        """Start a call. ``bodiless``: the answer has no body whatever its head says (HEAD)."""
        self._reset()
        self.error = None
        self.busy = self.writing = True
        if self.closing or (self.used and self._speaks()):
            # Lost between being handed over and being taken up, or it has said something that nobody asked for.
            self.error = httpx.ReadError("the upstream closed the connection")
            self._keep = False
            self.abort()
        self._bodiless = bodiless
        self._limits = limits
        self._stamp = self._owner.now
        self._ends = self._stamp + limits.total_s

    def write(self, octets: bytes | memoryview) -> None:
        """Hand bytes of the request to the socket."""
        self._stamp = self._owner.now
        self._written += len(octets) if self._line is None else self._line.carried(len(octets))
        self._transport.write(octets)

    def uploaded(self, *, whole: bool) -> None:
        """Writing has ended; ``whole``: with the last byte of the request."""
        self.writing = False
        self.sent = whole

    async def drained(self) -> None:
        """Wait until the socket takes more, or the answer or an error makes writing pointless."""
        while self._full and not self.head and self.error is None:
            await self.changed()

    def changed(self) -> "asyncio.Future[None]":
        """A future that ends at the next event. There is one holder, so one future is enough."""
        self._waiter = self._loop.create_future()
        return self._waiter

    def take(self) -> bytes:
        """All received body bytes as one chunk; joining makes a burst one send, and delays nothing."""
        parts = self.parts
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts = []
        self.size = 0
        if self._held:
            self._held = False
            self._stamp = self._owner.now
            # uvloop raises where asyncio shrugs: nothing is asked of a lost connection.
            if not self.closed:
                self._transport.resume_reading()
        return chunk

    @property
    def reusable(self) -> bool:
        """Whether another call may follow on it."""
        return (
            self.done
            and self._keep
            and self.sent
            and not self.parts
            and not self.closing
            and self._transport.get_write_buffer_size() == 0
        )

    @property
    def closing(self) -> bool:
        """Whether it is closed or on its way there."""
        return self.closed or self._transport.is_closing()

    def rest(self) -> None:
        """End a call; the owner decides what becomes of the connection."""
        self.busy = False
        self.used = True
        self.parts = []
        self._wake()

    # What the owner calls.

    def abort(self) -> None:
        """Close at once; unfinished calls fail."""
        if not self.closed:
            self._transport.abort()

    def fail(self, error: httpx.TransportError) -> None:
        """End the running call with an error, after the bytes already received."""
        if self.error is None:
            self.error = error
        self.done = self._keep = False
        self._wake()
        self.abort()

    def overdue(self, now: float) -> httpx.TimeoutException | None:
        """The error of a call that is too late, or None. Time in which our reader is slow is not counted."""
        if self.done or self._limits is None:
            return None
        if now >= self._ends:
            return httpx.ReadTimeout(f"not complete after {self._limits.total_s:g} s")
        buffered = self._transport.get_write_buffer_size() if self.writing else 0
        moving = buffered != self._buffered or (self.writing and not self._full)
        self._buffered = buffered
        if moving or self._held:
            self._stamp = now
            return None
        return self._limits.overdue(now - self._stamp, writing=self.writing, head=self.head)

    @property
    def shortest_s(self) -> float:
        """The shortest limit of the running call."""
        return self._limits.shortest_s if self._limits is not None else float("inf")

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._line = Line(transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        self._stamp = self._owner.now
        if not self.busy:
            self._transport.abort()
            return
        if self.done:
            self._sever()
            return
        self.got = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._objected(error)
            return
        if not self.head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.fail(httpx.RemoteProtocolError("the response head is too large"))
                return
        self._wake()

    def _objected(self, error: Exception) -> None:
        if self.done:  # what objects is what came behind the answer
            self._sever()
        else:
            self.fail(httpx.RemoteProtocolError(self._reason or f"not HTTP: {error}"))

    def _sever(self) -> None:
        """Bytes after the end of an answer: that is whole, and stands; nothing else may follow on this connection."""
        self._keep = False
        self._wake()
        self.abort()

    def _speaks(self) -> bool:
        return self._line is not None and self._line.is_waiting()

    def _not_arrived(self) -> int:
        """Bytes of the running request that the peer's host has not acknowledged: its answer acknowledges all."""
        if self._line is None or self.closing:
            return 0
        return self._line.unacknowledged() + self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        del (
            self._parser
        )  # it holds us too: both would stay until a full collection, which comes by the hour
        if self.busy and not self.done and self.error is None:
            if exc is not None:
                self.error = httpx.ReadError(f"the connection broke: {type(exc).__name__}")
            elif self.head and not self._framed():
                self.done = True
            else:
                self.error = httpx.RemoteProtocolError(
                    "the upstream closed the connection too early"
                )
        self._wake()
        self._owner.lost(self)

    def _framed(self) -> bool:
        return any(name.lower() in _FRAMING for name, _value in self.headers)

    # What the parser calls.

    def _refuse(self, reason: str) -> Never:
        self._reason = reason
        raise _Refused

    def on_message_begin(self) -> None:
        if self.done:
            self._refuse("bytes after the end of the response")
        if self.used:
            self._unheard = self._not_arrived()
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > HEAD_BYTES_MAX:
            self._refuse("the response's fields are too large")
        if self.head:
            # Trailers: the head is delivered, they are dropped; only their size matters.
            return
        self.headers.append((name, value))
        if len(self.headers) > HEAD_FIELDS_MAX:
            self._refuse("the response head has too many fields")
        # We undo chunks only; any other coding would reach the client without its label.
        if (
            len(name) == len(_TRANSFER_ENCODING)
            and name.lower() == _TRANSFER_ENCODING
            and value.lower() != b"chunked"
        ):
            self._refuse("the response has a transfer coding other than chunked")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _OK:
            self._informational += 1
            if status < _CONTINUE or status == _SWITCHING_PROTOCOLS:
                self._refuse(f"unusable status {status}")
            if self._informational > INFORMATIONAL_MAX:
                self._refuse("too many informational responses")
            return
        if status > STATUS_MAX:
            self._refuse(f"unusable status {status}")
        if self._unheard or not self.sent:
            self._weigh_early(status)
        self.status = status
        self.head = True
        self._keep = self._parser.should_keep_alive()
        if self._bodiless:
            # The parser does not know the method and would wait for a body: this connection ends here.
            self.done = True
            self._keep = False

    def _weigh_early(self, status: int) -> None:
        """Whether an answer that was sent before the whole request had arrived can be that request's.

        On a connection that has served before it may be a late second answer to an earlier call, perhaps another
        team's. A refusal may be early where some of its request had arrived; nothing else may. What cannot be a
        refusal of this request is no answer: where it says that the peer is closing, or the request had not even
        left, nobody has read that, and it may be sent again.
        """
        if not self.used:
            return
        is_whole = self.sent and not self._transport.get_write_buffer_size()
        has_begun = self._unheard < self._written
        if has_begun and status >= _REFUSAL:
            return
        if not is_whole or status == _REQUEST_TIMEOUT:
            self.got = False
        self._refuse("an answer that was sent before its request had arrived")

    def on_body(self, part: bytes) -> None:
        if self.done:
            self._refuse("a body where there can be none")
        self.parts.append(part)
        self.size += len(part)
        if self.size > BUFFER_BYTES_HIGH and not self._held:
            self._held = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.head:
            self.done = True
