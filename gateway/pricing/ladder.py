"""The dearest prices of a request by context tier: what a hold is sized by, before anyone knows how it is served.

Where the place is not known, a unit stands at the price of the dearest place it may turn out to be.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.pricing.charged import Price
from gateway.pricing.row import FOREVER
from gateway.pricing.shelf import Quotes, Shelf, Whereabouts

_EVER: Final = -FOREVER


class Step(msgspec.Struct, frozen=True):
    """The prices of one context tier: prompts of strictly more tokens than ``context_gt``. Unit → price."""

    context_gt: int
    prices: dict[str, Price]


class Ladder(msgspec.Struct, frozen=True):
    """Every context tier of one key at an instant, lowest first; good from ``since_us`` until ``until_us``.

    units  everything that has a price on any step
    """

    steps: tuple[Step, ...]
    units: frozenset[str]
    since_us: int
    until_us: int

    def holds(self, at_us: int) -> bool:
        """Whether no price begins or ends between the ladder's instant and this one."""
        return self.since_us <= at_us < self.until_us

    def within(self, context_tokens: int) -> Iterator[Step]:
        """The steps that a prompt of at most so many tokens may be charged at; the lowest always."""
        for step in self.steps:
            if step.context_gt < context_tokens or not step.context_gt:
                yield step


def ladder_of(shelf: Shelf, whereabouts: Whereabouts, at_us: int) -> Ladder:
    """The ladder of a shelf for a request that may be served at any of these places."""
    thresholds = {gt for gt, since_us, until_us in shelf.tiers if since_us <= at_us < until_us}
    steps = tuple(
        [Step(gt, _prices(shelf, whereabouts, gt, at_us)) for gt in sorted({0, *thresholds})]
    )
    units = frozenset(unit for step in steps for unit in step.prices)
    return Ladder(steps, units, *_unchanged(shelf, at_us))


def dearer(one: Price, other: Price | None) -> bool:
    """Whether ``one`` costs more per unit."""
    return other is None or one.pico * other.per > other.pico * one.per


def _prices(
    shelf: Shelf, whereabouts: Whereabouts, context_gt: int, at_us: int
) -> dict[str, Price]:
    found: dict[str, Price] = {}
    for number, spots in enumerate(whereabouts.spots):
        here = Whereabouts((spots,))
        quotes = Quotes(shelf, at_us, context_gt + 1 if context_gt else 0, lambda here=here: here)  # type: ignore[misc]
        for unit in shelf.racks:
            price = quotes.price(unit)
            # A region that is named but not known is never charged at another place's price.
            speaks = not (number and whereabouts.named) or unit in found
            if isinstance(price, Price) and speaks and dearer(price, found.get(unit)):
                found[unit] = price
    return found


def _unchanged(shelf: Shelf, at_us: int) -> tuple[int, int]:
    """The span around an instant in which no price of the shelf begins or ends."""
    since_us, until_us = _EVER, FOREVER
    for rack in shelf.racks.values():
        for prices in rack.places.values():
            for price in prices:
                for edge_us in (price.since_us, price.until_us):
                    if edge_us <= at_us:
                        since_us = max(since_us, edge_us)
                    else:
                        until_us = min(until_us, edge_us)
    return since_us, until_us
