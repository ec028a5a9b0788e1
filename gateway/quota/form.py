"""The written form of a budget: one flat table, the same words in a TOML file, as options and in a diff.

``written`` makes it, ``quota.draft.read`` is its inverse. To add a property of a budget: its key in
``KEYS``, a line in ``_properties`` and one in quota.draft.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from gateway.kernel.clock import instant
from gateway.kernel.money import PICO_PER_NANO, format_usd, parse_usd
from gateway.quota.budget import (
    CONCURRENT,
    INPUT_TOKENS,
    MONEY,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    UNIT,
    USD_LIST,
    USD_NET,
    Budget,
    Raise,
    StoreDown,
    Window,
)
from gateway.quota.fields import CHARS_MAX

LIMIT_MAX: Final = 10**18  # nano-USD, tokens, requests: far from where 64 bits end
PER_MINUTE_MAX: Final = 10**11  # times the microseconds of a minute it still fits 64 bits
PERCENT_MAX: Final = 100
BURST_PERCENT: Final = 20
DOWN_PERCENT: Final = 10
SCOPE: Final = ("org", "team", "cost_centre", "user", "app", "key", "provider", "model", "tag")
EACH: Final = ("org", "team", "cost_centre", "user", "app", "key", "provider", "model")
MEASURED: Final[dict[str, str]] = {
    "usd": USD_NET,
    "usd_list": USD_LIST,
    "tokens": TOKENS,
    "input_tokens": INPUT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
    "requests": REQUESTS,
    "concurrent": CONCURRENT,
}
MEASURE_KEYS: Final = (*MEASURED, "unit")
WINDOWS: Final[tuple[Window, ...]] = (
    "minute",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "always",
)
MODES: Final = ("hard", "soft", "shadow")
KEYS: Final = (
    "name", *SCOPE, "each", *MEASURE_KEYS, "window", "tz", "year_start", "mode", "carry_over", "burst",
    "alert", "alert_forecast", "store_down", "zero_priced", "clamp", "stop", "raises",
)  # fmt: skip
CALENDAR: Final = frozenset({"day", "week", "month", "quarter", "year"})
FISCAL: Final = frozenset({"quarter", "year"})
BOUNDED_BY_OUTPUT: Final = frozenset({USD_NET, USD_LIST, TOKENS, OUTPUT_TOKENS})
_WORDS: Final = {measure: key for key, measure in MEASURED.items()}


def written(budget: Budget, *, whole: bool = False) -> dict[str, object]:
    """A budget as a table that ``read`` reads back; ``whole``: with what is at its default too."""
    rows: dict[str, object] = {"name": budget.name}
    rows |= {
        name: value for name in SCOPE if (value := getattr(budget.scope, name)) is not None
    } | ({"each": budget.each} if budget.each else {})
    rows |= _limit_row(budget)
    if budget.measure != CONCURRENT or budget.window != "always":
        rows["window"] = budget.window
    if budget.window in CALENDAR:
        rows["tz"] = budget.timezone
    for key, value, default in _properties(budget):
        if whole or value != default:
            rows[key] = value
    if budget.raises:
        rows["raises"] = [_raise_row(budget.measure, one) for one in budget.raises]
    return rows


def toml(budgets: Sequence[Budget]) -> str:
    """A file of budgets."""
    return "\n".join("\n".join(_toml_lines(written(budget))) + "\n" for budget in budgets)


def default_name(budget: Budget) -> str:
    """What a budget is called that was given no name: 'team search · usd · month'."""
    named = [
        f"{name.replace('_', ' ')} {value}"
        for name in SCOPE
        if (value := getattr(budget.scope, name)) is not None
    ]
    named += [f"each {budget.each.replace('_', ' ')}"] if budget.each else []
    measure = measure_word(budget.measure).replace("_", " ")
    window = () if budget.window == "always" else (budget.window,)
    return " · ".join((", ".join(named) or "everything", measure, *window))[:CHARS_MAX]


def measure_word(measure: str) -> str:
    """The key a measure is written with; of a single unit its name."""
    return measure.removeprefix(UNIT) if measure.startswith(UNIT) else _WORDS[measure]


def amount_text(measure: str, amount: int) -> str:
    """An amount of a measure: exact decimal USD for money, else the whole number."""
    return format_usd(amount * PICO_PER_NANO) if measure in MONEY else str(amount)


def parse_amount(measure: str, given: object) -> int:
    """An amount in the measure's own units. Raises ValueError saying what is expected."""
    text = str(given).strip().replace("_", "")
    if isinstance(given, bool | float) or not isinstance(given, int | str):
        raise ValueError(f'expected a whole number, or text such as "0.50", found {given!r}')  # noqa: TRY004 - the reader's word
    if measure not in MONEY:
        if not text.isascii() or not text.isdigit():
            raise ValueError(f"expected a whole number, found {given!r}")
        return int(text)
    pico = parse_usd(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text) else None
    if pico is None or pico % PICO_PER_NANO:
        raise ValueError(
            f"expected an amount in USD with at most 9 decimals such as 500, found {given!r}"
        )
    return pico // PICO_PER_NANO


def counts_rows(budget: Budget) -> bool:
    """Whether rows are posted to it; rates and requests at a time are only held."""
    return budget.window != "minute" and budget.measure != CONCURRENT


def usual_forecast_alerts(window: str, alerts: tuple[int, ...]) -> tuple[int, ...]:
    """A forecast below the limit is good news: unless said otherwise only its reaching 100 % is told."""
    return (PERCENT_MAX,) if alerts and window in CALENDAR else ()


def usual_store_down(budget: Budget) -> StoreDown:
    """Money and quantities fail closed; rates and requests at a time open: they protect, they do not pay."""
    return "deny" if counts_rows(budget) else "allow"


def _limit_row(budget: Budget) -> dict[str, object]:
    if budget.measure.startswith(UNIT):
        return {"unit": {budget.measure.removeprefix(UNIT): budget.limit}}
    key = measure_word(budget.measure)
    is_money = budget.measure in MONEY
    return {key: amount_text(budget.measure, budget.limit) if is_money else budget.limit}


def _properties(budget: Budget) -> Iterator[tuple[str, object, object]]:
    """Key, value and default of everything that applies to a budget."""
    if budget.window in FISCAL:
        yield "year_start", budget.year_start, 1
    yield "mode", mode_of(budget), "hard"
    if budget.window == "minute":
        yield "burst", budget.burst_percent, BURST_PERCENT
    if counts_rows(budget):
        yield "alert", list(budget.alerts), []
    if budget.window in CALENDAR:
        yield "carry_over", budget.carry_over_percent, 0
        default = list(usual_forecast_alerts(budget.window, budget.alerts))
        yield "alert_forecast", list(budget.forecast_alerts), default
    yield from _enforced(budget)


def _enforced(budget: Budget) -> Iterator[tuple[str, object, object]]:
    """What applies to refusing."""
    if budget.hard:
        yield "store_down", _down_text(budget), usual_store_down(budget)
    if budget.measure in MONEY:
        yield "zero_priced", budget.zero_priced, True
    if mode_of(budget) == "hard" and budget.measure in BOUNDED_BY_OUTPUT:
        yield "clamp", budget.clamp, False
        yield "stop", budget.stop, False


def mode_of(budget: Budget) -> str:
    """hard, soft or shadow."""
    return "shadow" if budget.shadow else "hard" if budget.hard else "soft"


def _down_text(budget: Budget) -> str:
    within = budget.store_down == "allow_within"
    return f"allow-within={budget.store_down_percent}" if within else budget.store_down


def _raise_row(measure: str, one: Raise) -> dict[str, object]:
    begun = {"from": instant(one.from_us).isoformat()} if one.from_us else {}
    return {
        "by": amount_text(measure, one.amount),
        **begun,
        "until": instant(one.to_us).isoformat(),
        "reason": one.reason,
        "author": one.author,
    }


def _toml_lines(rows: Mapping[str, object], header: str = "[[budgets]]") -> Iterator[str]:
    yield header
    tables: list[tuple[str, Mapping[str, object]]] = []
    for key, value in rows.items():
        if key == "raises" and isinstance(value, list):
            tables += [("[[budgets.raises]]", one) for one in value]
        elif isinstance(value, Mapping):
            inside = ", ".join(f"{name} = {_toml_value(one)}" for name, one in value.items())
            yield f"{key} = {{ {inside} }}"
        else:
            yield f"{key} = {_toml_value(value)}"
    for name, table in tables:
        yield ""
        yield from _toml_lines(table, name)


def _toml_value(value: object) -> str:
    # Texts are printable, so that JSON's way of writing them is TOML's too.
    return msgspec.json.encode(value).decode().replace(",", ", ") if isinstance(value, list) else msgspec.json.encode(value).decode()  # fmt: skip
