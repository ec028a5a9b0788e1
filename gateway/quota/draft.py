"""From a written table to a budget: every mistake at once, each with its key and its cure.

The inverse of ``quota.form.written``. To add a property of a budget: see there.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from gateway.kernel.names import nearest
from gateway.metering.units import UNITS
from gateway.quota.budget import (
    CONCURRENT,
    MONEY,
    UNIT,
    USD_NET,
    Budget,
    Raise,
    Scope,
    StoreDown,
    Window,
)
from gateway.quota.fields import Fields, Problem, Table
from gateway.quota.form import (
    BOUNDED_BY_OUTPUT,
    BURST_PERCENT,
    CALENDAR,
    DOWN_PERCENT,
    EACH,
    FISCAL,
    KEYS,
    LIMIT_MAX,
    MEASURE_KEYS,
    MEASURED,
    MODES,
    PER_MINUTE_MAX,
    PERCENT_MAX,
    SCOPE,
    WINDOWS,
    amount_text,
    counts_rows,
    default_name,
    parse_amount,
    usual_forecast_alerts,
    usual_store_down,
)

_TAG: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}=[A-Za-z0-9._:/-]{1,64}")
_WITHIN: Final = re.compile(r"allow-within=([0-9]{1,3})")
_UNIT: Final = re.compile(r"([a-z0-9_]+)=(.+)")


class Draft(msgspec.Struct, frozen=True):
    """A budget as it was written, without an id. ``says_raises``: whether its raises were named at all."""

    budget: Budget
    says_raises: bool


def read(
    table: Table, *, zone: str, providers: Collection[str]
) -> tuple[Draft | None, tuple[Problem, ...]]:
    """The budget of a table, or every problem of it.

    ``zone``: of calendar windows that name none. ``providers``: those that a scope may name.
    """
    fields = Fields(table)
    fields.refuse_unknown(KEYS)
    scope = _scope(fields, providers)
    each = fields.word("each", EACH, "")
    measure, limit = _measure(fields)
    window = _window(fields, measure)
    timezone = _zone(fields, window, zone)
    _check_limit(fields, measure, limit, window)
    budget = _assembled(fields, Budget(
        id="", name="", scope=scope, each=each, measure=measure, limit=limit, window=window,
        timezone=timezone,
    ))  # fmt: skip
    name = fields.text("name") or default_name(budget)
    raises = _raises(fields, budget)
    if fields.problems:
        return None, tuple(fields.problems)
    whole = msgspec.structs.replace(budget, name=name, raises=raises)
    return Draft(whole, "raises" in table), ()


def _scope(fields: Fields, providers: Collection[str]) -> Scope:
    scope = Scope(**{name: fields.text(name) or None for name in SCOPE})
    if scope.tag is not None and not _TAG.fullmatch(scope.tag):
        fields.problem("tag", f"expected name=value, found {scope.tag!r}")
    if scope.provider is not None and scope.provider not in providers:
        fields.problem(
            "provider", f"expected one of {', '.join(sorted(providers))}, found {scope.provider!r}"
        )
    return scope


def _measure(fields: Fields) -> tuple[str, int]:
    """The measure and its limit; where that cannot be told, one that makes no further problems."""
    named = [key for key in MEASURE_KEYS if fields.has(key)]
    if len(named) != 1:
        found = f"found {' and '.join(named)}" if named else "found none"
        fields.problem(named[1] if named else "usd", f"expected exactly one of {', '.join(MEASURE_KEYS)}, {found}")  # fmt: skip
        return MEASURED[named[0]] if named and named[0] != "unit" else USD_NET, 1
    key, given = named[0], fields.raw(named[0])
    measure = MEASURED.get(key, "")
    if key == "unit":
        unit, given = _unit(given)
        measure = UNIT + unit
        if unit not in UNITS:
            near = nearest(unit, UNITS)
            there = f"did you mean {near}?" if near else f"known are {', '.join(UNITS)}"
            fields.problem("unit", f"expected one unit and its limit, e.g. web_search_requests=100, found {unit!r}; {there}")  # fmt: skip
            return measure, 1
    try:
        return measure, parse_amount(measure, given)
    except ValueError as error:
        fields.problem(key, str(error))
        return measure, 1


def _unit(given: object) -> tuple[str, object]:
    if isinstance(given, Mapping) and len(given) == 1:
        ((unit, limit),) = given.items()
        return str(unit), limit
    found = _UNIT.fullmatch(given) if isinstance(given, str) else None
    return (found[1], found[2]) if found else ("", given)


def _window(fields: Fields, measure: str) -> Window:
    if measure == CONCURRENT:
        if fields.raw("window") not in {None, "", "always"}:
            fields.problem("window", "requests at a time have no window: leave it out")
        return "always"
    word = fields.word("window", WINDOWS, "")
    if not word and not fields.raw("window"):
        fields.problem("window", f"missing; expected one of {', '.join(WINDOWS)}")
    return next((window for window in WINDOWS if window == word), "month")


def _check_limit(fields: Fields, measure: str, limit: int, window: str) -> None:
    key = next((key for key in MEASURE_KEYS if fields.has(key)), "usd")
    if window == "minute" and not 1 <= limit <= PER_MINUTE_MAX:
        most = amount_text(measure, PER_MINUTE_MAX)
        fields.problem(key, f"expected more than 0 and at most {most} a minute")
    elif limit > LIMIT_MAX:
        fields.problem(key, f"expected at most {amount_text(measure, LIMIT_MAX)}")


def _zone(fields: Fields, window: str, default: str) -> str:
    given = fields.text("tz")
    if window not in CALENDAR:
        if given:
            fields.problem("tz", f"window {window} follows no calendar: leave it out")
        return "UTC"
    try:
        ZoneInfo(given or default)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.problem("tz", f"expected an IANA zone such as Europe/Berlin, found {given!r}")
        return "UTC"
    return given or default


def _assembled(fields: Fields, budget: Budget) -> Budget:
    """With everything beside scope, measure and window; what does not go together is a problem."""
    mode = fields.word("mode", MODES, "hard")
    calendar = budget.window in CALENDAR
    minute, holds_only = budget.window == "minute", not counts_rows(budget)
    if mode == "soft" and holds_only:
        fields.problem("mode", "a soft budget counts booked rows, which rates and requests at a time have none of: use shadow, or a calendar window")  # fmt: skip
    fits, output = mode == "hard", budget.measure in BOUNDED_BY_OUTPUT
    only_hard = "only for hard budgets: leave it out"
    only_output = "only for USD, tokens and output tokens: leave it out"
    alerts = fields.percents("alert", (), "" if not holds_only else "rates and requests at a time raise no alerts: leave it out")  # fmt: skip
    ahead = fields.percents(
        "alert_forecast",
        usual_forecast_alerts(budget.window, alerts),
        "" if calendar and not holds_only else "only for calendar windows: leave it out",
    )
    down, within = _store_down(fields, budget, is_soft=mode == "soft")
    return msgspec.structs.replace(
        budget,
        year_start=fields.whole("year_start", 1, (1, 12), "" if budget.window in FISCAL else "only for quarters and years: leave it out"),
        hard=mode != "soft",
        shadow=mode == "shadow",
        carry_over_percent=fields.whole("carry_over", 0, (0, PERCENT_MAX), "" if calendar and not holds_only else "only for calendar windows: leave it out"),
        burst_percent=fields.whole("burst", BURST_PERCENT, (1, PERCENT_MAX), "" if minute else "only for window minute: leave it out"),
        alerts=alerts,
        forecast_alerts=ahead,
        store_down=down,
        store_down_percent=within,
        zero_priced=fields.flag("zero_priced", "" if budget.measure in MONEY else "only for USD: leave it out", default=True),
        clamp=fields.flag("clamp", _first(only_hard * (not fits), only_output * (not output))),
        stop=fields.flag("stop", _first(only_hard * (not fits), only_output * (not output))),
    )  # fmt: skip


def _first(*words: str) -> str:
    return next((word for word in words if word), "")


def _store_down(fields: Fields, budget: Budget, *, is_soft: bool) -> tuple[StoreDown, int]:
    default = usual_store_down(budget)
    text = fields.text("store_down")
    if not text:
        return default, DOWN_PERCENT
    if is_soft:
        fields.problem("store_down", "a soft budget refuses nothing: leave it out")
    within = _WITHIN.fullmatch(text)
    if within and 1 <= int(within[1]) <= PERCENT_MAX:
        return "allow_within", int(within[1])
    if text == "deny":
        return "deny", DOWN_PERCENT
    if text != "allow":
        fields.problem("store_down", f"expected deny, allow or allow-within=PERCENT (1 to 100), found {text!r}")  # fmt: skip
    return "allow", DOWN_PERCENT


def _raises(fields: Fields, budget: Budget) -> tuple[Raise, ...]:
    found = []
    for at, row in enumerate(fields.rows("raises")):
        inside = Fields(row, f"raises[{at}].")
        inside.refuse_unknown(("by", "from", "until", "reason", "author"))
        from_us = inside.moment("from", budget.timezone) if inside.has("from") else 0
        until_us = inside.moment("until", budget.timezone)
        if not inside.problems and until_us <= from_us:
            inside.problem("until", "expected a moment after from")
        for key in ("reason", "author"):
            if not inside.text(key):
                inside.problem(key, "missing; expected text")
        found.append(
            Raise(
                raise_amount(inside, "by", budget.measure),
                from_us,
                until_us,
                inside.text("reason"),
                inside.text("author"),
            )
        )
        fields.problems += inside.problems
    return tuple(found)


def raise_amount(fields: Fields, key: str, measure: str) -> int:
    """How much a raise adds; 0 with a problem where it is no amount of the measure."""
    try:
        amount = parse_amount(measure, fields.raw(key))
    except ValueError as error:
        fields.problem(key, str(error))
        return 0
    if not 0 < amount <= LIMIT_MAX:
        fields.problem(key, "expected more than 0")
    return amount
