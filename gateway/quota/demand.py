"""From budgets and an upper bound to the lines of a hold, and from the final row to what settles them."""

from collections.abc import Sequence
from typing import Final

from gateway.ledger.entry import Entry
from gateway.quota.amount import Estimate, amount, bounded
from gateway.quota.budget import MONEY, Budget, Subject
from gateway.quota.hold import Carry, CounterKey, HoldLine, Rate
from gateway.quota.subject import subject_value
from gateway.quota.window import Span, previous, window_of

_PERCENT: Final = 100


def demand(
    budgets: Sequence[Budget], subject: Subject, estimate: Estimate, at_us: int
) -> tuple[HoldLine, ...]:
    """One line per hard budget, in lock order; a request that costs nothing passes money budgets that let it."""
    lines = []
    for budget in budgets:
        wanted = bounded(budget, estimate)
        free = not wanted and budget.zero_priced and budget.measure in MONEY
        if budget.holds and not free:
            lines.append(line_of(budget, subject_value(budget, subject), wanted, at_us))
    return tuple(sorted(lines, key=lambda line: (line.rank, line.key)))


def used(
    lines: Sequence[HoldLine], budgets: Sequence[Budget], entry: Entry
) -> dict[CounterKey, int]:
    """What the final row used of each counter that was held."""
    named = {budget.id: budget for budget in budgets}
    return {line.key: max(0, amount(named[line.key.budget], entry)) for line in lines}


def limit_at(budget: Budget, at_us: int) -> int:
    """The limit with the raises that are valid at a moment."""
    return budget.limit + sum(
        raised.amount for raised in budget.raises if raised.from_us <= at_us < raised.to_us
    )


def line_of(budget: Budget, value: str, wanted: int, at_us: int) -> HoldLine:
    """What a request holds of one counter of a budget. ``value``: of what the budget is split by."""
    span = window_of(budget, at_us)
    limit = limit_at(budget, at_us)
    rolls = budget.window == "minute"
    burst = max(1, limit * budget.burst_percent // _PERCENT)
    return HoldLine(
        key=CounterKey(budget.id, value, span.start_us),
        amount=wanted,
        limit=limit,
        carry=_carry(budget, span),
        rate=Rate(max(1, limit), burst) if rolls else None,
        enforce=not budget.shadow,
        rank=budget.scope.width,
    )


def _carry(budget: Budget, span: Span) -> Carry | None:
    """From the window before, but never from before the budget began: nothing was left unspent then."""
    if not budget.carry_over_percent or span.end_us is None:
        return None
    before = previous(budget, span)
    if before.end_us is None or before.end_us <= budget.created_us:
        return None
    limit = limit_at(budget, before.end_us - 1)
    return Carry(before.start_us, limit, limit * budget.carry_over_percent // _PERCENT)
