"""What-if: the exact tokens of a month's rows at another model's prices, with speed and errors beside it.

Same token counts: another model's tokenizer would count the same text differently, and nobody knows by how much.
A unit that the other model has no price for is charged there as the unit it refines (a cached token as input),
and said so; what has no price even then leaves its row out of both sums.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.metering.units import UNITS
from gateway.metering.usage import MAIN
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import PROMPT, Status, rate

_HTTP_ERRORS: Final = 400
_FAILED: Final = (Outcome.ERROR, Outcome.UPSTREAM_FAILED, Outcome.INTERRUPTED)
_ATTEMPTS: Final = (EntryKind.USAGE, EntryKind.INTERRUPTED)
_MS: Final = 1000


class Source(NamedTuple):
    """A model that was used: whose tokens are priced again."""

    provider: str
    model: str


class Pace:
    """How fast and how reliable the calls of one model were: exact percentiles, one number per call."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self._first_byte = array("q")
        self._total = array("q")
        self._tokens_per_second = array("q")

    def add(self, entry: Entry) -> None:
        """Count one attempt; its times only where it succeeded."""
        if entry.kind not in _ATTEMPTS:
            return
        self.requests += 1
        if entry.outcome in _FAILED or entry.status >= _HTTP_ERRORS:
            self.errors += 1
            return
        if entry.first_byte_ms is not None:
            self._first_byte.append(entry.first_byte_ms)
        if entry.total_ms is not None:
            self._total.append(entry.total_ms)
        written = (entry.total_ms or 0) - (entry.first_byte_ms or 0)
        if entry.stream and written > 0:
            output = sum(line.quantity for line in entry.lines if _direction(line) == "output")
            self._tokens_per_second.append(output * _MS // written)

    def first_byte_ms(self, percent: int) -> int | None:
        """The time to the first byte that so many percent of calls did not exceed."""
        return percentile(self._first_byte, percent)

    def total_ms(self, percent: int) -> int | None:
        """The time of the whole answer."""
        return percentile(self._total, percent)

    def tokens_per_second(self, percent: int) -> int | None:
        """Output tokens a second after the first byte, of streams."""
        return percentile(self._tokens_per_second, percent)


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The smallest value that at least ``percent`` of all do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def _direction(line: Line) -> str:
    unit = UNITS.get(line.unit)
    return unit.direction if unit is not None and unit.is_token else ""


class Repriced:
    """The rows of one source under the other prices. Amounts are list prices in pico-USD.

    was_pico, is_pico  of the rows that have a whole price on both sides
    left_out           rows without a price: 'was' today already, 'there' at the other model
    charged_as         tokens charged as a coarser unit there: (unit, as unit) → count
    """

    def __init__(self) -> None:
        self.rows = 0
        self.was_pico = 0
        self.was_net_pico = 0
        self.is_pico = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.left_out: Counter[str] = Counter()
        self.charged_as: Counter[tuple[str, str]] = Counter()
        self.pace = Pace()


class Target(msgspec.Struct, frozen=True):
    """Where the tokens are priced: canonical model and place; ``at_us`` None prices each row at its own time."""

    provider: str
    model: str
    scope: str
    geo: str | None = None
    region: str | None = None
    tier: str = "standard"
    at_us: int | None = None

    def circumstances(self, occurred_us: int, context_tokens: int | None = None) -> Circumstances:
        """The circumstances of a row there."""
        return Circumstances(
            provider=self.provider,
            model=self.model,
            scope=self.scope,
            geo=self.geo,
            region=self.region,
            tier=self.tier,
            at_us=occurred_us if self.at_us is None else self.at_us,
            context_tokens=context_tokens,
        )


class WhatIf:
    """The fold: add every row of the month, then read ``sources`` and ``target_pace``."""

    def __init__(self, book: Book, target: Target) -> None:
        self._book = book
        self._target = target
        self.sources: dict[Source, Repriced] = defaultdict(Repriced)
        self.target_pace = Pace()

    def add(self, entry: Entry, *, reprice: bool = True) -> None:
        """Take in a row; without ``reprice`` only for the other model's own speed."""
        if (entry.provider, entry.model) == (self._target.provider, self._target.model):
            self.target_pace.add(entry)
        if reprice and entry.model is not None:
            found = self.sources[Source(entry.provider, entry.model)]
            found.pace.add(entry)
            self._reprice(entry, found)

    def _reprice(self, entry: Entry, found: Repriced) -> None:
        own = [line for line in entry.lines if line.role == MAIN and line.model is None]
        if not own:
            return
        found.rows += 1
        found.input_tokens += sum(line.quantity for line in own if _direction(line) == "input")
        found.output_tokens += sum(line.quantity for line in own if _direction(line) == "output")
        was, net = _sum(line.list_pico for line in own), _sum(line.net_pico for line in own)
        there = None if was is None else self._there(entry, own, found)
        if was is None or there is None:
            found.left_out["was" if was is None else "there"] += 1
            return
        found.was_pico += was
        found.was_net_pico += net or 0
        found.is_pico += there

    def _there(self, entry: Entry, own: Sequence[Line], found: Repriced) -> int | None:
        """The row's list price there. Corrections hold counts below zero: each sign is charged by itself."""
        at = self._target.circumstances(entry.occurred_us)
        amount = 0
        for sign in (1, -1):
            counts = self._counts(at, own, sign, found)
            if counts:
                charge = rate(self._book, _sized(at, counts, entry), counts)
                if charge.status is not Status.PRICED or charge.list_pico is None:
                    return None
                amount += sign * charge.list_pico
        return amount

    def _counts(
        self, at: Circumstances, own: Iterable[Line], sign: int, found: Repriced
    ) -> dict[str, int]:
        """The counts of a sign, each under the unit it is charged as there."""
        counts: Counter[str] = Counter()
        quotes = self._book.quotes(at, 0)
        for line in own:
            quantity = line.quantity * sign
            if quantity > 0:
                chain = _refined(line.unit)
                unit = next((u for u in chain if quotes.price(u) is not None), line.unit)
                counts[unit] += quantity
                if unit != line.unit:
                    found.charged_as[line.unit, unit] += quantity
        return dict(counts)


def _sized(at: Circumstances, counts: Mapping[str, int], entry: Entry) -> Circumstances:
    """Batches are sums over many requests: their prompt sizes are unknown, so the lowest context tier holds."""
    prompt = sum(count for unit, count in counts.items() if unit in PROMPT)
    size = 0 if entry.tier == "batch" else prompt
    return msgspec.structs.replace(at, context_tokens=size)


def _refined(unit: str) -> Iterator[str]:
    """The unit, and the coarser ones it is a part of."""
    while unit:
        yield unit
        found = UNITS.get(unit)
        unit = "" if found is None else found.refines


def _sum(amounts: Iterable[int | None]) -> int | None:
    total = 0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
