"""Contracts: what an organisation or a team pays of the list, by selector; list and net are both kept on rows.

A line's net is its list figure (or the negotiated one) less the discount, plus the margin, rounded half up once,
in integers. The first term that fits a line is the one that counts. To add a selector: a field of Term, its
check in ``Term.fits``, its key in config/README.md.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from itertools import combinations
from typing import Final

import msgspec

from gateway.pricing.charged import Price
from gateway.pricing.dimensions import NAMED, ORDER, Dimension, Key
from gateway.pricing.ladder import Ladder, Step
from gateway.pricing.row import FOREVER

WHOLE_BP: Final = 10_000  # basis points: a hundredth of a percent
_DIGEST_CHARS: Final = 8
_KEPT_MAX: Final = 4096
_PROVIDER, _MODEL, _SCOPE, _TIER = (
    NAMED.index(ORDER.index(name))
    for name in (Dimension.PROVIDER, Dimension.MODEL, Dimension.SCOPE, Dimension.TIER)
)


class ContractsInvalid(ValueError):
    """Contracts that must not be used; ``problems`` holds every mistake, each naming its contract."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed for the lines that fit; ``provider``, ``model`` and ``unit`` are globs, None fits any.

    discount_bp  off the figure, in basis points
    pico, per    the negotiated figure, pico-USD per so many units; ``pico`` None: the list figure
    """

    provider: str = "*"
    model: str = "*"
    unit: str = "*"
    scope: str | None = None
    tier: str | None = None
    discount_bp: int = 0
    pico: int | None = None
    per: int = 1_000_000

    def fits(self, key: Key, unit: str) -> bool:
        """Whether a line of a unit under these named dimensions is meant."""
        globs = (
            (self.provider, key[_PROVIDER]),
            (self.model, key[_MODEL]),
            (self.unit, unit),
        )
        words = ((self.scope, key[_SCOPE]), (self.tier, key[_TIER]))
        return all(fnmatchcase(text or "", glob) for glob, text in globs) and all(
            word in {None, text} for word, text in words
        )

    def takes(self, other: "Term") -> bool:
        """Whether it is for every line that another is for, as far as their words alone tell."""
        globs = zip(
            (self.provider, self.model, self.unit),
            (other.provider, other.model, other.unit),
            strict=True,
        )
        words = ((self.scope, other.scope), (self.tier, other.tier))
        return all(mine in {"*", theirs} for mine, theirs in globs) and all(
            mine in {None, theirs} for mine, theirs in words
        )


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement, in force over a half-open time. Neither org nor team: everybody's.

    margin_bp  added to every net amount, in basis points
    currency   what it is invoiced in; amounts stay in USD until then
    """

    name: str
    org: str | None = None
    team: str | None = None
    since_us: int = 0
    until_us: int = FOREVER
    currency: str = "USD"
    margin_bp: int = 0
    terms: tuple[Term, ...] = ()


class _Share(msgspec.Struct, frozen=True, gc=False):
    """Net is so many parts of so many, of the negotiated figure where there is one."""

    parts: int
    of: int
    pico: int | None = None
    per: int = 1

    def figure(self, price: Price) -> tuple[int, int]:
        """The net figure: pico-USD per so many units, as a ratio that nothing is rounded in."""
        if self.pico is None:
            return price.pico * self.parts, price.per * self.of
        return self.pico * self.parts, self.per * self.of


class Bargain:
    """A contract ready for use. ``id``: its name with a digest of what is agreed, as rows name it."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        digest = sha256(msgspec.msgpack.encode(contract)).hexdigest()
        self.id = f"{contract.name}@{digest[:_DIGEST_CHARS]}"
        # A pure function of few arguments (what is ever asked of the book), per line of every request.
        self._share = lru_cache(maxsize=_KEPT_MAX)(self._share_of)
        self._ladders: dict[int, tuple[Ladder, Ladder]] = {}

    def figure(self, key: Key, unit: str, price: Price) -> tuple[int, int]:
        """The net figure of a unit whose list figure is ``price``: pico-USD per so many units."""
        return self._share(key, unit).figure(price)

    def ladder(self, ladder: Ladder, key: Key) -> Ladder:
        """The net figures of a ladder of list figures; remembered while that is in use."""
        known = self._ladders.get(id(ladder))
        if known is not None and known[0] is ladder:
            return known[1]
        steps = [
            Step(step.context_gt, {u: self._net(key, u, price) for u, price in step.prices.items()})
            for step in ladder.steps
        ]
        made = msgspec.structs.replace(ladder, steps=tuple(steps))
        if len(self._ladders) >= _KEPT_MAX:
            self._ladders.clear()
        self._ladders[id(ladder)] = ladder, made
        return made

    def _net(self, key: Key, unit: str, price: Price) -> Price:
        pico, per = self.figure(key, unit, price)
        return msgspec.structs.replace(price, pico=pico, per=per)

    def _share_of(self, key: Key, unit: str) -> _Share:
        added = WHOLE_BP + self.contract.margin_bp
        for term in self.contract.terms:
            if term.fits(key, unit):
                left = (WHOLE_BP - term.discount_bp) * added
                return _Share(left, WHOLE_BP * WHOLE_BP, term.pico, term.per)
        return _Share(added, WHOLE_BP)


class Contracts:
    """The contracts in force, by whom they are for: a team's own before its organisation's before everybody's.

    Raises ContractsInvalid where two are in force for the same at one instant, or share a name.
    """

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        self.all = tuple(contracts)
        problems = tuple(_clashes(self.all))
        if problems:
            raise ContractsInvalid(problems)
        self._bargains = tuple([Bargain(contract) for contract in self.all])
        self._of: dict[tuple[str, str], tuple[Bargain, ...]] = {}

    def of(self, org: str, team: str, at_us: int) -> Bargain | None:
        """The contract of a team at an instant; None: it pays the list."""
        if not self.all:
            return None
        found = self._of.get((org, team))
        if found is None:
            found = self._of[org, team] = tuple(self._concerning(org, team))
        for bargain in found:
            if bargain.contract.since_us <= at_us < bargain.contract.until_us:
                return bargain
        return None

    def _concerning(self, org: str, team: str) -> list[Bargain]:
        """The closest first."""
        fitting = [
            bargain
            for bargain in self._bargains
            if bargain.contract.org in {None, org} and bargain.contract.team in {None, team}
        ]
        return sorted(
            fitting,
            key=lambda one: (one.contract.team is None, one.contract.org is None),
        )


def _clashes(contracts: Iterable[Contract]) -> Iterator[str]:
    for one, other in combinations(contracts, 2):
        if one.name == other.name:
            yield f"{one.name}: two contracts have this name"
        elif (one.org, one.team) == (other.org, other.team) and (
            one.since_us < other.until_us and other.since_us < one.until_us
        ):
            yield f"{other.name}: in force for the same as {one.name} at the same time"


NONE: Final = Contracts()
