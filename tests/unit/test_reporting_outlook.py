"""Laws of the outlook: parts sum, forecasts are linear and no worse than said, causes are named, savings may be negative."""

import random
from datetime import date, timedelta

import pytest
from hypothesis import given, strategies as st

from gateway.commands.spend.pictures import blocks, whole_dollars
from gateway.reporting.anomalies import cause, unusual
from gateway.reporting.forecast import forecast, month_end, month_start, spent
from gateway.reporting.movers import movers
from gateway.reporting.outlook import Cell, Hour, Speed, Totals, grouped, paces

DOLLAR = 10**12
UNITS = (
    "input_text",
    "cache_read_text",
    "cache_write_5m",
    "output_text",
    "request",
    "web_search_requests",
)
cells = st.lists(
    st.builds(
        lambda app, model, unit, quantity, pico: Cell(
            {"app": app, "provider": "p", "model": model, "unit": unit},
            quantity,
            0,
            0 if unit == "request" else pico,
            0 if unit == "request" else pico,
        ),
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
        st.sampled_from(UNITS),
        st.integers(min_value=-(10**6), max_value=10**9),
        st.integers(min_value=-(10**12), max_value=10**15),
    ),
    max_size=30,
)
series = st.dictionaries(
    st.dates(date(2026, 8, 1), date(2026, 11, 30)),
    st.integers(min_value=0, max_value=10**16),
    max_size=120,
)


@given(cells, cells)
def test_volume_mix_and_price_sum_to_the_change_exactly(old: list[Cell], new: list[Cell]) -> None:
    found = movers(old, new, lambda cell: (cell.names["app"],))
    for one in found:
        assert one.volume + one.mix + one.price == one.after - one.before
    assert sum(one.before for one in found) == sum(cell.net_pico for cell in old)
    assert sum(one.after for one in found) == sum(cell.net_pico for cell in new)


def cell(model: str, unit: str, quantity: int, pico: int) -> Cell:
    return Cell({"app": "a", "provider": "p", "model": model, "unit": unit}, quantity, 0, pico, pico)  # fmt: skip


def test_each_part_is_what_its_name_says() -> None:
    def parts(old: list[Cell], new: list[Cell]) -> tuple[int, int, int]:
        (one,) = movers(old, new, lambda _: ("all",))
        return one.volume, one.mix, one.price

    base = [cell("x", "input_text", 100, 1000), cell("y", "input_text", 100, 3000)]
    twice = [cell("x", "input_text", 200, 2000), cell("y", "input_text", 200, 6000)]
    dearer = [cell("x", "input_text", 100, 1500), cell("y", "input_text", 100, 3000)]
    other = [cell("x", "input_text", 0, 0), cell("y", "input_text", 200, 6000)]
    assert parts(base, twice) == (4000, 0, 0)
    assert parts(base, dearer) == (0, 0, 500)
    assert parts(base, other) == (0, 2000, 0)
    assert parts([], base) == (4000, 0, 0)


@given(series, st.dates(date(2026, 11, 2), date(2026, 11, 30)))
def test_a_forecast_never_looks_at_what_it_forecasts(days: dict[date, int], today: date) -> None:
    known = {day: pico for day, pico in days.items() if day < today}
    tampered = {**known, **dict.fromkeys((today, date(2026, 11, 30)), 10**15)}
    before = forecast({**known, date(2026, 8, 1): 1}, 202611, today)
    assert forecast({**tampered, date(2026, 8, 1): 1}, 202611, today).pico == before.pico


def test_a_steady_week_is_forecast_to_the_pico_dollar() -> None:
    days = {
        date(2026, 3, 1) + timedelta(days=n): (700 if n % 7 < 5 else 20) * DOLLAR
        for n in range(275)
    }
    for day in (2, 7, 14, 21, 30):
        found = forecast(days, 202611, date(2026, 11, day))
        assert found.pico == spent(days, 202611, date(2026, 12, 1))
        assert (found.low, found.high, found.error_ppm) == (found.pico, found.pico, 0)
    assert forecast(days, 202611, date(2026, 12, 1)).low is None


def simulated(seed: int) -> dict[date, int]:
    """Fourteen months with a week, growth, holidays and a runaway day, as the method was chosen on."""
    chance = random.Random(seed)
    level, days = 300.0, {}
    for n in range(425):
        day = date(2025, 10, 1) + timedelta(days=n)
        level *= 1 + chance.uniform(-0.004, 0.006)
        usual = level * (1 if day.weekday() < 5 else 0.12) * chance.uniform(0.85, 1.15)
        if chance.random() < 0.004:
            usual *= 2.5
        days[day] = int(usual * DOLLAR)
    return days


@pytest.mark.parametrize(("day", "bound"), [(7, 5), (14, 4), (21, 3)])
def test_the_mean_error_stays_below_five_percent_at_day_seven(day: int, bound: int) -> None:
    errors = []
    for seed in range(12):
        days = simulated(seed)
        for period in (202605, 202607, 202609, 202611):
            today = month_start(period) + timedelta(days=day - 1)
            actual = spent(days, period, month_end(period))
            known = {at: pico for at, pico in days.items() if at < today}
            errors.append(abs(forecast(known, period, today).pico - actual) * 100 / actual)
    assert sum(errors) / len(errors) < bound


def test_the_range_holds_about_four_of_five_months() -> None:
    held = tried = 0
    for seed in range(20):
        days = simulated(seed)
        for period in (202607, 202608, 202609, 202610, 202611):
            today = month_start(period) + timedelta(days=9)
            known = {at: pico for at, pico in days.items() if at < today}
            found = forecast(known, period, today)
            assert found.low is not None
            assert found.high is not None
            actual = spent(days, period, month_end(period))
            held += found.low <= actual <= found.high
            tried += 1
    assert 65 <= held * 100 // tried <= 97


def test_a_runaway_day_is_found_and_its_key_and_window_named() -> None:
    chance = random.Random(1)
    days = {
        date(2026, 9, 1) + timedelta(days=n): int(chance.uniform(80, 120) * DOLLAR)
        for n in range(81)
    }
    days[date(2026, 11, 18)] += 412 * DOLLAR
    (one,) = unusual({("legal", "review", "sonnet"): days}, date(2026, 11, 1), date(2026, 11, 21))
    assert (one.day, one.team) == (date(2026, 11, 18), "legal")
    assert 380 * DOLLAR < one.over_pico < 440 * DOLLAR
    hours = [Hour("usual", slot, 5, DOLLAR) for slot in range(18, 34)]
    hours += [Hour("runaway", slot, 2_600, 82 * DOLLAR) for slot in range(4, 9)]
    hours += [Hour("runaway", 30, 1, DOLLAR)]
    why = cause(hours)
    assert why is not None
    assert (why.key_id, why.first) == ("runaway", 4)
    assert 8 <= why.until <= 9
    assert why.requests >= 4 * 2_600
    assert cause([]) is None


def test_ordinary_weeks_raise_less_than_one_alarm_a_quarter() -> None:
    alarms = 0
    for seed in range(20):
        chance = random.Random(seed)
        days = {}
        for n in range(56 + 90):
            day = date(2026, 5, 1) + timedelta(days=n)
            level = 200 if day.weekday() < 5 else 20
            days[day] = int(level * chance.lognormvariate(0, 0.2) * DOLLAR)
        start = date(2026, 5, 1) + timedelta(days=56)
        alarms += len(unusual({("t", "a", "m"): days}, start, start + timedelta(days=90)))
    assert alarms < 20


def test_what_caches_save_is_net_of_the_premium_and_may_be_negative() -> None:
    def saved(*parts: Cell) -> int:
        totals = Totals()
        for part in parts:
            totals.add(part, part.names["model"])
        return totals.cache_saved()

    plain = cell("claude", "input_text", 1_000_000, 3 * DOLLAR)
    read = cell("claude", "cache_read_text", 1_000_000, 3 * DOLLAR // 10)
    written = cell("claude", "cache_write_5m", 1_000_000, 375 * DOLLAR // 100)
    assert saved(plain, read) == 27 * DOLLAR // 10
    assert saved(plain, written) == -75 * DOLLAR // 100
    assert saved(plain, read, written) == 195 * DOLLAR // 100
    assert saved(read) == 0  # nothing to compare with: no claim
    assert saved(plain, cell("gpt", "cache_read_text", 10**6, DOLLAR)) == 0


@given(cells)
def test_groups_sum_to_the_whole(found: list[Cell]) -> None:
    groups = grouped(found, lambda one: (one.names["app"], one.names["model"]))
    assert sum(totals.pico for totals in groups.values()) == sum(one.net_pico for one in found)
    assert sum(totals.requests for totals in groups.values()) == sum(
        one.quantity for one in found if one.names["unit"] == "request"
    )


def test_percentiles_availability_and_pace_of_known_attempts() -> None:
    speeds = [
        Speed("p", "m", 100, 90, 0, 0, 9_000, 90_000),
        Speed("p", "m", 2_000, 10, 0, 0, 1_000, 10_000),
        Speed("p", "m", -1, 100, 5, 3, 0, 0),
    ]
    found = paces(speeds)["p", "m"]
    assert (found.first_p50_ms, found.first_p95_ms) == (100, 2_000)
    assert (found.attempts, found.errors_bp, found.available_bp) == (200, 250, 9_850)
    assert found.tokens_per_s == 100
    silent = paces([Speed("p", "m", -1, 3, 0, 0, 0, 0)])["p", "m"]
    assert (silent.first_p50_ms, silent.tokens_per_s) == (None, None)


@given(st.lists(st.integers(min_value=0, max_value=10**17), min_size=1, max_size=20))
def test_dollars_shown_sum_to_the_total_shown(picos: list[int]) -> None:
    shown = whole_dollars(picos)
    assert abs(sum(shown) * DOLLAR - sum(picos)) <= DOLLAR
    assert len(blocks(picos)) == len(picos)
