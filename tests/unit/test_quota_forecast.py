"""Where a counter will stand at the end of its window: linear, never below what is posted, and not told too early."""

from hypothesis import given, strategies as st

from gateway.quota.forecast import forecast, least_for
from gateway.quota.window import ENDLESS, Span

DAY_US = 86_400_000_000
WHOLE = Span(1000, 1000 + DAY_US)


def test_a_forecast_is_what_was_used_scaled_to_the_whole_window() -> None:
    assert forecast(100, WHOLE, WHOLE.start_us + DAY_US // 2) == 200
    assert forecast(100, WHOLE, WHOLE.start_us + DAY_US) == 100
    assert forecast(100, WHOLE, WHOLE.start_us + 2 * DAY_US) == 100
    assert forecast(0, WHOLE, WHOLE.start_us + DAY_US // 2) == 0


def test_no_forecast_is_given_before_a_fifth_of_the_window_is_over_nor_of_what_never_ends() -> None:
    assert forecast(100, WHOLE, WHOLE.start_us) is None
    assert forecast(100, WHOLE, WHOLE.start_us + DAY_US // 5 - 1) is None
    assert forecast(100, WHOLE, WHOLE.start_us + DAY_US // 5) == 500
    assert forecast(100, ENDLESS, 10**15) is None


@given(st.integers(-10, 10**18), st.integers(1, 2 * DAY_US))
def test_a_forecast_is_never_less_than_what_is_posted(posted: int, elapsed_us: int) -> None:
    found = forecast(posted, WHOLE, WHOLE.start_us + elapsed_us)
    assert found is None or found >= posted


@given(st.integers(1, 10**18), st.integers(DAY_US // 5, DAY_US))
def test_the_least_for_a_forecast_is_the_least(amount: int, elapsed_us: int) -> None:
    at_us = WHOLE.start_us + elapsed_us
    least = least_for(amount, WHOLE, at_us)
    assert least is not None
    reached, missed = forecast(least, WHOLE, at_us), forecast(least - 1, WHOLE, at_us)
    assert reached is not None
    assert missed is not None
    assert reached >= amount > missed


def test_nothing_is_the_least_for_a_forecast_that_cannot_be_told() -> None:
    assert least_for(100, ENDLESS, 10**15) is None
    assert least_for(100, WHOLE, WHOLE.start_us + DAY_US // 5 - 1) is None
    assert least_for(0, WHOLE, WHOLE.start_us + DAY_US // 5) == 0
    assert least_for(100, WHOLE, WHOLE.start_us + 2 * DAY_US) == 100


def test_what_was_taken_back_below_nothing_is_not_scaled() -> None:
    for elapsed_us in (DAY_US // 2, DAY_US, 2 * DAY_US):
        assert forecast(-10, WHOLE, WHOLE.start_us + elapsed_us) == -10
