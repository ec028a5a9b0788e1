"""Money is a whole number of pico-USD (10^-12 USD). Decimal text is read and written only here."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

PICO_PER_USD = 10**12
PICO_PER_NANO = 1000
_PICO_DIGITS = 12


def parse_usd(text: str) -> int:
    """Pico-USD of a decimal text such as '0.000125'.

    Raises ValueError where the text is not a finite decimal or needs more than 12 decimals.
    """
    try:
        value = Decimal(text).scaleb(_PICO_DIGITS)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not an amount in USD") from error
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of pico-USD (at most 12 decimals)")
    return int(value)


def format_usd(pico: int) -> str:
    """Exact decimal text in USD, no exponent, no trailing zeros: 1_500_000_000_000 → '1.5'."""
    sign = "-" if pico < 0 else ""
    whole, rest = divmod(abs(pico), PICO_PER_USD)
    digits = f"{rest:012d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def ceil_nano(pico: int) -> int:
    """Nano-USD of a quota counter, rounded up per row so that a counter never understates."""
    return -(-pico // PICO_PER_NANO)


def apportion(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split ``total`` over ``weights`` in whole units by largest remainder; the parts sum to the total.

    Ties go to the earlier part. Raises ValueError on a negative weight, or on no weight at all for a
    total that is not zero.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError("nothing to split over: every weight is zero")
        return tuple(0 for _ in weights)
    sign, size = (-1, -total) if total < 0 else (1, total)
    floors = [size * weight // whole for weight in weights]
    rests = [size * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-rests[i], i))
    for i in order[: size - sum(floors)]:
        floors[i] += 1
    return tuple(sign * part for part in floors)


def round_cents(pico: int) -> int:
    """Whole cents, half away from zero: only for the statement line."""
    cent = PICO_PER_USD // 100
    sign, size = (-1, -pico) if pico < 0 else (1, pico)
    return sign * ((2 * size + cent) // (2 * cent))
