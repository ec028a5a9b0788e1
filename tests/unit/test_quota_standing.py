"""How a counter stands: what is left, how full it is, and in which word that is said, to the last unit."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.clock import epoch_us, instant
from gateway.quota.budget import Budget, Raise, Scope
from gateway.quota.counters import Counter
from gateway.quota.hold import CounterKey
from gateway.quota.standing import Standing, standing
from gateway.quota.window import ENDLESS, previous, window_of

NOW_US = epoch_us(instant(0).replace(year=2026, month=11, day=23))
DAY_US = 86_400_000_000
amounts = st.integers(0, 10**12)


def budget(**changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": "b", "name": "b", "scope": Scope(), "measure": "usd_net", "limit": 1_000, "window": "month",
    }  # fmt: skip
    return Budget(**(fields | changes))


def at(
    one: Budget, posted: int, pending: int = 0, at_us: int = NOW_US, value: str = ""
) -> Standing:
    key = CounterKey(one.id, value, window_of(one, at_us).start_us)
    return standing(one, value, at_us, {key: Counter(posted, pending)})


@given(amounts, amounts, amounts)
def test_what_is_spent_held_and_left_are_the_limit_or_it_is_exceeded(
    posted: int, pending: int, limit: int
) -> None:
    found = at(budget(limit=limit), posted, pending)
    assert (found.posted, found.pending, found.limit) == (posted, pending, limit)
    assert found.left == max(0, limit - posted - pending)
    assert (found.level == "over") == (posted + pending > limit)
    assert (found.level in {"over", "spent"}) == (not found.left)
    assert found.percent == ((posted + pending) * 100 // limit if limit else 100)


@pytest.mark.parametrize(
    ("posted", "pending", "level"),
    [
        (0, 0, "on track"), (733, 0, "on track"), (734, 0, "on track"), (735, 0, "at risk"), (799, 0, "at risk"), (0, 799, "on track"),
        (733, 67, "near"), (800, 0, "near"), (0, 800, "near"), (999, 0, "near"), (999, 1, "spent"), (0, 1_000, "spent"),
        (1_000, 0, "spent"), (1_000, 1, "over"), (1_001, 0, "over"), (0, 1_001, "over"),
    ],
)  # fmt: skip
def test_how_worried_to_be_is_said_to_the_unit(posted: int, pending: int, level: str) -> None:
    """22 of 30 days are over: what is posted goes on at that rate, what is only held does not."""
    assert at(budget(), posted, pending).level == level


def test_a_budget_of_nothing_is_spent() -> None:
    found = at(budget(limit=0), 0)
    assert (found.level, found.left, found.percent) == ("spent", 0, 100)


def test_what_a_window_will_end_with_is_of_its_own_time() -> None:
    assert at(budget(), 220).forecast == 300
    assert at(budget(window="always"), 220).forecast is None
    assert at(budget(window="always"), 799).level == "on track"
    early = epoch_us(instant(NOW_US).replace(day=6))
    assert at(budget(), 799, at_us=early).level == "on track"


def test_only_what_frees_by_itself_within_moments_is_a_rate() -> None:
    assert at(budget(window="minute", measure="requests"), 0).is_rate
    assert at(budget(window="always", measure="concurrent"), 0).is_rate
    assert not at(budget(window="always"), 0).is_rate
    assert not at(budget(window="day", measure="requests"), 0).is_rate


def test_a_raise_lifts_the_limit_while_it_is_valid() -> None:
    lift = Raise(250, NOW_US - 1, NOW_US + 1, "launch", "owner-1")
    past = Raise(9, NOW_US - 5, NOW_US, "old", "owner-1")
    found = at(budget(raises=(lift, past)), 0)
    assert (found.limit, found.raised, found.carried) == (1_250, 250, 0)
    later = at(budget(raises=(lift, past)), 0, at_us=NOW_US + 1)
    assert (later.limit, later.raised) == (1_000, 0)


@given(amounts)
def test_unspent_room_of_the_window_before_is_carried_up_to_its_share(posted: int) -> None:
    one = budget(carry_over_percent=30, raises=(Raise(50, NOW_US, NOW_US + 1, "r", "owner-1"),))
    span = window_of(one, NOW_US)
    before = CounterKey("b", "", previous(one, span).start_us)
    found = standing(one, "", NOW_US, {before: Counter(posted)})
    carried = min(300, max(0, 1_000 - posted))
    assert (found.limit, found.raised, found.carried) == (1_050 + carried, 50, carried)
    assert found.posted == 0


def test_a_rolling_minute_stands_at_its_burst() -> None:
    found = standing(budget(window="minute", measure="requests", limit=600), "", NOW_US, {})
    assert (found.limit, found.carried, found.raised, found.span) == (120, 0, 0, ENDLESS)
    key = CounterKey("b", "", 0)
    used = {key: Counter(tat_us=NOW_US + 6_000_000)}  # 60 requests ahead of the even rate
    busy = standing(budget(window="minute", measure="requests", limit=600), "", NOW_US, used)
    assert (busy.pending, busy.left, busy.limit, busy.carried) == (60, 60, 120, 0)


def test_a_counter_is_its_budgets_its_values_and_its_windows() -> None:
    one = budget(each="team")
    found = at(one, 5, value="search")
    assert found.key == CounterKey("b", "search", window_of(one, NOW_US).start_us)
    assert (found.budget, found.value, found.at_us) == (one, "search", NOW_US)
    assert found.span == window_of(one, NOW_US)
    kept = {found.key: Counter(7)}
    assert standing(one, "search", NOW_US, kept).posted == 7
    assert standing(one, "other", NOW_US, kept).posted == 0
    assert standing(one, "search", NOW_US + 9 * DAY_US, kept).posted == 0
    assert kept == {found.key: Counter(7)}
