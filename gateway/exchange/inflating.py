"""An answer in a coding that nobody asked for, without it: only so can what the gateway itself asked for be taken out.

Every other answer passes in the coding it came in.
"""

from collections.abc import AsyncIterator

from gateway.exchange.ports import Response
from gateway.kernel.errors import UpstreamMalformed
from gateway.wire.encoding import Decoded
from gateway.wire.headers import first, without
from gateway.wire.messages import Head

_FRAMED = frozenset({b"content-encoding", b"content-length"})


def coding_of(head: Head) -> bytes | None:
    """The coding of an answer's body; None where it is in none."""
    coding = first(head.headers, b"content-encoding")
    return None if coding is None or coding.strip().lower() in (b"", b"identity") else coding


class Inflated:
    """The same answer, decoded; see ``Response``. What cannot be decoded is a malformed answer."""

    def __init__(self, response: Response, decoded: Decoded) -> None:
        self._response = response
        self._decoded = decoded
        self.head = Head(response.head.status, without(response.head.headers, _FRAMED))

    async def body(self) -> AsyncIterator[bytes]:
        """See ``Response``."""
        decoded = self._decoded
        async for chunk in self._response.body():
            piece = decoded.feed(chunk)
            while piece:
                yield piece
                piece = decoded.more() if decoded.is_behind else b""
            if decoded.flags:
                raise UpstreamMalformed("the upstream's answer is damaged: its coding breaks off")

    def whole(self, length: int) -> bytes | None:
        """See ``Response``: how long it is, is not known before it is read."""
        return None

    async def close(self) -> None:
        """See ``Response``."""
        await self._response.close()


def inflated(response: Response, coding: bytes) -> Response | None:
    """An answer without its coding; None where that is not one that is understood."""
    decoded = Decoded(coding)
    return None if decoded.blind else Inflated(response, decoded)
