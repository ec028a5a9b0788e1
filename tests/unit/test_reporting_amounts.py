"""Amounts as a statement prints them: the cents of parts sum to the cents of the whole; words round half up."""

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.money import round_cents
from gateway.reporting.amounts import (
    CENT,
    days_of,
    in_cents,
    in_words,
    month_name,
    percent,
    span,
    tokens,
)

MINUS = "\N{MINUS SIGN}"
PARTS = st.lists(st.integers(-(10**15), 10**15), max_size=8)


@given(PARTS)
def test_the_cents_of_parts_sum_to_those_of_the_whole_and_none_is_off_by_one(
    parts: list[int],
) -> None:
    cents = round_cents(sum(parts))
    made = in_cents(parts, cents)
    assert sum(made) == cents
    assert all(abs(cent * CENT - part) < CENT for cent, part in zip(made, parts, strict=True))


def test_a_cent_is_ten_billion_pico_dollars() -> None:
    assert CENT == 10_000_000_000


def test_the_missing_cents_go_to_the_largest_remainders_and_of_equal_ones_to_the_first() -> None:
    assert in_cents([6 * CENT // 10, CENT // 2, 9 * CENT // 10], 2) == [1, 0, 1]
    assert in_cents([CENT // 2] * 4, 2) == [1, 1, 0, 0]
    assert in_cents([-CENT // 4, -CENT // 2, -CENT // 4], -1) == [0, -1, 0]
    assert in_cents([], 0) == []


def test_all_parts_or_none_may_be_rounded_up() -> None:
    assert in_cents([CENT // 2, CENT // 2], 2) == [1, 1]
    assert in_cents([3 * CENT, CENT], 4) == [3, 1]


@pytest.mark.parametrize("cents", [-1, 3])
def test_cents_that_no_rounding_makes_are_refused(cents: int) -> None:
    with pytest.raises(ValueError, match="do not round to"):
        in_cents([CENT // 2, CENT // 2], cents)


@pytest.mark.parametrize(
    ("cents", "words"),
    [
        (0, "$0.00"),
        (7, "$0.07"),
        (-7, "-$0.07"),
        (-1, "-$0.01"),
        (100, "$1.00"),
        (-123_456_789, "-$1,234,567.89"),
    ],
)
def test_cents_in_words(cents: int, words: str) -> None:
    assert in_words(cents) == words.replace("-", MINUS)
    assert in_words(cents, "€") == in_words(cents).replace("$", "€")


def test_amounts_have_the_decimals_of_their_currency() -> None:
    assert [in_words(minor, "", 0) for minor in (0, 1235, -1_234_567)] == [
        "0",
        "1,235",
        f"{MINUS}1,234,567",
    ]
    assert in_words(1_234_005, "", 3) == "1,234.005"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (1, 8, "12.5 %"),
        (1, 1, "100.0 %"),
        (0, 5, "0.0 %"),
        (3, 2_000, "0.2 %"),  # half up
        (1_499, 1_000_000, "0.1 %"),
        (-1, 8, "-12.5 %"),
        (1, -8, "-12.5 %"),
        (-1, -8, "12.5 %"),
        (-1, 10_000, "0.0 %"),  # no minus before nothing
        (-1, 1_000, "-0.1 %"),
        (0, -5, "0.0 %"),
        (5, -1, "-500.0 %"),
        (5, 0, ""),
    ],
)
def test_a_share_in_words(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words.replace("-", MINUS)


def test_a_share_with_other_places() -> None:
    assert [percent(1, 3, places) for places in (0, 1, 2, 3)] == [
        "33 %", "33.3 %", "33.33 %", "33.333 %",
    ]  # fmt: skip
    assert (percent(1, 200, 0), percent(1, 201, 0), percent(-1, 200, 0)) == (
        "1 %",
        "0 %",
        f"{MINUS}1 %",
    )
    assert percent(101, 10_000, 2) == "1.01 %"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0"),
        (99_999, "99,999"),
        (-99_999, "-99,999"),
        (100_000, "0.1 M"),
        (-100_000, "-0.1 M"),
        (149_999, "0.1 M"),
        (150_000, "0.2 M"),
        (-1_250_000, "-1.3 M"),
        (12_345_678_901, "12,345.7 M"),
    ],
)
def test_tokens_in_words(count: int, words: str) -> None:
    assert tokens(count) == words.replace("-", MINUS)


def test_the_days_of_a_period_in_words_so_far_or_whole() -> None:
    said = [
        span(202602, "UTC"),
        span(202610, "Europe/Berlin", "2026-10-25"),
        span(202610, "UTC", "2026-10-02"),
        span(202610, "UTC", "2026-10-01"),
    ]
    assert said == [
        "1\N{EN DASH}28 February 2026 (UTC)",
        "1\N{EN DASH}25 October 2026 so far (Europe/Berlin)",
        "1\N{EN DASH}2 October 2026 so far (UTC)",
        "1 October 2026 so far (UTC)",
    ]


def test_a_period_in_words_and_in_days() -> None:
    assert [month_name(period) for period in (202601, 202610, 202612)] == [
        "January 2026", "October 2026", "December 2026",
    ]  # fmt: skip
    assert [days_of(period) for period in (202601, 202602, 202802, 202604, 202612, 208002)] == [
        31, 28, 29, 30, 31, 29,
    ]  # fmt: skip
