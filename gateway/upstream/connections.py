"""The connections to one upstream: lent, taken back, limited, swept.

What is idle lies on a stack per origin (the hottest is used again, cold ones age out at the bottom);
who finds none and may open none waits in one queue, first come, first served. Every change is made
synchronously; awaiting happens only outside. To add a deadline: compare it in ``_sweep``.
"""

import asyncio
import ssl
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx

from gateway.kernel.clock import Clock
from gateway.upstream.connection import Connection, Origin
from gateway.upstream.deadlines import NEVER, Limits

SWEEP_S: Final = 0.5
# Limits under a second are looked at this often within their length.
_LOOKS: Final = 4
_SWEEP_S_MIN: Final = 0.005
_NS: Final = 1_000_000_000
WAITERS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of one pool. ``opened`` counts connections ever opened; the others are of now."""

    open: int
    idle: int
    connecting: int
    waiting: int
    opened: int


class _Waiter:
    """Somebody who wants a connection; ``future`` gets one, or the reason there is none."""

    __slots__ = ("ends", "fresh", "future", "limits", "origin")

    def __init__(self, origin: Origin, limits: Limits, now: float, *, fresh: bool) -> None:
        self.origin = origin
        self.limits = limits
        self.fresh = fresh
        self.ends = now + limits.pool_s
        self.future: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()


class _Connecting:
    """A connection being opened for a waiter, and when that has taken too long."""

    __slots__ = ("ends", "late", "limits", "waiter")

    def __init__(self, waiter: _Waiter, now: float) -> None:
        self.waiter = waiter
        self.limits = waiter.limits
        self.ends = now + waiter.limits.connect_s
        self.late = False


class Connections:
    """A bounded pool of connections. It belongs to the event loop that first used it.

    Invariant: somebody waits only while ``connections_max`` connections are open or being opened and none
    is idle (or one of another origin is on its way out to make room).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tls: ssl.SSLContext,
        connections_max: int,
        keepalive_s: float,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._connections_max = connections_max
        self._keepalive_s = keepalive_s
        self._sweep_s = sweep_s
        self._interval_s = sweep_s
        self._timer: asyncio.TimerHandle | None = None
        self._attended: Limits | None = None  # the timer runs, and looks often enough for these
        self._idle: dict[Origin, list[Connection]] = {}
        self._live: set[Connection] = set()
        self._connecting: dict[asyncio.Task[None], _Connecting] = {}
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._closed = False
        self._emptied: asyncio.Event | None = None
        self._opened = 0
        self.now = clock.ticks_ns() / _NS

    def statistics(self) -> Statistics:
        """The figures of now."""
        return Statistics(
            open=len(self._live),
            idle=sum(map(len, self._idle.values())),
            connecting=len(self._connecting),
            waiting=len(self._waiting),
            opened=self._opened,
        )

    # Lending.

    def idle(self, origin: Origin, limits: Limits) -> Connection | None:
        """An idle connection to an origin, where there is one: borrowed without waiting."""
        if self._closed:
            return None
        self._attend(limits)
        return self._pop(origin)

    async def borrow(self, origin: Origin, limits: Limits, *, fresh: bool = False) -> Connection:
        """A connection to an origin, idle or new; ``fresh``: new in any case.

        Raises httpx.ConnectError, ConnectTimeout, PoolTimeout. Cancelled, it keeps nothing.
        """
        if self._closed:
            raise httpx.ConnectError("the transport is closed")
        self._attend(limits)
        connection = None if fresh else self._pop(origin)
        if connection is not None:
            return connection
        if len(self._waiting) >= WAITERS_MAX:
            raise httpx.PoolTimeout("too many calls wait for a connection")
        waiter = _Waiter(origin, limits, self.now, fresh=fresh)
        self._waiting[waiter] = None
        self._serve()
        if waiter in self._waiting:
            self._evict()
        taken = False
        try:
            connection = await waiter.future
            taken = True
        finally:
            if not taken:
                self._forget(waiter)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a connection back: to whoever waits, to the idle stack, or closed."""
        reusable = connection.reusable
        connection.rest()
        if reusable and not self._closed:
            self._place(connection)
        else:
            connection.abort()

    def _place(self, connection: Connection) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            connection.idle_since = self.now
            self._idle.setdefault(connection.origin, []).append(connection)
        elif waiter.origin == connection.origin and not waiter.fresh:
            del self._waiting[waiter]
            waiter.future.set_result(connection)
        else:
            connection.abort()

    def _forget(self, waiter: _Waiter) -> None:
        """A waiter was cancelled; what it was given in the same moment goes to the next."""
        self._waiting.pop(waiter, None)
        future = waiter.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._pass_on(future.result())

    def _pass_on(self, connection: Connection) -> None:
        if connection.closed or self._closed:
            connection.abort()
        else:
            self._place(connection)

    def _pop(self, origin: Origin) -> Connection | None:
        stack = self._idle.get(origin)
        while stack:
            connection = stack.pop()
            if not connection.closing:
                return connection
        return None

    def _next_waiter(self) -> _Waiter | None:
        """The first who still waits; those who were cancelled are dropped on the way."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            if not waiter.future.done():
                return waiter
            del self._waiting[waiter]
        return None

    def _evict(self) -> None:
        """Close the coldest idle connection, of whichever origin; its loss makes the room."""
        stacks = [stack for stack in self._idle.values() if stack]
        if stacks:
            min(stacks, key=lambda stack: stack[0].idle_since).pop(0).abort()

    # Opening and losing: the only places where the number of connections changes.

    def _serve(self) -> None:
        """Open connections for those who wait, as far as the cap allows."""
        while len(self._live) + len(self._connecting) < self._connections_max:
            waiter = self._next_waiter()
            if waiter is None:
                return
            del self._waiting[waiter]
            loop = waiter.future.get_loop()
            attempt = _Connecting(waiter, self.now)
            # Owned by the pool, awaited by aclose(): a caller who is cancelled must not take the half-open
            # connection with it, the next one may use it.
            task = loop.create_task(self._connect(attempt))
            self._connecting[task] = attempt
            task.add_done_callback(self._connected)

    async def _connect(self, attempt: _Connecting) -> None:
        waiter = attempt.waiter
        scheme, host, port = waiter.origin
        loop = asyncio.get_running_loop()
        secure = scheme == b"https"
        try:
            _transport, connection = await loop.create_connection(
                partial(Connection, self, waiter.origin, loop),
                host.decode("ascii"),
                port,
                ssl=self._tls if secure else None,
            )
        except (OSError, UnicodeError) as error:
            self._refuse(waiter, httpx.ConnectError(f"cannot connect: {error}"))
        except asyncio.CancelledError:
            if not attempt.late:
                self._refuse(waiter, httpx.ConnectError("the transport is closed"))
                raise
            seconds = attempt.limits.connect_s
            self._refuse(waiter, httpx.ConnectTimeout(f"no connection after {seconds:g} s"))
        else:
            if waiter.future.done():
                self._pass_on(connection)
            else:
                waiter.future.set_result(connection)

    def _refuse(self, waiter: _Waiter, error: httpx.TransportError) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def _connected(self, task: "asyncio.Task[None]") -> None:
        waiter = self._connecting.pop(task).waiter
        # Normally answered by now; not so if the task was cancelled before its first step.
        self._refuse(waiter, httpx.ConnectError("the connection was given up"))
        self._serve()

    def opened(self, connection: Connection) -> None:
        """A connection is up."""
        self._opened += 1
        self._live.add(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone: its slot is free."""
        self._live.discard(connection)
        stack = self._idle.get(connection.origin)
        if stack is not None:
            with suppress(ValueError):
                stack.remove(connection)
            if not stack:
                del self._idle[connection.origin]
        self._serve()
        if self._emptied is not None and not self._live:
            self._emptied.set()

    # The sweep: one timer for the clock, the deadlines and the age of idle connections.

    def _attend(self, limits: Limits) -> None:
        """Make sure somebody looks often enough for these limits."""
        if limits is self._attended:
            return
        interval_s = self._look_after_s(limits.shortest_s)
        if self._timer is not None and interval_s >= self._interval_s:
            self._attended = limits
            return
        self.now = self._clock.ticks_ns() / _NS
        self._arm(interval_s)

    def _look_after_s(self, shortest_s: float) -> float:
        return max(_SWEEP_S_MIN, min(self._sweep_s, shortest_s / _LOOKS))

    def _arm(self, interval_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._attended = None
        self._interval_s = interval_s
        self._timer = asyncio.get_running_loop().call_later(interval_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = self._attended = None
        self.now = now = self._clock.ticks_ns() / _NS
        shortest_s = min(
            self._sweep_calls(now), self._sweep_connecting(now), self._sweep_waiting(now)
        )
        self._expire(now)
        if self._live or self._connecting or self._waiting:
            self._arm(self._look_after_s(shortest_s))

    def _sweep_calls(self, now: float) -> float:
        shortest_s = NEVER
        for connection in tuple(self._live):
            if not connection.busy:
                continue
            shortest_s = min(shortest_s, connection.shortest_s)
            late = connection.overdue(now)
            if late is not None:
                connection.fail(late)
        return shortest_s

    def _sweep_connecting(self, now: float) -> float:
        shortest_s = NEVER
        for task, attempt in tuple(self._connecting.items()):
            shortest_s = min(shortest_s, attempt.limits.shortest_s)
            if now >= attempt.ends and not attempt.late:
                attempt.late = True
                task.cancel()
        return shortest_s

    def _sweep_waiting(self, now: float) -> float:
        shortest_s = NEVER
        for waiter in tuple(self._waiting):
            shortest_s = min(shortest_s, waiter.limits.shortest_s)
            if now >= waiter.ends:
                self._refuse(waiter, httpx.PoolTimeout("all connections are in use"))
        return shortest_s

    def _expire(self, now: float) -> None:
        for stack in tuple(self._idle.values()):
            cold = 0
            while cold < len(stack) and now - stack[cold].idle_since >= self._keepalive_s:
                cold += 1
            for connection in stack[:cold]:
                connection.abort()
            del stack[:cold]

    async def aclose(self) -> None:
        """Close every connection, running calls included, and return once they are gone."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._attended = None
        for waiter in tuple(self._waiting):
            self._refuse(waiter, httpx.ConnectError("the transport is closed"))
        tasks = tuple(self._connecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(self._live):
            if connection.busy:
                connection.fail(httpx.ReadError("the transport is closed"))
            connection.abort()
        if self._live:
            # abort() ends in connection_lost within a turn or two of the loop.
            self._emptied = asyncio.Event()
            await self._emptied.wait()
