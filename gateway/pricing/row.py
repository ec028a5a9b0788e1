"""One row of a price book: a dated figure for one unit under named dimensions, with its source.

To add a column: a field here, a cell in ``load``, a check in ``complaints``.
"""

import hashlib
from collections.abc import Container, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from gateway.kernel.clock import instant
from gateway.metering.units import UNITS
from gateway.pricing.dimensions import NAMED, ORDER, SCOPES, TIERS, Dimension, position

FOREVER: Final = 2**62  # later than any instant: the end of a row that has none
EVIDENCE: Final = frozenset({"authoritative", "corroborated", "single", "manual"})
FIGURE_MAX: Final = 2**62  # of price, per and context_gt: what every store and digest can hold
ID_CHARS_MAX: Final = 96
_HASH_CHARS: Final = 16
_FIGURE_CHARS: Final = 8
_DAY_US: Final = 86_400_000_000
_DATES_MAX: Final = 1024  # a book has few distinct dates, repeated on thousands of rows
_PROVIDER: Final = position(Dimension.PROVIDER)
_MODEL: Final = position(Dimension.MODEL)
_SCOPE: Final = position(Dimension.SCOPE)
_TIER: Final = position(Dimension.TIER)


class Layer(StrEnum):
    """Where a row is from, lowest first: a higher layer stands over the lower ones for as long as it is valid."""

    SHIPPED = "shipped"
    CONFIGURED = "configured"
    IMPORTED = "imported"


RANK: Final = {layer: rank for rank, layer in enumerate(Layer)}


class BookInvalid(ValueError):
    """A price book that must not be used; ``problems`` holds every mistake, each with its place."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A price as the book holds it.

    terms       one text per dimension, in the registry's order; '' leaves an open dimension open
    context_gt  applies to prompts of strictly more tokens than this
    pico, per   pico-USD per so many units; kept as a ratio, so that nothing is rounded before a line
    as_unit     '' or the unit this one is charged exactly as; then ``pico`` means nothing
    since_us, until_us  validity, half-open, epoch microseconds UTC
    evidence    authoritative | corroborated | single | manual
    origin      'file:line' for messages
    layer       what the row stands over (``charged``)
    issue       of an imported row: the number of its import
    """

    terms: tuple[str, ...]
    unit: str
    context_gt: int = 0
    pico: int = 0
    per: int = 1_000_000
    as_unit: str = ""
    since_us: int = 0
    until_us: int = FOREVER
    source: str = ""
    source_ref: str = ""
    evidence: str = ""
    origin: str = ""
    layer: Layer = Layer.SHIPPED
    issue: int = 0

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.terms[_PROVIDER]

    @property
    def model(self) -> str:
        """The canonical model name."""
        return self.terms[_MODEL]

    def price_id(self) -> str:
        """A stable, readable id of key, start and layer; a hash stands in for what would be too long.

        An id names one figure for ever: a configured row's carries a mark of its figure, an imported row's
        the number of its import.
        """
        terms = "/".join([term or "-" for term in self.terms])
        text = f"{terms}/{self.unit}/{self.context_gt}@{dated(self.since_us)}"
        mark = self._mark()
        if len(text) + len(mark) <= ID_CHARS_MAX:
            return text + mark
        digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARS]
        return f"{text[: ID_CHARS_MAX - _HASH_CHARS - 1 - len(mark)]}~{digest}{mark}"

    def _mark(self) -> str:
        if self.layer is Layer.SHIPPED:
            return ""
        if self.layer is Layer.IMPORTED:
            return f"+import-{self.issue}"
        figure = hashlib.sha256(f"{self.pico}/{self.per}/{self.as_unit}".encode()).hexdigest()
        return f"+{self.layer}-{figure[:_FIGURE_CHARS]}"


def tier_of(price_id: str) -> int | None:
    """The context tier of the row an id is of; None where a hash stands in for it."""
    key, _, since = price_id.rpartition("@")
    tier = key.rpartition("/")[2]
    return int(tier) if since and "~" not in price_id and tier.isdigit() else None


@lru_cache(maxsize=_DATES_MAX)
def dated(since_us: int) -> str:
    """An instant as price files write it: its UTC day where it begins one."""
    at = instant(since_us)
    return f"{at:%Y-%m-%d}" if since_us % _DAY_US == 0 else at.isoformat()


def complaints(row: Row) -> Iterator[str]:
    """What is wrong with a row taken by itself, each naming its place."""
    for text in _mistakes(row):
        yield f"{row.origin or row.price_id()}: {text}"


def _mistakes(row: Row) -> Iterator[str]:
    yield from (f"{ORDER[i].value} is empty" for i in NAMED if not row.terms[i])
    yield from _unknown("scope", row.terms[_SCOPE], SCOPES)
    yield from _unknown("tier", row.terms[_TIER], TIERS)
    yield from _unknown("unit", row.unit, UNITS)
    if row.as_unit:
        yield from _unknown("unit charged as", row.as_unit, UNITS)
    yield from _unknown("evidence", row.evidence, EVIDENCE)
    if not row.source:
        yield "source is empty: every price says where it is from"
    if row.pico < 0 or row.per < 1 or row.context_gt < 0:
        yield "price, per and context_gt are not negative, and per is at least 1"
    if max(row.pico, row.per, row.context_gt) > FIGURE_MAX:
        yield f"price, per and context_gt are at most {FIGURE_MAX} (of price, in pico-USD)"
    if row.since_us >= row.until_us:
        yield "valid_to is not after valid_from"


def _unknown(what: str, value: str, known: Container[str]) -> Iterator[str]:
    if value not in known:
        yield f"{what} {value!r} is not known"
