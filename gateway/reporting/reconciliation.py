"""Metered against invoiced, by account, model, token class and day or month; every difference with a cause.

Nothing is dropped: the invoiced side of all lines and what is apart sum to the bill, the metered side to the
ledger. To add a cause: a function in ``causes`` and its sentence.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.reporting.bills.invoice import Apart, Bill, Invoiced
from gateway.reporting.bills.meter import proposed
from gateway.reporting.causes import Evidence, Side, cause_of

OUTSIDE: Final = "outside"  # an account that no upstream is of
Key: TypeAlias = tuple[str, str, str, str, str]  # account, model, direction, cache, day
UNNAMED: Final = ""  # the model of a meter nobody could name


class Metered(msgspec.Struct, frozen=True):
    """Tokens of one class as the ledger has them. ``uncertain``: those the provider did not report to the end."""

    upstream: str
    day: str
    model: str
    direction: str
    cache: str
    scope: str
    tier: str
    tokens: int
    unpriced: int
    uncertain: int
    pico: int


class Known(msgspec.Struct, frozen=True):
    """What people have confirmed. ``models``: meter words → model; ``accounts``: account → upstreams or OUTSIDE;
    ``reasons``: line key → why its difference is right.
    """

    models: Mapping[str, str] = {}
    accounts: Mapping[str, tuple[str, ...]] = {}
    reasons: Mapping[str, str] = {}


class Ledgered(msgspec.Struct, frozen=True):
    """One cloud's side of the ledger. ``projects``: upstream → account, where the configuration says it.

    ``retried``: model → attempts that failed and were sent again. ``models``: every name the price book knows.
    """

    metered: Sequence[Metered]
    projects: Mapping[str, str] = {}
    retried: Mapping[str, int] = {}
    models: Sequence[str] = ()


class Line(msgspec.Struct, frozen=True):
    """One pair. ``day`` is '' where months are compared. ``guessed``: the model was proposed, nobody confirmed it."""

    key: str
    account: str
    model: str
    direction: str
    cache: str
    day: str
    metered_tokens: int
    invoiced_tokens: int
    metered_pico: int
    invoiced_pico: int
    cause: str
    note: str
    is_confirmed: bool = False
    guessed: bool = False

    @property
    def off_pico(self) -> int:
        """Invoiced less metered."""
        return self.invoiced_pico - self.metered_pico


class Reconciled(msgspec.Struct, frozen=True):
    """One cloud's month. ``lines``: largest difference first."""

    bill: Bill
    lines: tuple[Line, ...]

    @property
    def metered_pico(self) -> int:
        """What the ledger says."""
        return sum(line.metered_pico for line in self.lines)

    @property
    def invoiced_pico(self) -> int:
        """What the bill says of tokens."""
        return sum(line.invoiced_pico for line in self.lines)

    @property
    def apart(self) -> Sequence[Apart]:
        """What the bill says of other things."""
        return self.bill.apart

    def by_cause(self) -> dict[str, int]:
        """Cause → its differences' sum, largest first."""
        sums: dict[str, int] = defaultdict(int)
        for line in self.lines:
            sums[line.cause] += line.off_pico
        return dict(sorted(sums.items(), key=lambda each: -abs(each[1])))


class _Pair:
    def __init__(self) -> None:
        self.metered, self.invoiced = Side(), Side()
        self.guessed = False


def reconciled(bill: Bill, ledger: Ledgered, known: Known, *, daily: bool) -> Reconciled:
    """Pair a bill with the ledger."""
    accounts = _accounts(bill, ledger, known)
    pairs: dict[Key, _Pair] = defaultdict(_Pair)
    for one in ledger.metered:
        day = one.day if daily else ""
        account = accounts.get(one.upstream, "")
        pair = pairs[account, one.model, one.direction, one.cache, day]
        pair.metered.add(one.tokens, one.pico, one.scope, one.tier)
        pair.metered.unpriced += one.unpriced
        pair.metered.uncertain += one.uncertain
    names = _Names(ledger, known)
    for charged in bill.tokens:
        model, guessed = names.model(charged)
        day = charged.day if daily else ""
        meter = charged.meter
        pair = pairs[charged.account, model, meter.direction, meter.cache, day]
        pair.invoiced.add(charged.tokens, charged.pico, meter.scope, meter.tier)
        pair.invoiced.rows += charged.rows
        pair.invoiced.names.add(charged.name)
        pair.guessed = pair.guessed or guessed
    context = _context(pairs, set(accounts.values()), ledger.retried, known.reasons)
    lines = [_line(bill.cloud, key, pair, context) for key, pair in pairs.items()]
    lines.sort(key=lambda line: (-abs(line.off_pico), line.key))
    return Reconciled(bill, tuple(lines))


class _Context(msgspec.Struct, frozen=True):
    """What a line's cause is found by beside the line: its model's other classes, its other days."""

    families: Mapping[tuple[str, str, str], list[tuple[Key, _Pair]]]
    gaps: Mapping[tuple[str, ...], int]
    routed: set[str]
    retried: Mapping[str, int]
    reasons: Mapping[str, str]


def _context(
    pairs: Mapping[Key, _Pair],
    routed: set[str],
    retried: Mapping[str, int],
    reasons: Mapping[str, str],
) -> _Context:
    families: dict[tuple[str, str, str], list[tuple[Key, _Pair]]] = defaultdict(list)
    gaps: dict[tuple[str, ...], int] = defaultdict(int)
    for key, pair in pairs.items():
        families[key[0], key[1], key[4]].append((key, pair))
        gaps[key[:-1]] += _gap(pair)
    return _Context(families, gaps, routed, retried, reasons)


def _gap(pair: _Pair) -> int:
    return pair.invoiced.tokens - pair.metered.tokens


class _Names:
    """Which model a meter is of: confirmed, else the one model its words can mean."""

    def __init__(self, ledger: Ledgered, known: Known) -> None:
        self._known = known.models
        self._used = sorted({one.model for one in ledger.metered})
        self._all = ledger.models
        self._found: dict[str, str] = {}

    def model(self, charged: Invoiced) -> tuple[str, bool]:
        """The model, and whether it is only proposed."""
        key = charged.meter.key
        if key in self._known:
            return self._known[key], False
        if key not in self._found:
            found = proposed(key, self._used) or proposed(key, self._all)
            self._found[key] = found or UNNAMED
        return self._found[key], bool(self._found[key])


def _accounts(bill: Bill, ledger: Ledgered, known: Known) -> dict[str, str]:
    """Upstream → account: confirmed, configured, or the only pairing there is."""
    found = dict(ledger.projects)
    for account, upstreams in known.accounts.items():
        found.update(dict.fromkeys(upstreams, account))
    used = sorted({one.upstream for one in ledger.metered})
    billed = {one.account for one in bill.tokens}
    free = sorted(billed - set(found.values()) - known.accounts.keys())
    waiting = [upstream for upstream in used if upstream not in found]
    if waiting and len(free) == 1:
        found.update(dict.fromkeys(waiting, free[0]))
    return {upstream: account for upstream, account in found.items() if upstream in used}


def _line(
    cloud: str,
    key: Key,
    pair: _Pair,
    context: _Context,
) -> Line:
    account, model, direction, cache, day = key
    # Written as a person types it into --confirm: no spaces.
    name = "/".join((cloud, account or "-", model or "-", f"{direction}{'-' + cache if cache else ''}", day or "month"))  # fmt: skip
    family = context.families[account, model, day]
    siblings = [other for at, other in family if at[2] == direction]
    evidence = Evidence(
        pair.metered,
        pair.invoiced,
        is_routed=account in context.routed,
        is_named=model != UNNAMED,
        is_used=any(other.metered.tokens for _, other in family),
        class_gap=sum(map(_gap, siblings)),
        neighbour_gap=context.gaps[key[:-1]] - _gap(pair) if day else 0,
        retried=context.retried.get(model, 0),
    )
    cause, note = cause_of(evidence)
    confirmed = context.reasons.get(name)
    return Line(
        key=name,
        account=account,
        model=model,
        direction=direction,
        cache=cache,
        day=day,
        metered_tokens=pair.metered.tokens,
        invoiced_tokens=pair.invoiced.tokens,
        metered_pico=pair.metered.pico,
        invoiced_pico=pair.invoiced.pico,
        cause=cause,
        note=confirmed or note,
        is_confirmed=confirmed is not None,
        guessed=pair.guessed,
    )
