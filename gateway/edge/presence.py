"""Whether the client is still there: one object per request, placed in the ASGI scope under SCOPE_KEY.

The protocol tells it when the connection is lost; the request's code arms a callable or awaits. To use
it under another server, make one and call ``leave`` when that server reports the loss.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

SCOPE_KEY: Final = "weighbridge.connection"

T = TypeVar("T")


class ClientGone(Exception):
    """The client has left; there is nobody to answer."""


class Spawn(Protocol):
    """How a task is started that the request does not own: the lifespan's ``TaskGroup.create_task``."""

    def __call__(self, coro: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        """Start a task in the group."""
        ...


class Truncatable(Protocol):
    """A connection that can be closed in the middle of a response."""

    def truncate(self) -> None:
        """Send what is buffered, then close without a proper end of the message."""
        ...


class ClientPresence:
    """The client of one request. ``gone`` turns True once and stays so.

    ``started`` says that an answer has begun: from then on it can only be ended, or cut.
    ``on_gone`` is taken and called at most once, synchronously in the loop: it must neither block nor
    raise. After the response is complete it is never called, so the next request of a kept-alive
    connection is safe from it.
    """

    __slots__ = ("_connection", "_waiter", "gone", "on_gone", "started")

    def __init__(self, connection: Truncatable | None = None) -> None:
        self.gone = self.started = False
        self.on_gone: Callable[[], object] | None = None
        self._connection = connection
        self._waiter: asyncio.Future[None] | None = None

    def arm(self, callback: Callable[[], object]) -> None:
        """Set ``on_gone``; where the client has already left, call it now."""
        if self.gone:
            callback()
        else:
            self.on_gone = callback

    def disarm(self) -> None:
        """Nobody needs to be told any more."""
        self.on_gone = None

    def leave(self) -> None:
        """The client has left. Called by the server, once."""
        self.gone = True
        self._connection = None
        callback, self.on_gone = self.on_gone, None
        if callback is not None:
            callback()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def detach(self) -> None:
        """The response is complete: whatever the connection does next is not this request's."""
        self.on_gone = None
        self._connection = None

    async def wait(self) -> None:
        """Return once the client has left."""
        if self.gone:
            return
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)

    def truncate(self) -> None:
        """Make the client see that the response is not whole: what was sent arrives, the end does not."""
        if self._connection is not None:
            self._connection.truncate()
