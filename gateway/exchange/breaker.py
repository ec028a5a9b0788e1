"""Whether a place is worth trying: a circuit breaker per place, pure, with time as an argument.

    closed ── failures in a row, or a rate of them ──▶ open ── a pause ──▶ half-open: one probe a pause
      ▲                                                 ▲                     │
      └──────────────── the probe succeeds ─────────────┼─────────────────────┤
                                                        └──── it fails ───────┘

A probe is a client's own request. What was sent before a breaker opened says nothing of the place as it is now: where
that succeeds late the breaker is not closed, where it fails late the probes go on.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

NS_PER_SECOND: Final = 1_000_000_000
RATE_SECONDS: Final = 10  # how far back the rate of failures looks
RATE_REQUESTS_MIN: Final = 20  # of fewer requests a rate says nothing
BREAKERS_MAX: Final = (
    4096  # names come from clients: bounded, then those that are closed are forgotten
)
_PERCENT: Final = 100


class State(StrEnum):
    """What a breaker is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Bounds(msgspec.Struct, frozen=True):
    """When a breaker opens, and how often an open one lets a probe through."""

    failures: int = 5  # in a row
    percent: int = 50  # of the requests of the last ten seconds
    probe_ns: int = 5 * NS_PER_SECOND


class Breaker:
    """One place's. ``failed_ns``: when it last failed."""

    __slots__ = ("_bounds", "_half_ns", "_in_a_row", "_probed_ns", "_seconds", "failed_ns", "state")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._in_a_row = 0
        self._probed_ns = 0
        self._half_ns = 0  # the first probe since it opened
        self._seconds: deque[tuple[int, int, int]] = deque()  # second, requests, failures
        self.failed_ns = 0
        self.state = State.CLOSED

    def admits(self, now_ns: int) -> bool:
        """Whether a request may go there now; where that makes it the probe, the next one waits a pause."""
        if self.state is State.CLOSED:
            return True
        if now_ns - self._probed_ns < self._bounds.probe_ns:
            return False
        self.probe(now_ns)
        return True

    def probe(self, now_ns: int) -> None:
        """A request goes to an open place: whether it works again is what this one tells."""
        if self.state is State.CLOSED:
            return
        if self.state is State.OPEN:
            self._half_ns = now_ns
        self.state = State.HALF_OPEN
        self._probed_ns = now_ns

    def succeeded(self, now_ns: int, begun_ns: int) -> None:
        """A request was answered that was begun then."""
        if self.state is State.HALF_OPEN and begun_ns >= self._half_ns:
            self.state = State.CLOSED
            self._seconds.clear()
        if self.state is State.CLOSED:
            self._in_a_row = 0
            self._note(now_ns, failures=0)

    def failed(self, now_ns: int, begun_ns: int) -> None:
        """A request was not: the place is away, or says that it can take no more."""
        self.failed_ns = now_ns
        if self.state is not State.CLOSED:
            if begun_ns >= self._half_ns:
                self.state = State.OPEN
            return
        self._in_a_row += 1
        self._note(now_ns, failures=1)
        if self._in_a_row >= self._bounds.failures or self._fails_often():
            self.state = State.OPEN
            self._probed_ns = now_ns
            self._in_a_row = 0
            self._seconds.clear()

    def _note(self, now_ns: int, *, failures: int) -> None:
        second, seconds = now_ns // NS_PER_SECOND, self._seconds
        if seconds and seconds[-1][0] >= second:
            last, requests, failed = seconds[-1]
            seconds[-1] = (last, requests + 1, failed + failures)
        else:
            seconds.append((second, 1, failures))
        while seconds[0][0] <= second - RATE_SECONDS:
            seconds.popleft()

    def _fails_often(self) -> bool:
        requests = sum([counted for _, counted, _ in self._seconds])
        failures = sum([failed for _, _, failed in self._seconds])
        return (
            requests >= RATE_REQUESTS_MIN and failures * _PERCENT >= requests * self._bounds.percent
        )


Changed = Callable[[Hashable, State], None]


class Breakers:
    """A worker's. A place is any hashable; ``changed`` is told of every change of state."""

    def __init__(self, bounds: Bounds | None = None, changed: Changed | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._changed = changed
        self._known: dict[Hashable, Breaker] = {}
        self._said: dict[Hashable, State] = {}  # what is not closed, as last told

    def first(self, places: Sequence[Hashable], now_ns: int) -> int | None:
        """Which of ``places``, in order of preference, is worth trying now; None where none is."""
        for index, place in enumerate(places):
            breaker = self._known.get(place)
            if breaker is None or breaker.admits(now_ns):
                self._look(place)
                return index
        return None

    def choose(self, places: Sequence[Hashable], now_ns: int) -> int:
        """As ``first``; where none is worth it, the one whose last failure is the longest ago.

        To refuse would be worse than to try.
        """
        found = self.first(places, now_ns)
        if found is not None:
            return found
        index = min(range(len(places)), key=lambda at: self._known[places[at]].failed_ns)
        self._known[places[index]].probe(now_ns)
        self._look(places[index])
        return index

    def succeeded(self, place: Hashable, now_ns: int, begun_ns: int) -> None:
        """A request to a place, begun then, was answered."""
        self._of(place).succeeded(now_ns, begun_ns)
        self._look(place)

    def failed(self, place: Hashable, now_ns: int, begun_ns: int) -> None:
        """A request to a place was not."""
        self._of(place).failed(now_ns, begun_ns)
        self._look(place)

    def states(self) -> Iterator[tuple[Hashable, State]]:
        """Every place that was ever asked, with its breaker's state."""
        for place, breaker in self._known.items():
            yield place, breaker.state

    def _of(self, place: Hashable) -> Breaker:
        breaker = self._known.get(place)
        if breaker is None:
            if len(self._known) >= BREAKERS_MAX:
                self._forget()
            breaker = self._known[place] = Breaker(self._bounds)
        return breaker

    def _forget(self) -> None:
        kept = {
            place: breaker
            for place, breaker in self._known.items()
            if breaker.state is not State.CLOSED
        }
        self._known = kept if len(kept) < BREAKERS_MAX else {}
        self._said = {place: state for place, state in self._said.items() if place in self._known}

    def _look(self, place: Hashable) -> None:
        """Say a change of state, once."""
        breaker = self._known.get(place)
        state = State.CLOSED if breaker is None else breaker.state
        if state is self._said.get(place, State.CLOSED):
            return
        self._said[place] = state
        if state is State.CLOSED:
            del self._said[place]
        if self._changed is not None:
            self._changed(place, state)
