"""Deadlines for many connections at the price of one timer: a pass over them every few hundred ms.

A connection sets its ``deadline`` attribute as often as it likes; that is one store, not a timer. To
add a member of another kind, give it ``deadline`` and ``expire``.
"""

import asyncio
import math
from typing import Final, Protocol
from weakref import WeakKeyDictionary

NEVER: Final = math.inf


class Swept(Protocol):
    """Something with a deadline, in seconds of the loop's clock."""

    deadline: float

    def expire(self, now: float) -> None:
        """The deadline has passed: act, or set a later one."""
        ...


class Sweep:
    """The pass of one event loop. It runs only while it has members, so an idle loop sleeps."""

    __slots__ = ("_interval_s", "_loop", "_members", "_running")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._members: set[Swept] = set()
        self._running = False

    def add(self, member: Swept) -> None:
        """Watch a member from now on."""
        self._members.add(member)
        if not self._running:
            self._running = True
            self._loop.call_later(self._interval_s, self._pass)

    def discard(self, member: Swept) -> None:
        """Stop watching; unknown members are ignored."""
        self._members.discard(member)

    def _pass(self) -> None:
        now = self._loop.time()
        # Collected first: expiring may take the member out of the set.
        for member in [each for each in self._members if each.deadline <= now]:
            member.expire(now)
        if self._members:
            self._loop.call_later(self._interval_s, self._pass)
        else:
            self._running = False


class Sweeps:
    """One Sweep per event loop."""

    __slots__ = ("_by_loop", "_interval_s")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep] = WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> Sweep:
        """The loop's own Sweep, made at its first use."""
        sweep = self._by_loop.get(loop)
        if sweep is None:
            sweep = self._by_loop[loop] = Sweep(loop, self._interval_s)
        return sweep
