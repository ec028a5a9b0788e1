"""One row of a provider's bill, whatever the export: who, when, which meter, how many tokens, how much.

To read a further export: a Layout in ``layouts`` that recognises its header.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from gateway.kernel.money import PICO_PER_USD
from gateway.reporting.bills.meter import Reading

Cells: TypeAlias = Mapping[str, str]
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+")
_BLOCK: Final = re.compile(
    r"\s*([0-9][0-9,]{0,11})?(?![0-9.])\s*(?:(k|m|thousand|million)(?=\b|tokens))?"
)
_SCALES: Final = {None: 1, "k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}
_DIGITS_MAX: Final = 60  # before or behind the point
_DAYS_MAX: Final = 1_024
_ABSOLUTE: Final = Decimal("0.0001")
_RELATIVE: Final = Decimal("0.0005")

USAGE, TAX, CREDIT, PURCHASE, ADJUSTMENT = "usage", "tax", "credit", "purchase", "adjustment"
ELSEWHERE: Final = "elsewhere"  # of a service that is not inference


class Charge(msgspec.Struct, frozen=True):
    """A row as every cloud can say it.

    kind      usage | tax | credit | purchase | adjustment | elsewhere
    quantity  what the unit price is per; ``tokens`` the same in single tokens
    """

    kind: str
    account: str
    day: str
    meter: str
    description: str
    region: str
    invoice: str
    quantity: Decimal | None
    unit_price: Decimal | None
    tokens: Decimal
    cost: Decimal

    @property
    def pico(self) -> int:
        """The cost in pico-USD, half even: bills carry up to 20 decimals, and no row is worth half a pico."""
        return int((self.cost * PICO_PER_USD).to_integral_value())

    def ties(self) -> bool:
        """Whether quantity times unit price is the cost, where the export says all three."""
        if self.quantity is None or self.unit_price is None:
            return True
        off = abs(self.quantity * self.unit_price - self.cost)
        return off <= max(_ABSOLUTE, abs(self.cost) * _RELATIVE)


class Layout(msgspec.Struct, frozen=True):
    """An export's form. ``needs``: columns that only it has together."""

    name: str
    needs: tuple[frozenset[str], ...]
    charge: Callable[[Cells], Charge]
    read: Callable[[str, str], Reading]

    def fits(self, columns: frozenset[str]) -> bool:
        """Whether a file with these columns is one."""
        return any(needed <= columns for needed in self.needs)


def first(cells: Cells, *names: str) -> str:
    """The first of these columns that holds anything."""
    return next((value for name in names if (value := cells.get(name, ""))), "")


def number(text: str) -> Decimal | None:
    """A decimal; None where the cell is empty.

    Raises ValueError where it is no number, has its commas elsewhere than between thousands ('1.234,56' is no
    1.23456), or is beyond any bill.
    """
    if not text:
        return None
    try:
        value = Decimal(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not value.is_finite() or (value and abs(value.adjusted()) > _DIGITS_MAX):
        raise ValueError(f"{text!r} is not a number")
    return value


@lru_cache(maxsize=_DAYS_MAX)
def is_day(text: str) -> bool:
    """Whether it is a date such as 2026-10-31."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def amount(text: str) -> Decimal:
    """The same with zero for an empty cell."""
    return number(text) or Decimal(0)


def block(unit: str) -> int:
    """How many tokens a pricing unit holds: 1K, 10M, '1000 tokens', '1M Tokens'; 1 where it names none."""
    found = _BLOCK.match(unit.lower())
    if found is None:
        return 1
    return int((found[1] or "1").replace(",", "")) * _SCALES[found[2]]
