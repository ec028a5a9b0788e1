"""Rows as offers: references to other units ('=unit') followed, lower layers cut where a higher one is valid.

Done once when a book is compiled, so that a look-up never follows a reference and never compares layers.
A reference follows what stands after the cut: a configured price of output text is that of reasoning too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TypeAlias

import msgspec

from gateway.pricing.dimensions import NAMED, OPEN
from gateway.pricing.row import RANK, Row

Named: TypeAlias = tuple[str, ...]


class Price(msgspec.Struct, frozen=True, gc=False):
    """A figure ready for use; ``id`` names the row that holds the figure."""

    id: str
    pico: int
    per: int
    context_gt: int
    since_us: int
    until_us: int


class Offer(msgspec.Struct, frozen=True, gc=False):
    """A price under its full key; ``row`` is the row that makes the offer (for messages)."""

    named: Named
    place: tuple[str, ...]
    unit: str
    price: Price
    row: Row


def named_of(row: Row) -> Named:
    """The named terms of a row."""
    return tuple([row.terms[i] for i in NAMED])


def offers(rows: Iterable[Row]) -> tuple[list[Offer], list[str]]:
    """Every row as what it offers; and what is wrong between rows.

    That is: two rows of one layer valid for one key and instant, references that lead nowhere or in a circle.
    """
    made: dict[tuple[Named, str], list[Offer]] = defaultdict(list)
    waiting: dict[tuple[Named, str], list[Row]] = defaultdict(list)
    for row in rows:
        slot = (named_of(row), row.unit)
        if row.as_unit:
            waiting[slot].append(row)
        else:
            made[slot].append(_own(row))
    problems: list[str] = []
    for slot in made.keys() - waiting.keys():
        made[slot] = _layered(made[slot], problems)
    while ready := [slot for slot in waiting if _settled(waiting[slot], waiting)]:
        for slot in ready:
            for row in waiting.pop(slot):
                found = [*_borrowed(row, made[slot[0], row.as_unit])]
                made[slot].extend(found)
                problems += [] if found else [_dangling(row)]
            made[slot] = _layered(made[slot], problems)
    problems += [
        f"{row.origin}: {row.unit} is charged as {row.as_unit} in a circle"
        for stuck in waiting.values()
        for row in stuck
    ]
    return [offer for group in made.values() for offer in group], problems


def _layered(group: list[Offer], problems: list[str]) -> list[Offer]:
    """The offers of one unit, each cut where a higher layer is valid at the same place and context."""
    if len(group) == 1:
        return group
    slots: dict[tuple[tuple[str, ...], int], list[Offer]] = defaultdict(list)
    for offer in group:
        slots[offer.place, offer.price.context_gt].append(offer)
    standing: list[Offer] = []
    for slot in slots.values():
        problems += _ties(slot)
        standing += [piece for offer in slot for piece in _uncovered(offer, slot)]
    return standing


def _ties(slot: Iterable[Offer]) -> Iterator[str]:
    """Two rows of one layer that would both be valid at one instant."""
    ordered = sorted(slot, key=lambda offer: (RANK[offer.row.layer], offer.price.since_us))
    for _layer, group in groupby(ordered, key=lambda offer: offer.row.layer):
        for earlier, later in pairwise(group):
            if later.price.since_us < earlier.price.until_us:
                yield (
                    f"{later.row.origin}: {later.row.price_id()} overlaps "
                    f"{earlier.row.price_id()} ({earlier.row.origin})"
                )


def _uncovered(offer: Offer, slot: Iterable[Offer]) -> Iterator[Offer]:
    """What is left of an offer beside those of higher layers."""
    rank = RANK[offer.row.layer]
    over = sorted(
        (other.price.since_us, other.price.until_us)
        for other in slot
        if RANK[other.row.layer] > rank
    )
    since_us, until_us = offer.price.since_us, offer.price.until_us
    for begins_us, ends_us in over:
        if since_us < min(begins_us, until_us):
            yield _spanning(offer, since_us, min(begins_us, until_us))
        since_us = max(since_us, ends_us)
    if since_us < until_us:
        yield _spanning(offer, since_us, until_us)


def _spanning(offer: Offer, since_us: int, until_us: int) -> Offer:
    if (since_us, until_us) == (offer.price.since_us, offer.price.until_us):
        return offer
    price = msgspec.structs.replace(offer.price, since_us=since_us, until_us=until_us)
    return msgspec.structs.replace(offer, price=price)


def _settled(rows: Sequence[Row], waiting: dict[tuple[Named, str], list[Row]]) -> bool:
    return all((named_of(row), row.as_unit) not in waiting for row in rows)


def _dangling(row: Row) -> str:
    return (
        f"{row.origin}: {row.unit} is charged as {row.as_unit}, which has no price there and then"
    )


def _own(row: Row) -> Offer:
    price = Price(row.price_id(), row.pico, row.per, row.context_gt, row.since_us, row.until_us)
    return Offer(named_of(row), tuple([row.terms[i] for i in OPEN]), row.unit, price, row)


def _borrowed(row: Row, targets: Iterable[Offer]) -> Iterable[Offer]:
    """What a reference offers: its target's prices where place, context and validity meet its own.

    A reference at context 0 follows its target through every context tier.
    """
    own = tuple([row.terms[i] for i in OPEN])
    for target in targets:
        place = _meet(own, target.place)
        since = max(row.since_us, target.price.since_us)
        until = min(row.until_us, target.price.until_us)
        context_fits = row.context_gt in (0, target.price.context_gt)
        if place is not None and context_fits and since < until:
            price = msgspec.structs.replace(target.price, since_us=since, until_us=until)
            yield Offer(target.named, place, row.unit, price, row)


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    if any(a and b and a != b for a, b in zip(one, other, strict=True)):
        return None
    return tuple([a or b for a, b in zip(one, other, strict=True)])
