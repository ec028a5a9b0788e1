"""The data plane: one raw ASGI app whose ``__call__`` is the request's story. Detail is one call away.

Providers are mounted by their first path segment, on the raw path; to mount another, give it to ``Proxy``.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.edge.abandon import Abandonment, Policy
from gateway.edge.inbound import BODY_BYTES_MAX, expects_much, read_inbound
from gateway.edge.presence import SCOPE_KEY, ClientGone, ClientPresence
from gateway.edge.refusing import websocket_refusal
from gateway.edge.relay import Relayed, Way, relay
from gateway.exchange.attempt import Attempt
from gateway.exchange.exchange import Exchange, Exchanges
from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.kernel.errors import Draining, GatewayError, InternalFault
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Outcome
from gateway.providers.contract import Call, Provider
from gateway.wire.headers import asks_for_websocket
from gateway.wire.messages import Inbound

_OUTCOMES: Final = {
    "complete": Outcome.COMPLETE,
    "client_left": Outcome.CLIENT_LEFT,
    "upstream_failed": Outcome.UPSTREAM_FAILED,
}
_RESTARTING: Final = "the gateway is restarting: try again"
RETRY_AFTER_MS: Final = 1_000
_FAULT: Final = (
    "the gateway failed on this request; nothing is wrong with yours: try again, or quote {}"
)


class Proxy:
    """Relays every provider's calls. ``open`` counts the requests in flight."""

    def __init__(
        self,
        providers: Sequence[Provider],
        exchanges: Exchanges,
        *,
        abandonment: Abandonment,
        clock: Clock,
        observer: Observer,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._mounts = {provider.mount: provider for provider in providers}
        self.exchanges = exchanges
        self.abandonment = abandonment
        self.clock = clock
        self.observer = observer
        self.body_bytes_max = body_bytes_max
        self.open = 0

    def mounted(self, raw_path: bytes) -> Provider | None:
        """The provider under whose mount a raw path lies."""
        end = raw_path.find(b"/", 1)
        return self._mounts.get(raw_path if end < 0 else raw_path[:end])

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """One request, from its bytes to its row."""
        provider = self.mounted(scope["raw_path"])
        assert provider is not None
        return self.serve(provider, scope, receive, send)

    def serve(
        self, provider: Provider, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """The same, where the provider is known."""
        return _Request(self, provider, scope, send).run(receive)


class _Request:
    """The state of one request at the edge."""

    __slots__ = (
        "_id",
        "_provider",
        "_proxy",
        "_scope",
        "_send",
        "call",
        "inbound",
        "presence",
    )

    def __init__(self, proxy: Proxy, provider: Provider, scope: Scope, send: Send) -> None:
        self._proxy = proxy
        self._provider = provider
        self._scope = scope
        self._send = send
        self._id = new_id()
        self.presence: ClientPresence = scope.get(SCOPE_KEY) or ClientPresence()
        self.inbound: Inbound | None = None
        self.call: Call | None = None

    async def run(self, receive: Receive) -> None:
        self._proxy.open += 1
        try:
            await self._story(receive)
        except ClientGone:
            return
        except GatewayError as error:
            await self._refuse(error)
        except asyncio.CancelledError:
            # The client's doing, or the server's at the end of its drain: either way this task ends here,
            # its row is settled, and whoever is still there is told.
            if not self.presence.gone:
                await self._refuse(Draining(_RESTARTING, retry_after_ms=RETRY_AFTER_MS))
        except Exception as error:  # noqa: BLE001  # the connection's edge: named, counted, answered
            self._proxy.observer.failed("request", error)
            await self._refuse(InternalFault(_FAULT.format(self._id)))
        finally:
            self._proxy.open -= 1

    async def _story(self, receive: Receive) -> None:
        proxy, provider = self._proxy, self._provider
        if expects_much(self._scope):
            headers = tuple(self._scope["headers"])
            await proxy.exchanges.admission.claimed(headers, proxy.clock.wall_us())
        inbound = await read_inbound(self._scope, receive, body_bytes_max=proxy.body_bytes_max)
        self.inbound = inbound
        if SCOPE_KEY not in self._scope and asks_for_websocket(inbound.headers):
            raise websocket_refusal(provider, inbound)
        call = self.call = provider.recognise(inbound)
        async with proxy.exchanges.open(
            provider, call, inbound, self._id, self.presence
        ) as exchange:
            response = await exchange.forward(partial(self._await_head, exchange))
            self.presence.disarm()
            way = self._way(exchange)
            await relay(response, self._send, self.presence, way, abandonment=proxy.abandonment)

    def _way(self, exchange: Exchange) -> Way:
        async def settle(relayed: Relayed) -> None:
            await exchange.settle(_OUTCOMES[relayed.outcome], saw_all=not relayed.bytes_late)

        attempt = exchange.attempt
        return Way(
            attempt.observe,
            settle,
            _policy(attempt),
            exchange.filter,
            self._scope["method"] == "HEAD",
            exchange.outlasts,
            exchange.headers,
            exchange.growth,
        )

    def _await_head(self, exchange: Exchange) -> None:
        """Before the head there is no response to close: where the place says so, the wait for it is cancelled.

        Raises ClientGone where nothing need be sent any more.
        """
        if self.presence.gone:
            raise ClientGone
        self.presence.disarm()
        if _policy(exchange.attempt) == "cancel" and (task := asyncio.current_task()) is not None:
            self.presence.arm(task.cancel)

    async def _refuse(self, error: GatewayError) -> None:
        """Answer in the caller's protocol; a response that has begun is cut instead."""
        provider = self._provider
        self._proxy.observer.refused(provider.name, error.code)
        if self.presence.started:
            self.presence.truncate()
            return
        inbound = self.inbound or Inbound(b"", self._scope["raw_path"], b"", (), b"")
        refusal = provider.refuse(error, self.call, inbound, str(self._id))
        length = (b"content-length", b"%d" % len(refusal.body))
        headers = [*refusal.headers, length]
        await self._send(
            {"type": "http.response.start", "status": refusal.status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": refusal.body})


def _policy(attempt: Attempt) -> Policy:
    """What becomes of the answer when its client leaves; one that is not streamed is read to its end."""
    return attempt.admitted.upstream.abandon if attempt.streams else "finish"
