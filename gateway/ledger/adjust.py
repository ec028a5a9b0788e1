"""The adjustment: what turns a booked estimate into the truth that arrived later, as deltas.

Corrections of other kinds are built the same way (``reprice``): lines of differences, ``ref_id``.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.kernel.ids import adjustment_id
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line
from gateway.ledger.rollup import ADJUSTS_REQUEST, ADJUSTS_UNPRICED, standing_unpriced
from gateway.ledger.validity import total

ESTIMATES: Final = frozenset({EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


def adjustment(estimate: Entry, true: Entry, corrections: Sequence[Entry] = ()) -> Entry:
    """The entry that, added to ``estimate``, gives the quantities and amounts of ``true``.

    ``corrections``: what corrects the estimate already (a re-rating may come before the truth); with them too the
    request counts as unpriced where the truth has no price, and else not. What they changed of amounts the next
    re-rating tells from the truth. Its id is the estimate's twin, so a replay books it once. A quantity without a price is taken back
    without a price: the unpriced quantity sums to the truth as well.
    """
    lines = deltas(estimate, true)
    counts = standing_unpriced((estimate, *corrections)) > 0
    flags = (*true.flags, ADJUSTS_UNPRICED) if counts else true.flags
    if FAILED_OVER in true.flags and FAILED_OVER not in estimate.flags:
        flags = (*flags, ADJUSTS_REQUEST)  # its hold ended while the request went on elsewhere
    return msgspec.structs.replace(
        true,
        id=adjustment_id(true.id),
        kind=EntryKind.ADJUSTMENT,
        ref_id=true.id,
        day=estimate.day,
        period=estimate.period,
        lines=lines,
        list_pico=total([line.list_pico for line in lines]),
        net_pico=total([line.net_pico for line in lines]),
        flags=flags,
        settles=None,
    )


def deltas(estimate: Entry, true: Entry) -> tuple[Line, ...]:
    """True lines and negated estimate lines, merged where unit, model, role and price are the same.

    Known and unknown amounts are never merged: two quantities that cancel would make an unknown amount zero.
    """
    merged: dict[tuple[str | bool | None, ...], Line] = {}
    for line in (*under(true, true.model), *map(_negated, under(estimate, true.model))):
        price = (line.price_id, line.list_pico is None, line.net_pico is None)
        key = (line.unit, line.role, line.model, *price)
        other = merged.get(key)
        merged[key] = line if other is None else _sum(other, line)
    return tuple(
        line for line in merged.values() if line.quantity or line.list_pico or line.net_pico
    )


def together(row: Entry, corrections: Sequence[Entry]) -> Entry:
    """A row as it and its corrections stand: what was taken back is gone, the model is that of the last word."""
    entries = (row, *sorted(corrections, key=lambda one: (one.booked_us, one.id)))
    model = entries[-1].model
    lines = tuple(line for entry in entries for line in under(entry, model))
    nothing = msgspec.structs.replace(row, model=model, lines=())
    stands = msgspec.structs.replace(nothing, lines=lines)
    return msgspec.structs.replace(nothing, lines=deltas(nothing, stands))


def under(entry: Entry, model: str | None) -> list[Line]:
    """The lines, naming their model where the adjustment's own model is another."""
    if entry.model == model:
        return list(entry.lines)
    own = entry.model or ""  # '' says: under no model at all, as the rollup does
    return [
        msgspec.structs.replace(line, model=own) if line.model is None else line
        for line in entry.lines
    ]


def _negated(line: Line) -> Line:
    return msgspec.structs.replace(
        line,
        quantity=-line.quantity,
        list_pico=None if line.list_pico is None else -line.list_pico,
        net_pico=None if line.net_pico is None else -line.net_pico,
    )


def _sum(one: Line, other: Line) -> Line:
    return msgspec.structs.replace(
        one,
        quantity=one.quantity + other.quantity,
        list_pico=_plus(one.list_pico, other.list_pico),
        net_pico=_plus(one.net_pico, other.net_pico),
    )


def _plus(one: int | None, other: int | None) -> int | None:
    # Merged lines are known alike: where one amount is unknown, so is the other.
    return None if one is None else one + (other or 0)
