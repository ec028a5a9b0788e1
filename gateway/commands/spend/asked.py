"""The running month gathered: what the rollup says of it, of the days before and of the year.

To add a figure: what it is read from in ``gathered``, what it is in reporting.outlook.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from gateway.commands.payers import organisation_of
from gateway.commands.statement.asked import budgets_by_centre
from gateway.config import Config
from gateway.ledger.period import day_bounds_us, previous_period
from gateway.reporting.anomalies import LOOK_BACK_DAYS, Cause, Key, Unusual, cause, unusual
from gateway.reporting.forecast import (
    BACK_MONTHS,
    Forecast,
    forecast,
    month_end,
    month_start,
    rest,
    split,
)
from gateway.reporting.movers import Mover, movers
from gateway.reporting.organisation import KINDS, UNALLOCATED, Organisation
from gateway.reporting.outlook import Cell, Pace, Totals, grouped, paces
from gateway.storage import outlook, reporting
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database

MONTHS: Final = 12
CHANGES_MAX: Final = 8
_GRAIN: Final = ("team", "app", "provider", "model", "unit")


class Centre(msgspec.Struct, frozen=True):
    """A cost centre's row. Amounts in pico-USD; ``months`` oldest first, this one last, as spent so far."""

    code: str
    name: str
    pico: int
    before_pico: int
    months: tuple[int, ...]
    forecast_pico: int
    budget_cents: int | None


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The month as it runs. ``today``: the first day that is not counted; rows sum to the whole.

    so_far_pico  what that day cost until now, where it is today
    """

    period: int
    today: date
    so_far_pico: int = 0
    simulated: bool
    centres: tuple[Centre, ...]
    totals: Totals
    before: Totals
    people: int
    forecast: Forecast
    unusual: tuple[tuple[Unusual, Cause | None], ...]
    changes: tuple[Mover, ...]
    models: Mapping[tuple[str, str], Totals]
    paces: Mapping[tuple[str, str], Pace]

    @property
    def budget_cents(self) -> int | None:
        """The sum of the budgets there are."""
        found = [one.budget_cents for one in self.centres if one.budget_cents is not None]
        return sum(found) if found else None


async def gathered(
    database: Database,
    config: Config,
    today: date,
    *,
    with_speeds: bool = True,
    with_today: bool = False,
) -> Outlook:
    """The month of the day before ``today``."""
    last = today - timedelta(days=1)
    period = last.year * 100 + last.month
    known = await organisation_of(database)
    start = month_start(period)
    before = month_start(previous_period(period))
    same = min(before + (today - start), start)
    keys = (*_GRAIN, *(("user",) if "user" in known.grain else ()))
    now_cells = await outlook.cells(database, f"{start}", f"{today}", keys)
    old_cells = await outlook.cells(database, f"{before}", f"{same}", keys)
    days = await _days(database, known, period, today)
    whole = _whole(days)
    centres = await _centres(database, known, (period, today), days, _by_centre(days, before, same))  # fmt: skip
    total = sum(one.forecast_pico for one in centres)
    seen = forecast(whole, period, today)
    shift = total - seen.pico  # below a pico-dollar per row: rows sum to what is printed
    return Outlook(
        period=period,
        today=today,
        so_far_pico=await _so_far(database, today) if with_today else 0,
        simulated="simulated" in await outlook.organisations(database),
        centres=tuple(centres),
        totals=_all(now_cells),
        before=_all(old_cells),
        people=await outlook.people(database, f"{start}", f"{today}"),
        forecast=msgspec.structs.replace(seen, pico=seen.pico + shift),
        unusual=tuple(await _unusual(database, config, start, today)),
        changes=tuple(movers(old_cells, now_cells, _application(known, f"{start}"))[:CHANGES_MAX]),
        models=_models(now_cells),
        paces=await _paces(database, config, (start, last)) if with_speeds else {},
    )


async def _paces(
    database: Database, config: Config, days: tuple[date, date]
) -> dict[tuple[str, str], Pace]:
    first, last = (day_bounds_us(f"{day}", config.org.timezone) for day in days)
    return paces(await outlook.speeds(database, first[0], last[1]))


async def _so_far(database: Database, today: date) -> int:
    rows = await outlook.amounts(database, f"{today}", f"{today + timedelta(days=1)}", ())
    return sum(pico for _, pico in rows)


def _application(known: Organisation, day: str) -> Callable[[Cell], tuple[str, ...]]:
    def name(cell: Cell) -> tuple[str, ...]:
        return cell.names["app"] or "no application", _payer(known, cell.names, day)

    return name


def _payer(known: Organisation, names: Mapping[str, str], day: str) -> str:
    return known.centre_of(names["team"], day, user=names.get("user", ""), app=names.get("app", ""))


def _all(cells: Sequence[Cell]) -> Totals:
    totals = Totals()
    for cell in cells:
        totals.add(cell, f"{cell.names['provider']}/{cell.names['model']}")
    return totals


def _models(cells: Sequence[Cell]) -> dict[tuple[str, str], Totals]:
    found = grouped(cells, lambda cell: (cell.names["provider"], cell.names["model"]))
    ordered = sorted(found.items(), key=lambda each: (each[0][0], -each[1].pico))
    return {(key[0], key[1]): totals for key, totals in ordered}


Days = Mapping[str, Mapping[date, int]]


async def _days(database: Database, known: Organisation, period: int, today: date) -> Days:
    """Cost centre → day → pico-USD, as far back as forecasts are tried."""
    first = month_start(period)
    for _ in range(BACK_MONTHS):
        first = month_start(previous_period(first.year * 100 + first.month))
    first -= timedelta(days=LOOK_BACK_DAYS)
    kinds = [kind for kind in KINDS if kind in known.grain]
    found: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for names, pico in await outlook.amounts(database, f"{first}", f"{today}", ("day", *kinds)):
        subjects: dict[str, str] = {
            "team": "",
            **dict(zip(map(str, kinds), names[1:], strict=True)),
        }
        code = _payer(known, subjects, names[0])
        found[code][date.fromisoformat(names[0])] += pico
    return found


def _whole(days: Days) -> dict[date, int]:
    found: dict[date, int] = defaultdict(int)
    for own in days.values():
        for day, pico in own.items():
            found[day] += pico
    return dict(found)


def _by_centre(days: Days, first: date, until: date) -> dict[str, int]:
    """What each cost centre was charged on the days [first, until): by who paid on each of them."""
    return {
        code: sum(pico for day, pico in own.items() if first <= day < until)
        for code, own in days.items()
    }


async def _centres(
    database: Database,
    known: Organisation,
    when: tuple[int, date],
    days: Days,
    before: Mapping[str, int],
) -> list[Centre]:
    period, today = when
    start, end = month_start(period), month_end(period)
    months = await _months(database, known, period)
    budgets = budgets_by_centre(await BudgetStore(database).list())
    codes = sorted({*days, *before, *known.centres})
    first = min(_whole(days), default=today)
    now = {c: sum(p for d, p in days.get(c, {}).items() if start <= d < today) for c in codes}
    ahead = [rest(days.get(code, {}), first, today, end) if today < end else 0 for code in codes]
    parts = dict(zip(codes, split(sum(ahead) // 840, ahead), strict=True))
    made = [
        Centre(
            code,
            known.centre(code).name or code,
            now[code],
            before.get(code, 0),
            (*months.get(code, (0,) * (MONTHS - 1)), now[code]),
            now[code] + parts[code],
            budgets[code].month_cents if code in budgets else None,
        )
        for code in codes
    ]
    kept = [one for one in made if any((one.pico, one.before_pico, *one.months, one.budget_cents))]
    return sorted(kept, key=lambda one: (one.code == UNALLOCATED, -one.pico, one.code))


async def _months(
    database: Database, known: Organisation, period: int
) -> dict[str, tuple[int, ...]]:
    """Cost centre → what the eleven months before were charged, oldest first."""
    periods = [previous_period(period)]
    for _ in range(MONTHS - 2):
        periods.append(previous_period(periods[-1]))
    periods.reverse()
    found: dict[str, list[int]] = defaultdict(lambda: [0] * len(periods))
    for at, postings in enumerate((await reporting.history(database, periods, known)).values()):
        for one in postings:
            day = max(one.day, reporting.first_day(periods[at]))
            names = {"team": one.team, "user": one.user, "app": one.app}
            found[_payer(known, names, day)][at] += one.net_pico
    return {code: tuple(amounts) for code, amounts in found.items()}


async def _unusual(
    database: Database, config: Config, start: date, today: date
) -> list[tuple[Unusual, Cause | None]]:
    first = start - timedelta(days=LOOK_BACK_DAYS)
    series: dict[Key, dict[date, int]] = defaultdict(dict)
    for names, pico in await outlook.amounts(
        database, f"{first}", f"{today}", ("day", "team", "app", "model")
    ):
        series[names[1], names[2], names[3]][date.fromisoformat(names[0])] = pico
    found = []
    for one in unusual(series, start, today)[:CHANGES_MAX]:
        bounds = day_bounds_us(f"{one.day}", config.org.timezone)
        hours = await outlook.hours(database, bounds, one.team, one.app, one.model)
        found.append((one, cause(hours)))
    return found
