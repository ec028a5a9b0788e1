"""Figures that must not stand in the wrong order: a cache read above its input, a batch above standard.

Two rows are compared where they differ in one respect only and are valid at a common instant. To add an
order: a line in ``ORDERS``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from gateway.catalog.finding import Finding
from gateway.kernel.money import format_usd
from gateway.metering.units import UNITS
from gateway.pricing.dimensions import DISCOUNTED, GLOBAL, STANDARD, TIERS, Dimension, position
from gateway.pricing.row import Row

Group: TypeAlias = tuple[str, ...]
_SCOPE: Final = position(Dimension.SCOPE)
_TIER: Final = position(Dimension.TIER)
_PLACE: Final = (position(Dimension.GEO), position(Dimension.REGION))
_MILLION: Final = 1_000_000
_CACHE_LIVES: Final = ("cache_write_5m", "cache_write_30m", "cache_write_1h", "cache_write_12h")
# A provider's own list may well sell a place below its global price; a copied figure that says so is suspect.
_PLACE_RULE: Final = "place_below_global"
_LISTED: Final = "authoritative"
_CURE: Final = "compare both rows with the provider's page; correct the one that is wrong"


class Order(NamedTuple):
    """``low`` must not cost more than ``high``; ``aspect`` is what a row is in this respect."""

    rule: str
    low: str
    high: str
    aspect: Callable[[Row], str]
    alike: Callable[[Row], Group]


def _but_unit(row: Row) -> Group:
    return (*row.terms, str(row.context_gt))


def _but_tier(row: Row) -> Group:
    return (*_without(row.terms, _TIER), row.unit, str(row.context_gt))


def _but_place(row: Row) -> Group:
    return (*_without(row.terms, _SCOPE, *_PLACE), row.unit, str(row.context_gt))


def _without(terms: Sequence[str], *left_out: int) -> Group:
    return tuple([term for i, term in enumerate(terms) if i not in left_out])


def _unit(row: Row) -> str:
    return row.unit


def _tier(row: Row) -> str:
    return row.terms[_TIER]


def _scope(row: Row) -> str:
    return row.terms[_SCOPE]


def _unit_orders() -> Iterator[Order]:
    yield Order("output_below_input", "input_text", "output_text", _unit, _but_unit)
    for unit in UNITS.values():
        if unit.cache == "read":
            fresh = f"input_{unit.modality}"
            yield Order("cache_read_above_input", unit.name, fresh, _unit, _but_unit)
        if unit.cache == "write":
            yield Order("cache_write_below_input", "input_text", unit.name, _unit, _but_unit)
    for shorter, longer in pairwise(_CACHE_LIVES):
        yield Order("longer_cache_cheaper", shorter, longer, _unit, _but_unit)


def _tier_orders() -> Iterator[Order]:
    for tier in sorted(DISCOUNTED - {"reserved"}):
        yield Order("discount_above_standard", tier, STANDARD, _tier, _but_tier)
    for tier in sorted(TIERS - DISCOUNTED - {STANDARD}):
        yield Order("surcharge_below_standard", STANDARD, tier, _tier, _but_tier)


ORDERS: Final = (
    *_unit_orders(),
    *_tier_orders(),
    *(
        Order(_PLACE_RULE, GLOBAL, scope, _scope, _but_place)
        for scope in ("data_zone", "regional", "geo", "in_region")
    ),
)


def disordered(rows: Iterable[Row]) -> Iterator[Finding]:
    """Every pair of figures in the wrong order; named is the row that should cost more."""
    figures = [row for row in rows if not row.as_unit and row.pico]
    by_alike: dict[Callable[[Row], Group], dict[Group, list[Row]]] = {}
    for alike in dict.fromkeys(order.alike for order in ORDERS):
        groups: dict[Group, list[Row]] = defaultdict(list)
        for row in figures:
            groups[alike(row)].append(row)
        by_alike[alike] = groups
    for order in ORDERS:
        for group in by_alike[order.alike].values():
            yield from _pairs(order, group)
    yield from _tiers(figures)


def _pairs(order: Order, group: Sequence[Row]) -> Iterator[Finding]:
    highs = [row for row in group if order.aspect(row) == order.high]
    lows = [row for row in group if order.aspect(row) == order.low] if highs else ()
    for high in highs:
        for low in lows:
            listed = order.rule == _PLACE_RULE and high.evidence == _LISTED
            if _meet(low, high) and _dearer(low, high) and not listed:
                yield _finding(order.rule, order.low, low, order.high, high)


def _tiers(figures: Iterable[Row]) -> Iterator[Finding]:
    """A longer context never costs less per token than a shorter one of the same key."""
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in figures:
        groups[(*row.terms, row.unit)].append(row)
    for group in groups.values():
        for high in group:
            for low in group:
                shorter = low.context_gt < high.context_gt
                if shorter and _meet(low, high) and _dearer(low, high):
                    words = (f"above {low.context_gt:,}", f"above {high.context_gt:,}")
                    yield _finding("long_context_cheaper", words[0], low, words[1], high)


def _meet(one: Row, other: Row) -> bool:
    return one.since_us < other.until_us and other.since_us < one.until_us


def _dearer(one: Row, other: Row) -> bool:
    return one.pico * other.per > other.pico * one.per


def _finding(rule: str, low_word: str, low: Row, high_word: str, high: Row) -> Finding:
    text = f"{high_word} at {_rate(high)} is below {low_word} at {_rate(low)} ({low.origin})"
    return Finding(rule, high.origin, high.price_id(), text, _CURE)


def _rate(row: Row) -> str:
    """The figure as people compare it: per million tokens, or per thousand of what is counted."""
    if UNITS[row.unit].is_token:
        return f"${format_usd(row.pico * _MILLION // row.per)} per 1M"
    return f"${format_usd(row.pico)} per {row.per:,}"
