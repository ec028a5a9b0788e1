"""Live, ready and metrics as one pure ASGI application, to be mounted under ``/-/``.

To add a probe: a method that returns an answer, and its path in ``_answer``.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.wire.messages import Headers

PREFIX: Final = b"/-/"

_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_ELSEWHERE: Final = (
    b"Weighbridge: providers are mounted at %b; probes at /-/live, /-/ready, /-/metrics\n"
)


class _Answer(msgspec.Struct, frozen=True):
    status: int
    content_type: bytes
    body: bytes


class Probes:
    """Answers GET and HEAD.

    ``problems`` names what keeps the gateway from taking requests, () where nothing does; ``metrics``
    gives the text exposition format. Neither may block.
    """

    def __init__(
        self, *, problems: Callable[[], tuple[str, ...]], metrics: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._problems = problems
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _sent(await self._answer(scope), send)

    async def _answer(self, scope: Scope) -> _Answer:
        if scope["method"] not in ("GET", "HEAD"):
            return _Answer(405, _TEXT, b"GET or HEAD only\n")
        path = scope["raw_path"]
        if path == b"/-/live":
            return _Answer(200, _TEXT, b"live\n")
        if path == b"/-/ready":
            return self._ready()
        if path == b"/-/metrics":
            return _Answer(200, _METRICS, await self._metrics())
        return _Answer(404, _TEXT, b"probes: /-/live, /-/ready, /-/metrics\n")

    def _ready(self) -> _Answer:
        problems = self._problems()
        body = msgspec.json.encode({"ready": not problems, "problems": problems})
        return _Answer(503 if problems else 200, _JSON, body)


class Elsewhere:
    """Answers what is neither below a provider's mount nor a probe: it names both."""

    def __init__(self, mounts: Sequence[bytes]) -> None:
        self._answer = _Answer(404, _TEXT, _ELSEWHERE % b", ".join(mounts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _sent(self._answer, send)


async def _sent(answer: _Answer, send: Send) -> None:
    headers: Headers = (
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
    )
    await send({"type": "http.response.start", "status": answer.status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": answer.body})
