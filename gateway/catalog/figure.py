"""A figure as a source states it, and which figure of a model is meant: the common ground of all sources."""

from decimal import Decimal, Inexact, localcontext
from typing import Final, NamedTuple

from gateway.metering.units import UNITS

MILLION: Final = 1_000_000
_PER: Final = {
    "images_out": 1, "video_seconds": 1, "ptu_hours": 1, "code_interpreter_sessions": 1, "audio_seconds": 3600,
}  # fmt: skip


class SourceUnreadable(ValueError):
    """A source that is not what it should be; the message names it."""


class Slot(NamedTuple):
    """Which figure of a model: a unit, at a tier, above a context threshold."""

    unit: str
    tier: str
    context_gt: int = 0


class Figure(NamedTuple):
    """So many USD per so many units, exactly as stated."""

    usd: Decimal
    per: int = 1

    def equals(self, other: "Figure") -> bool:
        """Whether both say the same price per unit."""
        return self.usd * other.per == other.usd * self.per

    def times(self, factor: Decimal) -> "Figure":
        """The figure with a surcharge or a discount."""
        return Figure(self.usd * factor, self.per)

    def text(self, per: int) -> str:
        """The plain decimal of the price per so many units. Raises ValueError where it has no finite one."""
        try:
            with localcontext() as exact:
                exact.traps[Inexact] = True
                return plain(self.usd * per / self.per)
        except Inexact as error:
            text = f"{self.usd} per {self.per} has no finite decimal per {per}"
            raise ValueError(text) from error


def plain(value: Decimal) -> str:
    """Decimal text without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def per_of(unit: str) -> int:
    """Per how many of a unit people read a price: a million tokens, a thousand of what is counted."""
    if UNITS[unit].is_token:
        return MILLION
    return _PER.get(UNITS[unit].refines or unit, 1000)
