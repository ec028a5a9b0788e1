"""When the client leaves before the answer is whole: read on, bounded, or stop the upstream.

    cancel   the upstream is stopped at once
    drain    a stream is read on, within time, bytes and number of streams; else it is stopped
    finish   an answer that is not streamed is billed whole anyway: read to its end, within its own bounds

To add a policy: a member of ``Policy`` and its bounds in ``Abandonment.bounds``.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from gateway.edge.limits import MIB
from gateway.edge.presence import Spawn
from gateway.exchange.ports import Response
from gateway.kernel.errors import UpstreamFailed

Policy = Literal["cancel", "drain", "finish"]

# A provider bills what it generates: five minutes see nearly every stream to its usage report.
DRAIN_SECONDS_MAX: Final = 300
# Far above any text answer; what is larger is media, and its usage is counted from what came.
DRAIN_BYTES_MAX: Final = 64 * MIB
# Streams read on for nobody at one time, per worker; an abort storm beyond it is cancelled.
DRAIN_STREAMS_MAX: Final = 256
# The longest first-byte limit of a model: beyond it the upstream itself has timed out.
FINISH_SECONDS_MAX: Final = 600
FINISH_BYTES_MAX: Final = 64 * MIB


class Bounds(msgspec.Struct, frozen=True):
    """How long and how far an answer without a reader is read on."""

    seconds: int
    bytes: int


class Abandonment:
    """The policy's bounds and its count, one per worker.

    ``spawn`` starts a task of the lifespan's group: it closes an upstream from outside of the task that
    is reading it. ``reading_on`` is a gauge for telemetry: answers without a reader, per policy.
    """

    def __init__(
        self,
        spawn: Spawn,
        *,
        drain: Bounds = Bounds(DRAIN_SECONDS_MAX, DRAIN_BYTES_MAX),  # noqa: B008  # frozen
        finish: Bounds = Bounds(FINISH_SECONDS_MAX, FINISH_BYTES_MAX),  # noqa: B008  # frozen
        streams_max: int = DRAIN_STREAMS_MAX,
    ) -> None:
        self._spawn = spawn
        self._drain = drain
        self._finish = finish
        self._streams_max = streams_max
        self._queue: deque[asyncio.Future[None]] = deque()
        self.reading_on: dict[Policy, int] = {"drain": 0, "finish": 0}

    def bounds(self, policy: Policy) -> Bounds | None:
        """How far to read on now; None: not at all."""
        if policy == "finish":
            return self._finish
        if policy == "drain" and self.reading_on["drain"] < self._streams_max:
            return self._drain
        return None

    async def turn(self) -> None:
        """Wait for a turn of the loop that no other departure has.

        Where a crowd leaves at once every upstream is stopped, which costs money by the moment, before the
        first of their rows is made, which can wait.
        """
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._next, loop)
        self._queue.append(mine)
        await mine

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._queue.popleft()
        if not first.done():
            first.set_result(None)
        if self._queue:
            loop.call_soon(self._next, loop)

    def stop(self, response: Response) -> None:
        """Close the upstream in a task of its own; whoever reads it sees it fail."""
        self._spawn(_close(response))


class Departure:
    """What happens to one response when its client leaves. ``begin`` is the client presence's callback.

    ``outlasts``: whether nearly all has come, so that a stream to be cancelled is drained instead.
    """

    __slots__ = (
        "_abandonment",
        "_bytes_left",
        "_outlasts",
        "_policy",
        "_response",
        "_timer",
        "stopped",
    )

    def __init__(
        self,
        abandonment: Abandonment,
        policy: Policy,
        response: Response,
        outlasts: Callable[[], bool] | None = None,
    ) -> None:
        self._outlasts = outlasts
        self._abandonment = abandonment
        self._policy = policy
        self._response = response
        self._bytes_left = 0
        self._timer: asyncio.TimerHandle | None = None
        self.stopped = False

    def begin(self) -> None:
        """The client has left: start the bounds, or stop the upstream."""
        if self._policy == "cancel" and self._outlasts is not None and self._outlasts():
            self._policy = "drain"
        bounds = self._abandonment.bounds(self._policy)
        if bounds is None:
            self._stop()
            return
        self._abandonment.reading_on[self._policy] += 1
        self._bytes_left = bounds.bytes
        self._timer = asyncio.get_running_loop().call_later(bounds.seconds, self._stop)

    def spend(self, count: int) -> None:
        """Bytes that arrived after the client had left."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            self._stop()

    def end(self) -> None:
        """The response has been read as far as it will be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._abandonment.reading_on[self._policy] -= 1

    def _stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self._abandonment.stop(self._response)


async def _close(response: Response) -> None:
    try:
        await response.close()
    except UpstreamFailed:
        return  # it is closed, which is all that was wanted; the reader learns of it from its own read
