"""The rolling minute: what it lets pass is the even rate and the burst, to the microsecond, and a refund is exact."""

from hypothesis import given, strategies as st

from gateway.quota.gcra import MINUTE_US, burst_us, cost_us, left, refund, take
from gateway.quota.hold import Rate

SECOND_US = 1_000_000
NOW_US = 100 * SECOND_US
EVEN = Rate(per_minute=60, burst=10)  # one a second, ten at once

amounts = st.integers(0, 10**7)
rates = st.builds(Rate, st.integers(1, 10**9), st.integers(1, 10**7))
lags = st.integers(-2 * MINUTE_US, 2 * MINUTE_US)


@given(amounts, rates)
def test_a_cost_is_rounded_up_and_a_burst_down(amount: int, rate: Rate) -> None:
    cost, burst = cost_us(amount, rate), burst_us(rate)
    assert (cost - 1) * rate.per_minute < amount * MINUTE_US <= cost * rate.per_minute
    assert burst * rate.per_minute <= rate.burst * MINUTE_US < (burst + 1) * rate.per_minute


def test_the_burst_passes_at_once_and_then_one_a_second() -> None:
    full_us = NOW_US + 10 * SECOND_US
    assert take(0, NOW_US, 10, EVEN) == (full_us, 0)
    assert take(full_us, NOW_US, 1, EVEN) == (full_us, SECOND_US)
    assert take(full_us, NOW_US + SECOND_US - 1, 1, EVEN) == (full_us, 1)
    assert take(full_us, NOW_US + SECOND_US, 1, EVEN) == (full_us + SECOND_US, 0)


def test_what_is_larger_than_the_burst_passes_only_when_nothing_else_is_running() -> None:
    assert take(NOW_US, NOW_US, 25, EVEN) == (NOW_US + 25 * SECOND_US, 0)
    assert take(NOW_US + 7, NOW_US, 25, EVEN) == (NOW_US + 7, 7)


def test_idle_time_saves_nothing_up() -> None:
    assert take(1, NOW_US, 4, EVEN) == (NOW_US + 4 * SECOND_US, 0)
    assert left(1, NOW_US, EVEN) == left(NOW_US, NOW_US, EVEN) == 10
    quick = Rate(per_minute=2 * MINUTE_US, burst=10)  # two a microsecond
    assert left(NOW_US - 1, NOW_US, quick) == left(NOW_US, NOW_US, quick) == 10


@given(amounts, amounts, rates, lags)
def test_settling_leaves_it_as_if_only_what_was_used_had_been_held(
    held: int, used: int, rate: Rate, lag: int
) -> None:
    before_us = NOW_US + lag
    assert refund(before_us + cost_us(held, rate), held, used, rate) == before_us + cost_us(
        used, rate
    )


@given(rates, lags)
def test_what_is_left_passes_and_one_more_does_not(rate: Rate, lag: int) -> None:
    tat_us = NOW_US + lag
    room = left(tat_us, NOW_US, rate)
    assert 0 <= room <= rate.burst
    assert take(tat_us, NOW_US, room, rate)[1] == 0 or not room
    # More than the burst is a case of its own: it waits for nothing but idleness.
    more = take(tat_us, NOW_US, room + 1, rate)[1] > 0
    assert more or (lag <= 0 and cost_us(room + 1, rate) >= burst_us(rate))


def test_what_is_left_grows_back_by_whole_units() -> None:
    full_us = NOW_US + 10 * SECOND_US
    at = (NOW_US - SECOND_US, NOW_US, NOW_US + SECOND_US - 1, NOW_US + SECOND_US, full_us)
    assert [left(full_us, now_us, EVEN) for now_us in at] == [0, 0, 0, 1, 10]


@given(rates, st.lists(st.tuples(st.integers(0, MINUTE_US), amounts), max_size=20))
def test_no_minute_passes_more_than_its_rate_and_a_burst(
    rate: Rate, asked: list[tuple[int, int]]
) -> None:
    tat_us, now_us, passed, largest = 0, NOW_US, 0, 0
    for later_us, amount in asked:
        now_us += later_us
        tat_us, wait_us = take(tat_us, now_us, amount, rate)
        if not wait_us:
            passed, largest = passed + amount, max(largest, amount)
    even = (now_us - NOW_US + len(asked) + 1) * rate.per_minute
    assert passed * MINUTE_US <= even + max(rate.burst, largest) * MINUTE_US
