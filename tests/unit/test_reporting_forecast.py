"""The forecast of a month: linear, blind to what it forecasts, and as wrong as it says, in whole numbers."""

from collections.abc import Mapping
from datetime import date, timedelta
from math import isqrt

from hypothesis import given, strategies as st

from gateway.reporting.forecast import (
    Forecast,
    forecast,
    month_end,
    month_start,
    rest,
    spent,
    split,
)

DOLLAR = 10**12
NOVEMBER = date(2026, 11, 1)  # a Sunday
series = st.dictionaries(
    st.dates(date(2026, 8, 1), date(2026, 11, 30)), st.integers(0, 10**16), max_size=120
)
months = st.builds(
    lambda year, month: year * 100 + month, st.integers(2020, 2040), st.integers(1, 12)
)


def from_to(first: date, days: int, pico: int = DOLLAR) -> dict[date, int]:
    return {first + timedelta(days=n): pico for n in range(days)}


@given(months)
def test_a_month_ends_where_the_next_begins(period: int) -> None:
    start, end = month_start(period), month_end(period)
    assert (start.year, start.month, start.day) == (period // 100, period % 100, 1)
    last = end - timedelta(days=1)
    assert (end.day, last.year, last.month) == (1, start.year, start.month)


@given(
    series, st.dates(date(2026, 8, 1), date(2026, 12, 5)), st.sampled_from([202608, 202610, 202611])
)
def test_what_is_spent_is_of_the_months_days_before_today(
    days: dict[date, int], today: date, period: int
) -> None:
    wanted = [
        pico for day, pico in days.items() if day < today and day.year * 100 + day.month == period
    ]
    assert spent(days, period, today) == sum(wanted)


@given(series, series, st.dates(date(2026, 10, 1), date(2026, 11, 30)))
def test_it_is_linear_so_rows_sum_to_the_total(
    one: Mapping[date, int], two: Mapping[date, int], today: date
) -> None:
    first, until = date(2026, 8, 1), month_end(today.year * 100 + today.month)
    both = {day: one.get(day, 0) + two.get(day, 0) for day in one.keys() | two.keys()}
    parts = [rest(each, first, today, until) for each in (one, two)]
    assert sum(parts) == rest(both, first, today, until)


def test_each_day_ahead_is_the_mean_of_its_weekday_over_eight_weeks() -> None:
    today = NOVEMBER + timedelta(days=70)
    days = {today - timedelta(days=7 * back): back * 840 for back in range(1, 10)}
    one_day = today + timedelta(days=1)
    # Nine weeks back is too long ago; the other days of the week cost nothing.
    assert rest(days, NOVEMBER, today, one_day) == 840 * 840 * sum(range(1, 9)) // 8
    assert rest(days, NOVEMBER, one_day, one_day + timedelta(days=6)) == 0
    assert rest(days, NOVEMBER, today, today) == 0
    week = rest(days, NOVEMBER, today, today + timedelta(days=7))
    assert rest(days, NOVEMBER, today, today + timedelta(days=14)) == 2 * week
    # What is today and later is not looked at.
    assert (
        rest(days | {today: 10**9, one_day: 10**9}, NOVEMBER, today, today + timedelta(days=7))
        == week
    )


@given(series, st.integers(0, 40), st.integers(0, 40))
def test_days_that_begin_later_are_the_rest_without_those_before_them(
    days: dict[date, int], wait: int, length: int
) -> None:
    first, today = date(2026, 8, 1), NOVEMBER
    begin = today + timedelta(days=wait)
    until = begin + timedelta(days=length)
    later = rest(days, first, today, until, begin)
    assert later == rest(days, first, today, until) - rest(days, first, today, begin)


def test_of_less_than_a_week_any_day_is_like_the_others() -> None:
    today = NOVEMBER + timedelta(days=3)
    days = {NOVEMBER: 6, NOVEMBER + timedelta(days=1): 3}  # and a day of nothing
    assert rest(days, NOVEMBER, today, today + timedelta(days=1)) == 9 * 840 // 3
    # Where there is a day of that name it decides: Sunday, Monday, Tuesday come again.
    ahead = NOVEMBER + timedelta(days=7)
    assert rest(days, NOVEMBER, today, ahead) == 4 * (9 * 840 // 3)
    assert rest(days, NOVEMBER, today, ahead + timedelta(days=3)) == 4 * (9 * 840 // 3) + 9 * 840
    assert rest({}, today, today, ahead) == 0, "of nothing there is nothing to say"


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_parts_in_840ths_are_split_by_largest_remainder(parts: list[int]) -> None:
    whole = sum(parts) // 840
    found = split(whole, parts)
    assert sum(found) == whole
    for part, given_ in zip(parts, found, strict=True):
        assert given_ in {part // 840, part // 840 + 1}
    raised = {at for at, part in enumerate(parts) if found[at] > part // 840}
    rests = [part % 840 for part in parts]
    assert all(rests[up] >= rests[at] for up in raised for at in set(range(len(parts))) - raised)


def test_of_equal_remainders_the_first_is_raised() -> None:
    assert split(1, [420, 420]) == [1, 0]
    assert split(3, [839, 1, 840 + 420, 420]) == [1, 0, 2, 0]
    assert split(0, iter([])) == []


def test_a_month_without_any_past_to_try_is_forecast_without_a_range() -> None:
    days = from_to(NOVEMBER, 10)
    assert forecast(days, 202611, date(2026, 11, 11)) == Forecast(30 * DOLLAR)
    assert forecast({}, 202611, date(2026, 11, 11)) == Forecast(0)


def test_a_month_that_is_over_is_what_it_was() -> None:
    days = from_to(date(2026, 9, 20), 72)
    for today in (date(2026, 12, 1), date(2027, 1, 5)):
        found = forecast(days, 202611, today)
        assert (found.pico, found.low, found.high) == (30 * DOLLAR, None, None)


def test_a_month_that_has_not_begun_is_forecast_whole() -> None:
    """From its own first day on; the days between are nobody's."""
    days = from_to(date(2026, 10, 1), 31)
    assert forecast(days, 202612, date(2026, 11, 1)).pico == 31 * DOLLAR


def test_past_months_are_tried_where_a_week_of_history_lies_before_them() -> None:
    def tried(first: date) -> int:
        days = from_to(first, (date(2026, 11, 15) - first).days)
        return forecast(days, 202611, date(2026, 11, 15)).tried

    assert tried(date(2026, 10, 2)) == 0
    assert tried(date(2026, 9, 25)) == 0
    assert tried(date(2026, 9, 24)) == 1
    assert tried(date(2026, 8, 24)) == 2
    assert tried(date(2026, 1, 1)) == 6, "six months back, and no further"


def test_a_month_of_nothing_tells_nothing_of_the_method() -> None:
    days = from_to(date(2026, 9, 1), 5) | from_to(NOVEMBER, 10)
    assert forecast(days, 202611, date(2026, 11, 11)).tried == 0


def test_the_range_is_the_methods_own_misses_and_the_error_their_mean() -> None:
    """September is flat at 1, October doubles after the day of the month that it is: it would have been missed."""
    days = (
        from_to(date(2026, 8, 1), 75)
        | from_to(date(2026, 10, 15), 17, 2 * DOLLAR)
        | from_to(NOVEMBER, 14, 2 * DOLLAR)
    )
    found = forecast(days, 202611, date(2026, 11, 15))
    # On October 15 a month of 31 was expected; it became 14 + 34. September was expected as it came.
    miss = (31 - 48) * 1_000_000 // 48
    assert found.tried == 2
    assert found.error_ppm == abs(miss) // 2
    spread = isqrt(miss * miss // 2)
    reach = found.pico * spread * 128 // 100_000_000
    assert (found.low, found.high) == (found.pico - reach, found.pico + reach)
    assert reach > 0


def test_a_past_month_is_tried_on_the_same_day_and_not_beyond_its_end() -> None:
    """On the 31st of October, September has no 31st: it is tried as it was when it ended, and was not missed."""
    days = from_to(date(2026, 8, 20), 42) | from_to(date(2026, 10, 1), 30)
    found = forecast(days, 202610, date(2026, 10, 31))
    assert (found.tried, found.error_ppm) == (1, 0)
    early = forecast(days | {date(2026, 9, 30): 31 * DOLLAR}, 202610, date(2026, 10, 30))
    assert early.error_ppm == 500_000, "the 30th was not seen on the 30th"


def test_negative_spend_has_a_range_around_it_too() -> None:
    days = {
        day: -pico
        for day, pico in (
            from_to(date(2026, 8, 1), 75) | from_to(date(2026, 10, 15), 31, 2 * DOLLAR)
        ).items()
    }
    found = forecast(days, 202611, date(2026, 11, 15))
    assert found.pico < 0
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.pico < found.high


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


def test_a_past_month_is_tried_with_all_days_before_that_day_and_none_after() -> None:
    flat = from_to(date(2026, 8, 1), 92) | from_to(NOVEMBER, 14)

    def error(spike: date) -> int:
        found = forecast(flat | {spike: 31 * DOLLAR}, 202611, date(2026, 11, 15)).error_ppm
        assert found is not None
        return found

    assert error(date(2026, 10, 15)) > 200_000, "half of what October cost came on the day itself"
    assert error(date(2026, 10, 14)) < 100_000, "the day before was known"
