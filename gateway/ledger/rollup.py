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
# Flag of a correction of a row that counted a request, which its next attempt's row counts.
ADJUSTS_REQUEST: Final = "adjusts_request"
_MONTH: Final = len("2026-11")
_USAGE: Final = EntryKind.USAGE
_UNCONFIRMED: Final = str(EntryKind.UNCONFIRMED)
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
    shelves: dict[_Shared, dict[tuple[str, str], Sums]] = {}
    for entry in entries:
        shelf = shelves.setdefault(_shared(entry), {})
        model = entry.model or ""
        if FAILED_OVER not in entry.flags:
            sums = _at(shelf, (model, REQUEST))
            sums.quantity += 1
            sums.unpriced += unpriced_requests(entry)
        for line in entry.lines:
            key = (model if line.model is None else line.model, line.unit)
            _take(_at(shelf, key), line)
        if ADJUSTS_REQUEST in entry.flags:
            # Taken back where it was counted: readers add the requests of some kinds only.
            taken = shelves.setdefault((*_shared(entry)[:-1], _UNCONFIRMED), {})
            _at(taken, (model, REQUEST)).quantity -= 1
    cells: dict[Cell, Sums] = {}
    for (day, period, org, team, user, app, provider, kind), shelf in shelves.items():
        for (model, unit), sums in shelf.items():
            cells[Cell(day, period, org, team, user, app, provider, model, unit, kind)] = sums
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
    if entry.kind is _USAGE or entry.kind not in _REPLACING:
        return unpriced
    return unpriced - int(ADJUSTS_UNPRICED in entry.flags)


def standing_unpriced(entries: Iterable[Entry]) -> int:
    """How many requests without a (full) price a row and its corrections count together: 0 or 1."""
    return sum(unpriced_requests(one) for one in entries if FAILED_OVER not in one.flags)


# Of a flush's entries most have all of this in common: they are told apart once per entry, not once per line.
_Shared = tuple[str, int, str, str, str, str, str, str]


def _shared(entry: Entry) -> _Shared:
    return (
        entry.day,
        entry.period,
        entry.org,
        entry.team,
        entry.user,
        entry.app or "",
        entry.provider,
        str(entry.kind),
    )


def _at(shelf: dict[tuple[str, str], Sums], key: tuple[str, str]) -> Sums:
    sums = shelf.get(key)
    if sums is None:
        sums = shelf[key] = Sums()
    return sums


def _take(sums: Sums, line: Line) -> None:
    list_pico, net_pico = line.list_pico, line.net_pico
    sums.quantity += line.quantity
    if list_pico is None or net_pico is None:
        sums.unpriced += line.quantity
    sums.list_pico += list_pico or 0
    sums.net_pico += net_pico or 0


def _add(cells: dict[Cell, Sums], cell: Cell, more: Sums) -> None:
    sums = cells.setdefault(cell, more)
    if sums is not more:
        sums.quantity += more.quantity
        sums.unpriced += more.unpriced
        sums.list_pico += more.list_pico
        sums.net_pico += more.net_pico
