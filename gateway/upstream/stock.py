"""httpx's own transport behind the same promises, selectable where ours is suspected.

httpx 0.28.1 loses connections when a call is cancelled natively, so each call runs in a task of its own
which only its cancel scope ends, and only where that is safe; the caller may be cancelled as it pleases.
Slower by an order of magnitude; nothing to extend here: it exists to be compared with transport.py.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final

import anyio
import httpx

from gateway.upstream.deadlines import Deadlines
from gateway.upstream.transport import CONNECTIONS_MAX, KEEPALIVE_S, nobody, tls_context

# One chunk on its way to the reader, none behind it: the socket's own window is the buffer.
_CHUNKS_MAX: Final = 1
# httpcore's word for the first byte of a request.
_LEAVING: Final = "http11.send_request_headers.started"
# The name of the request's extension that is called then.
LEAVING: Final = "weighbridge.leaving"


class StockTransport(httpx.AsyncBaseTransport):
    """``httpx.AsyncHTTPTransport`` with our deadlines and no leak; same exceptions as RelayTransport."""

    def __init__(
        self,
        *,
        deadlines: Deadlines | None = None,
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._extension = (deadlines or Deadlines()).extension()
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls or tls_context(),
            trust_env=False,
            limits=httpx.Limits(
                max_connections=connections_max,
                max_keepalive_connections=None,
                keepalive_expiry=keepalive_s,
            ),
        )
        self._calls: dict[asyncio.Task[None], _Call] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = dict(request.extensions.get("timeout", self._extension))
        extensions = {**request.extensions, "timeout": timeout}
        inner = httpx.Request(
            request.method,
            request.url,
            headers=request.headers.raw,
            stream=request.stream,
            extensions=extensions,
        )
        call = _Call(self._inner, inner, timeout)
        task = asyncio.get_running_loop().create_task(call.run())
        # Owned here and awaited by aclose(); the table keeps it from being collected half-way.
        self._calls[task] = call
        task.add_done_callback(self._ended)
        answered = False
        try:
            response = await call.head
            answered = True
        finally:
            if not answered:
                call.stop()
        return httpx.Response(
            response.status_code, headers=response.headers.raw, stream=_StockStream(call)
        )

    def _ended(self, task: "asyncio.Task[None]") -> None:
        head = self._calls.pop(task).head
        if not head.done():
            head.set_exception(httpx.ReadError("the call ended without an answer"))

    async def aclose(self) -> None:
        for call in self._calls.values():
            call.abort()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._inner.aclose()


class _Call:
    """One call in its own task: the head is a future, the body a queue that ends with None or an error.

    httpcore loses a connection that is cancelled between its assignment and its first use, whatever the kind
    of cancellation; from the first use on it cleans up, if cancelled by a scope. So a call that is given up
    goes on until its request begins to leave, which its pool and connect limits bound, and ends there.
    """

    def __init__(
        self,
        transport: httpx.AsyncHTTPTransport,
        request: httpx.Request,
        timeout: dict[str, float | None],
    ) -> None:
        self._transport = transport
        self._request = request
        self._request.extensions["trace"] = self._traced
        self._timeout = timeout
        self._scope = anyio.CancelScope()
        self._ends = anyio.current_time() + (timeout.get("total") or float("inf"))
        self._stopped = self._leaving = False
        self.head: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self.body: asyncio.Queue[bytes | httpx.TransportError | None] = asyncio.Queue(_CHUNKS_MAX)

    def stop(self) -> None:
        """End the call as soon as httpcore can stand it."""
        self._stopped = True
        if self._leaving:
            self._scope.cancel()

    def abort(self) -> None:
        """End the call now; for when the whole pool goes."""
        self._scope.cancel()

    async def _traced(self, event: str, details: Mapping[str, object]) -> None:
        if event == _LEAVING:
            self._leaving = True
            self._scope.deadline = self._ends
            if self._stopped:
                self._scope.cancel()
            else:
                self._request.extensions.get(LEAVING, nobody)()

    async def run(self) -> None:
        with self._scope:
            try:
                await self._relay()
            except httpx.TransportError as error:
                await self._end(error)
            else:
                await self._end(None)
        if self._scope.cancelled_caught:
            self._give_up(httpx.ReadTimeout("the call was given up or took too long"))

    async def _relay(self) -> None:
        idle_s = self._timeout.get("read")
        # httpcore reads the limits anew for each step from this very dict: head first, body afterwards.
        self._timeout["read"] = self._timeout.get("head", idle_s)
        response = await self._transport.handle_async_request(self._request)
        self._timeout["read"] = idle_s
        try:
            if not self.head.done():
                self.head.set_result(response)
            async for chunk in response.aiter_raw():
                await self.body.put(chunk)
        finally:
            await response.aclose()

    async def _end(self, error: httpx.TransportError | None) -> None:
        if not self.head.done() and error is not None:
            self.head.set_exception(error)
        else:
            await self.body.put(error)

    def _give_up(self, error: httpx.TransportError) -> None:
        if not self.head.done():
            self.head.set_exception(error)
            # Nobody may be left to look at it.
            self.head.exception()
        while not self.body.empty():
            self.body.get_nowait()
        self.body.put_nowait(error)


class _StockStream(httpx.AsyncByteStream):
    def __init__(self, call: _Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (part := await self._call.body.get()) is not None:
                if isinstance(part, httpx.TransportError):
                    raise part
                yield part
        finally:
            self._call.stop()

    async def aclose(self) -> None:
        self._call.stop()
