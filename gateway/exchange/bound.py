"""What a request may use at most, as a value: of one place, of several that it may go to, of several models it asks.

How much that is: ``bounds``.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from gateway.quota.amount import Estimate


class Bound(msgspec.Struct, frozen=True):
    """The most a request may use.

    estimate       for the budgets; its amounts are None where a price is missing
    output_tokens  of the whole request, all choices
    is_bounded     the client gave a ceiling of its own
    priced         what it may use has a price in every tier it may end in
    wanting        a unit of the tools it offers that has no price there, so that no budget in money can hold it
    unseen         how many parts of it nobody can tell anything of
    """

    estimate: Estimate
    output_tokens: int
    is_bounded: bool
    priced: bool
    unseen: int = 0
    wanting: str | None = None


def highest(bounds: Sequence[Bound]) -> Bound:
    """The bound of a request that one of several places will serve: the most it may use at any of them."""
    first, *others = bounds
    if not others:
        return first
    estimates = [bound.estimate for bound in bounds]
    paced = None
    if any(estimate.paced is not None for estimate in estimates):
        paced = highest([replace(each, estimate=_paced(each.estimate)) for each in bounds])
    units: dict[str, int] = {}
    for estimate in estimates:
        for unit, quantity in estimate.units.items():
            units[unit] = max(quantity, units.get(unit, 0))
    return Bound(
        Estimate(
            list_pico=_most_of([estimate.list_pico for estimate in estimates]),
            net_pico=_most_of([estimate.net_pico for estimate in estimates]),
            input_tokens=max(estimate.input_tokens for estimate in estimates),
            output_tokens=max(estimate.output_tokens for estimate in estimates),
            units=units,
            paced=None if paced is None else paced.estimate,
        ),
        max(bound.output_tokens for bound in bounds),
        first.is_bounded,
        all(bound.priced for bound in bounds),
        max(bound.unseen for bound in bounds),
        next((bound.wanting for bound in bounds if bound.wanting), None),
    )


def _paced(estimate: Estimate) -> Estimate:
    return replace(estimate if estimate.paced is None else estimate.paced, paced=None)


def together(bound: Bound, other: Bound, unpriced: str | None) -> Bound:
    """The bound of a call and of what another model is asked in it; ``unpriced``: that model, where it has no price."""
    one, more = bound.estimate, other.estimate
    units = {
        unit: one.units.get(unit, 0) + more.units.get(unit, 0) for unit in one.units | more.units
    }
    estimate = Estimate(
        list_pico=plus(one.list_pico, more.list_pico or 0),
        net_pico=plus(one.net_pico, more.net_pico or 0),
        input_tokens=one.input_tokens + more.input_tokens,
        output_tokens=one.output_tokens + more.output_tokens,
        units=units,
    )
    return replace(bound, estimate=estimate, wanting=bound.wanting or unpriced)


def plus(amount: int | None, more: int) -> int | None:
    """The sum; None where the first is not known."""
    return None if amount is None else amount + more


def _most_of(amounts: Sequence[int | None]) -> int | None:
    """The highest; None where one is not known."""
    known = [amount for amount in amounts if amount is not None]
    return max(known) if len(known) == len(amounts) else None
