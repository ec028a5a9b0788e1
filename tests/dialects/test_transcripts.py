"""Every fixture meters exactly, however its bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Dialect
from tests.dialects import families_openai, families_other
from tests.dialects.transcripts import Case, cases, mismatches, pieces

CUTS_MAX = 12
ERROR_STATUS = 400
# No meter at all, and why.
UNMETERED = {
    "count-tokens": "free",
    "countTokens": "free",
}
CASES = cases()
ERRORS = [case for case in CASES if case.head.status >= ERROR_STATUS]
ANSWERS = [case for case in CASES if case.head.status < ERROR_STATUS]


def dialect_of(case: Case) -> Dialect | None:
    openai = families_openai.dialect_of(case.api, case.target)
    return openai or families_other.dialect_of(case.api, case.target)


METERED = [(case, dialect) for case in ANSWERS if (dialect := dialect_of(case)) is not None]
each_metered_case = pytest.mark.parametrize(
    ("case", "dialect"), METERED, ids=[case.name for case, _ in METERED]
)


def test_all_fixtures_are_there() -> None:
    assert len(CASES) == 81


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
def test_every_answer_has_a_dialect_or_a_reason_to_have_none(case: Case) -> None:
    assert (dialect_of(case) is None) == (case.api in UNMETERED)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.name)
def test_an_error_answer_has_nothing_to_meter(case: Case) -> None:
    assert case.expected["components"] == []
    assert case.expected["usage_source"] == "none"


@each_metered_case
def test_an_answer_meters_as_recorded(case: Case, dialect: Dialect) -> None:
    assert mismatches(case, case.read(dialect, case.recorded_chunks())) == []


@each_metered_case
def test_a_whole_answer_and_single_bytes_read_the_same(case: Case, dialect: Dialect) -> None:
    whole = case.read(dialect, [case.body])
    assert mismatches(case, whole) == []
    assert case.read(dialect, pieces(case.body, [1] * len(case.body))) == whole


@each_metered_case
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_reading_does_not_depend_on_the_cuts(
    data: st.DataObject, case: Case, dialect: Dialect
) -> None:
    places = data.draw(st.lists(st.integers(0, len(case.body)), max_size=CUTS_MAX))
    bounds = [0, *sorted(places), len(case.body)]
    chunks = [case.body[start:end] for start, end in pairwise(bounds)]
    assert case.read(dialect, chunks) == case.read(dialect, [case.body])


@each_metered_case
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_an_answer_cut_short_never_bills_more_than_the_whole(
    data: st.DataObject, case: Case, dialect: Dialect
) -> None:
    end = data.draw(st.integers(0, len(case.body)))
    part = case.read(dialect, [case.body[:end]])
    assert part.source == "none" or part.components
    assert part.components == () or set(roles(part.components)) <= set(
        roles(case.read(dialect, [case.body]).components)
    )


def roles(components: tuple[object, ...]) -> list[str]:
    return [getattr(part, "role", "") for part in components]
