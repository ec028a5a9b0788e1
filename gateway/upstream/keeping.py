"""A value that expires, kept fresh: fetched by one at a time, renewed early, the last good one used meanwhile.

To keep something new: a ``fetch`` coroutine that returns Dated and raises UpstreamFailed; the rest is here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from gateway.exchange.ending import end_if_cancelled
from gateway.exchange.ports import Observer
from gateway.kernel.clock import US_PER_SECOND, Clock
from gateway.kernel.errors import UpstreamFailed

T = TypeVar("T")

# Providers hand out tokens for an hour or so; one that lives less than twice this is renewed at half-time.
EARLY_US: Final = 300 * US_PER_SECOND
# Not used any more this shortly before its end: the request has to arrive, and clocks differ.
SAFETY_US: Final = 10 * US_PER_SECOND
# After a failure callers get it again at once, instead of all of them asking the token service.
COOL_DOWN_US: Final = 2 * US_PER_SECOND
_RETRY_S: Final = 1.0
# Sleeps are short enough that a clock set right, or a suspended machine, is noticed.
NAP_S: Final = 30.0


class Dated(Generic[T]):
    """A value and the epoch in microseconds at which it ends; None: never."""

    __slots__ = ("expires_us", "value")

    def __init__(self, value: T, expires_us: int | None) -> None:
        self.value = value
        self.expires_us = expires_us


class Kept(Generic[T]):
    """The keeper of one value."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Dated[T]]],
        *,
        clock: Clock,
        what: str,
        observer: Observer | None = None,
        nap_s: float = NAP_S,
    ) -> None:
        self._nap_s = nap_s
        self._fetch = fetch
        self._clock = clock
        self._what = what
        self._observer = observer
        self._dated: Dated[T] | None = None
        self._flight: asyncio.Task[None] | None = None
        self._failure: UpstreamFailed | None = None
        self._failed_us = 0
        self._renew_us = 0

    @property
    def kept(self) -> T | None:
        """The value while it is good, else None."""
        dated = self._dated
        return dated.value if dated is not None and self._good(dated) else None

    async def value(self) -> T:
        """The value, from memory while it is good. Raises UpstreamFailed where it cannot be had."""
        kept = self.kept
        if kept is not None:
            return kept
        failure = self._failure
        if failure is not None and self._clock.wall_us() - self._failed_us < COOL_DOWN_US:
            raise UpstreamFailed(failure.message) from failure
        return (await self._renew()).value

    def _good(self, dated: Dated[T]) -> bool:
        expires_us = dated.expires_us
        return expires_us is None or self._clock.wall_us() < expires_us - SAFETY_US

    async def _renew(self) -> Dated[T]:
        """Fetch, or wait for the fetch under way; a caller who is cancelled leaves it running."""
        flight = self._flight
        if flight is None:
            # Owned here and awaited by aclose(): it serves all callers, so none of them may own it.
            flight = self._flight = asyncio.get_running_loop().create_task(self._fly())
            flight.add_done_callback(self._landed)
        await asyncio.shield(flight)
        dated = self._dated
        if dated is None:
            raise UpstreamFailed(f"{self._what}: nothing was fetched")
        return dated

    async def _fly(self) -> None:
        try:
            dated = await self._fetch()
        except UpstreamFailed as error:
            self._failure, self._failed_us = error, self._clock.wall_us()
            if self._observer is not None:
                self._observer.failed(self._what, error)
            raise
        self._dated, self._failure = dated, None
        if dated.expires_us is not None:
            now_us = self._clock.wall_us()
            lives_us = dated.expires_us - now_us
            early_us = EARLY_US if lives_us > 2 * EARLY_US else lives_us // 2
            self._renew_us = dated.expires_us - early_us

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flight = None
        if not flight.cancelled():
            # All callers may have been cancelled: the error was reported above, it is not lost.
            flight.exception()

    async def run(self) -> None:
        """Renew early, for ever; returns once the value never ends. A failure is tried again soon."""
        pause_s = 0.0
        while True:
            end_if_cancelled()
            await asyncio.sleep(pause_s)
            rest_s = (self._renew_us - self._clock.wall_us()) / US_PER_SECOND
            if rest_s > 0:
                pause_s = min(rest_s, self._nap_s)
                continue
            try:
                dated = await self._renew()
            except UpstreamFailed:
                # Reported by the flight; the last good value stays in use while it is good.
                pause_s = min(pause_s * 2 + _RETRY_S, self._nap_s)
                continue
            if dated.expires_us is None:
                return
            pause_s = min(_RETRY_S, self._nap_s)

    async def aclose(self) -> None:
        """End a fetch under way."""
        flight = self._flight
        if flight is not None:
            flight.cancel()
            await asyncio.gather(flight, return_exceptions=True)
