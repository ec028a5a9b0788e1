"""The rollups as folds over entries: what a flush adds, what a rebuild must find again.

By day (``roll``), and from that by month (``by_month``). Both dialects and ``verify`` use this one fold. To add a dimension: a field of Cell, a column of
``usage_daily`` with a migration, and the reason it is worth the rows it multiplies.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line

REQUEST: Final = (
    "request"  # the pseudo-unit that counts entries, but for those that another attempt followed
)
ADJUSTS_UNPRICED: Final = "adjusts_unpriced"  # flag of a correction of a row that had no price
_MONTH: Final = len("2026-11")
_REPLACING: Final = frozenset({EntryKind.ADJUSTMENT, EntryKind.REPRICE})
PRICED: Final = frozenset({"priced", "zero_marginal", "free"})


class Cell(msgspec.Struct, frozen=True, order=True):
    """The grain of a rollup. ``day``: '2026-11-30', by month '2026-11'. ``app``, ``model``: '' for none."""

    day: str
    period: int
    org: str
    team: str
    user: str
    app: str
    provider: str
    model: str
    unit: str
    kind: str


class Sums(msgspec.Struct):
    """What a cell adds up. ``unpriced``: the part of the quantity that has no price; it adds no amount."""

    quantity: int = 0
    unpriced: int = 0
    list_pico: int = 0
    net_pico: int = 0


def roll(entries: Iterable[Entry]) -> dict[Cell, Sums]:
    """Fold entries into cells, each line under its unit and each request's last entry under ``request``."""
    cells: dict[Cell, Sums] = {}
    for entry in entries:
        model = entry.model or ""
        if FAILED_OVER not in entry.flags:
            _add(cells, _cell(entry, model, REQUEST), Sums(1, unpriced_requests(entry)))
        for line in entry.lines:
            cell = _cell(entry, model if line.model is None else line.model, line.unit)
            _add(cells, cell, _sums(line))
    return cells


def by_month(cells: dict[Cell, Sums]) -> dict[Cell, Sums]:
    """The cells of ``roll`` by the month of their day."""
    months: dict[Cell, Sums] = {}
    for cell, sums in cells.items():
        day, *rest = msgspec.structs.astuple(cell)
        _add(months, Cell(day[:_MONTH], *rest), Sums(*msgspec.structs.astuple(sums)))
    return months


def merge(into: dict[Cell, Sums], more: dict[Cell, Sums]) -> None:
    """Add the cells of one fold to another's; ``more`` is given up."""
    for cell, sums in more.items():
        _add(into, cell, sums)


def unpriced_requests(entry: Entry) -> int:
    """How many requests without a (full) price the entry adds: 0 or 1, a correction also -1."""
    unpriced = int(entry.price_status not in PRICED)
    if entry.kind not in _REPLACING:
        return unpriced
    return unpriced - int(ADJUSTS_UNPRICED in entry.flags)


def _cell(entry: Entry, model: str, unit: str) -> Cell:
    return Cell(
        entry.day,
        entry.period,
        entry.org,
        entry.team,
        entry.user,
        entry.app or "",
        entry.provider,
        model,
        unit,
        entry.kind.value,
    )


def _sums(line: Line) -> Sums:
    is_priced = line.list_pico is not None and line.net_pico is not None
    unpriced = 0 if is_priced else line.quantity
    return Sums(line.quantity, unpriced, line.list_pico or 0, line.net_pico or 0)


def _add(cells: dict[Cell, Sums], cell: Cell, more: Sums) -> None:
    sums = cells.setdefault(cell, more)
    if sums is not more:
        sums.quantity += more.quantity
        sums.unpriced += more.unpriced
        sums.list_pico += more.list_pico
        sums.net_pico += more.net_pico
