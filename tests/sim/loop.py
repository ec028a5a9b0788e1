"""An event loop without selector, threads or clock: time is a number, and every callback is one step.

The world (tests/sim/world.py) owns several of them, one a worker, and runs them step by step in the order
of their time; a worker is killed by never stepping its loop again. To offer a further method of asyncio's
loops to the code under test, add it here: what is missing raises NotImplementedError.
"""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from typing import Any


class VirtualLoop(asyncio.AbstractEventLoop):
    """One worker's loop. ``now`` tells the world's time in seconds; ``odd`` hears of lost exceptions."""

    def __init__(self, now: Callable[[], float], odd: Callable[[str], None]) -> None:
        self._now = now
        self._odd = odd
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.steps = 0
        self.is_stepping = False

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]  # callbacks are only called here
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_later(  # type: ignore[override]  # callbacks are only called here
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # callbacks are only called here
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio reports cancelled timers; they are passed over when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # the stub's signature differs between versions
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, context=context)
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._odd(f"a task ended with {task.exception()!r}")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._odd(f"{context.get('message')}: {context.get('exception')!r}")

    # What the world asks.

    def due(self) -> float | None:
        """When the next step is due; None where nothing is."""
        while self._ready and self._ready[0].cancelled():
            self._ready.popleft()
        if self._ready:
            return self._now()
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def step(self) -> None:
        """Run the one callback that is due."""
        self.steps += 1
        if self.due() is None:
            return
        if not self._ready:
            self._ready.append(heapq.heappop(self._timers)[2])
        handle = self._ready.popleft()
        before = events._get_running_loop()
        events._set_running_loop(self)
        self.is_stepping = True
        try:
            handle._run()
        finally:
            self.is_stepping = False
            events._set_running_loop(before)

    def aclose_later(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A generator that nobody iterates any more: close it in a task, as asyncio's own loops do."""
        self.create_task(generator.aclose())
