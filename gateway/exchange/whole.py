"""A small answer read whole before it is passed on: a provider's refusal, of what the gateway itself asked for
or of a request that is tried elsewhere first.
"""

import asyncio
from collections.abc import AsyncIterator

from gateway.exchange.ports import Response
from gateway.kernel.errors import UpstreamFailed, UpstreamTimeout
from gateway.wire.messages import Head

WHOLE_BYTES_MAX = 64 * 1024  # a refusal is a sentence
KEPT_SECONDS_MAX = 2  # what comes later is not worth the wait: the request is tried elsewhere


class WholeResponse:
    """A response whose body was read for inspection; the relay gets the same bytes, and the same ``failure``."""

    def __init__(self, head: Head, chunk: bytes, failure: UpstreamFailed | None = None) -> None:
        self.head = head
        self.chunk = chunk
        self.failure = failure

    async def body(self) -> AsyncIterator[bytes]:
        """The body, in one piece."""
        if self.chunk:
            yield self.chunk
        if self.failure is not None:
            raise self.failure

    def whole(self, length: int) -> bytes | None:
        """See Response."""
        return self.chunk if len(self.chunk) == length and self.failure is None else None

    async def close(self) -> None:
        """Nothing is held."""


async def read_whole(response: Response) -> WholeResponse:
    """Read a response to its end. Raises UpstreamTimeout where it does not end within the bound."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.body():
            chunks.append(chunk)
            size += len(chunk)
            if size > WHOLE_BYTES_MAX:
                raise UpstreamTimeout("the provider's refusal of the request does not end")
    finally:
        await response.close()
    return WholeResponse(response.head, b"".join(chunks))


async def read_kept(response: Response) -> WholeResponse:
    """Read a refusal that may yet have to be passed on; what of it does not come in time is missing."""
    chunks: list[bytes] = []
    # Owned here: it has ended when this returns, and is told to where this is cancelled.
    reading = asyncio.get_running_loop().create_task(_collected(response, chunks))
    in_time = False
    try:
        await asyncio.wait((reading,), timeout=KEPT_SECONDS_MAX)
        in_time = reading.done()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    late = UpstreamTimeout("the provider's refusal of the request does not come")
    failure = reading.result() if in_time else late
    return WholeResponse(response.head, b"".join(chunks), failure)


async def _collected(response: Response, chunks: list[bytes]) -> UpstreamFailed | None:
    """Read a body into ``chunks``, and close it; why it is not whole, None where it is."""
    size = 0
    try:
        try:
            async for chunk in response.body():
                chunks.append(chunk)
                size += len(chunk)
                if size > WHOLE_BYTES_MAX:
                    return UpstreamFailed("the provider's refusal of the request does not end")
        finally:
            await response.close()
    except UpstreamFailed as error:
        return error
    return None
