"""The monthly statement of a cost centre, and the summary of all: a pure fold over the rollup's sums.

Amounts are exact pico-USD until here and whole cents from here, rounded once by largest remainder.
To add a line to the walk: an amount in ``_Account`` and a Line in ``_walk``.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.kernel.money import PICO_PER_USD, round_cents
from gateway.ledger.entry import EntryKind
from gateway.ledger.rollup import REQUEST
from gateway.metering.units import UNITS
from gateway.reporting.organisation import UNALLOCATED, CostCentre, Organisation

PEOPLE_MAX: Final = 10
_CENT: Final = PICO_PER_USD // 100
_ATTEMPTS: Final = frozenset(
    {EntryKind.USAGE.value, EntryKind.INTERRUPTED.value, EntryKind.UNCONFIRMED.value}
)


class Posting(msgspec.Struct, frozen=True):
    """Sums of the rollup of one period, for one span of days. ``is_late``: of days before the period."""

    day: str  # the span's first
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


class Line(msgspec.Struct, frozen=True):
    """A line of the walk, in whole cents."""

    text: str
    note: str
    cents: int


class Use(msgspec.Struct, frozen=True):
    """Use of an application and model, or of a person; tokens by class, the amount at list price in cents."""

    app: str
    model: str
    provider: str
    user: str
    requests: int
    uncached: int
    cached: int
    written: int
    output: int
    cents: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What one cost centre is charged for one period; ``lines`` sum to ``cents``, ``uses`` and ``people``
    to ``metered_cents``. ``months``: (period, cents) oldest first, this one last. ``budget_cents``: None
    where it has no budget of the month.
    """

    number: str
    period: int
    centre: CostCentre
    cents: int
    metered_cents: int
    requests: int
    counted: int
    unpriced: int
    lines: tuple[Line, ...]
    uses: tuple[Use, ...]
    people: tuple[Use, ...]
    others: int
    others_use: Use
    months: tuple[tuple[int, int], ...]
    budget_cents: int | None
    method: tuple[str, ...]


class Share(msgspec.Struct, frozen=True):
    """A cost centre's row of the summary, in cents."""

    centre: CostCentre
    requests: int
    cents: int
    unpriced: int


class Summary(msgspec.Struct, frozen=True):
    """Every cost centre of a period, largest first, unallocated last; the shares sum to ``cents``."""

    period: int
    shares: tuple[Share, ...]
    requests: int
    cents: int


class _Sum:
    def __init__(self) -> None:
        self.requests = 0
        self.unpriced = 0
        self.list_pico = 0
        self.tokens = {"": 0, "read": 0, "write": 0, "output": 0}

    def add(self, posting: Posting) -> None:
        if posting.unit == REQUEST:
            self.requests += posting.quantity
            self.unpriced += posting.unpriced
            return
        self.list_pico += posting.list_pico
        unit = UNITS.get(posting.unit)
        if unit is not None and unit.is_token:
            self.tokens["output" if unit.direction == "output" else unit.cache] += posting.quantity

    def use(self, cents: int, names: tuple[str, str, str, str]) -> Use:
        t = self.tokens
        counts = (self.requests, t[""], t["read"], t["write"], t["output"])
        return Use(*names, *counts, cents)


class _Account:
    """A cost centre's month in the making."""

    def __init__(self) -> None:
        self.whole = _Sum()
        self.net_pico = 0
        self.corrections_pico = 0
        self.share_pico = 0
        self.uses: dict[tuple[str, str, str], _Sum] = {}
        self.people: dict[str, _Sum] = {}

    def add(self, posting: Posting) -> None:
        if posting.is_late or posting.kind not in _ATTEMPTS:
            self.corrections_pico += posting.net_pico
            return
        self.net_pico += posting.net_pico
        self.whole.add(posting)
        key = (posting.app, posting.provider, posting.model)
        self.uses.setdefault(key, _Sum()).add(posting)
        self.people.setdefault(posting.user, _Sum()).add(posting)

    @property
    def own_pico(self) -> int:
        return self.net_pico + self.corrections_pico

    @property
    def charged_pico(self) -> int:
        return self.own_pico + self.share_pico


class Ledgered:
    """A period's postings by cost centre, rounded together so that the parts sum to the whole."""

    def __init__(
        self,
        period: int,
        postings: Iterable[Posting],
        organisation: Organisation,
        *,
        share_unallocated: bool = False,
    ) -> None:
        self._period = period
        self._organisation = organisation
        self._accounts: dict[str, _Account] = {}
        for posting in postings:
            code = organisation.centre_of(
                posting.team, posting.day, user=posting.user, app=posting.app
            )
            self._accounts.setdefault(code, _Account()).add(posting)
        self._shared_pico = self._share() if share_unallocated else 0
        codes = sorted(self._accounts)
        parts = [self._accounts[code].charged_pico for code in codes]
        self._cents = dict(zip(codes, in_cents(parts, round_cents(sum(parts))), strict=True))

    def _share(self) -> int:
        """Spread what is unallocated over the others by their own charge; how much it was."""
        rest = self._accounts.get(UNALLOCATED)
        paying = [one for code, one in sorted(self._accounts.items()) if code != UNALLOCATED]
        weights = [max(one.own_pico, 0) for one in paying]
        if rest is None or not any(weights) or rest.own_pico <= 0:
            return 0
        left, weight_left = rest.own_pico, sum(weights)
        for one, weight in zip(paying, weights, strict=True):
            one.share_pico = left * weight // weight_left if weight_left else 0
            left, weight_left = left - one.share_pico, weight_left - weight
        rest.share_pico = -rest.own_pico
        return rest.own_pico

    @property
    def codes(self) -> list[str]:
        """The cost centres with anything to charge."""
        return sorted(self._accounts)

    def cents(self, code: str) -> int:
        """What a cost centre is charged."""
        return self._cents.get(code, 0)

    def summary(self) -> Summary:
        """All cost centres."""
        shares = [
            Share(self._organisation.centre(code), one.whole.requests, self.cents(code), one.whole.unpriced)
            for code, one in self._accounts.items()
        ]  # fmt: skip
        shares.sort(
            key=lambda each: (each.centre.code == UNALLOCATED, -each.cents, each.centre.code)
        )
        requests = sum(each.requests for each in shares)
        return Summary(self._period, tuple(shares), requests, sum(self._cents.values()))

    def statement(
        self,
        code: str,
        *,
        counted: int,
        months: Sequence[tuple[int, int]] = (),
        budget_cents: int | None = None,
    ) -> Statement:
        """One cost centre's. ``counted``: its requests whose tokens the provider did not report."""
        account = self._accounts.get(code, _Account())
        lines = self._walk(account, self.cents(code))
        people, others_use, others = _people(account, lines[0].cents)
        return Statement(
            number=f"{self._period // 100}-{self._period % 100:02}-{code or 'unallocated'}",
            period=self._period,
            centre=self._organisation.centre(code),
            cents=self.cents(code),
            metered_cents=lines[0].cents,
            requests=account.whole.requests,
            counted=counted,
            unpriced=account.whole.unpriced,
            lines=lines,
            uses=_uses(account, lines[0].cents),
            people=people,
            others=others,
            others_use=others_use,
            months=(*months, (self._period, self.cents(code))),
            budget_cents=budget_cents,
            method=self._method(account, counted),
        )

    def _walk(self, account: _Account, cents: int) -> tuple[Line, ...]:
        metered = account.whole.list_pico
        named = [
            ("Metered usage", "list price", metered),
            ("Negotiated prices", "against list", account.net_pico - metered),
            ("Late and corrected", "of earlier months", account.corrections_pico),
            ("Unallocated, share", "by spend", account.share_pico),
        ]
        kept = [named[0], *(line for line in named[1:] if line[2])]
        rounded = in_cents([pico for _, _, pico in kept], cents)
        return tuple(
            Line(text, note, part) for (text, note, _), part in zip(kept, rounded, strict=True)
        )

    def _method(self, account: _Account, counted: int) -> tuple[str, ...]:
        requests = account.whole.requests
        share = counted * 10_000 // requests if requests else 0
        said = [
            f"Tokens are those the provider reported with each answer; {counted:,} of {requests:,} requests ({share // 100}.{share % 100:02} %) had no final report and were counted by Weighbridge.",
            "Prices are those in force when each request began; list and negotiated price stand on every row.",
        ]
        if account.whole.unpriced:
            said.append(
                f"{account.whole.unpriced:,} requests have no price yet and add no amount; they will follow."
            )
        if account.corrections_pico:
            said.append(
                "Late and corrected charges of earlier months are booked here; closed months do not change."
            )
        if self._shared_pico:
            whole = in_words(round_cents(self._shared_pico))
            said.append(f"Usage without a cost centre ({whole} group-wide) is shared by spend.")
        else:
            said.append("Usage without a cost centre stays with the platform.")
        said.append(
            "Each amount is rounded once, to the cent, by largest remainder, so that the parts sum to the whole."
        )
        return tuple(said)


def in_cents(parts: Sequence[int], cents: int) -> list[int]:
    """Pico-USD parts, negative ones too, as whole cents that sum to ``cents`` by largest remainder.

    Raises ValueError where the sum is further from ``cents`` than rounding can be.
    """
    floors = [part // _CENT for part in parts]
    missing = cents - sum(floors)
    if not 0 <= missing <= len(parts):
        raise ValueError(f"{sum(parts)} pico-USD do not round to {cents} cents")
    order = sorted(range(len(parts)), key=lambda at: (-(parts[at] % _CENT), at))
    for at in order[:missing]:
        floors[at] += 1
    return floors


def in_words(cents: int) -> str:
    """$1,234.50, with a true minus sign."""
    sign = "\N{MINUS SIGN}" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def _uses(account: _Account, cents: int) -> tuple[Use, ...]:
    # By application, the most expensive model first.
    rows = sorted(account.uses.items(), key=lambda each: (each[0][0], -each[1].list_pico, each[0]))
    amounts = in_cents([one.list_pico for _, one in rows], cents) if rows else []
    return tuple(
        one.use(amount, (app, model, provider, ""))
        for ((app, provider, model), one), amount in zip(rows, amounts, strict=True)
    )


def _people(account: _Account, cents: int) -> tuple[tuple[Use, ...], Use, int]:
    rows = sorted(account.people.items(), key=lambda each: (-each[1].list_pico, each[0]))
    amounts = in_cents([one.list_pico for _, one in rows], cents) if rows else []
    uses = [
        one.use(amount, ("", "", "", user))
        for (user, one), amount in zip(rows, amounts, strict=True)
    ]
    rest = uses[PEOPLE_MAX:]
    counts = [sum(getattr(use, name) for use in rest) for name in _COUNTS]
    return tuple(uses[:PEOPLE_MAX]), Use("", "", "", "", *counts), len(rest)


_COUNTS: Final = ("requests", "uncached", "cached", "written", "output", "cents")
