"""A small answer read whole before it is passed on: a provider's refusal of what the gateway itself asked for."""

from collections.abc import AsyncIterator

from gateway.exchange.ports import Response
from gateway.kernel.errors import UpstreamTimeout
from gateway.wire.messages import Head

WHOLE_BYTES_MAX = 64 * 1024  # a refusal is a sentence


class WholeResponse:
    """A response whose body was read for inspection; the relay gets the same bytes."""

    def __init__(self, head: Head, chunk: bytes) -> None:
        self.head = head
        self.chunk = chunk

    async def body(self) -> AsyncIterator[bytes]:
        """The body, in one piece."""
        yield self.chunk

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
