"""The parts a booked row was charged in, found again from its lines: a row keeps no boundaries between them.

Where a price depends on the size of a part's prompt, and the lines do not prove which part was how long, nothing
is guessed: see ``proved``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice

import msgspec

from gateway.ledger.adjust import under
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.metering.units import UNITS
from gateway.metering.usage import Component
from gateway.pricing.row import tier_of


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


def proved(facts: Entry, row: Entry, tier_at: Callable[[Component], int]) -> bool:
    """Whether the parts found again are charged at the context tiers of the parts there were.

    tier_at  the context tier that a part is charged at now

    So they are where a role and model used what looks like one part; where all its parts together are no long prompt; and
    where every line was booked at the tier it is charged at now, wherever the boundaries were.
    """
    if facts is not row:
        # Their sums have no order, and no price that all of them were booked at.
        return not _several_in(facts.lines) or not any(map(tier_at, components(facts, row)))
    lines = iter(row.lines)
    for _, run in groupby(parts_of(row.lines), key=lambda part: (part.role, part.model)):
        parts = list(run)
        own = [list(islice(lines, len(part.counts))) for part in parts]
        several = len(parts) > 1 or _differ(own[0])
        is_long = several and tier_at(_together(parts)) > 0
        if is_long and not all(map(_hold, own, map(tier_at, parts))):
            return False
    return True


def _hold(lines: Iterable[Line], tier: int) -> bool:
    """Whether every token of a part was booked at a context tier."""
    return all(_tier(line) == tier for line in lines if UNITS[line.unit].is_token)


def _differ(lines: Iterable[Line]) -> bool:
    """Whether what looks like one part was booked at several context tiers."""
    return len({_tier(line) for line in lines} - {None}) > 1


def _tier(line: Line) -> int | None:
    """The context tier a line was booked at; None where that is not known, and of what is counted."""
    if line.price_id is None or not UNITS[line.unit].is_token:
        return None
    return tier_of(line.price_id)


def _together(parts: Sequence[Component]) -> Component:
    """All of some parts as one: its prompt is as long as any of theirs, wherever they end."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part.counts)
    return Component(parts[0].role, dict(sums), parts[0].model)


def _several_in(lines: Iterable[Line]) -> bool:
    """Whether what was used of one unit was booked at more than one price: it was used in several parts."""
    prices: dict[tuple[str, str, str | None], set[str | None]] = {}
    for line in lines:
        if line.quantity > 0:
            prices.setdefault((line.role, line.unit, line.model), set()).add(line.price_id)
    return any(len(found) > 1 for found in prices.values())


def _summed(lines: Iterable[Line]) -> Iterator[Line]:
    """The quantities of an estimate and its adjustment together."""
    sums: dict[tuple[str, str, str | None], Line] = {}
    for line in lines:
        key = (line.role, line.unit, line.model)
        known = sums.get(key)
        more = line.quantity + (known.quantity if known else 0)
        sums[key] = msgspec.structs.replace(line, quantity=more)
    return (line for line in sums.values() if line.quantity)
