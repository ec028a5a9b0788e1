"""Amounts and counts as a statement prints them: cents by largest remainder, words for people."""

import calendar
from collections.abc import Sequence
from typing import Final

from gateway.kernel.money import PICO_PER_USD
from gateway.ledger.currencies import CENTS

CENT: Final = PICO_PER_USD // 100
MINUS: Final = "\N{MINUS SIGN}"
_SHORT_FROM: Final = 100_000  # from here on the tenth of a million says enough


def in_cents(parts: Sequence[int], cents: int) -> list[int]:
    """Pico-USD parts, negative ones too, as whole cents that sum to ``cents`` by largest remainder.

    Raises ValueError where the sum is further from ``cents`` than rounding can be.
    """
    floors = [part // CENT for part in parts]
    missing = cents - sum(floors)
    if not 0 <= missing <= len(parts):
        raise ValueError(f"{sum(parts)} pico-USD do not round to {cents} cents")
    order = sorted(range(len(parts)), key=lambda at: (-(parts[at] % CENT), at))
    for at in order[:missing]:
        floors[at] += 1
    return floors


def in_words(minor: int, sign: str = "$", digits: int = CENTS) -> str:
    """$1,234.50, with a true minus sign; ``minor``: cents, or whole units of so many decimals (JPY 1,235)."""
    whole, rest = divmod(abs(minor), 10**digits)
    point = f".{rest:0{digits}}" if digits else ""
    return f"{MINUS if minor < 0 else ''}{sign}{whole:,}{point}"


def percent(part: int, whole: int, places: int = 1) -> str:
    """'12.5 %', rounded half up; '' of nothing."""
    if not whole:
        return ""
    scale = 10**places
    size = (abs(part) * 200 * scale + abs(whole)) // (2 * abs(whole))
    minus = MINUS if size and (part < 0) != (whole < 0) else ""
    text = f"{size // scale}.{size % scale:0{places}}" if places else str(size)
    return f"{minus}{text} %"


def tokens(count: int) -> str:
    """Tokens as people read them: exact below a hundred thousand, else tenths of millions."""
    if abs(count) < _SHORT_FROM:
        return f"{count:,}".replace("-", MINUS)
    tenths = (abs(count) + 50_000) // 100_000
    return f"{MINUS if count < 0 else ''}{tenths // 10:,}.{tenths % 10} M"


def month_name(period: int) -> str:
    """202610 → 'October 2026'."""
    return f"{calendar.month_name[period % 100]} {period // 100}"


def span(period: int, zone: str, through: str = "") -> str:
    """The days of a period and their zone, for people; ``through``: as of a statement, its last day so far."""
    last, so_far = (int(through[-2:]), " so far") if through else (days_of(period), "")
    first = "" if last == 1 else "1\N{EN DASH}"
    return f"{first}{last} {month_name(period)}{so_far} ({zone})"


def days_of(period: int) -> int:
    """How many days a period has."""
    return calendar.monthrange(period // 100, period % 100)[1]
