"""The month as it runs: spend by any dimension, unit economics, what caches saved, how fast models answered.

Everything is a fold over the rollup's cells, so parts sum to the whole. To add a figure: a property of Totals.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gateway.ledger.rollup import REQUEST
from gateway.metering.units import INPUT_TEXT, UNITS

_PER_MILLION, _PER_THOUSAND = 1_000_000, 1_000
_PERCENT: Final = 100


class Cell(msgspec.Struct, frozen=True):
    """Sums of the rollup under some of its dimensions. Amounts in pico-USD."""

    names: dict[str, str]
    quantity: int
    unpriced: int
    list_pico: int
    net_pico: int


class Speed(msgspec.Struct, frozen=True):
    """Attempts of a model whose stream began after so many milliseconds (below zero: no stream).

    failed  answered with an error; ``down``: of those the provider could not serve
    """

    provider: str
    model: str
    first_ms: int
    attempts: int
    failed: int
    down: int
    output: int
    ms: int


class Hour(msgspec.Struct, frozen=True):
    """What one key was charged in one half hour of a day."""

    key_id: str
    slot: int
    requests: int
    pico: int


class Totals:
    """Sums of cells. ``cached``, ``written``: prompt tokens read from and put into caches."""

    def __init__(self) -> None:
        self.requests = self.unpriced = self.pico = self.list_pico = 0
        self.uncached = self.cached = self.written = self.output = 0
        self._by_unit: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, cell: Cell, model: str = "") -> None:
        """Take a cell in; ``model`` is what cache prices are compared within."""
        unit_name = cell.names["unit"]
        self.pico += cell.net_pico
        self.list_pico += cell.list_pico
        if unit_name == REQUEST:
            self.requests += cell.quantity
            self.unpriced += cell.unpriced
            return
        sums = self._by_unit[model, unit_name]
        sums[0] += cell.quantity - cell.unpriced
        sums[1] += cell.net_pico
        unit = UNITS.get(unit_name)
        if unit is not None and unit.is_token:
            self._count(unit.direction, unit.cache, cell.quantity)

    def _count(self, direction: str, cache: str, quantity: int) -> None:
        if direction == "output":
            self.output += quantity
        elif cache == "read":
            self.cached += quantity
        elif cache == "write":
            self.written += quantity
        else:
            self.uncached += quantity

    @property
    def input(self) -> int:
        """The whole prompt, cached parts included."""
        return self.uncached + self.cached + self.written

    @property
    def per_thousand(self) -> int | None:
        """Pico-USD of a thousand requests."""
        return self.pico * _PER_THOUSAND // self.requests if self.requests else None

    @property
    def per_million(self) -> int | None:
        """Pico-USD of a million tokens, both directions."""
        count = self.input + self.output
        return self.pico * _PER_MILLION // count if count else None

    @property
    def cached_share(self) -> int | None:
        """Percent of the prompt that came from caches."""
        return self.cached * _PERCENT // self.input if self.input else None

    def cache_saved(self) -> int:
        """What caches saved: reads at the price of plain input, less the premium of writes; may be negative.

        Each model's own mean prices of this very usage; a model without plain input says nothing.
        """
        saved = 0
        for (model, unit_name), (quantity, pico) in self._by_unit.items():
            unit = UNITS.get(unit_name)
            plain, plain_pico = self._by_unit.get((model, INPUT_TEXT), (0, 0))
            if unit is not None and unit.cache and plain > 0:
                saved += quantity * plain_pico // plain - pico
        return saved


def grouped(
    cells: Iterable[Cell], name: Callable[[Cell], tuple[str, ...]]
) -> dict[tuple[str, ...], Totals]:
    """Cells folded under names; every cell is in exactly one."""
    found: dict[tuple[str, ...], Totals] = {}
    for cell in cells:
        totals = found.setdefault(name(cell), Totals())
        totals.add(cell, f"{cell.names.get('provider', '')}/{cell.names.get('model', '')}")
    return found


class Pace(msgspec.Struct, frozen=True):
    """How a model answered. Times in milliseconds, None where nothing was streamed; shares in basis points."""

    attempts: int
    first_p50_ms: int | None
    first_p95_ms: int | None
    tokens_per_s: int | None
    errors_bp: int
    available_bp: int


def paces(speeds: Sequence[Speed]) -> dict[tuple[str, str], Pace]:
    """Provider and model → how it answered."""
    by_model: dict[tuple[str, str], list[Speed]] = defaultdict(list)
    for one in speeds:
        by_model[one.provider, one.model].append(one)
    return {key: _pace(found) for key, found in by_model.items()}


def _pace(found: Sequence[Speed]) -> Pace:
    attempts = sum(one.attempts for one in found)
    output, ms = sum(one.output for one in found), sum(one.ms for one in found)
    streamed = sorted((one.first_ms, one.attempts) for one in found if one.first_ms >= 0)
    return Pace(
        attempts=attempts,
        first_p50_ms=_percentile(streamed, 50),
        first_p95_ms=_percentile(streamed, 95),
        tokens_per_s=output * 1000 // ms if ms else None,
        errors_bp=_basis_points(sum(one.failed for one in found), attempts),
        available_bp=10_000 - _basis_points(sum(one.down for one in found), attempts),
    )


def _percentile(streamed: Sequence[tuple[int, int]], percent: int) -> int | None:
    """The smallest time that so many percent of the streams did not exceed."""
    whole = sum(count for _, count in streamed)
    seen = 0
    for first_ms, count in streamed:
        seen += count
        if seen * _PERCENT >= whole * percent:
            return first_ms
    return None


def _basis_points(part: int, whole: int) -> int:
    return (part * 10_000 + whole // 2) // whole if whole else 0
