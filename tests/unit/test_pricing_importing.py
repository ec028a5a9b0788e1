"""Imports: a new row ends what it reaches into, what goes on beside it goes on, and nothing is ever edited."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.pricing.importing import Plan, planned, standing
from gateway.pricing.row import FOREVER, BookInvalid, Layer, Row

ENDS = st.one_of(st.integers(1, 30), st.just(FOREVER))
SPAN = st.tuples(st.integers(0, 29), ENDS).map(lambda s: (s[0], max(s[1], s[0] + 1)))


def row(pico: int, since: int = 0, until: int = FOREVER, unit: str = "input_text") -> Row:
    terms = ("cloud", "m", "global", "", "", "standard")
    return Row(
        terms=terms, unit=unit, pico=pico, since_us=since, until_us=until, origin=f"f.csv:{pico}"
    )


def price_at(rows: list[Row], at: int) -> list[int]:
    return [one.pico for one in rows if one.since_us <= at < one.until_us]


def disjoint(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for since, until in sorted(spans):
        if not kept or kept[-1][1] <= since:
            kept.append((since, until))
    return kept


FILES = st.lists(st.lists(SPAN, min_size=1, max_size=4).map(disjoint), min_size=1, max_size=5)


@settings(max_examples=300)
@given(FILES)
def test_the_last_import_speaks_where_it_speaks_and_the_earlier_ones_elsewhere(
    files: list[list[tuple[int, int]]],
) -> None:
    there: list[Row] = []
    ids: set[str] = set()
    said: dict[int, int] = {}
    figure = 0
    for issue, spans in enumerate(files, start=1):
        rows = []
        for since, until in spans:
            figure += 1
            rows.append(row(figure, since, until))
            said |= dict.fromkeys(range(since, min(until, 60)), figure)
        plan = planned(there, rows, issue)
        assert ids.isdisjoint(one.price_id() for one in plan.added)
        ids |= {one.price_id() for one in plan.added}
        assert all(one.since_us < one.until_us for one in plan.added)
        assert all(one.layer is Layer.IMPORTED and one.issue == issue for one in plan.added)
        there = list(standing(there, plan))
        for at in range(60):
            assert price_at(there, at) == ([said[at]] if at in said else [])
        assert planned(there, rows, issue + 1).added == ()


def test_what_is_there_already_is_not_imported_again_whatever_its_source_says() -> None:
    first = planned((), [row(5)], 1)
    again = planned(standing((), first), [msgspec.structs.replace(row(5), source="elsewhere")], 2)
    assert (again.added, again.closed, again.same) == ((), (), 1)


def test_of_a_file_only_what_is_new_is_added_and_the_rest_is_counted() -> None:
    first = planned((), [row(5, 0, 10), row(6, 10)], 1)
    again = planned(standing((), first), [row(5, 0, 10), row(7, 10)], 2)
    assert ([one.pico for one in again.added], again.same) == ([7], 1)
    assert Plan(()) == Plan((), (), 0)


def test_a_row_that_only_touches_another_leaves_it_alone() -> None:
    there = standing((), planned((), [row(5, 10, 20)], 1))
    plan = planned(there, [row(6, 0, 10), row(7, 20)], 2)
    assert ([one.pico for one in plan.added], plan.closed) == ([6, 7], ())


def test_two_rows_side_by_side_leave_nothing_between_them() -> None:
    there = standing((), planned((), [row(5)], 1))
    plan = planned(there, [row(6, 5, 10), row(7, 10, 20)], 2)
    spans = [(one.pico, one.since_us, one.until_us) for one in plan.added]
    assert spans == [(6, 5, 10), (7, 10, 20), (5, 20, FOREVER)]
    assert [one.until_us for one in plan.closed] == [5]


def test_a_correction_from_the_same_day_leaves_the_old_figure_without_a_day() -> None:
    there = standing((), planned((), [row(5, 10)], 1))
    plan = planned(there, [row(6, 10)], 2)
    assert [(one.row.pico, one.until_us) for one in plan.closed] == [(5, 10)]
    assert [one.pico for one in standing(there, plan)] == [6]


def test_rows_of_other_keys_are_left_alone() -> None:
    there = standing((), planned((), [row(5), row(7, unit="output_text")], 1))
    assert [c.row.unit for c in planned(there, [row(6)], 2).closed] == ["input_text"]


def test_a_file_that_says_two_things_is_refused_with_both_places() -> None:
    with pytest.raises(BookInvalid, match=r"f\.csv:2: overlaps f\.csv:1: one price is valid"):
        planned((), [row(1), row(2, 10)], 1)
