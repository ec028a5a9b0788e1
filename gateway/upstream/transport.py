"""An httpx transport made for relaying: the bytes given go out, the bytes received come back.

No client around it: no cookies, redirects, proxies, default headers or path rewriting, and nothing is
decoded. Native cancellation is safe at every step: whatever is not complete is closed, and counted so.
It also serves as the transport of an ``httpx`` client. To teach it a new kind of body, see outgoing.py;
of answer, connection.py; of limit, deadlines.py.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Final

import httpx

from gateway.kernel.clock import Clock, SystemClock
from gateway.upstream.connection import Connection, Origin
from gateway.upstream.connections import SWEEP_S, Connections, Statistics
from gateway.upstream.deadlines import Deadlines, Limits
from gateway.upstream.outgoing import Outgoing, encode, origin_of

CONNECTIONS_MAX: Final = 2_000
# Below the idle limit of every provider's front door, so that a request rarely meets a closing connection.
KEEPALIVE_S: Final = 60.0
# A request on a connection that was closed before it left hears of that within a round trip.
STALE_NS: Final = 1_000_000_000


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A verifying TLS context; ``ca_file``: further authorities to trust. Building one costs about 15 ms.

    The environment is not consulted: who is trusted is configured.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def nobody() -> None:
    """Who need not know when a request leaves."""


class RelayTransport(httpx.AsyncBaseTransport):
    """One upstream's transport. ``retried``: calls sent again because an idle connection had died.

    Raises httpx's own exceptions: ConnectError, ConnectTimeout, PoolTimeout (nothing was sent);
    WriteTimeout, ReadTimeout, ReadError, RemoteProtocolError; LocalProtocolError for an unsendable request.
    """

    def __init__(
        self,
        *,
        deadlines: Deadlines | None = None,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        keepalive_s: float = KEEPALIVE_S,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._limits = Limits.of((deadlines or Deadlines()).extension())
        self._clock = clock or SystemClock()
        self._connections = Connections(
            clock=self._clock,
            tls=tls or tls_context(),
            connections_max=connections_max,
            keepalive_s=keepalive_s,
            sweep_s=sweep_s,
        )
        self.retried = 0

    def statistics(self) -> Statistics:
        """The figures of the connections, for telemetry and tests."""
        return self._connections.statistics()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = request.extensions.get("timeout")
        limits = None if timeout is None else Limits.of(timeout)
        origin, outgoing = origin_of(request.url), encode(request)
        bodiless = request.method == "HEAD"
        stream = await self.send(origin, outgoing, nobody, bodiless=bodiless, limits=limits)
        return httpx.Response(stream.status, headers=stream.headers, stream=stream)

    async def send(
        self,
        origin: Origin,
        outgoing: Outgoing,
        leaving: Callable[[], None],
        *,
        bodiless: bool,
        limits: Limits | None = None,
    ) -> "RelayStream":
        """The same for a request already written out, without httpx's own objects around it.

        ``leaving``: called right before its first byte is written.

        Raises what ``handle_async_request`` raises.
        """
        limits = limits or self._limits
        connection = self._connections.idle(origin, limits)
        if connection is None:
            connection = await self._connections.borrow(origin, limits)
        used, began_ns = connection.used, self._clock.ticks_ns()
        leaving()
        try:
            return await self._attempt(connection, outgoing, limits, bodiless=bodiless)
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            # The race with a provider that closes an idle connection: no byte of an answer came, so the
            # request was most likely never read. In principle it may have been: hence once, and counted,
            # and not where the connection stood for longer than the news of its end takes to arrive.
            is_stale = used and self._clock.ticks_ns() - began_ns < STALE_NS
            if not is_stale or connection.got or outgoing.body is None:
                raise
            died = error
        self.retried += 1
        try:
            connection = await self._connections.borrow(origin, limits, fresh=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise died from None  # not "nothing was sent"
        return await self._attempt(connection, outgoing, limits, bodiless=bodiless)

    async def _attempt(
        self, connection: Connection, outgoing: Outgoing, limits: Limits, *, bodiless: bool
    ) -> "RelayStream":
        """Send and await the head; whatever goes wrong, cancellation included, the connection is closed."""
        connection.begin(limits, bodiless=bodiless)
        answered = False
        try:
            if connection.error is not None:
                raise connection.error
            packet = outgoing.packet
            if packet is None:
                await _upload(connection, outgoing)
            else:
                connection.write(packet)
                connection.uploaded(whole=True)
            while not connection.head:
                if connection.error is not None:
                    raise connection.error
                await connection.changed()
            answered = True
        finally:
            if not answered:
                self._connections.give_back(connection)
        return RelayStream(connection, self._connections)

    async def aclose(self) -> None:
        await self._connections.aclose()


async def _upload(connection: Connection, outgoing: Outgoing) -> None:
    """Write the request in parts; stop where an answer or an error has made the rest pointless."""
    connection.write(outgoing.head)
    async with aclosing(outgoing.parts()) as parts:
        async for part in parts:
            if connection.head or connection.error is not None:
                connection.uploaded(whole=False)
                return
            connection.write(part)
            await connection.drained()
    connection.uploaded(whole=True)


class RelayStream(httpx.AsyncByteStream):
    """The raw body of an answer, whose ``status`` and ``headers`` have arrived.

    Closing it before its end closes the connection: how a client's departure reaches the provider.
    """

    __slots__ = ("_complete", "_connection", "_connections", "headers", "status")

    def __init__(self, connection: Connection, connections: Connections) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self._connection: Connection | None = connection
        self._connections = connections
        self._complete = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.within(nullcontext())

    async def within(self, wall: AbstractContextManager[None]) -> AsyncIterator[bytes]:
        """The body, read inside a context manager that may turn its errors into others."""
        connection = self._connection
        with wall:
            try:
                while connection is not None and not self._ended(connection):
                    if connection.parts:
                        yield self._take(connection)
                    else:
                        await connection.changed()
            finally:
                self._release()

    def whole(self, length: int) -> bytes | None:
        """The body, where all its ``length`` bytes are here already and untouched; else None."""
        connection = self._connection
        if connection is None or not connection.done or connection.size != length:
            return None
        return self._take(connection)

    def _ended(self, connection: Connection) -> bool:
        """Received bytes first, then the error, then the end: a late failure swallows nothing."""
        if self._connection is None:
            if not self._complete:
                raise httpx.ReadError("the response was closed")
            return True
        if connection.parts:
            return False
        if connection.error is not None:
            raise connection.error
        return connection.done

    def _take(self, connection: Connection) -> bytes:
        chunk = connection.take()
        if connection.done:
            # The next call may have the connection while this chunk is still on its way.
            self._complete = True
            self._release()
        return chunk

    async def aclose(self) -> None:
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._connections.give_back(connection)
