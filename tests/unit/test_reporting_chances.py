"""What months with chance in them tell of forecasts and alarms: how often they are wrong, and what they find."""

import random
from datetime import date, timedelta

import pytest

from gateway.reporting.anomalies import cause, unusual
from gateway.reporting.forecast import forecast, month_end, month_start, spent
from gateway.reporting.outlook import Hour

DOLLAR = 10**12


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
