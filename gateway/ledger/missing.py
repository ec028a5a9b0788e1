"""What has no price, as a fold over rows: by model, unit, context tier and circumstances, how often and how much.

A row counts as it and its corrections stand: what is left is what is missing still.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gateway.ledger.adjust import together
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.parts import components, facts_of, parts_of
from gateway.metering.units import UNITS
from gateway.metering.usage import Component
from gateway.pricing.book import Book
from gateway.pricing.dimensions import BATCH, STANDARD, Circumstances
from gateway.pricing.rate import context_tokens, name_of

LACKING: Final = ("unpriced", "partial", "ambiguous")  # the price statuses of rows with a NULL line
CORRECTIONS: Final = (EntryKind.ADJUSTMENT, EntryKind.REPRICE, EntryKind.REVERSAL)


class Wanted(msgspec.Struct, frozen=True, order=True):
    """The price that is missing.

    model       canonical, else as the answer or the client names it; '' for none
    context_gt  the context tier, by the book of now: prompts of strictly more tokens than this
    """

    provider: str
    model: str
    scope: str
    geo: str
    region: str
    tier: str
    unit: str
    context_gt: int = 0

    def circumstances(self, book: Book, at_us: int) -> Circumstances:
        """Under what it is looked for in a book, at an instant."""
        return Circumstances(
            provider=self.provider,
            model=book.canonical(self.provider, (self.model,)) or self.model or None,
            scope=self.scope or None,
            at_us=at_us,
            geo=self.geo or None,
            region=self.region or None,
            tier=self.tier,
        )


class Missed(msgspec.Struct):
    """How much of it. ``is_ambiguous``: there are prices, and its place decides. Times are epoch microseconds."""

    lines: int = 0
    quantity: int = 0
    is_ambiguous: bool = False
    first_us: int = 0
    last_us: int = 0


class Gaps:
    """The fold; rows in any order. The book tells the context tiers of a model."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._missed: dict[Wanted, Missed] = {}
        self.unknown = 0  # rows of which nobody knows what they used

    def add(self, row: Entry, corrections: Sequence[Entry] = ()) -> None:
        """Count what has no price still of a row and the corrections made to it."""
        if not row.lines and not corrections:
            self.unknown += 1
        for entry, line, prompt in _standing(row, corrections):
            if line.list_pico is None and line.quantity > 0:
                missed = self._missed.setdefault(
                    self._wanted(entry, line, prompt), Missed(first_us=row.occurred_us)
                )
                missed.quantity += line.quantity
                missed.lines += 1
                missed.is_ambiguous |= row.price_status == "ambiguous"
                missed.first_us = min(missed.first_us, row.occurred_us)
                missed.last_us = max(missed.last_us, row.occurred_us)

    def found(self) -> list[tuple[Wanted, Missed]]:
        """What is missing still, the most frequent first."""
        return sorted(self._missed.items(), key=lambda each: (-each[1].lines, each[0]))

    def _wanted(self, entry: Entry, line: Line, prompt: int) -> Wanted:
        own = entry.model or entry.served_model or entry.deployment or ""
        beside = name_of(line.role)
        wanted = Wanted(
            provider=entry.provider,
            model=(beside or own) if line.model is None else line.model,
            scope=entry.scope or "",
            geo=entry.geo or "",
            region=entry.region or "",
            tier=entry.tier if beside is None else STANDARD,
            unit=line.unit,
        )
        at = wanted.circumstances(self._book, entry.occurred_us)
        tier = self._book.context_tier(at, prompt) if UNITS[line.unit].is_token else 0
        return msgspec.structs.replace(wanted, context_gt=tier)


def _standing(row: Entry, corrections: Sequence[Entry]) -> Iterator[tuple[Entry, Line, int]]:
    """The lines of a row as it stands, each with the size of the prompt it was used under.

    Of a unit that several parts used the longest prompt speaks where corrections were made: they keep no parts.
    """
    if not corrections:
        sizes = [
            size for part in parts_of(row.lines) for size in [_prompt(row, part)] * len(part.counts)
        ]
        yield from ((row, line, size) for line, size in zip(row.lines, sizes, strict=True))
        return
    longest: dict[tuple[str, str, str | None], int] = {}
    for part in components(facts_of(row, corrections), row):
        for unit in part.counts:
            key = part.role, unit, part.model
            longest[key] = max(longest.get(key, 0), _prompt(row, part))
    stands = together(row, corrections)
    for line in stands.lines:
        yield stands, line, longest.get((line.role, line.unit, line.model or None), 0)


def _prompt(row: Entry, part: Component) -> int:
    """The tokens of a part's prompt; 0 in a batch, whose counts are sums over many."""
    return 0 if row.tier == BATCH else context_tokens(part.counts)
