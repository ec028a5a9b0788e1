"""Shared cost over cost centres: proportional, even, fixed or central, in exact pico-USD that sum to the whole.

Capacity that nobody used stays with the platform and is shown, never spread silently. To add a rule: a name
in ``Rule`` and a branch in ``_weights``.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from gateway.kernel.money import apportion
from gateway.reporting.amounts import percent

Rule = Literal["proportional", "even", "fixed", "central"]
LIST_COST: Final = (
    "list cost"  # a unit that is weighed in micro-USD: its share is said, not its count
)
RULES: Final = ("proportional", "even", "fixed", "central")


class SharedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What is paid for a period beside the calls: provisioned throughput, seats, support.

    pico      what it costs in the period
    rule      proportional to use · even over those with use · fixed by ``shares`` · central: not shared
    capacity  units bought (of what ``unit`` says), None where nothing can be idle
    shares    weights by cost centre, of the rule fixed: percents, seats
    basis     how it is shared, in words ("by seats"); '' for the rule's own
    """

    name: str
    pico: int
    rule: Rule = "proportional"
    capacity: int | None = None
    unit: str = "tokens"
    shares: dict[str, int] = {}
    basis: str = ""


class Allocation(msgspec.Struct, frozen=True):
    """A shared cost, split: ``parts`` by cost centre and ``central`` sum to the cost.

    used  the weights the parts come from; ``idle``: units of the capacity that nobody used
    """

    cost: SharedCost
    parts: dict[str, int]
    central: int
    used: dict[str, int]
    idle: int

    def note(self, code: str) -> str:
        """What a cost centre's part stands for, with its denominator."""
        mine, whole = self.used.get(code, 0), sum(self.used.values()) + self.idle
        if self.cost.rule == "even":
            return f"1 of {len(self.parts)} equal shares"
        word = "bought" if self.cost.capacity else "used"
        return f"{percent(mine, whole)} of the {self.cost.unit} {word}" if whole else ""


def allocate(cost: SharedCost, used: Mapping[str, int]) -> Allocation:
    """Split a cost by the units each cost centre used. Raises ValueError on a negative weight."""
    weights = _weights(cost, used)
    codes = sorted(weights)
    sizes = [weights[code] for code in codes]
    idle = max((cost.capacity or 0) - sum(sizes), 0) if weights else 0
    if not sum(sizes):
        return Allocation(cost, {}, cost.pico, {}, cost.capacity or 0)
    *parts, central = apportion(cost.pico, [*sizes, idle])
    return Allocation(cost, dict(zip(codes, parts, strict=True)), central, weights, idle)


def _weights(cost: SharedCost, used: Mapping[str, int]) -> dict[str, int]:
    if cost.rule == "central":
        return {}
    if cost.rule == "fixed":
        return {code: size for code, size in cost.shares.items() if size}
    present = {code: size for code, size in used.items() if size}
    return dict.fromkeys(present, 1) if cost.rule == "even" else present


def by_spend(whole: int, spend: Mapping[str, int]) -> dict[str, int]:
    """Spread an amount over cost centres by their own charge; {} where nobody is charged anything."""
    codes = sorted(code for code, pico in spend.items() if pico > 0)
    if not codes:
        return {}
    sizes: Sequence[int] = apportion(whole, [spend[code] for code in codes])
    return dict(zip(codes, sizes, strict=True))
