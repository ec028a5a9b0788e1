"""The configured upstreams: one transport each, the credential added, foreign errors mapped once.

Implements ``Upstreams`` of gateway/exchange/ports.py. To offer another transport: build it in
``_transport``; the suite in tests/upstream runs over each of them.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import httpx

from gateway.kernel.clock import Clock
from gateway.kernel.errors import BadRequest, UpstreamFailed, UpstreamUnreachable
from gateway.kernel.remembered import remembered, whole
from gateway.providers.contract import Target, Upstream
from gateway.upstream.addresses import Address, Addresses
from gateway.upstream.connection import STATUS_MAX
from gateway.upstream.connections import Statistics
from gateway.upstream.credentials import Credential, Outbound
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.outgoing import lines, written
from gateway.upstream.stock import LEAVING, StockTransport
from gateway.upstream.transport import (
    CONNECTIONS_MAX,
    RelayStream,
    RelayTransport,
    nobody,
    tls_context,
)
from gateway.upstream.wall import Wall
from gateway.wire.headers import without
from gateway.wire.messages import Head, Header, Headers

# Ours to say: where the request goes, how long it is, and that usage must stay readable.
_OURS: Final = frozenset(
    {b"host", b"content-length", b"accept-encoding", b"transfer-encoding", b"connection"}
)
HEADERS_KEPT_MAX: Final = 512  # heads of clients, without their credentials and without ours
HEADER_KEPT_BYTES_MAX: Final = 16 * 1024  # an SDK's takes 5 KiB as a tuple of tuples
_IDENTITY: Final[Header] = (b"accept-encoding", b"identity")
_WITHOUT_BODY: Final = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})


class UpstreamPool:
    """Sends requests to the configured upstreams.

    credentials      per upstream name; keyring.py makes them
    stock            use httpx's own transport instead of ours
    connections_max  per upstream
    tls              built once for all upstreams; None: the default authorities
    transports       per upstream name, instead of the built ones
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        credentials: Mapping[str, Credential],
        *,
        clock: Clock,
        deadlines: Deadlines | None = None,
        stock: bool = False,
        connections_max: int = CONNECTIONS_MAX,
        tls: ssl.SSLContext | None = None,
        transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._clock = clock
        self._deadlines = deadlines or Deadlines()
        self._stock = stock
        self._connections_max = connections_max
        self._tls = tls or tls_context()
        given = transports or {}
        self._transports = {
            upstream.name: given.get(upstream.name) or self._transport() for upstream in upstreams
        }
        self._relays = {
            name: transport
            for name, transport in self._transports.items()
            if isinstance(transport, RelayTransport)
        }
        self._credentials = {upstream.name: credentials[upstream.name] for upstream in upstreams}
        self._walls = {upstream.name: Wall(upstream.name) for upstream in upstreams}
        self._addresses = Addresses()
        self._added: dict[str, _Added] = {}  # per upstream; a renewed one takes its place

    def _transport(self) -> httpx.AsyncBaseTransport:
        if self._stock:
            return StockTransport(
                deadlines=self._deadlines, tls=self._tls, connections_max=self._connections_max
            )
        return RelayTransport(
            deadlines=self._deadlines,
            clock=self._clock,
            tls=self._tls,
            connections_max=self._connections_max,
        )

    def send(
        self, upstream: Upstream, target: Target, leaving: Callable[[], None] = nobody
    ) -> Coroutine[Any, Any, "UpstreamResponse"]:
        """Send one request and await the head of its answer; ``leaving``: see ``Upstreams``.

        Raises UpstreamUnreachable (nothing was sent: no connection, or no credential), UpstreamTimeout,
        UpstreamMalformed, or UpstreamFailed (the connection broke); BadRequest for a location that is none.
        """
        address = self._addresses.of(upstream)
        if not target.path_and_query.startswith(b"/"):
            raise BadRequest("the path must start with '/'")
        if upstream.name in self._relays:
            added = self._credentials[upstream.name].standing(target.key_header)
            if added is not None:
                return self._relayed(upstream.name, address, target, added, leaving)
        return self._authenticated(upstream, address, target, leaving)

    async def _authenticated(
        self, upstream: Upstream, address: Address, target: Target, leaving: Callable[[], None]
    ) -> "UpstreamResponse":
        """Send with headers of its own: a signature, a token that is fetched first; or by httpx's transport."""
        name = upstream.name
        outbound = self._outbound(address, target)
        try:
            headers = await self._credentials[name].headers(outbound)
        except UpstreamFailed as error:
            raise UpstreamUnreachable(error.message) from error
        if name in self._relays:
            return await self._relayed(name, address, target, headers, leaving, is_whole=True)
        if _has_body(target):
            headers = (*headers, (b"content-length", b"%d" % len(target.body)))
        request = httpx.Request(
            target.method.decode("ascii"),
            address.url,
            headers=list(headers),
            stream=httpx.ByteStream(target.body),
            # The bytes of the path as they came: a URL would be normalised on its way.
            extensions={"target": outbound.path_and_query, LEAVING: leaving},
        )
        return await self._sent(name, request, leaving)

    async def _relayed(
        self,
        name: str,
        address: Address,
        target: Target,
        headers: Headers,
        leaving: Callable[[], None],
        *,
        is_whole: bool = False,
    ) -> "UpstreamResponse":
        """Send by our own transport. ``headers``: those of the credential, or (``is_whole``) all of them."""
        body = target.body if _has_body(target) else None
        wall = self._walls[name]
        try:
            # What calls of one client have in common, which is all but path and body, is written out once.
            if is_whole:
                fields = lines(headers)
            else:
                fields = self._lines(name, address.host, target.headers, headers)
            stream = await self._relays[name].send(
                address.origin,
                written(target.method, address.path + target.path_and_query, fields, body),
                leaving,
                bodiless=target.method == b"HEAD",
            )
        except httpx.TransportError as error:
            raise wall.ours(error) from error
        return UpstreamResponse(Head(stream.status, tuple(stream.headers)), stream, wall)

    def _lines(self, name: str, host: bytes, headers: Headers, added: Headers) -> bytes:
        """The fields that leave with a standing credential, which is kept in no memory that clients fill."""
        last = self._added.get(name)
        if last is None or last.headers is not added:
            last = self._added[name] = _Added(added)
        return _lines_without(host, headers, last.names) + last.lines

    async def _sent(
        self, name: str, request: httpx.Request, leaving: Callable[[], None]
    ) -> "UpstreamResponse":
        """Send by a transport that is not ours."""
        transport, wall = self._transports[name], self._walls[name]
        if not isinstance(transport, StockTransport):
            leaving()  # it will not say
        with wall:
            response = await transport.handle_async_request(request)
            if response.status_code > STATUS_MAX:
                await response.aclose()
                raise httpx.RemoteProtocolError(f"unusable status {response.status_code}")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        head = Head(response.status_code, tuple(response.headers.raw))
        return UpstreamResponse(head, response.stream, wall)

    def _outbound(self, address: Address, target: Target) -> Outbound:
        return Outbound(
            method=target.method,
            path_and_query=address.path + target.path_and_query,
            headers=_stated(address.host, target.headers),
            body=target.body,
            key_header=target.key_header,
            signing=target.signing,
            now_us=self._clock.wall_us(),
        )

    def statistics(self) -> dict[str, Statistics]:
        """Connection figures per upstream, for those on our own transport."""
        return {name: relay.statistics() for name, relay in self._relays.items()}

    async def run(self) -> None:
        """Keep every credential fresh until cancelled; start it in the application's task group."""
        async with asyncio.TaskGroup() as group:
            for credential in self._credentials.values():
                group.create_task(credential.run())

    async def aclose(self) -> None:
        """Close every connection; running calls fail."""
        for credential in self._credentials.values():
            await credential.aclose()
        for transport in self._transports.values():
            await transport.aclose()


def _has_body(target: Target) -> bool:
    return bool(target.body) or target.method not in _WITHOUT_BODY


def _stated(host: bytes, headers: Headers) -> Headers:
    """The headers that leave, but for length and credential."""
    return ((b"host", host), *without(headers, _OURS), _IDENTITY)


@remembered(whole, entries_max=HEADERS_KEPT_MAX, entry_bytes_max=HEADER_KEPT_BYTES_MAX)
def _lines_without(host: bytes, headers: Headers, names: frozenset[bytes]) -> bytes:
    """The same without what a credential sets, written out; remembered, since calls of one client share them."""
    return lines(without(_stated(host, headers), names))


class _Added:
    """The headers of a credential, written out once."""

    __slots__ = ("headers", "lines", "names")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.names = frozenset(name.lower() for name, _ in headers)
        self.lines = lines(headers) if headers else b""


class UpstreamResponse:
    """An answer whose head has arrived; see ``Response`` of gateway/exchange/ports.py."""

    __slots__ = ("_stream", "_wall", "head")

    def __init__(self, head: Head, stream: httpx.AsyncByteStream, wall: Wall) -> None:
        self._stream = stream
        self._wall = wall
        self.head = head

    def body(self) -> AsyncIterator[bytes]:
        stream = self._stream
        if isinstance(stream, RelayStream):  # one generator per chunk instead of two
            return stream.within(self._wall)
        return self._walled()

    def whole(self, length: int) -> bytes | None:
        stream = self._stream
        return stream.whole(length) if isinstance(stream, RelayStream) else None

    async def _walled(self) -> AsyncIterator[bytes]:
        with self._wall:
            async for chunk in self._stream:
                yield chunk

    async def close(self) -> None:
        await self._stream.aclose()
