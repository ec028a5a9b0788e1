"""A period's postings folded to cost centres: exact pico-USD until here, whole cents from here.

To add a line to the walk: an amount in ``Account.steps``; it is rounded and summed with the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.kernel.money import round_cents
from gateway.ledger.entry import EntryKind
from gateway.ledger.rollup import REQUEST
from gateway.metering.units import UNITS
from gateway.reporting.allocation import Allocation, SharedCost, allocate, by_spend
from gateway.reporting.amounts import in_cents, month_name, percent
from gateway.reporting.organisation import UNALLOCATED, CostCentre, Organisation
from gateway.reporting.statement import PEOPLE_MAX, Line, Part, Share, Summary, Use

PLATFORM: Final = "platform"  # the row of what is not shared: idle capacity, central cost
BASIS_POINTS: Final = 10_000
_ATTEMPTS: Final = frozenset(
    {EntryKind.USAGE.value, EntryKind.INTERRUPTED.value, EntryKind.UNCONFIRMED.value}
)
_COUNTS: Final = ("requests", "uncached", "cached", "written", "output", "cents")


class Posting(msgspec.Struct, frozen=True):
    """Sums of the rollup of one period, for one span of days. ``is_late``: of days before the period.

    day  one that says who paid and, of late rows, which month they are of
    """

    day: str
    is_late: bool
    team: str
    user: str
    app: str
    provider: str
    model: str
    unit: str
    kind: str
    quantity: int
    unpriced: int
    list_pico: int
    net_pico: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is charged beside the calls. ``markup`` and ``tax`` in basis points of what they are on."""

    shared: tuple[SharedCost, ...] = ()
    share_unallocated: bool = False
    markup: int = 0
    tax: int = 0
    tax_name: str = "Tax"


class _Sum:
    def __init__(self) -> None:
        self.requests = 0
        self.unpriced = 0
        self.list_pico = 0
        self.tokens = {"": 0, "read": 0, "write": 0, "output": 0}

    def add(self, posting: Posting) -> None:
        if posting.unit == REQUEST:
            self.unpriced += posting.unpriced
            self.requests += posting.quantity if posting.kind in _ATTEMPTS else 0
            return
        self.list_pico += posting.list_pico
        unit = UNITS.get(posting.unit)
        if unit is not None and unit.is_token:
            self.tokens["output" if unit.direction == "output" else unit.cache] += posting.quantity

    def use(self, cents: int, names: tuple[str, str, str, str]) -> Use:
        t = self.tokens
        counts = (self.requests, t[""], t["read"], t["write"], t["output"])
        return Use(*names, *counts, cents)


class Account:
    """A cost centre's month in the making."""

    def __init__(self) -> None:
        self.whole = _Sum()
        self.discounts: dict[str, int] = {}  # provider → net less list
        self.late: dict[str, int] = {}  # month → net
        self.shared: dict[str, int] = {}  # name of a shared cost → part
        self.notes: dict[str, str] = {}
        self.share_pico = 0
        self.markup_pico = 0
        self.tax_pico = 0
        self.uses: dict[tuple[str, str, str], _Sum] = {}
        self.people: dict[str, _Sum] = {}

    def add(self, posting: Posting) -> None:
        if posting.is_late:
            month = posting.day[:7]
            self.late[month] = self.late.get(month, 0) + posting.net_pico
            return
        discount = posting.net_pico - posting.list_pico
        self.discounts[posting.provider] = self.discounts.get(posting.provider, 0) + discount
        self.whole.add(posting)
        key = (posting.app, posting.provider, posting.model)
        self.uses.setdefault(key, _Sum()).add(posting)
        self.people.setdefault(posting.user, _Sum()).add(posting)

    @property
    def net_pico(self) -> int:
        """What the ledger says: the period's rows and the late ones."""
        return self.whole.list_pico + sum(self.discounts.values()) + sum(self.late.values())

    @property
    def own_pico(self) -> int:
        """The same with its parts of shared cost."""
        return self.net_pico + sum(self.shared.values())

    def steps(self, tax_name: str) -> list[tuple[str, str, str, int]]:
        """Key, text, note and amount of each line; those that are zero are left out, but for the first."""
        listed = self.whole.list_pico
        named = [("metered", "Metered usage", "list price", listed)]
        for provider, pico in sorted(self.discounts.items()):
            of = sum(one.list_pico for key, one in self.uses.items() if key[1] == provider)
            text = f"Negotiated prices, {provider}" if provider else "Negotiated prices"
            named.append((f"discount:{provider}", text, f"{percent(pico, of)} on list", pico))
        for name, pico in self.shared.items():
            named.append((f"shared:{name}", name, self.notes.get(name, ""), pico))
        for month, pico in sorted(self.late.items()):
            period = int(month[:4]) * 100 + int(month[5:])
            text = f"Correction for {month_name(period)}"
            named.append((f"correction:{month}", text, "booked after its close", pico))
        share = self.notes.get("unallocated", "by spend")
        named += [
            ("unallocated", "Unallocated, share", share, self.share_pico),
            ("markup", "Platform markup", self.notes.get("markup", ""), self.markup_pico),
            ("tax", tax_name, self.notes.get("tax", ""), self.tax_pico),
        ]
        return [named[0], *(line for line in named[1:] if line[3])]


class Ledgered:
    """A period's postings by cost centre, rounded together so that the parts sum to the whole."""

    def __init__(
        self,
        period: int,
        postings: Iterable[Posting],
        organisation: Organisation,
        terms: Terms | None = None,
    ) -> None:
        self.period = period
        self.organisation = organisation
        self.terms = terms or Terms()
        self.accounts: dict[str, Account] = {}
        self._teams: dict[str, int] = {}
        self._providers: dict[str, int] = {}
        for posting in postings:
            self._add(posting)
        self.allocations = [self._allocate(cost) for cost in self.terms.shared]
        self.shared_pico = self._share() if self.terms.share_unallocated else 0
        self._add_on_top()
        totals = {code: _total(one) for code, one in sorted(self.accounts.items())}
        whole = round_cents(sum(totals.values()))
        self._cents = dict(zip(totals, in_cents(list(totals.values()), whole), strict=True))

    def _add(self, posting: Posting) -> None:
        code = self.organisation.centre_of(
            posting.team, posting.day, user=posting.user, app=posting.app
        )
        self.accounts.setdefault(code, Account()).add(posting)
        self._teams[posting.team] = self._teams.get(posting.team, 0) + posting.net_pico
        by_provider = self._providers
        by_provider[posting.provider] = by_provider.get(posting.provider, 0) + posting.net_pico

    def _allocate(self, cost: SharedCost) -> Allocation:
        """Split a shared cost by the tokens of each cost centre, and book the parts."""
        used = {
            code: sum(one.whole.tokens.values())
            for code, one in self.accounts.items()
            if code != PLATFORM
        }
        made = allocate(cost, used)
        for code, pico in made.parts.items():
            account = self.accounts.setdefault(code, Account())
            account.shared[cost.name] = account.shared.get(cost.name, 0) + pico
            account.notes[cost.name] = made.note(code)
        if made.central:
            account = self.accounts.setdefault(PLATFORM, Account())
            account.shared[cost.name] = account.shared.get(cost.name, 0) + made.central
            account.notes[cost.name] = "idle, or kept central"
        return made

    def _share(self) -> int:
        """Spread what is unallocated over the others by their own charge; how much it was."""
        rest = self.accounts.get(UNALLOCATED)
        if rest is None or rest.own_pico <= 0:
            return 0
        paying = {
            code: one.own_pico
            for code, one in self.accounts.items()
            if code not in {UNALLOCATED, PLATFORM}
        }
        parts = by_spend(rest.own_pico, paying)
        for code, pico in parts.items():
            self.accounts[code].share_pico = pico
            self.accounts[code].notes["unallocated"] = f"{percent(pico, rest.own_pico)} by spend"
        rest.share_pico = -rest.own_pico if parts else 0
        return rest.own_pico if parts else 0

    def _add_on_top(self) -> None:
        """Markup, then tax, on what each cost centre is charged; the platform and the rest are not charged."""
        for code, account in self.accounts.items():
            if code in {UNALLOCATED, PLATFORM}:
                continue
            base = account.own_pico + account.share_pico
            account.markup_pico = base * self.terms.markup // BASIS_POINTS
            account.tax_pico = (base + account.markup_pico) * self.terms.tax // BASIS_POINTS
            account.notes["markup"] = percent(self.terms.markup, BASIS_POINTS)
            account.notes["tax"] = percent(self.terms.tax, BASIS_POINTS)

    @property
    def codes(self) -> list[str]:
        """The cost centres with anything to charge, the platform's own row included."""
        return sorted(self.accounts)

    def cents(self, code: str) -> int:
        """What a cost centre is charged."""
        return self._cents.get(code, 0)

    def centre(self, code: str) -> CostCentre:
        """A cost centre by its code; the platform's own where it is not one of the organisation."""
        if code == PLATFORM and code not in self.organisation.centres:
            return CostCentre(PLATFORM, "Kept central", posts=False)
        return self.organisation.centre(code)

    def walk(self, code: str) -> tuple[Line, ...]:
        """The lines from list price to the amount charged; they sum to it."""
        steps = self.accounts.get(code, Account()).steps(self.terms.tax_name)
        rounded = in_cents([step[3] for step in steps], self.cents(code))
        return tuple(
            Line(key, text, note, part)
            for (key, text, note, _), part in zip(steps, rounded, strict=True)
        )

    def summary(self) -> Summary:
        """All cost centres."""
        shares = [
            Share(self.centre(code), one.whole.requests, self.cents(code), one.whole.unpriced)
            for code, one in self.accounts.items()
        ]
        last = {UNALLOCATED: 2, PLATFORM: 1}
        shares.sort(key=lambda each: (last.get(each.centre.code, 0), -each.cents, each.centre.code))
        ledger, parts = self._parts()
        return Summary(
            period=self.period,
            shares=tuple(shares),
            requests=sum(each.requests for each in shares),
            cents=sum(self._cents.values()),
            unpriced=sum(each.unpriced for each in shares),
            parts=parts,
            teams=_named(self._teams, ledger),
            providers=_named(self._providers, ledger),
        )

    def _parts(self) -> tuple[int, tuple[Part, ...]]:
        """The ledger's cents, and what the whole consists of."""
        accounts = self.accounts.values()
        named = {
            "ledger": sum(one.net_pico for one in accounts),
            "shared cost": sum(sum(one.shared.values()) for one in accounts),
            "markup": sum(one.markup_pico for one in accounts),
            "tax": sum(one.tax_pico for one in accounts),
        }
        rounded = in_cents(list(named.values()), sum(self._cents.values()))
        parts = [Part(name, cents) for name, cents in zip(named, rounded, strict=True)]
        return parts[0].cents, tuple(part for part in parts if part.cents or part.name == "ledger")


def _total(account: Account) -> int:
    return account.own_pico + account.share_pico + account.markup_pico + account.tax_pico


def _named(sums: Mapping[str, int], cents: int) -> tuple[Part, ...]:
    rows = sorted(sums.items(), key=lambda each: (-each[1], each[0]))
    amounts = _shares([pico for _, pico in rows], cents)
    return tuple(Part(name, part) for (name, _), part in zip(rows, amounts, strict=True))


def _shares(parts: Sequence[int], cents: int) -> list[int]:
    return in_cents(parts, cents) if parts else []


def uses(account: Account, cents: int) -> tuple[Use, ...]:
    """By application, the most expensive model first; their amounts sum to ``cents``."""
    rows = sorted(account.uses.items(), key=lambda each: (each[0][0], -each[1].list_pico, each[0]))
    amounts = _shares([one.list_pico for _, one in rows], cents)
    return tuple(
        one.use(amount, (app, model, provider, ""))
        for ((app, provider, model), one), amount in zip(rows, amounts, strict=True)
    )


def people(account: Account, cents: int) -> tuple[tuple[Use, ...], Use, int]:
    """Those with the highest use, the sum of the others, and how many those are."""
    rows = sorted(account.people.items(), key=lambda each: (-each[1].list_pico, each[0]))
    amounts = _shares([one.list_pico for _, one in rows], cents)
    found = [
        one.use(amount, ("", "", "", user))
        for (user, one), amount in zip(rows, amounts, strict=True)
    ]
    rest = found[PEOPLE_MAX:]
    counts = [sum(getattr(use, name) for use in rest) for name in _COUNTS]
    return tuple(found[:PEOPLE_MAX]), Use("", "", "", "", *counts), len(rest)
