"""Which alerts a counter has earned: a set share of its limit is spent, or will be if it goes on as it has.

Each is raised once per counter, kind and percentage; who raises it is decided by the database's primary
key. To add a kind: its word in ``KINDS``, a line in ``_reached`` and one in ``least_posted``.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from gateway.quota.budget import Budget
from gateway.quota.demand import limit_at
from gateway.quota.forecast import least_for
from gateway.quota.hold import CounterKey
from gateway.quota.standing import Standing
from gateway.quota.window import Span

Kind = Literal["actual", "forecast"]
KINDS: Final[tuple[Kind, ...]] = ("actual", "forecast")
WHOLE: Final = 100


class Alert(msgspec.Struct, frozen=True):
    """An alert: once per counter, ``kind`` and percentage. ``used``: what was posted then."""

    key: CounterKey
    kind: Kind
    percent: int
    at_us: int
    used: int

    @property
    def name(self) -> tuple[CounterKey, Kind, int]:
        """What there is one of."""
        return (self.key, self.kind, self.percent)


def due(standing: Standing) -> Iterator[Alert]:
    """The alerts that a counter has earned, as of the standing's moment."""
    for kind, percent in _reached(standing):
        yield Alert(standing.key, kind, percent, standing.at_us, standing.posted)


def _reached(standing: Standing) -> Iterator[tuple[Kind, int]]:
    """A forecast of what is already spent is no news."""
    budget, limit = standing.budget, standing.limit
    if not limit:
        return
    for percent in budget.alerts:
        if standing.posted >= _enough(budget, limit, percent):
            yield "actual", percent
    expected = standing.forecast
    for percent in budget.forecast_alerts if expected is not None else ():
        enough = -(-percent * limit // WHOLE)
        if expected is not None and expected >= enough > standing.posted:
            yield "forecast", percent


def least_posted(budget: Budget, span: Span, at_us: int) -> int | None:
    """The least that a counter has to have posted for any alert to be due; None where none can be.

    For looking through many counters: carry-over is left out, so it may be less than needed, never more.
    """
    limit = limit_at(budget, at_us)
    if not limit:
        return None
    actual = [_enough(budget, limit, percent) for percent in budget.alerts]
    ahead = [
        least_for(-(-percent * limit // WHOLE), span, at_us) for percent in budget.forecast_alerts
    ]
    return min((*actual, *(one for one in ahead if one is not None)), default=None)


def _enough(budget: Budget, limit: int, percent: int) -> int:
    """A hard budget refuses before it is quite spent: its last percent counts as the whole of it."""
    if percent == WHOLE and budget.hard and not budget.shadow:
        return limit * (WHOLE - 1) // WHOLE + 1
    return -(-percent * limit // WHOLE)
