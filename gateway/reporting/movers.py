"""What moved the spend between two spans of days: volume, mix and price; the parts sum to the change, exactly.

Volume is tokens at the mean price of before; mix is which models and token classes they are; price is what
each of those costs. To add a part: take it out of mix, so that the sum stays.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from gateway.ledger.rollup import REQUEST
from gateway.metering.units import UNITS
from gateway.reporting.outlook import Cell

Sums: TypeAlias = dict[tuple[str, str, str], list[int]]  # provider, model, unit → quantity, pico


class Mover(msgspec.Struct, frozen=True):
    """A group's change in pico-USD: ``volume`` + ``mix`` + ``price`` = ``after`` - ``before``."""

    names: tuple[str, ...]
    before: int
    after: int
    volume: int
    mix: int
    price: int

    @property
    def change(self) -> int:
        """After less before."""
        return self.after - self.before


def movers(
    before: Iterable[Cell], after: Iterable[Cell], name: Callable[[Cell], tuple[str, ...]]
) -> list[Mover]:
    """Every group that is in either span, the largest change first."""
    old, new = _by_group(before, name), _by_group(after, name)
    found = [
        _mover(names, old.get(names, {}), new.get(names, {})) for names in old.keys() | new.keys()
    ]
    return sorted(found, key=lambda one: (-abs(one.change), one.names))


def _by_group(
    cells: Iterable[Cell], name: Callable[[Cell], tuple[str, ...]]
) -> dict[tuple[str, ...], Sums]:
    found: dict[tuple[str, ...], Sums] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for cell in cells:
        names = cell.names
        if names["unit"] != REQUEST:
            sums = found[name(cell)][names["provider"], names["model"], names["unit"]]
            sums[0] += cell.quantity
            sums[1] += cell.net_pico
    return found


def _mover(names: tuple[str, ...], old: Sums, new: Sums) -> Mover:
    before, after = (sum(pico for _, pico in sums.values()) for sums in (old, new))
    tokens_before, spend_before = _tokens(old)
    tokens_after, _ = _tokens(new)
    at_old_prices = sum(
        _at_price(old.get(key), quantity, pico) for key, (quantity, pico) in new.items()
    )
    if not tokens_before:
        return Mover(names, before, after, after - before, 0, 0)
    volume = (tokens_after - tokens_before) * spend_before // tokens_before
    price = after - at_old_prices
    return Mover(names, before, after, volume, after - before - volume - price, price)


def _tokens(sums: Sums) -> tuple[int, int]:
    """How many tokens, and what they cost; searches and the like are no volume."""
    found = [pair for (_, _, unit), pair in sums.items() if unit in UNITS and UNITS[unit].is_token]
    return sum(quantity for quantity, _ in found), sum(pico for _, pico in found)


def _at_price(before: list[int] | None, quantity: int, pico: int) -> int:
    """What a quantity would have cost at the price of before; what is new is at its own."""
    if before is None or before[0] <= 0:
        return pico
    return quantity * before[1] // before[0]
