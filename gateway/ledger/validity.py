"""What makes an entry bookable: a wrong one is quarantined with its reason, its neighbours are booked.

To add a rule: a line in ``problem`` and the sentence a person reads in the quarantine.
"""

from typing import Final

from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.metering.units import UNITS

INT64_MAX: Final = 2**63 - 1
_USAGE: Final = EntryKind.USAGE
_CORRECTIONS: Final = frozenset({EntryKind.ADJUSTMENT, EntryKind.REVERSAL, EntryKind.REPRICE})


def problem(entry: Entry) -> str | None:
    """Why the entry cannot be booked, in one sentence; None where it can."""
    is_correction = entry.kind is not _USAGE and entry.kind in _CORRECTIONS
    for line in entry.lines:
        found = _line_problem(line, may_be_negative=is_correction)
        if found:
            return found
    if is_correction and entry.ref_id is None:
        return f"kind {entry.kind.value} names no entry it corrects (ref_id)"
    return _total_problem("list", [line.list_pico for line in entry.lines], entry.list_pico) or (
        _total_problem("net", [line.net_pico for line in entry.lines], entry.net_pico)
    )


def total(amounts: list[int | None]) -> int | None:
    """The sum of the lines' amounts; None where one of them is unknown."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _line_problem(line: Line, *, may_be_negative: bool) -> str | None:
    if line.unit not in UNITS:
        return f"unit {line.unit!r} is not registered"
    if line.quantity < 0 and not may_be_negative:
        return f"quantity {line.quantity} of {line.unit} is negative"
    for amount in (line.quantity, line.list_pico, line.net_pico):
        if amount is not None and abs(amount) > INT64_MAX:
            return f"{amount} of {line.unit} does not fit 64 bits"
    return None


def _total_problem(name: str, amounts: list[int | None], stated: int | None) -> str | None:
    if stated is not None and abs(stated) > INT64_MAX:
        return f"{name} total {stated} does not fit 64 bits"
    if not amounts:
        # A known zero (an error answer) or an unknown (nothing counted yet); anything else has no line.
        return f"{name} total {stated} has no line" if stated else None
    summed = total(amounts)
    return (
        None if summed == stated else f"{name} total {stated} is not the sum of its lines {summed}"
    )
