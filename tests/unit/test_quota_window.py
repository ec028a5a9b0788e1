"""Windows of budgets tile time, whatever the zone does to its clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.clock import epoch_us, instant
from gateway.quota.budget import USD_NET, Budget, Scope
from gateway.quota.window import ENDLESS, previous, window_of

# Both changes of the clock; half-hour changes; a whole day that never was; midnights that do not exist.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Santiago",
    "Asia/Kathmandu",
    "Africa/Cairo",
)
HOUR_US = 3_600_000_000
CALENDAR = ("day", "week", "month", "quarter", "year")
MOMENTS = st.integers(
    epoch_us(datetime(2005, 1, 1, tzinfo=UTC)), epoch_us(datetime(2037, 1, 1, tzinfo=UTC))
)


def budget(window: str, zone: str = "UTC", year_start: int = 1) -> Budget:
    return Budget(
        id="b",
        name="b",
        scope=Scope(),
        measure=USD_NET,
        limit=1,
        window=window,  # type: ignore[arg-type]  # any of the literal's words
        timezone=zone,
        year_start=year_start,
    )


def at(text: str, zone: str) -> int:
    return epoch_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


@settings(max_examples=800)
@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(CALENDAR), st.integers(1, 12))
def test_windows_tile_time_without_gap_or_overlap(
    moment: int, zone: str, window: str, year_start: int
) -> None:
    given_budget = budget(window, zone, year_start)
    span = window_of(given_budget, moment)
    assert span.end_us is not None
    assert span.start_us <= moment < span.end_us
    assert window_of(given_budget, span.start_us) == span
    assert window_of(given_budget, span.end_us - 1) == span
    after = window_of(given_budget, span.end_us)
    assert after.start_us == span.end_us
    assert previous(given_budget, after) == span


@settings(max_examples=400)
@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(CALENDAR))
def test_a_window_begins_with_a_local_day(moment: int, zone: str, window: str) -> None:
    span = window_of(budget(window, zone), moment)
    begun = instant(span.start_us).astimezone(ZoneInfo(zone))
    before = instant(span.start_us - 1).astimezone(ZoneInfo(zone))
    assert before.date() < begun.date()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-11-22", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/New_York", "2026-03-29", 24),
        ("Asia/Kolkata", "2026-03-29", 24),
        ("Asia/Kolkata", "2026-11-01", 24),
    ],
)
def test_a_day_has_23_or_25_hours_when_the_clocks_change(zone: str, day: str, hours: int) -> None:
    span = window_of(budget("day", zone), at(f"{day}T12:00", zone))
    assert span.end_us is not None
    assert span.end_us - span.start_us == hours * HOUR_US


@pytest.mark.parametrize(
    ("zone", "midnight_utc"),
    [
        ("America/New_York", "2026-01-31T05:00"),
        ("America/New_York", "2026-07-31T04:00"),
        ("Asia/Kolkata", "2026-01-30T18:30"),
        ("Europe/Berlin", "2026-01-30T23:00"),
    ],
)
def test_a_day_turns_at_local_midnight_to_the_microsecond(zone: str, midnight_utc: str) -> None:
    midnight = at(midnight_utc, "UTC")
    before, after = (window_of(budget("day", zone), midnight + us) for us in (-1, 0))
    assert before.end_us == after.start_us == midnight


@pytest.mark.parametrize(
    ("month", "hours"),
    [("2026-02", 28 * 24), ("2028-02", 29 * 24), ("2026-04", 30 * 24), ("2026-03", 31 * 24 - 1),
     ("2026-11", 30 * 24 + 1), ("2026-12", 31 * 24)],
)  # fmt: skip
def test_a_month_is_as_long_as_its_days_and_clock_changes_make_it(month: str, hours: int) -> None:
    span = window_of(
        budget("month", "America/New_York"), at(f"{month}-15T12:00", "America/New_York")
    )
    assert span.end_us is not None
    assert span.end_us - span.start_us == hours * HOUR_US


def test_a_midnight_that_does_not_exist_is_the_moment_the_clock_landed_on() -> None:
    # Chile springs forward at midnight: 2026-09-06 begins at 01:00.
    span = window_of(budget("day", "America/Santiago"), at("2026-09-06T12:00", "America/Santiago"))
    begun = instant(span.start_us).astimezone(ZoneInfo("America/Santiago"))
    assert (begun.day, begun.hour) == (6, 1)


@pytest.mark.parametrize("minute", [*range(-2, 3), 15, 29, 30, 31, 60])
@pytest.mark.parametrize("window", ["day", "week", "month"])
def test_a_day_that_begins_after_its_missing_midnight_is_in_one_window(
    minute: int, window: str
) -> None:
    # Toronto went from 23:30 to 00:30: between that and where midnight would have been it is a new day already.
    moment = at("1919-03-31T04:30", "UTC") + minute * 60_000_000
    one = budget(window, "America/Toronto", 4)
    span = window_of(one, moment)
    assert span.end_us is not None
    assert span.start_us <= moment < span.end_us
    assert window_of(one, span.end_us).start_us == span.end_us
    assert previous(one, window_of(one, span.end_us)) == span
    longest = {"day": 25, "week": 7 * 24 + 1, "month": 31 * 24 + 1}[window]
    assert span.end_us - span.start_us <= longest * HOUR_US


@pytest.mark.parametrize(
    ("moment", "window", "year_start", "first", "last"),
    [
        ("2026-02-10", "month", 1, "2026-02-01", "2026-02-28"),
        ("2028-02-10", "month", 1, "2028-02-01", "2028-02-29"),
        ("2026-04-30", "month", 1, "2026-04-01", "2026-04-30"),
        ("2026-01-15", "year", 2, "2025-02-01", "2026-01-31"),
        ("2026-02-01", "year", 2, "2026-02-01", "2027-01-31"),
        ("2026-04-30", "quarter", 2, "2026-02-01", "2026-04-30"),
        ("2026-01-31", "quarter", 2, "2025-11-01", "2026-01-31"),
        ("2026-12-31", "quarter", 1, "2026-10-01", "2026-12-31"),
        ("2026-11-22", "week", 1, "2026-11-16", "2026-11-22"),
    ],
)
def test_months_quarters_fiscal_years_and_weeks(
    moment: str, window: str, year_start: int, first: str, last: str
) -> None:
    zone = "Europe/Berlin"
    span = window_of(budget(window, zone, year_start), at(f"{moment}T13:00", zone))
    assert span.end_us is not None
    assert instant(span.start_us).astimezone(ZoneInfo(zone)).date().isoformat() == first
    ended = instant(span.end_us).astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
    assert ended.isoformat() == last


@pytest.mark.parametrize("window", ["minute", "always"])
def test_what_rolls_or_never_ends_has_one_window(window: str) -> None:
    given_budget = budget(window)
    assert window_of(given_budget, 1) == window_of(given_budget, 10**16) == ENDLESS
    assert previous(given_budget, ENDLESS) == ENDLESS
