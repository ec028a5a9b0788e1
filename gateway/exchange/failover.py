"""Where a call goes next, and whether it goes on at all: rules, and the breakers of a worker.

    nothing was sent (no connection, no credential)         the next place
    refused before any byte: 429, 5xx                       the next place
    sent, and nothing came back (a timeout, a dead one)     the end, unless told otherwise: it may be billed twice
    anything else (a 408 too: that prompt was read and      the end
    may be charged), or the client is gone

To try another status elsewhere: ``is_refusal``.
"""

from collections.abc import Hashable
from typing import Final

from gateway.exchange.admission import Admitted, Place
from gateway.exchange.breaker import Bounds, Breakers, State
from gateway.exchange.ports import Watch
from gateway.kernel.clock import Clock

ATTEMPTS_MAX: Final = 3
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
UNREACHABLE: Final = "unreachable"
UNANSWERED: Final = "unanswered"
_TOO_MANY: Final = 429
_FAULTS_FROM: Final = 500


def is_refusal(status: int) -> bool:
    """Whether an answer says that this place cannot serve now, and another might."""
    return status >= _FAULTS_FROM or status == _TOO_MANY


class Failover:
    """One per worker. Calls with a single place never come here: their breaker would have nothing to say.

    attempts          at most, of one request
    retry_unanswered  go on also where a request was sent and nothing came back
    """

    def __init__(
        self,
        *,
        clock: Clock,
        watch: Watch,
        attempts: int = ATTEMPTS_MAX,
        retry_unanswered: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        self._clock = clock
        self._watch = watch
        self.attempts = attempts
        self.retry_unanswered = retry_unanswered
        self.breakers = Breakers(bounds, self._turned)

    def choose(self, options: list[Admitted], *, must: bool) -> Admitted | None:
        """Take the option that is tried now out of those that are left.

        None where none is worth it, unless one ``must`` be.
        """
        places, now_ns = [option.place for option in options], self._clock.ticks_ns()
        if must:
            return options.pop(self.breakers.choose(places, now_ns))
        index = self.breakers.first(places, now_ns)
        return None if index is None else options.pop(index)

    def tried(self, place: Place, ended: str, begun_ns: int) -> None:
        """What a place did with a request for which it was chosen then."""
        now_ns = self._clock.ticks_ns()
        if ended == ANSWERED:
            self.breakers.succeeded(place, now_ns, begun_ns)
        else:
            self.breakers.failed(place, now_ns, begun_ns)
        self._watch.tried(place.upstream, ended)

    def left(self, place: Place) -> None:
        """Its request was really sent elsewhere."""
        self._watch.left(place.upstream)

    def open_places(self) -> int:
        """How many places are skipped now, but for a probe."""
        return sum(state is not State.CLOSED for _, state in self.breakers.states())

    def _turned(self, place: Hashable, state: State) -> None:
        assert isinstance(place, Place)
        self._watch.turned(place.upstream, place.location or "", place.name, str(state))
