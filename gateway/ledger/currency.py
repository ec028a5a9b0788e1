"""Other currencies: a rate a month, and amounts converted in integers, for reports only; rows stay in USD.

A rate is written as units of the currency for one USD: 0.9215 EUR. It is kept in pico-units, so it has at most
12 decimals.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.kernel.errors import BadRequest
from gateway.kernel.money import PICO_PER_USD, parse_usd
from gateway.ledger.currencies import unlike

USD: Final = "USD"
_RATE_MAX: Final = 10**9 * PICO_PER_USD  # ten thousand times the weakest currency there is


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
    if said := unlike(currency):
        raise BadRequest(f"a currency of a rate: {said}")
    if currency == USD:
        raise BadRequest("a rate is what one USD is in another currency: USD has none")
    try:
        pico = parse_usd(rate)
    except ValueError:
        pico = 0
    if not 0 < pico <= _RATE_MAX or "e" in rate.lower():
        raise BadRequest(
            "a rate is a decimal above zero, at most 1,000,000,000 with at most 12 decimals, "
            f"units for one USD, as 0.9215: found {rate!r}"
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


def in_minor(pico: int, digits: int) -> int:
    """Pico-units of a currency in whole minor units of so many decimals, rounded half away from zero."""
    return _rounded(pico, PICO_PER_USD // 10**digits)


def in_usd(pico: int, rate: int) -> int:
    """Pico-units of a currency in pico-USD, rounded half away from zero."""
    return _rounded(pico * PICO_PER_USD, rate)


def _rounded(numerator: int, denominator: int) -> int:
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -size if numerator < 0 else size
