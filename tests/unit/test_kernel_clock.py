"""Time: whole numbers in, aware UTC out; naive times have no place."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.clock import SystemClock, epoch_us, instant

moments = st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001  # hypothesis wants naive bounds beside a zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001  # hypothesis wants naive bounds beside a zone
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]
    ),
)


@settings(max_examples=200)
@given(moments)
def test_a_moment_survives_the_way_to_microseconds_and_back(moment: datetime) -> None:
    back = instant(epoch_us(moment))
    assert back == moment
    assert back.utcoffset() == timedelta(0)


@settings(max_examples=200)
@given(st.integers(-(2**50), 2**52))
def test_microseconds_survive_the_way_to_a_moment_and_back(us: int) -> None:
    assert epoch_us(instant(us)) == us


def test_known_moments() -> None:
    assert epoch_us(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert epoch_us(datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == 1
    assert epoch_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert epoch_us(datetime(2026, 11, 22, 12, tzinfo=UTC)) == 1_795_348_800_000_000
    assert instant(-1).microsecond == 999_999


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        epoch_us(datetime(2026, 11, 22))  # noqa: DTZ001  # the naive time under test


def test_the_system_clock_reads_both_clocks_and_its_ticks_never_go_back() -> None:
    clock = SystemClock()
    assert instant(clock.wall_us()).year >= 2024
    ticks = [clock.ticks_ns() for _ in range(100)]
    assert ticks == sorted(ticks)
