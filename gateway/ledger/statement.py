"""The statement's arithmetic: rollup sums folded to team x user x model, with totals that tie.

Amounts stay exact pico-USD; rounding is the printer's, by largest remainder (kernel.money.apportion).
To add a grouping: a field of Posting and of Row, and it joins the key in ``fold``.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from gateway.ledger.entry import EntryKind
from gateway.ledger.rollup import REQUEST

# Corrections change what a request cost, they are no requests.
_K = TypeVar("_K")
_REQUESTS: Final = frozenset(
    {EntryKind.USAGE.value, EntryKind.INTERRUPTED.value, EntryKind.UNCONFIRMED.value}
)


class Posting(msgspec.Struct, frozen=True):
    """Sums of the rollup at the statement's grain; ``kind`` is an EntryKind's value."""

    team: str
    user: str
    model: str
    unit: str
    kind: str
    quantity: int
    unpriced: int
    list_pico: int
    net_pico: int


class Partly(msgspec.Struct, frozen=True):
    """What is charged of rows that have no total of their own, since one of their lines has no price."""

    team: str
    user: str
    model: str
    net_pico: int


class Row(msgspec.Struct, frozen=True):
    """One line of a statement (or a total of lines).

    requests   entries that are requests (usage, interrupted, unconfirmed)
    units      unit → quantity, sorted by unit, zero left out
    list_pico, net_pico  sums of what has a price; None where there are requests and none of it has one
    unpriced   requests without a full price: what has none is missing from the amounts
    partly_pico  the part of net_pico that is of rows without a total of their own; the rest is the sum of
               the rows' own totals
    asked      of a line without a model: what clients asked for that the price book does not have, the most
               frequent first
    """

    team: str
    user: str
    model: str
    requests: int
    units: dict[str, int]
    list_pico: int | None
    net_pico: int | None
    unpriced: int
    partly_pico: int = 0
    asked: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True):
    """Rows sorted by team, user, model; a total per team; the total of all. The sums tie by construction."""

    rows: tuple[Row, ...]
    teams: tuple[Row, ...]
    total: Row


class _Sum:
    """A row in the making."""

    def __init__(self) -> None:
        self.requests = 0
        self.unpriced = 0
        self.units: dict[str, int] = {}
        self.list_pico = 0
        self.net_pico = 0
        self.partly_pico = 0
        self.is_priced = False

    def add(self, posting: Posting) -> None:
        self.list_pico += posting.list_pico
        self.net_pico += posting.net_pico
        # A request or a quantity that is not unpriced has a price, be it zero.
        is_priced = posting.quantity != posting.unpriced or bool(posting.net_pico)
        if posting.unit != REQUEST:
            self.units[posting.unit] = self.units.get(posting.unit, 0) + posting.quantity
            self.is_priced |= is_priced
            return
        self.unpriced += posting.unpriced
        if posting.kind in _REQUESTS:
            self.requests += posting.quantity
            self.is_priced |= is_priced

    def row(self, team: str, user: str, model: str) -> Row:
        is_unknown = self.unpriced > 0 and not self.is_priced
        units = {unit: self.units[unit] for unit in sorted(self.units) if self.units[unit]}
        return Row(
            team,
            user,
            model,
            self.requests,
            units,
            None if is_unknown else self.list_pico,
            None if is_unknown else self.net_pico,
            self.unpriced,
            self.partly_pico,
        )


def _of(sums: dict[_K, _Sum], key: _K) -> _Sum:
    found = sums.get(key)
    if found is None:
        found = sums[key] = _Sum()
    return found


def fold(postings: Iterable[Posting], partly: Iterable[Partly] = ()) -> Statement:
    """Postings → statement. Every posting enters its row, its team's total and the total of all.

    ``partly``: what of the postings' amounts is of rows without a total.
    """
    rows: dict[tuple[str, str, str], _Sum] = {}
    teams: dict[str, _Sum] = {}
    whole = _Sum()
    for posting in postings:
        _of(rows, (posting.team, posting.user, posting.model)).add(posting)
        _of(teams, posting.team).add(posting)
        whole.add(posting)
    for part in partly:
        key = (part.team, part.user, part.model)
        for sums in (rows.get(key), teams.get(part.team), whole):
            if sums is not None:
                sums.partly_pico += part.net_pico
    return Statement(
        tuple(rows[key].row(*key) for key in sorted(rows)),
        tuple(teams[team].row(team, "", "") for team in sorted(teams)),
        whole.row("", "", ""),
    )
