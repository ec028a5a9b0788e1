"""Other currencies: a rate a month, and amounts converted in integers, for reports only; rows stay in USD.

A rate is written as units of the currency for one USD: 0.9215 EUR. It is kept in pico-units, so it has at most
12 decimals.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.kernel.errors import BadRequest
from gateway.kernel.money import PICO_PER_USD, parse_usd

USD: Final = "USD"
_CODE: Final = re.compile(r"[A-Z]{3}")


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of a month. ``pico``: pico-units of the currency for one USD; ``source``: where it is from."""

    period: int
    currency: str
    pico: int
    source: str
    author: str
    at_us: int


def checked(currency: str, rate: str) -> int:
    """The pico-units of a written rate. Raises BadRequest on what is no currency or no rate."""
    if not _CODE.fullmatch(currency) or currency == USD:
        raise BadRequest(f"a currency is a code such as EUR, other than USD: found {currency!r}")
    try:
        pico = parse_usd(rate)
    except ValueError:
        pico = 0
    if pico <= 0 or "e" in rate.lower():
        raise BadRequest(
            f"a rate is a decimal above zero, units for one USD, as 0.9215: found {rate!r}"
        )
    return pico


def standing(rates: Iterable[Rate]) -> dict[tuple[int, str], Rate]:
    """The newest rate of each month and currency."""
    newest: dict[tuple[int, str], Rate] = {}
    for rate in sorted(rates, key=lambda one: one.at_us):
        newest[rate.period, rate.currency] = rate
    return newest


def from_usd(pico: int, rate: int) -> int:
    """Pico-USD in pico-units of a currency, rounded half away from zero."""
    return _rounded(pico * rate, PICO_PER_USD)


def in_usd(pico: int, rate: int) -> int:
    """Pico-units of a currency in pico-USD, rounded half away from zero."""
    return _rounded(pico * PICO_PER_USD, rate)


def _rounded(numerator: int, denominator: int) -> int:
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -size if numerator < 0 else size
