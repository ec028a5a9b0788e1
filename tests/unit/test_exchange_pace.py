"""When progress is due: by time or by bytes, and never per chunk."""

from hypothesis import given, strategies as st

from gateway.exchange.pace import PROGRESS_BYTES, PROGRESS_NS, Pace


def test_a_quiet_or_short_stream_has_none() -> None:
    pace = Pace(0)
    assert not any(pace.due(1, now) for now in range(0, PROGRESS_NS, PROGRESS_NS // 7))


def test_time_and_bytes_make_it_due_and_begin_the_next_interval() -> None:
    pace = Pace(0)
    assert pace.due(1, PROGRESS_NS)
    assert not pace.due(PROGRESS_BYTES - 1, PROGRESS_NS + 1)
    assert pace.due(1, PROGRESS_NS + 2)
    assert not pace.due(1, 2 * PROGRESS_NS)


@given(st.lists(st.tuples(st.integers(1, PROGRESS_BYTES), st.integers(0, PROGRESS_NS))))
def test_records_are_bounded_by_what_passes(chunks: list[tuple[int, int]]) -> None:
    pace, now, records = Pace(0), 0, 0
    for size, waited in chunks:
        now += waited
        records += pace.due(size, now)
    assert records <= sum(size for size, _ in chunks) // PROGRESS_BYTES + now // PROGRESS_NS
