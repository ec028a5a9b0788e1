"""One small request to a token service or metadata endpoint, over the same transport as everything else.

To ask a new service: build the call where its credential lives and give it to ``fetch``.
"""

from typing import Final

import httpx
import msgspec

from gateway.upstream.deadlines import Deadlines
from gateway.upstream.outgoing import origin_of
from gateway.wire.messages import Headers

ANSWER_BYTES_MAX: Final = 1024 * 1024

TOKEN_SERVICE: Final = Deadlines(
    connect_s=5, pool_s=5, write_s=10, head_s=15, idle_s=10, total_s=30
)
# A link-local address that does not answer at once is not there.
METADATA: Final = Deadlines(connect_s=1, pool_s=2, write_s=2, head_s=3, idle_s=2, total_s=6)


class Answer(msgspec.Struct, frozen=True):
    """Status, headers and whole body of an answer."""

    status: int
    headers: Headers
    body: bytes


async def fetch(
    transport: httpx.AsyncBaseTransport,
    method: str,
    url: str,
    *,
    headers: Headers = (),
    body: bytes = b"",
    deadlines: Deadlines = TOKEN_SERVICE,
) -> Answer:
    """Ask once. Raises httpx.TransportError, also for an answer beyond ANSWER_BYTES_MAX, and httpx.InvalidURL."""
    where = httpx.URL(url)
    origin_of(where)
    given = {name.lower() for name, _value in headers}
    host = () if b"host" in given else ((b"host", where.netloc),)
    request = httpx.Request(
        method,
        where,
        headers=[*host, *headers, (b"content-length", b"%d" % len(body))],
        stream=httpx.ByteStream(body),
        extensions={"timeout": deadlines.extension()},
    )
    response = await transport.handle_async_request(request)
    try:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                raise httpx.RemoteProtocolError("the answer is too large")
            parts.append(part)
    finally:
        await response.aclose()
    return Answer(response.status_code, tuple(response.headers.raw), b"".join(parts))
