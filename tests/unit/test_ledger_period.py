"""Days and periods: each instant in exactly one, in the org's zone, over every clock change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.clock import epoch_us
from gateway.ledger.period import (
    Calendar,
    day_and_period,
    day_bounds_us,
    next_period,
    period_start_us,
    previous_period,
)

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Pacific/Apia",
        "Asia/Kolkata",
        "America/Sao_Paulo",
    ]
)
INSTANTS = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1_000_000)
HOUR_US = 3_600_000_000


def at(*parts: int) -> int:
    return epoch_us(datetime(*parts, tzinfo=UTC))  # type: ignore[misc, arg-type]  # date parts


@settings(max_examples=200)
@given(us=INSTANTS, zone=ZONES)
def test_every_instant_lies_in_its_own_day_and_period(us: int, zone: str) -> None:
    day, period = day_and_period(us, zone)
    start, end = day_bounds_us(day, zone)
    assert start <= us < end
    assert period_start_us(period, zone) <= us < period_start_us(next_period(period), zone)
    assert day.replace("-", "").startswith(str(period))


@settings(max_examples=200)
@given(us=INSTANTS, zone=ZONES)
def test_days_meet_without_gap_or_overlap(us: int, zone: str) -> None:
    day, _ = day_and_period(us, zone)
    start, end = day_bounds_us(day, zone)
    assert day_and_period(start, zone)[0] == day
    assert day_and_period(end - 1, zone)[0] == day
    assert day_and_period(end, zone)[0] > day
    assert day_and_period(start - 1, zone)[0] < day


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-22", 24)]
)
def test_a_day_has_as_many_hours_as_its_clock_changes_leave(day: str, hours: int) -> None:
    start, end = day_bounds_us(day, "Europe/Berlin")
    assert end - start == hours * HOUR_US


def test_the_month_turns_at_local_midnight() -> None:
    assert day_and_period(at(2026, 11, 30, 22, 59, 59), "Europe/Berlin") == ("2026-11-30", 202611)
    assert day_and_period(at(2026, 11, 30, 23), "Europe/Berlin") == ("2026-12-01", 202612)
    assert day_and_period(at(2026, 11, 30, 23)) == ("2026-11-30", 202611)
    assert day_and_period(at(2028, 2, 29, 12)) == ("2028-02-29", 202802)


def test_periods_follow_each_other() -> None:
    assert (next_period(202611), next_period(202612)) == (202612, 202701)
    for wrong in (202600, 202613, 0):
        with pytest.raises(ValueError, match="yyyymm"):
            next_period(wrong)
        with pytest.raises(ValueError, match="yyyymm"):
            period_start_us(wrong)


@given(st.integers(190001, 290012).filter(lambda period: 1 <= period % 100 <= 12))
def test_the_period_before_is_the_one_this_follows(period: int) -> None:
    assert next_period(previous_period(period)) == previous_period(next_period(period)) == period


def test_no_period_is_before_what_is_none() -> None:
    assert (previous_period(202612), previous_period(202701)) == (202611, 202612)
    for wrong in (202600, 202613, 0):
        with pytest.raises(ValueError, match="yyyymm"):
            previous_period(wrong)


@settings(max_examples=200)
@given(st.lists(INSTANTS, min_size=1, max_size=4), st.integers(-60_000_000, 60_000_000), ZONES)
def test_a_calendar_remembers_a_minute_and_says_the_same(
    instants: list[int], later: int, zone: str
) -> None:
    calendar = Calendar(zone)
    for us in instants:
        for at_us in (us, us + max(later, -us)):
            assert calendar("org", at_us) == day_and_period(at_us, zone)


@pytest.mark.parametrize("minute", [0, 1, 2])
def test_a_calendar_knows_the_first_minutes_of_all(minute: int) -> None:
    assert Calendar("UTC")("org", minute * 60_000_000) == ("1970-01-01", 197001)


def test_a_calendar_turns_the_day_at_midnight_to_the_microsecond() -> None:
    calendar, midnight_us = Calendar("Europe/Berlin"), at(2026, 11, 30, 23)
    days = [calendar("org", midnight_us + us)[0] for us in (-1, 0, 59_999_999, -60_000_000)]
    assert days == ["2026-11-30", "2026-12-01", "2026-12-01", "2026-11-30"]


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        day_and_period(0, "Mars/Olympus")
