"""A function that remembers answers as one that does not, and keeps no more than it may."""

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.remembered import ENTRY_BYTES, Remembered, remembered, times, whole

ENTRIES_MAX = 8


@given(st.lists(st.integers(0, 20), max_size=100))
def test_whatever_is_asked_in_whatever_order_the_answer_is_the_functions_own(
    asked: list[int],
) -> None:
    worked_out: list[int] = []

    @remembered(whole, entries_max=ENTRIES_MAX, entry_bytes_max=ENTRY_BYTES + 1_000)
    def twice(number: int) -> int | None:
        worked_out.append(number)
        return None if number == 7 else 2 * number

    for number in asked:
        assert twice(number) == (None if number == 7 else 2 * number)
        assert isinstance(twice, Remembered)
        assert len(twice) <= ENTRIES_MAX
    for number in set(asked) - {7}:
        first = asked.index(number)
        others = {other for other in asked[first:] if other != number}
        if len(others) < ENTRIES_MAX // 2:
            assert worked_out.count(number) == 1


def test_what_is_too_large_is_worked_out_each_time_and_what_is_in_use_stays() -> None:
    worked_out: list[bytes] = []

    @remembered(times(2), entries_max=ENTRIES_MAX, entry_bytes_max=ENTRY_BYTES + 400)
    def same(text: bytes) -> bytes:
        worked_out.append(text)
        return text

    for _ in range(3):
        same(b"x" * 200)
    assert worked_out == [b"x" * 200] * 3
    assert isinstance(same, Remembered)
    assert not len(same)
    for number in range(1_000):
        same(b"in use")
        same(b"%d" % number)
    assert worked_out.count(b"in use") == 1


def test_a_refusal_is_not_remembered() -> None:
    @remembered(whole, entries_max=ENTRIES_MAX, entry_bytes_max=ENTRY_BYTES + 400)
    def refuse(text: bytes) -> bytes:
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            refuse(b"no")
    assert isinstance(refuse, Remembered)
    assert not len(refuse)
