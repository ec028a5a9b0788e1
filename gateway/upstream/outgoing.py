"""An httpx request as the bytes that go out: one head, and a body with its framing.

The head is written as given, in order and spelling: nothing is added, and whatever would let one request
become two is refused. To allow another framing of the body: a branch in ``encode`` and one in ``parts``.
"""

import re
from collections.abc import AsyncGenerator
from typing import Final

import httpx

from gateway.upstream.connection import Origin
from gateway.wire.messages import Headers

# Below this, head and body leave in one packet.
JOIN_BYTES_MAX: Final = 64 * 1024
# Larger bodies go out in parts, so that an early answer stops the upload.
PART_BYTES: Final = 256 * 1024

_PORTS: Final = {b"http": 80, b"https": 443}
# Request line and fields as RFC 9112 has them; no control character can end a line early.
_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/1\.1\r\n")
_FIELDS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)+")
_HEAD: Final = re.compile(_LINE.pattern + _FIELDS.pattern + rb"\r\n")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_LENGTH: Final = b"content-length"
_LENGTH_SIZE: Final = len(_LENGTH)
_CODING: Final = b"transfer-encoding"
_CODING_SIZE: Final = len(_CODING)
_CHUNKED_END: Final = b"0\r\n\r\n"


class Outgoing:
    """A request ready to be written.

    head    request line and fields
    body    the whole body, or None where it comes from ``stream`` part by part and cannot be sent twice
    """

    __slots__ = ("_chunked", "_length", "_stream", "body", "head")

    def __init__(
        self,
        head: bytes,
        body: bytes | None,
        stream: httpx.AsyncByteStream | None,
        *,
        chunked: bool,
        length: int,
    ) -> None:
        self.head = head
        self.body = body
        self._stream = stream
        self._chunked = chunked
        self._length = length

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The framed body, part by part. Raises LocalProtocolError where it breaks its own length."""
        sent = 0
        async for part in self._source():
            sent += len(part)
            if not self._chunked and sent > self._length:
                break
            if part:
                yield b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part
        if self._chunked:
            yield _CHUNKED_END
        elif sent != self._length:
            raise httpx.LocalProtocolError("the body is not as long as its Content-Length says")

    async def _source(self) -> AsyncGenerator[bytes, None]:
        if self.body is not None:
            for start in range(0, len(self.body), PART_BYTES):
                yield self.body[start : start + PART_BYTES]
        elif self._stream is not None:
            async for part in self._stream:
                yield part

    @property
    def packet(self) -> bytes | None:
        """Head and body as one write where they are small enough, else None."""
        if self.body is None or self._chunked or len(self.body) >= JOIN_BYTES_MAX:
            return None
        return self.head + self.body


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port of a URL. Raises httpx.UnsupportedProtocol for anything but http(s)."""
    scheme = url.raw_scheme
    default = _PORTS.get(scheme)
    if default is None:
        raise httpx.UnsupportedProtocol("an upstream is spoken to over http or https")
    return scheme, url.raw_host, url.port or default


def encode(request: httpx.Request) -> Outgoing:
    """Write out a request; the ``target`` extension, where given, is the request target byte for byte.

    Raises httpx.LocalProtocolError where the head is not one clean HTTP/1.1 head, or where its framing does
    not describe the body.
    """
    target = request.extensions.get("target")
    fields = request.headers.raw
    lines = [b"%b: %b\r\n" % field for field in fields]
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (
        request.method.encode("ascii", "replace"),
        request.url.raw_path if target is None else target,
        b"".join(lines),
    )
    # The grammar, and no line more than was given: a field may look like two good ones.
    if head.count(b"\n") != len(fields) + 2 or _HEAD.fullmatch(head) is None:
        raise httpx.LocalProtocolError("the request head holds bytes that do not belong there")
    stream = request.stream
    # A ByteStream yields its bytes in one piece.
    body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else None
    chunked, length = _framing(fields, body)
    source = stream if isinstance(stream, httpx.AsyncByteStream) else None
    return Outgoing(head, body, source, chunked=chunked, length=length)


def written(method: bytes, target: bytes, fields: bytes, body: bytes | None) -> Outgoing:
    """A request whose body is in hand; None: it has none, and no length. ``fields``: as ``lines`` writes them.

    Raises httpx.LocalProtocolError as ``encode`` does.
    """
    line = b"%b %b HTTP/1.1\r\n" % (method, target)
    if _LINE.fullmatch(line) is None:
        raise httpx.LocalProtocolError("the request line holds bytes that do not belong there")
    if body is None:
        return Outgoing(b"%b%b\r\n" % (line, fields), b"", None, chunked=False, length=0)
    length = len(body)
    head = b"%b%bcontent-length: %d\r\n\r\n" % (line, fields, length)
    return Outgoing(head, body, None, chunked=False, length=length)


def lines(fields: Headers) -> bytes:
    """Fields written out; they name neither length nor coding of the body. To be kept: calls of one client share them.

    Raises httpx.LocalProtocolError as ``encode`` does.
    """
    written_out = b"".join([b"%b: %b\r\n" % field for field in fields])
    if written_out.count(b"\n") != len(fields) or _FIELDS.fullmatch(written_out) is None:
        raise httpx.LocalProtocolError("the request head holds bytes that do not belong there")
    if any(name.lower() in _FRAMING for name, _ in fields):
        raise httpx.LocalProtocolError("the framing of a body in hand is ours to say")
    return written_out


def _framing(fields: list[tuple[bytes, bytes]], body: bytes | None) -> tuple[bool, int]:
    """Whether the body is sent in chunks, and its length where it is not."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    # Lengths first: most names are neither, and a call per field would show.
    for name, value in fields:
        size = len(name)
        if size == _LENGTH_SIZE and name.lower() == _LENGTH:
            lengths.append(value)
        elif size == _CODING_SIZE and name.lower() == _CODING:
            codings.append(value)
    if codings:
        if lengths or codings != [b"chunked"]:
            raise httpx.LocalProtocolError("a body has either one Content-Length or is chunked")
        return True, 0
    declared = lengths[0] if lengths else b"0"
    if len(lengths) > 1 or not declared.isdigit():
        raise httpx.LocalProtocolError("a body has one Content-Length in digits")
    if body is not None and int(declared) != len(body):
        raise httpx.LocalProtocolError("the Content-Length is not the body's")
    return False, int(declared)
