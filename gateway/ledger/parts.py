"""The parts a booked row was charged in, found again from its lines: a row keeps no boundaries between them."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gateway.ledger.adjust import under
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.metering.usage import Component


def facts_of(row: Entry, corrections: Sequence[Entry]) -> Entry:
    """The entry whose facts stand: the adjustment that brought the truth about a row, else the row."""
    ordered = sorted(corrections, key=lambda one: (one.booked_us, one.id))
    return next((one for one in ordered if one.kind is EntryKind.ADJUSTMENT), row)


def components(facts: Entry, row: Entry) -> list[Component]:
    """The parts a row was charged in: a unit that comes again, or another role or model, begins the next."""
    if facts is row:
        return parts_of(row.lines)
    return parts_of(_summed((*under(row, facts.model), *facts.lines)))


def parts_of(lines: Iterable[Line]) -> list[Component]:
    """The parts of lines in their order; the lines of the parts, one after the other, are the lines again."""
    parts: list[Component] = []
    for line in lines:
        model = line.model or None
        last = parts[-1] if parts else None
        own = last is not None and (last.role, last.model) == (line.role, model)
        if last is None or not own or line.unit in last.counts:
            parts.append(Component(line.role, {line.unit: line.quantity}, model))
        else:
            last.counts[line.unit] = line.quantity
    return parts


def _summed(lines: Iterable[Line]) -> Iterator[Line]:
    """The quantities of an estimate and its adjustment together."""
    sums: dict[tuple[str, str, str | None], Line] = {}
    for line in lines:
        key = (line.role, line.unit, line.model)
        known = sums.get(key)
        more = line.quantity + (known.quantity if known else 0)
        sums[key] = msgspec.structs.replace(line, quantity=more)
    return (line for line in sums.values() if line.quantity)
