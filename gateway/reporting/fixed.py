"""What is paid beside the calls, month by month: provisioned capacity, reservations, seats, the gateway itself.

A cost has a pool (which requests it serves) and a rule (whose part is how large). Here both become the weights of
one ``allocation``, whose parts sum to the cost and whose idle rest stays with the platform. To add a kind: its
name in ``KINDS``; a rule: its name in ``RULES`` and its branch in ``weight``.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from gateway.kernel.errors import BadRequest
from gateway.kernel.money import PICO_PER_USD
from gateway.kernel.names import CODE_CHARS_MAX, NAME_CHARS_MAX, unfit
from gateway.ledger.currencies import unlike
from gateway.ledger.currency import USD, in_usd
from gateway.metering.units import UNITS
from gateway.reporting.allocation import LIST_COST, SharedCost
from gateway.reporting.organisation import ours

KINDS: Final = ("ptu", "gsu", "provisioned", "reserved", "seat", "cache_storage", "own")
RULES: Final = ("direct", "even", "seat", "tokens", "list_cost")
BY_USE: Final = frozenset({"even", "tokens", "list_cost"})
POOL_KEYS: Final = ("provider", "upstream", "deployment", "model", "scope", "team", "app")
AMOUNT_MAX: Final = 10**12  # a month, in any currency: beyond it somebody wrote another unit
CAPACITY_MAX: Final = 10**15
PICO_PER_MICRO: Final = (
    1_000_000  # weights by list cost are in micro-USD: idle is counted in them too
)


class FixedCost(msgspec.Struct, frozen=True, kw_only=True):
    """A cost of every month from ``first`` to ``last`` (yyyymm, None: without end), both included.

    pico      a month, in pico-units of ``currency``; of a cost per seat what one seat costs
    pool      which rows it serves: globs by POOL_KEYS; {}: all
    rule      direct: to the cost centres of ``shares`` · even: over those with use · seat · tokens · list_cost
    capacity  what was bought: seats, tokens a month, or whole USD of list cost; None: nothing can be idle
    shares    weights by cost centre, of the rule direct
    """

    id: str
    name: str
    kind: str
    first: int
    last: int | None
    pico: int
    currency: str = USD
    pool: dict[str, str] = {}
    rule: str = "list_cost"
    capacity: int | None = None
    shares: dict[str, int] = {}
    source: str = ""
    author: str = ""
    at_us: int = 0
    per_seat: bool = False

    def is_due(self, period: int) -> bool:
        """Whether it is a cost of a month."""
        return self.first <= period and (self.last is None or period <= self.last)


class Used(msgspec.Struct, frozen=True):
    """Usage of one unit by one cost centre, with what pools are made of (POOL_KEYS)."""

    centre: str
    names: Mapping[str, str]
    unit: str
    quantity: int
    list_pico: int


def check(cost: FixedCost) -> list[str]:
    """What is wrong with a cost, in the words of the command's options."""
    unknown = sorted(cost.pool.keys() - set(POOL_KEYS))
    reserved = next(filter(None, map(ours, cost.shares)), "")
    ends_before = cost.last is not None and cost.last < cost.first
    wrong = {
        f"--kind: expected one of {', '.join(KINDS)}, found {cost.kind!r}": cost.kind not in KINDS,
        f"--rule: expected one of {', '.join(RULES)}, found {cost.rule!r}": cost.rule not in RULES,
        f"--pool: expected {', '.join(POOL_KEYS)}, found {', '.join(unknown)}": bool(unknown),
        "--cost-centre: the rule direct names at least one, the others none": (
            (cost.rule == "direct") != bool(cost.shares)
        ),
        "--to: expected a month not before --from": ends_before,
        f"--amount: expected a figure from 0 to {AMOUNT_MAX:,}": not 0
        <= cost.pico
        <= AMOUNT_MAX * PICO_PER_USD,
        f"--currency: {unlike(cost.currency)}": bool(unlike(cost.currency)),
        f"--capacity: expected a figure from 1 to {CAPACITY_MAX:,}": cost.capacity is not None
        and not 1 <= cost.capacity <= CAPACITY_MAX,
        f"--cost-centre: expected weights of at most {CAPACITY_MAX:,}": max(
            cost.shares.values(), default=0
        )
        > CAPACITY_MAX,
        f"--cost-centre: {reserved}": bool(reserved),
        "--per-seat: only with --rule seat": cost.per_seat and cost.rule != "seat",
        "--source: expected where the figure is from: a contract, an invoice": not cost.source,
    }
    return [*(text for text, is_wrong in wrong.items() if is_wrong), *_unfit(cost)]


def _unfit(cost: FixedCost) -> list[str]:
    """What is wrong with the names of a cost."""
    named = [
        ("NAME", cost.name, NAME_CHARS_MAX),
        ("--source", cost.source or "none", NAME_CHARS_MAX),
        *(("--cost-centre", code, CODE_CHARS_MAX) for code in cost.shares),
        *(("--pool", glob, NAME_CHARS_MAX) for glob in cost.pool.values()),
    ]
    return [f"{option}: {wrong}" for option, text, most in named if (wrong := unfit(text, most))]


def shared(
    cost: FixedCost,
    used: Iterable[Used],
    seats: Mapping[str, int],
    period: int,
    rate: int | None = None,
) -> SharedCost:
    """The cost as the statements of a month share it. ``seats`` by cost centre; ``rate``: of its currency then.

    Raises BadRequest where the rate of its currency is not known.
    """
    if cost.rule == "direct":
        weights: Mapping[str, int] = cost.shares
    elif cost.rule == "seat":
        weights = seats
    else:
        weights = _weights(cost, used)
    return SharedCost(
        name=cost.name,
        pico=_usd(cost, sum(seats.values()), period, rate),
        rule="fixed",
        capacity=_capacity(cost),
        unit=_UNITS.get(cost.rule, "shares"),
        shares=dict(weights),
        basis=_BASES[cost.rule],
    )


_UNITS: Final = {"seat": "seats", "tokens": "tokens", "list_cost": LIST_COST}
_BASES: Final = {
    "direct": "by agreed shares",
    "even": "in equal parts over those who used it",
    "seat": "by seats",
    "tokens": "by tokens used",
    "list_cost": "by the list cost of what it served",
}


def serves(cost: FixedCost, names: Mapping[str, str]) -> bool:
    """Whether a row is of the cost's pool."""
    return all(fnmatchcase(names.get(key, ""), glob) for key, glob in cost.pool.items())


def _weights(cost: FixedCost, used: Iterable[Used]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for one in used:
        if serves(cost, one.names):
            sums[one.centre] = sums.get(one.centre, 0) + _weight(cost, one)
    present = {centre: size for centre, size in sums.items() if size > 0}
    if cost.rule == "even":
        return dict.fromkeys(present, 1)
    if cost.rule == "list_cost":
        return {centre: -(-size // PICO_PER_MICRO) for centre, size in present.items()}
    return present


def _weight(cost: FixedCost, one: Used) -> int:
    if cost.rule == "list_cost":
        return one.list_pico
    known = UNITS.get(one.unit)
    return one.quantity if known is not None and known.is_token else 0


def _capacity(cost: FixedCost) -> int | None:
    if cost.capacity is not None and cost.rule == "list_cost":
        return cost.capacity * 1_000_000  # USD in micro-USD
    return cost.capacity


def _usd(cost: FixedCost, seats: int, period: int, rate: int | None) -> int:
    pico = cost.pico * (cost.capacity or seats) if cost.per_seat else cost.pico
    if cost.currency == USD:
        return pico
    if rate is None:
        month = f"{period // 100}-{period % 100:02}"
        raise BadRequest(
            f"{cost.name} is in {cost.currency}, and {month} has no rate: "
            f"weighbridge fx set {month} {cost.currency} RATE --source SOURCE"
        )
    return in_usd(pico, rate)


def due(costs: Sequence[FixedCost], period: int) -> list[FixedCost]:
    """The costs of a month, by name."""
    return sorted((cost for cost in costs if cost.is_due(period)), key=lambda cost: cost.name)
