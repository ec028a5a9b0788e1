"""What counts towards a budget: of a row that was booked, and of a request that is still to be sent.

To add a measure: its word in quota.budget, its line in ``amount`` and in ``bounded``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.kernel.money import ceil_nano
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind
from gateway.ledger.rollup import ADJUSTS_REQUEST
from gateway.metering.units import UNITS
from gateway.quota.budget import (
    CONCURRENT,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    UNIT,
    USD_LIST,
    USD_NET,
    Budget,
)

MINUTE: Final = "minute"
_ONCE: Final = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})
_DIRECTION: Final = {INPUT_TOKENS: "input", OUTPUT_TOKENS: "output"}


class Estimate(msgspec.Struct, frozen=True):
    """The most a request may use. Amounts in pico-USD, None where it has no price; ``units``: unit → quantity.

    paced  what it is taken to use by budgets of a rolling minute, where that is less: they are to slow requests down,
           and count what was used once it is known, so that one which may fill a model's whole context can pass
    """

    list_pico: int | None = None
    net_pico: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    units: dict[str, int] = {}
    paced: "Estimate | None" = None


def amount(budget: Budget, entry: Entry) -> int:
    """What a row posts to a budget: nano-USD rounded up, tokens, or requests; negative for a correction.

    Of a row that has no total, because one of its lines has no price, the lines that have one.
    """
    measure = budget.measure
    if measure == USD_NET:
        return _money(entry.net_pico, [line.net_pico for line in entry.lines])
    if measure == USD_LIST:
        return _money(entry.list_pico, [line.list_pico for line in entry.lines])
    if measure == REQUESTS:
        return _requests(entry)
    if measure == CONCURRENT:
        return 0
    return sum(line.quantity for line in entry.lines if _counts(measure, line.unit))


def _money(total_pico: int | None, lines_pico: list[int | None]) -> int:
    if total_pico is None:
        total_pico = sum([pico for pico in lines_pico if pico is not None])
    return ceil_nano(total_pico)


def _requests(entry: Entry) -> int:
    if ADJUSTS_REQUEST in entry.flags:
        return -1
    return int(entry.kind in _ONCE and FAILED_OVER not in entry.flags)


def bounded(budget: Budget, estimate: Estimate) -> int:
    """What a request may use of a budget at most."""
    measure = budget.measure
    if estimate.paced is not None and budget.window == MINUTE:
        estimate = estimate.paced
    if measure.startswith(UNIT):
        return estimate.units.get(measure.removeprefix(UNIT), 0)
    return _BOUNDED[measure](estimate)


_BOUNDED: Final[dict[str, Callable[[Estimate], int]]] = {
    USD_NET: lambda estimate: ceil_nano(estimate.net_pico or 0),
    USD_LIST: lambda estimate: ceil_nano(estimate.list_pico or 0),
    TOKENS: lambda estimate: estimate.input_tokens + estimate.output_tokens,
    INPUT_TOKENS: lambda estimate: estimate.input_tokens,
    OUTPUT_TOKENS: lambda estimate: estimate.output_tokens,
    REQUESTS: lambda _: 1,
    CONCURRENT: lambda _: 1,
}


def _counts(measure: str, unit: str) -> bool:
    if measure.startswith(UNIT):
        return measure == UNIT + unit
    known = UNITS.get(unit)
    if known is None or not known.is_token:
        return False
    return measure == TOKENS or _DIRECTION[measure] == known.direction
