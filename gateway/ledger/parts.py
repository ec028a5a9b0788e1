"""The parts a booked row was charged in, found again from its lines: a row keeps no boundaries between them.

Where a price depends on the size of a part's prompt, and the lines do not prove which part was how long, nothing
is guessed: see ``proved``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from gateway.ledger.adjust import under
from gateway.ledger.entry import SEVERAL_PARTS, Entry, EntryKind, Line
from gateway.metering.units import INPUT_TEXT, UNITS
from gateway.metering.usage import MAIN, Component
from gateway.pricing.rate import context_tokens
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

    So they are where a role and model used one part for certain, and where all parts that a line may have been of are
    charged at the tier of the one it is found in, wherever they began and ended.
    """
    several = SEVERAL_PARTS in facts.flags
    return all(run.is_one(several=several) or run.holds(tier_at) for run in _runs(facts, row))


class _Run(NamedTuple):
    """What a role and model used: every line it was booked on, and the part it is found in."""

    owner: tuple[str, str]
    lines: list[tuple[Line, Component]]

    def is_one(self, *, several: bool) -> bool:
        """Whether it was one part for certain: the call itself, of a row that would say if there were several."""
        lines = [line for line, _ in self.lines]
        is_once = len({line.unit for line in lines}) == len(lines)
        tiers = {_tier(line) for line in lines} - {None}
        return self.owner == (MAIN, "") and is_once and not several and len(tiers) <= 1

    def holds(self, tier_at: Callable[[Component], int]) -> bool:
        """Whether every token is charged at the one tier of all parts it may have been of, the shortest and the longest.

        A tier begins beyond its threshold, and ends at the next that anything beside it was booked at.
        """
        lines = [line for line, _ in self.lines]
        booked = {tier for tier in map(_tier, lines) if tier}

        def holds(line: Line, part: Component, longest: int) -> bool:
            now, tier = tier_at(part), _tier(line) or 0
            most = min([longest, *(other for other in booked if other > tier)])
            ends = Component(part.role, {INPUT_TEXT: most}, part.model)
            return now <= tier and tier_at(ends) == now

        return all(
            holds(line, part, longest)
            for (line, part), longest in zip(self.lines, _longest(lines), strict=True)
            if UNITS[line.unit].is_token
        )


def _runs(facts: Entry, row: Entry) -> Iterator[_Run]:
    """What each role and model used, where one follows the other; of an adjusted row, what each used in all."""
    if facts is row:
        parts = (part for part in parts_of(row.lines) for _ in part.counts)
        for owner, lines in groupby(row.lines, key=_owner):
            yield _Run(owner, list(zip(lines, parts, strict=False)))
        return
    booked = _summed((*under(row, facts.model), *facts.lines), at=_unit_and_price)
    for part in components(facts, row):
        own = [(line, part) for line in booked if _owner(line) == _owner(part)]
        yield _Run(_owner(part), own)


def _longest(lines: Sequence[Line]) -> list[int]:
    """The longest prompt of a part that each line may have been of: no unit comes twice in a part."""
    found: Counter[int] = Counter()
    begin = 0
    for end, line in enumerate(lines):
        while any(other.unit == line.unit for other in lines[begin:end]):
            begin += 1
        prompt = _prompt(lines[begin : end + 1])
        for place in range(begin, end + 1):
            found[place] = max(found[place], prompt)
    return [found[place] for place in range(len(lines))]


def _prompt(lines: Iterable[Line]) -> int:
    return sum(context_tokens({line.unit: line.quantity}) for line in lines)


def _tier(line: Line) -> int | None:
    """The context tier a line was booked at; None where that is not known, and of what is counted."""
    if line.price_id is None or not UNITS[line.unit].is_token:
        return None
    return tier_of(line.price_id)


def _owner(of: Component | Line) -> tuple[str, str]:
    return of.role, of.model or ""


def _unit(line: Line) -> tuple[str | None, ...]:
    return (*_owner(line), line.unit)


def _unit_and_price(line: Line) -> tuple[str | None, ...]:
    return (*_owner(line), line.unit, line.price_id)


def _summed(
    lines: Iterable[Line], at: Callable[[Line], tuple[str | None, ...]] = _unit
) -> list[Line]:
    """The quantities of an estimate and its adjustment together; what one role and model used stands together."""
    sums: dict[tuple[str | None, ...], Line] = {}
    for line in lines:
        known = sums.get(at(line))
        more = line.quantity + (known.quantity if known else 0)
        sums[at(line)] = msgspec.structs.replace(line, quantity=more)
    return sorted((line for line in sums.values() if line.quantity), key=_owner)
