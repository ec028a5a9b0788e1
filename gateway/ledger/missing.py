"""What has no price, as a fold over entries: by model, unit and circumstances, how often and how much.

Corrections take back what they priced since: what is left is what is missing still.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.ledger.entry import Entry, EntryKind

LACKING: Final = ("unpriced", "partial", "ambiguous")  # the price statuses of rows with a NULL line
CORRECTIONS: Final = (EntryKind.ADJUSTMENT, EntryKind.REPRICE, EntryKind.REVERSAL)


class Wanted(msgspec.Struct, frozen=True, order=True):
    """The price that is missing. ``model``: canonical, else as the answer or the client names it; '' for none."""

    provider: str
    model: str
    scope: str
    geo: str
    region: str
    tier: str
    unit: str


class Missed(msgspec.Struct):
    """How much of it. ``is_ambiguous``: there are prices, and its place decides. Times are epoch microseconds."""

    lines: int = 0
    quantity: int = 0
    is_ambiguous: bool = False
    first_us: int = 0
    last_us: int = 0


class Gaps:
    """The fold; entries in any order."""

    def __init__(self) -> None:
        self._missed: dict[Wanted, Missed] = {}
        self.unknown = 0  # rows of which nobody knows what they used

    def add(self, entry: Entry) -> None:
        """Count the lines of an entry that have no price."""
        is_correction = entry.kind in CORRECTIONS
        if not entry.lines and not is_correction:
            self.unknown += 1
        for line in entry.lines:
            if line.list_pico is None:
                missed = self._missed.setdefault(
                    _wanted(entry, line.model, line.unit), Missed(first_us=entry.occurred_us)
                )
                missed.quantity += line.quantity
                missed.lines += -1 if line.quantity < 0 else 1
                missed.is_ambiguous |= entry.price_status == "ambiguous"
                missed.first_us = min(missed.first_us, entry.occurred_us)
                missed.last_us = max(missed.last_us, entry.occurred_us)

    def found(self) -> list[tuple[Wanted, Missed]]:
        """What is missing still, the most frequent first."""
        left = [(wanted, missed) for wanted, missed in self._missed.items() if missed.quantity]
        return sorted(left, key=lambda each: (-each[1].lines, each[0]))


def gaps(entries: Iterable[Entry]) -> Gaps:
    """The fold of some entries."""
    found = Gaps()
    for entry in entries:
        found.add(entry)
    return found


def _wanted(entry: Entry, line_model: str | None, unit: str) -> Wanted:
    own = entry.model or entry.served_model or entry.deployment or ""
    return Wanted(
        provider=entry.provider,
        model=own if line_model is None else line_model,
        scope=entry.scope or "",
        geo=entry.geo or "",
        region=entry.region or "",
        tier=entry.tier,
        unit=unit,
    )
