"""What is left of budgets, said to the caller: in a refusal's words and figures, in an answer's headers.

Headers follow the RateLimit fields of the IETF's httpapi drafts (policy and remaining, quoted names), with
money in whole cents; ``x-weighbridge-budgets`` says the same exactly. To add a measure: ``shown``.
"""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.kernel.clock import US_PER_SECOND, instant
from gateway.kernel.money import PICO_PER_NANO, format_usd
from gateway.metering.hosted import TOOL_UNITS
from gateway.quota.budget import (
    CONCURRENT,
    INPUT_TOKENS,
    MONEY,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    UNIT,
    Budget,
)
from gateway.quota.demand import limit_at
from gateway.quota.hold import Balance
from gateway.wire.messages import Headers

NANO_PER_CENT: Final = 10_000_000
NAME_CHARS_MAX: Final = 64
_MINUTE_S: Final = 60
_FILLED: Final = MONEY | {INPUT_TOKENS, TOKENS}  # measures that what nobody can see is held on


def refusal(
    budget: Budget, balance: Balance, asked: int, frees_us: int | None, unseen: int = 0
) -> tuple[str, dict[str, object]]:
    """The words and the figures of a budget that has no room for ``asked``; ``unseen``: parts nobody can tell of."""
    limit, left = shown(budget, balance.limit), shown(budget, balance.left)
    frees = None if frees_us is None else instant(frees_us).isoformat()
    details: dict[str, object] = {
        "budget": budget.name,
        "measure": budget.measure,
        "unit": _unit(budget),
        "window": budget.window,
        "limit": limit,
        "spent": shown(budget, balance.posted),
        "held": shown(budget, balance.pending),
        "left": left,
        "asked": shown(budget, asked),
        "frees_at": frees,
    }
    if budget.measure == CONCURRENT:
        words = f"budget {budget.name!r} allows {limit} requests at a time and all are running: try again"
        return f"{words} when one has ended", details
    unit = _unit(budget)
    asks = f"and this request may use up to {details['asked']} {unit}"
    if budget.window == "minute":
        words = (
            f"budget {budget.name!r} allows {shown(budget, budget.limit)} {unit} a minute and {limit} of them "
            f"at once, of which {left} are left now, {asks}"
        )
        return f"{words}: slow down, or try again shortly", details
    words = (
        f"budget {budget.name!r} has {left} of {limit} {unit} left for this {budget.window} "
        f"({details['spent']} spent, {details['held']} held by running requests), {asks}"
    )
    cure = _cure(budget, balance, asked, frees)
    if unseen and budget.measure in _FILLED:
        details["unseen"] = unseen
        words = f"{words} with {unseen} of its parts out of sight (a kept conversation or cache, a file, a video)"
        cure = f"send these in the request itself, {cure}"
    return f"{words}: {cure}", details


def _cure(budget: Budget, balance: Balance, asked: int, frees: str | None) -> str:
    """What helps: waiting does not, where the request is larger than the whole budget."""
    cures = [_less(budget.measure)] if balance.left else []
    if frees is not None and asked <= balance.limit:
        cures.append(f"wait until {frees}")
    return ", ".join([*cures, "or ask the owner of the budget for a raise"]).removeprefix("or ")


def _less(measure: str) -> str:
    """How a client asks for less of what is measured, in the words of its SDK."""
    if measure == INPUT_TOKENS:
        return "shorten its prompt"
    if measure == OUTPUT_TOKENS:
        return "lower its output ceiling (max tokens)"
    if measure.removeprefix(UNIT) in TOOL_UNITS:
        return "let its tools be used less often (max_tool_calls, or max_uses of the tool)"
    if measure.startswith(UNIT):
        return "ask for less of it"
    return "lower its output ceiling (max tokens) or shorten its prompt"


def headers(
    budgets: Sequence[Budget],
    balances: Sequence[Balance],
    at_us: int,
    *,
    shown: Callable[[str], int | None],
) -> Headers:
    """The headers of an answer that was held; () without balances. ``shown``: budget id → its window's end."""
    if not balances:
        return ()
    named = {budget.id: budget for budget in budgets}
    policies, left, exact = [], [], []
    for balance in balances:
        budget = named[balance.key.budget]
        name = _quoted(budget.name)
        end_us = shown(budget.id)
        resets = None if end_us is None else max(0, -(-(end_us - at_us) // US_PER_SECOND))
        policies.append(
            f"{name};q={_counted(budget, _quota(budget, balance, at_us))}{_unit_of(budget)}{_span(budget)}"
        )
        left.append(
            f"{name};r={_counted(budget, balance.left)}"
            + ("" if resets is None else f";t={resets}")
        )
        exact.append(
            f'{name};left="{_amount(budget, balance.left)}";limit="{_amount(budget, balance.limit)}"'
            f';held="{_amount(budget, balance.pending)}";unit="{_unit(budget)}"'
        )
    return (
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(left).encode()),
        (b"x-weighbridge-budgets", ", ".join(exact).encode()),
    )


def _quota(budget: Budget, balance: Balance, at_us: int) -> int:
    """What the policy allows in a window: of a rolling minute the minute's, not the burst that is left of it."""
    return limit_at(budget, at_us) if budget.window == "minute" else balance.limit


def shown(budget: Budget, amount: int) -> str:
    """An amount of a budget's measure as decimal text: USD for money, else the count."""
    return _amount(budget, amount)


def _amount(budget: Budget, amount: int) -> str:
    return format_usd(amount * PICO_PER_NANO) if budget.measure in MONEY else str(amount)


def _unit(budget: Budget) -> str:
    if budget.measure in MONEY:
        return "USD"
    if budget.measure.startswith(UNIT):
        return budget.measure.removeprefix(UNIT)
    return "requests" if budget.measure in (REQUESTS, CONCURRENT) else "tokens"


def _counted(budget: Budget, amount: int) -> int:
    return amount // NANO_PER_CENT if budget.measure in MONEY else amount


def _unit_of(budget: Budget) -> str:
    if budget.measure in MONEY:
        return ';qu="usd-cents"'
    return f';qu="{"concurrent-requests" if budget.measure == CONCURRENT else _unit(budget)}"'


def _span(budget: Budget) -> str:
    return f";w={_MINUTE_S}" if budget.window == "minute" else ""


def _quoted(name: str) -> str:
    """A structured-field string: printable ASCII, with its quotes and backslashes escaped."""
    ascii_name = name[:NAME_CHARS_MAX].replace(
        "·", "/"
    )  # the sign between the parts of a made name
    plain = "".join(char if " " <= char <= "~" else "?" for char in ascii_name)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
