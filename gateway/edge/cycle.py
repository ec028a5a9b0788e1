"""One response on its way out: uvicorn's cycle with a send of our own, and an outlet that joins head and body.

Same states, same framing, same refusals as uvicorn's; what differs is the price: fields are checked in one pass
instead of two each, and the head leaves in one packet with the first of the body. To frame a response in
another way: ``Cycle._framed``.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.kernel.remembered import remembered, whole
from gateway.wire.messages import Header

_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_CONNECTION: Final = b"connection"
_FRAMING: Final = frozenset({_LENGTH, _CODING, _CONNECTION})
_NO_NAME: Final = re.compile(rb"[\x00-\x20\x7f()<>@,;:\\\[\]={}\"]")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS: Final = frozenset((204, 304))
TURNED_AWAY: Final = frozenset((401, 403))
SHAPES_KEPT_MAX: Final = 256  # lists of names: a few per upstream and operation
SHAPE_BYTES_MAX: Final = 16 * 1024  # a cloud's 40 names take 3 KiB


@remembered(whole, entries_max=SHAPES_KEPT_MAX, entry_bytes_max=SHAPE_BYTES_MAX)
def _shape(names: tuple[bytes, ...]) -> tuple[bytes, tuple[tuple[bytes, int], ...]] | None:
    """Field lines whose values are to be filled in, and where those stand that frame the body.

    None where a name may not be there. Remembered: responses have the same names again and again.
    """
    lowered = [name.lower() for name in names]
    if _NO_NAME.search(b"".join(lowered)):
        return None
    lines = b"".join([b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in lowered])
    return lines, tuple([(name, at) for at, name in enumerate(lowered) if name in _FRAMING])


class Outlet:
    """The transport as a response cycle sees it: a head may wait for its body, and a close knows about uploads.

    What is held goes out with the next write, before a close, or at the end of the loop's turn.
    """

    __slots__ = ("_held", "_loop", "_write", "close", "is_closing")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        close: Callable[[], None],
    ) -> None:
        self._write = transport.write
        self._loop = loop
        self._held = b""
        self.is_closing = transport.is_closing
        self.close = close

    def hold(self, head: bytes) -> None:
        """Write, but not before what follows in the same turn of the loop."""
        self._held = head
        self._loop.call_soon(self.flush)

    def write(self, octets: bytes) -> None:
        """Write what is held, and this."""
        held = self._held
        if held:
            self._held = b""
            octets = held + octets
        self._write(octets)

    def flush(self) -> None:
        """Write what is held."""
        held = self._held
        if held:
            self._held = b""
            self._write(held)


class Cycle(RequestResponseCycle):
    """One request and its response."""

    transport: Outlet  # type: ignore[assignment]  # what it uses of a transport
    turned_away = False  # by its answer: whoever asks is not known, or no longer

    def take_whole(self, body: bytes) -> None:
        """The request is complete, and its body is this."""
        self.body = body  # type: ignore[assignment]  # read once, never added to
        self.more_body = False
        self.keep_alive = True
        self.message_event.set()

    async def receive(self) -> Any:
        """ASGI; what is there already is not waited for."""
        event = self.message_event
        over = self.disconnected or self.response_complete
        if self.more_body or over or self.waiting_for_100_continue or not event.is_set():
            return await super().receive()
        event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """ASGI. After the client has gone it returns at once, as uvicorn's does: see presence.py."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} at the wrong moment of a response")

    def _start(self, status: int, headers: Any) -> None:
        self.response_started = True
        self.turned_away = status in TURNED_AWAY
        self.waiting_for_100_continue = False
        fields = [*self.default_headers, *headers]
        values = tuple([value for _, value in fields])
        shape = _shape(tuple([name for name, _ in fields]))
        if shape is None or _CONTROL.search(b"".join(values)):
            raise RuntimeError("a response header holds a character that may not be there")
        lines, framing = shape
        closes = bool(framing) and self._framed([(name, values[at]) for name, at in framing])
        head = STATUS_LINE[status] + lines % values
        if not self.keep_alive and not closes:
            head += b"connection: close\r\n"
        if self.chunked_encoding is None and self._has_body(status):
            self.chunked_encoding = True
            head += b"transfer-encoding: chunked\r\n"
        self.transport.hold(head + b"\r\n")

    def _has_body(self, status: int) -> bool:
        return self.scope["method"] != "HEAD" and status not in _BODILESS

    def _framed(self, fields: list[Header]) -> bool:
        """What the application says of the body's framing and of the connection; whether it closes it."""
        closes = False
        for name, value in fields:
            if name == _LENGTH:
                if self.chunked_encoding is None:
                    self.expected_content_length = int(value)
                    self.chunked_encoding = False
            elif name == _CODING:
                if value.lower() == b"chunked":
                    self.expected_content_length = 0
                    self.chunked_encoding = True
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                closes = True
        return closes

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            self.transport.flush()
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the response is longer than its Content-Length")
            self.transport.write(body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the response is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
