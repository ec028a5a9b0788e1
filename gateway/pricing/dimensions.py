"""The registry of price dimensions: what a price may depend on besides unit, context and date.

To add one: one member of ``Dimension`` and one reader of ``Circumstances`` in ``READERS``; the column
of price files and the position in ``Row.terms`` follow from the member. A row that leaves an *open*
dimension empty keeps applying, whatever the new one says; a *named* dimension is always spelt out.
"""

from collections.abc import Callable
from enum import StrEnum
from operator import attrgetter
from typing import Final, TypeAlias

import msgspec

STANDARD: Final = "standard"
BATCH: Final = "batch"
GLOBAL: Final = "global"
PROVISIONED: Final = "provisioned"

# Sold below the standard price: charged only where the answer says that it was given.
DISCOUNTED: Final = frozenset({BATCH, "flex", "reserved"})

# The deployment scopes a price row may name. Provisioned capacity is a fixed cost, not a price per
# unit: its requests are rated at their shadow scope.
SCOPES: Final = frozenset({GLOBAL, "data_zone", "regional", "geo", "in_region"})
TIERS: Final = frozenset(
    {STANDARD, BATCH, "flex", "priority", "fast", "ultrafast", "latency", "reserved"}
)


class Circumstances(msgspec.Struct, frozen=True):
    """Under which conditions a request was (or would be) served.

    provider        as in the price book
    model           canonical name; None where it cannot be known (unpriced)
    scope           global | data_zone | regional | geo | in_region | provisioned; None: not known
    at_us           the start of the exchange, epoch microseconds UTC
    geo, region     where it was served; None: not known
    tier            the tier served
    context_tokens  the whole prompt, cached tokens included; None: computed from the counts rated
                    (for a batch 0: its counts are a sum over requests of unknown size)
    provisioned     served by capacity already paid for; None: as ``scope`` says; False under scope
                    'provisioned' means it spilled over and is charged pay-as-you-go
    shadow_scope    the pay-as-you-go scope behind provisioned capacity
    """

    provider: str
    model: str | None
    scope: str | None
    at_us: int
    geo: str | None = None
    region: str | None = None
    tier: str = STANDARD
    context_tokens: int | None = None
    provisioned: bool | None = None
    shadow_scope: str = GLOBAL

    def zero_marginal(self) -> bool:
        """Whether the request is served by capacity that is already paid for."""
        return self.scope == PROVISIONED if self.provisioned is None else self.provisioned


class Dimension(StrEnum):
    """What a price depends on; the value is the column of the price files. Open ones: weakest first."""

    PROVIDER = "provider"
    MODEL = "model"
    SCOPE = "scope"
    GEO = "geo"
    REGION = "region"
    TIER = "tier"


class Reader(msgspec.Struct, frozen=True):
    """How a dimension is read. ``open``: a row may leave it empty, meaning any; the named row wins."""

    read: Callable[[Circumstances], str | None]
    open: bool = False


def _scope(at: Circumstances) -> str | None:
    return at.shadow_scope if at.scope == PROVISIONED else at.scope


READERS: Final[dict[Dimension, Reader]] = {
    Dimension.PROVIDER: Reader(attrgetter("provider")),
    Dimension.MODEL: Reader(attrgetter("model")),
    Dimension.SCOPE: Reader(_scope),
    Dimension.GEO: Reader(attrgetter("geo"), open=True),
    Dimension.REGION: Reader(attrgetter("region"), open=True),
    Dimension.TIER: Reader(attrgetter("tier")),
}

ORDER: Final = tuple(Dimension)
if set(READERS) != set(ORDER):
    raise ImportError("every price dimension needs a reader")

NAMED: Final = tuple(i for i, name in enumerate(ORDER) if not READERS[name].open)
OPEN: Final = tuple(i for i, name in enumerate(ORDER) if READERS[name].open)
_READ_NAMED: Final = tuple(READERS[ORDER[i]].read for i in NAMED)
_READ_OPEN: Final = tuple(READERS[ORDER[i]].read for i in OPEN)

Key: TypeAlias = tuple[str | None, ...]
Place: TypeAlias = tuple[str | None, ...]

Standing: TypeAlias = tuple[str | None, ...]
# All that key and place are made of: what differs between two requests alike in it is when, and how long.
_STANDING: Final = attrgetter(
    *(name for name in Circumstances.__struct_fields__ if name not in ("at_us", "context_tokens"))
)


def standing_of(at: Circumstances) -> Standing:
    """Everything of a request's circumstances but its instant and its prompt's size: equal for equal prices."""
    standing: Standing = _STANDING(at)
    return standing


def key_of(at: Circumstances) -> Key:
    """The named dimensions of a request, in registry order."""
    return tuple([read(at) for read in _READ_NAMED])


def place_of(at: Circumstances) -> Place:
    """The open dimensions of a request, in registry order; None where one is not known."""
    return tuple([read(at) for read in _READ_OPEN])


def position(name: Dimension) -> int:
    """Where a dimension stands in ``Row.terms``."""
    return ORDER.index(name)
