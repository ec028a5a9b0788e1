"""What a price book covers: per family of models the scopes, tiers and classes that have a price, and how sure.

To show another class: a line in ``CLASSES``.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from gateway.metering.units import UNITS, Unit
from gateway.pricing.dimensions import Dimension, position
from gateway.pricing.row import Row

_SCOPE: Final = position(Dimension.SCOPE)
_TIER: Final = position(Dimension.TIER)

# A class of usage → which units are of it.
CLASSES: Final[dict[str, Callable[[Unit], bool]]] = {
    "text": lambda unit: unit.name in ("input_text", "output_text"),
    "reasoning": lambda unit: unit.name == "output_reasoning",
    "cache read": lambda unit: unit.cache == "read",
    "cache write": lambda unit: unit.cache == "write",
    "image": lambda unit: unit.modality == "image",
    "audio": lambda unit: unit.modality == "audio",
    "characters": lambda unit: unit.name == "characters_in",
    "video": lambda unit: unit.modality == "video",
    "search": lambda unit: unit.modality == "search",
    "code": lambda unit: unit.modality == "code",
    "guardrail": lambda unit: unit.modality == "guardrail",
    "capacity": lambda unit: unit.modality == "capacity",
}


class Covered:
    """One family: its models, and what of them has a price."""

    def __init__(self) -> None:
        self.rows = 0
        self.models: set[str] = set()
        self.scopes: dict[str, set[str]] = defaultdict(set)  # word → models
        self.tiers: dict[str, set[str]] = defaultdict(set)
        self.classes: dict[str, set[str]] = defaultdict(set)
        self.long_context: set[str] = set()
        self.evidence: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Take in a row."""
        unit = UNITS[row.unit]
        self.rows += 1
        self.models.add(row.model)
        self.scopes[row.terms[_SCOPE]].add(row.model)
        self.tiers[row.terms[_TIER]].add(row.model)
        for name, holds in CLASSES.items():
            if holds(unit):
                self.classes[name].add(row.model)
        if row.context_gt:
            self.long_context.add(row.model)
        if not row.as_unit:
            self.evidence[row.evidence] += 1


def family(model: str) -> str:
    """The family of a model: its publisher where the name has one, else its first word."""
    publisher, _, rest = model.partition(".")
    named = publisher.isalnum() and rest[:1].isalpha()
    return publisher if named else model.replace(".", "-").split("-", maxsplit=1)[0]


def coverage(
    rows: Iterable[Row], at_us: int, *, by_model: bool = False
) -> dict[tuple[str, str], Covered]:
    """What the rows valid at an instant cover, by (provider, family), or by (provider, model)."""
    found: dict[tuple[str, str], Covered] = defaultdict(Covered)
    for row in rows:
        if row.since_us <= at_us < row.until_us:
            found[row.provider, row.model if by_model else family(row.model)].add(row)
    return dict(sorted(found.items()))
