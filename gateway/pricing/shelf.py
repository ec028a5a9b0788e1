"""Shelves: the compiled prices of one key (provider, model, scope, tier), and looking one up.

A look-up never leaves its shelf, so it cannot fall back to another model, scope or tier; nor does it
fall back to a lower context tier, except for counted units, which have none. To change how a place or a
date is matched, change ``Quotes``.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from gateway.metering.units import UNITS
from gateway.pricing.atlas import Atlas, names_region
from gateway.pricing.charged import Offer, Price
from gateway.pricing.dimensions import OPEN, Place
from gateway.pricing.row import FOREVER

_ANYWHERE: Final[Place] = ("",) * len(OPEN)


ANY_PROMPT: Final = 2**62  # longer than any prompt


class Whereabouts(msgspec.Struct, frozen=True):
    """Where a request may have been served.

    spots  per possible place: the places of rows that fit it, most specific first
    named  the first is a region the request names but the atlas does not know: the other places may
           contradict its price, they never speak for it
    """

    spots: tuple[tuple[Place, ...], ...]
    named: bool = False


class Ambiguous(msgspec.Struct, frozen=True):
    """The answer where the place is not known and the places disagree."""


AMBIGUOUS: Final = Ambiguous()


class Span(msgspec.Struct, frozen=True, gc=False):
    """Within which nothing about a unit's price changes: a half-open time, and prompts of so many tokens."""

    since_us: int
    until_us: int
    tokens_max: int


class Rack(msgspec.Struct, frozen=True):
    """The prices of one unit by place. ``anywhere``: the prices, where no row names a place."""

    is_token: bool
    places: dict[Place, tuple[Price, ...]]
    anywhere: tuple[Price, ...] | None

    def valid(self, prices: tuple[Price, ...], context_gt: int, at_us: int) -> Price | None:
        """The price of a context tier and instant. Counted units need not repeat theirs per tier."""
        flat: Price | None = None
        for price in prices:
            if not price.since_us <= at_us < price.until_us:
                continue
            if price.context_gt == context_gt:
                return price
            if price.context_gt == 0:
                flat = price
        return None if self.is_token else flat

    def unchanged(self, at_us: int) -> tuple[int, int]:
        """The half-open time around an instant in which no price of any place begins or ends."""
        edges = [
            edge
            for prices in self.places.values()
            for price in prices
            for edge in (price.since_us, price.until_us)
        ]
        since = max([edge for edge in edges if edge <= at_us], default=at_us)
        return since, min([edge for edge in edges if edge > at_us], default=FOREVER)


class Shelf(msgspec.Struct, frozen=True):
    """The prices of one key.

    tiers   context tiers of its token units as (context_gt, since, until), highest first
    places  every place its rows name
    shapes  which open terms those places name, most specific first
    edges   every instant at which one of its prices begins or ends, in order
    """

    racks: dict[str, Rack]
    tiers: tuple[tuple[int, int, int], ...]
    places: tuple[tuple[str, ...], ...]
    shapes: tuple[tuple[bool, ...], ...]
    edges: tuple[int, ...]

    def tier(self, context_tokens: int, at_us: int) -> int:
        """The context tier of a whole request: the highest threshold strictly exceeded, else 0."""
        for context_gt, since, until in self.tiers:
            if context_gt < context_tokens and since <= at_us < until:
                return context_gt
        return 0

    def unchanged(self, at_us: int) -> tuple[int, int]:
        """The half-open time around an instant in which none of its prices begins or ends."""
        place = bisect_right(self.edges, at_us)
        since = self.edges[place - 1] if place else 0
        return since, self.edges[place] if place < len(self.edges) else FOREVER

    def span(self, unit: str, at_us: int) -> Span:
        """Within what a price found for a unit at an instant, at the lowest context tier, stays the one."""
        rack = self.racks.get(unit)
        since, until = (at_us, at_us) if rack is None else rack.unchanged(at_us)
        tokens_max = (
            self.tiers[-1][0] if self.tiers else ANY_PROMPT
        )  # lowest last, whenever it is valid
        return Span(since, until, tokens_max)

    def whereabouts(self, atlas: Atlas, provider: str, place: Place) -> Whereabouts:
        """Where a request may have been served: one place if it is known, else each that fits."""
        place = atlas.located(provider, place)
        if None not in place:
            return Whereabouts((self._spots(place),))
        places = atlas.completions(provider, place, self.places)
        return Whereabouts(tuple([self._spots(whole) for whole in places]), names_region(place))

    def _spots(self, place: Place) -> tuple[Place, ...]:
        """The places whose rows fit a known place, most specific first."""
        return tuple(
            [
                tuple([term if used else "" for term, used in zip(place, shape, strict=True)])
                for shape in self.shapes
            ]
        )


NOTHING: Final = Shelf({}, (), (), (), ())


class Stand:
    """A shelf as it is seen from one place: by all requests that differ in nothing but their instant and their size.

    No price begins or ends between two neighbouring edges of a shelf, and whoever is in one context tier is charged
    alike: quotes once made serve every request of that span and tier. ``has_tiers``: whether the size matters at all.
    """

    __slots__ = ("_look_around", "_quotes", "_shelf", "has_tiers")

    def __init__(self, shelf: Shelf, look_around: Callable[[], Whereabouts]) -> None:
        self.has_tiers = bool(shelf.tiers)
        self._shelf = shelf
        self._look_around = look_around
        self._quotes: dict[tuple[int, int], Quotes] = {}

    def quotes(self, at_us: int, context_tokens: int) -> "Quotes":
        """The prices of a request at that instant whose prompt has so many tokens."""
        shelf = self._shelf
        slot = bisect_right(shelf.edges, at_us), shelf.tier(context_tokens, at_us)
        found = self._quotes.get(slot)
        if found is None:
            found = Quotes(shelf, at_us, context_tokens, self._look_around)
            self._quotes[slot] = found
        return found


class Quotes:
    """The prices of one request: shelf, place, context tier and instant fixed, units asked one by one.

    ``look_around`` tells where the request may have been served; asked only where a price depends on it.
    What was asked once is remembered: the same question always has the same answer here.
    """

    __slots__ = ("_at_us", "_found", "_look_around", "_shelf", "_tier", "_whereabouts")

    def __init__(
        self, shelf: Shelf, at_us: int, context_tokens: int, look_around: Callable[[], Whereabouts]
    ) -> None:
        self._shelf = shelf
        self._at_us = at_us
        self._tier = shelf.tier(context_tokens, at_us)
        self._look_around = look_around
        self._whereabouts: Whereabouts | None = None
        self._found: dict[str, Price | Ambiguous | None] = {}

    def price(self, unit: str) -> Price | Ambiguous | None:
        """The one price of a unit; None where there is none; ``AMBIGUOUS`` where places disagree."""
        if unit in self._found:
            return self._found[unit]
        rack = self._shelf.racks.get(unit)
        if rack is None:  # nor remembered: of units that are nowhere there is no end
            return None
        found = self._found[unit] = self._price_of(rack)
        return found

    def _price_of(self, rack: Rack) -> Price | Ambiguous | None:
        if rack.anywhere is not None:
            return rack.valid(rack.anywhere, self._tier, self._at_us)
        if self._whereabouts is None:
            self._whereabouts = self._look_around()
        first = self._nearest(rack, self._whereabouts.spots[0])
        if len(self._whereabouts.spots) == 1 or (first is None and self._whereabouts.named):
            return first
        return self._agreed(rack, self._whereabouts)

    def _agreed(self, rack: Rack, whereabouts: Whereabouts) -> Price | Ambiguous | None:
        found: dict[tuple[int, int], Price] = {}
        for spots in whereabouts.spots:
            price = self._nearest(rack, spots)
            if price is not None:
                found.setdefault((price.pico, price.per), price)
        if len(found) > 1:
            return AMBIGUOUS
        return next(iter(found.values()), None)

    def _nearest(self, rack: Rack, spots: tuple[Place, ...]) -> Price | None:
        for spot in spots:
            prices = rack.places.get(spot)
            price = None if prices is None else rack.valid(prices, self._tier, self._at_us)
            if price is not None:
                return price
        return None


def shelf_of(offers: Iterable[Offer]) -> Shelf:
    """The shelf of one key's offers."""
    by_unit: dict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_unit[offer.unit].append(offer)
    tiers = {
        (offer.price.context_gt, offer.price.since_us, offer.price.until_us)
        for unit, group in by_unit.items()
        if UNITS[unit].is_token
        for offer in group
        if offer.price.context_gt
    }
    places = {offer.place: None for group in by_unit.values() for offer in group}
    shapes = {tuple([bool(term) for term in place]) for place in places}
    prices = [offer.price for group in by_unit.values() for offer in group]
    return Shelf(
        racks={unit: _rack(unit, group) for unit, group in by_unit.items()},
        tiers=tuple(sorted(tiers, reverse=True)),
        places=tuple(places),
        # The later a dimension stands among the open ones, the more specific it is.
        shapes=tuple(sorted(shapes, key=lambda shape: shape[::-1], reverse=True)),
        edges=tuple(sorted({edge for each in prices for edge in (each.since_us, each.until_us)})),
    )


def _rack(unit: str, group: Iterable[Offer]) -> Rack:
    places: dict[Place, list[Price]] = defaultdict(list)
    for offer in group:
        places[offer.place].append(offer.price)
    frozen = {place: tuple(prices) for place, prices in places.items()}
    anywhere = frozen[_ANYWHERE] if set(frozen) == {_ANYWHERE} else None
    return Rack(UNITS[unit].is_token, frozen, anywhere)
