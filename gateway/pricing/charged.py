"""Rows charged as another unit ('=unit'): each becomes the other unit's prices under its own name.

Done once when a book is compiled, so that a look-up never follows a reference.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from gateway.pricing.dimensions import NAMED, OPEN
from gateway.pricing.row import Row

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
    """Every row as offers, references resolved; and the references that lead nowhere or in a circle."""
    made: dict[tuple[Named, str], list[Offer]] = defaultdict(list)
    waiting: dict[tuple[Named, str], list[Row]] = defaultdict(list)
    for row in rows:
        slot = (named_of(row), row.unit)
        if row.as_unit:
            waiting[slot].append(row)
        else:
            made[slot].append(_own(row))
    problems: list[str] = []
    while ready := [slot for slot in waiting if _settled(waiting[slot], waiting)]:
        for slot in ready:
            for row in waiting.pop(slot):
                found = [*_borrowed(row, made[slot[0], row.as_unit])]
                made[slot].extend(found)
                problems += [] if found else [_dangling(row)]
    problems += [
        f"{row.origin}: {row.unit} is charged as {row.as_unit} in a circle"
        for stuck in waiting.values()
        for row in stuck
    ]
    return [offer for group in made.values() for offer in group], problems


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
