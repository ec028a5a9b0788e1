"""Prices brought into the database while the gateway runs: what a file adds there, and what it closes.

Nothing is edited: an imported row that a new one reaches into ends where that begins, and where the new one
ends first, the old figure goes on as a further row.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec

from gateway.pricing.row import BookInvalid, Layer, Row

Slot: TypeAlias = tuple[tuple[str, ...], str, int]


class Closing(msgspec.Struct, frozen=True):
    """An imported row that ends earlier now; at its own start: it is never valid again."""

    row: Row
    until_us: int


class Plan(msgspec.Struct, frozen=True):
    """What an import does. ``same``: rows of the file that are there already."""

    added: tuple[Row, ...]
    closed: tuple[Closing, ...] = ()
    same: int = 0


def slot_of(row: Row) -> Slot:
    """What only one row of a layer may have at one instant."""
    return row.terms, row.unit, row.context_gt


def planned(existing: Iterable[Row], file: Iterable[Row], issue: int) -> Plan:
    """The plan of importing a file's rows over those imported before, as import number ``issue``.

    Raises BookInvalid where rows of the file overlap each other.
    """
    there, wanted = _by_slot(existing), _by_slot(file)
    problems = [text for rows in wanted.values() for text in _overlaps(rows)]
    if problems:
        raise BookInvalid(tuple(problems))
    added: list[Row] = []
    closed: list[Closing] = []
    same = 0
    for slot, rows in wanted.items():
        known = there.get(slot, [])
        new = [row for row in rows if not any(_says_the_same(row, other) for other in known)]
        same += len(rows) - len(new)
        added += [msgspec.structs.replace(row, layer=Layer.IMPORTED, issue=issue) for row in new]
        for other in known:
            first, *rest = _left(other, new)
            if first.until_us != other.until_us:
                closed.append(Closing(other, first.until_us))
            added += [msgspec.structs.replace(row, issue=issue) for row in rest]
    return Plan(tuple(added), tuple(closed), same)


def _by_slot(rows: Iterable[Row]) -> dict[Slot, list[Row]]:
    slots: dict[Slot, list[Row]] = defaultdict(list)
    for row in rows:
        slots[slot_of(row)].append(row)
    return {slot: sorted(group, key=lambda row: row.since_us) for slot, group in slots.items()}


def _overlaps(rows: Sequence[Row]) -> Iterator[str]:
    for earlier, later in pairwise(rows):
        if later.since_us < earlier.until_us:
            yield f"{later.origin}: overlaps {earlier.origin}: one price is valid for a key at a time"


def _left(old: Row, new: Iterable[Row]) -> Iterator[Row]:
    """What is left of a row beside later ones (in order, disjoint): its beginning, which may be empty; then the rest."""
    since_us = old.since_us
    for row in new:
        if row.since_us < old.until_us and old.since_us < row.until_us:
            begin = msgspec.structs.replace(
                old, since_us=since_us, until_us=max(since_us, row.since_us)
            )
            if since_us == old.since_us or begin.since_us < begin.until_us:
                yield begin
            since_us = row.until_us
    if since_us < old.until_us:
        yield msgspec.structs.replace(old, since_us=since_us)


def standing(existing: Iterable[Row], plan: Plan) -> Sequence[Row]:
    """The imported rows after a plan is carried out."""
    ends = {closing.row.price_id(): closing.until_us for closing in plan.closed}
    kept = [
        msgspec.structs.replace(row, until_us=ends.get(row.price_id(), row.until_us))
        for row in existing
    ]
    return [row for row in (*kept, *plan.added) if row.since_us < row.until_us]


def _says_the_same(row: Row, other: Row) -> bool:
    """Whether a row is there already, under whichever number and source."""
    figures = (row.pico, row.per, row.as_unit, row.since_us, row.until_us)
    return figures == (other.pico, other.per, other.as_unit, other.since_us, other.until_us)
