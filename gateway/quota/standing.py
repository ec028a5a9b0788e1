"""How a counter stands: spent, held, its limit with raises and carry-over, what is left, and how worried to be."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from gateway.quota.budget import CONCURRENT, Budget
from gateway.quota.counters import Counter, Counters
from gateway.quota.demand import limit_at, line_of
from gateway.quota.forecast import forecast
from gateway.quota.hold import CounterKey
from gateway.quota.window import Span, window_of

Level = Literal["on track", "at risk", "near", "spent", "over"]
NEAR_PERCENT: Final = 80
_WHOLE: Final = 100


class Standing(msgspec.Struct, frozen=True):
    """One counter at one moment, in the measure's own units.

    limit    what posted + pending may reach: the budget's own, plus ``raised``, plus ``carried``
             (of a rolling minute: its burst, which is what may be used at once)
    pending  held by running requests (of a rolling minute: used of the burst)
    """

    budget: Budget
    value: str
    span: Span
    at_us: int
    posted: int
    pending: int
    limit: int
    raised: int
    carried: int

    @property
    def key(self) -> CounterKey:
        """The counter."""
        return CounterKey(self.budget.id, self.value, self.span.start_us)

    @property
    def left(self) -> int:
        """What is neither spent nor held."""
        return max(0, self.limit - self.posted - self.pending)

    @property
    def percent(self) -> int:
        """Spent and held of the limit, rounded down; of no limit at all: 100."""
        return (self.posted + self.pending) * _WHOLE // self.limit if self.limit else _WHOLE

    @property
    def forecast(self) -> int | None:
        """What will be spent at the window's end; None where that cannot be told (yet)."""
        return forecast(self.posted, self.span, self.at_us)

    @property
    def is_rate(self) -> bool:
        """Whether it frees by itself within moments: a rolling minute, or requests at a time."""
        return self.budget.window == "minute" or self.budget.measure == CONCURRENT

    @property
    def level(self) -> Level:
        """In words, since colour alone says nothing to some."""
        used = self.posted + self.pending
        if used > self.limit:
            return "over"
        if not self.left:
            return "spent"
        if self.percent >= NEAR_PERCENT:
            return "near"
        expected = self.forecast
        return "at risk" if expected is not None and expected > self.limit else "on track"


def standing(
    budget: Budget, value: str, at_us: int, counters: Mapping[CounterKey, Counter]
) -> Standing:
    """How a counter of a budget stands in the window of a moment; unknown counters are at nothing.

    ``counters``: its own, and where unspent room carries over that of the window before.
    """
    books = Counters()
    books.counters = dict(counters)
    line = line_of(budget, value, 0, at_us)
    (balance,) = books.balances((line,), at_us)
    raised = limit_at(budget, at_us) - budget.limit
    carried = 0 if line.rate else balance.limit - line.limit
    return Standing(
        budget,
        value,
        window_of(budget, at_us),
        at_us,
        balance.posted,
        balance.pending,
        balance.limit,
        raised,
        carried,
    )
