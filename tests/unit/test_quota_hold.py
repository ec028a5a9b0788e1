"""What a counter has left, and the order in which counters are locked."""

from itertools import product

from hypothesis import given, settings, strategies as st

from gateway.quota.hold import Balance, CounterKey, HoldLine

AMOUNT = st.integers(0, 10**15)
KEY = CounterKey("b", "", 0)


@given(AMOUNT, AMOUNT, AMOUNT)
@settings(max_examples=60)
def test_what_is_left_is_what_is_neither_used_nor_held_and_never_less_than_nothing(
    posted: int, pending: int, limit: int
) -> None:
    left = Balance(KEY, posted, pending, limit).left
    assert left >= 0
    assert posted + pending + left == max(limit, posted + pending)


def test_by_hand() -> None:
    assert Balance(KEY, 30, 12, 100).left == 58
    assert Balance(KEY, 90, 12, 100).left == 0
    assert Balance(KEY, -5, 0, 100).left == 105, "a correction gives room"


def test_counters_are_ordered_by_budget_then_subject_then_window() -> None:
    keys = [CounterKey(*key) for key in product("ab", ("", "x"), (0, 7))]
    backwards = keys[::-1]
    assert sorted(backwards) == keys


def test_a_line_is_enforced_and_of_the_first_rank_unless_it_is_said() -> None:
    line = HoldLine(KEY, 1, 2)
    assert (line.enforce, line.rank, line.rate, line.carry) == (True, 0, None, None)
