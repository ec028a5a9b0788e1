"""Money: exact text to whole pico-USD and back, splits that sum, counters that never understate."""

from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.money import (
    PICO_PER_NANO,
    PICO_PER_USD,
    apportion,
    ceil_nano,
    format_usd,
    parse_usd,
    round_cents,
)

picos = st.integers(-(10**24), 10**24)


@settings(max_examples=200)
@given(picos)
def test_an_amount_survives_writing_and_reading(pico: int) -> None:
    text = format_usd(pico)
    assert parse_usd(text) == pico
    assert Decimal(text) * PICO_PER_USD == pico
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("0", 0),
        ("-0", 0),
        ("2.5", 2_500_000_000_000),
        ("0.0000025", 2_500_000),
        ("0.000000000001", 1),
        ("-0.000000000001", -1),
        ("1e-12", 1),
        ("19.000000000000000", 19 * PICO_PER_USD),
        (" 1 ", PICO_PER_USD),
    ],
)
def test_decimal_text_is_read_exactly(text: str, pico: int) -> None:
    assert parse_usd(text) == pico


@pytest.mark.parametrize(
    "text",
    ["", "free", "1,5", "$1", "NaN", "sNaN", "Infinity", "-Infinity", "1e-13", "0.0000000000005"],
)
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_usd(text)


@settings(max_examples=100)
@given(st.integers(-(10**24), 10**24))
def test_reading_keeps_every_digit_however_large(pico: int) -> None:
    whole, rest = divmod(abs(pico), PICO_PER_USD)
    text = f"{'-' if pico < 0 else ''}{whole}.{rest:012d}"
    assert parse_usd(text) == pico


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (1_500_000_000_000, "1.5"),
        (-5 * 10**11, "-0.5"),
        (-1, "-0.000000000001"),
        (10**15, "1000"),
    ],
)
def test_amounts_are_written_without_ornament(pico: int, text: str) -> None:
    assert format_usd(pico) == text


@settings(max_examples=100)
@given(picos)
def test_a_counter_never_understates_and_by_less_than_a_nano(pico: int) -> None:
    assert 0 <= ceil_nano(pico) * PICO_PER_NANO - pico < PICO_PER_NANO


@pytest.mark.parametrize(
    ("pico", "nano"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (-1, 0), (-1000, -1), (-1999, -1)]
)
def test_a_thousand_pico_are_a_nano_rounded_up(pico: int, nano: int) -> None:
    assert ceil_nano(pico) == nano


@settings(max_examples=200)
@given(picos, st.lists(st.integers(0, 10**12), min_size=1, max_size=20).filter(any))
def test_a_split_sums_and_no_part_is_off_by_a_whole_unit(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * whole - total * weight) < whole
        assert weight or part == 0


@settings(max_examples=100)
@given(picos, st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_a_split_of_a_debt_mirrors_that_of_the_sum(total: int, weights: list[int]) -> None:
    assert apportion(-total, weights) == tuple(-part for part in apportion(total, weights))


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], (34, 33, 33)),
        (
            73_000 * PICO_PER_USD,
            [60, 30, 10],
            tuple(n * PICO_PER_USD for n in (43_800, 21_900, 7_300)),
        ),
        (1, [1, 2], (0, 1)),
        (1, [1, 1], (1, 0)),
        (0, [0, 0], (0, 0)),
        (0, [], ()),
        (5, [0, 3], (0, 5)),
    ],
)
def test_remainders_go_to_the_largest_rest_and_ties_to_the_earlier(
    total: int, weights: list[int], parts: tuple[int, ...]
) -> None:
    assert apportion(total, weights) == parts


def test_a_split_over_nothing_or_over_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to split over"):
        apportion(1, [0, 0])
    with pytest.raises(ValueError, match="nothing to split over"):
        apportion(1, [])
    with pytest.raises(ValueError, match="negative"):
        apportion(1, [2, -1])


@pytest.mark.parametrize(
    ("pico", "cents"),
    [
        (0, 0), (4_999_999_999, 0), (5_000_000_000, 1), (-4_999_999_999, 0), (-5_000_000_000, -1),
        (10_000_000_000, 1), (14_999_999_999, 1), (15_000_000_000, 2), (82_940_000_000, 8),
    ],
)  # fmt: skip
def test_cents_are_rounded_half_away_from_zero(pico: int, cents: int) -> None:
    assert round_cents(pico) == cents


@settings(max_examples=100)
@given(picos)
def test_rounding_moves_by_at_most_half_a_cent(pico: int) -> None:
    assert abs(round_cents(pico) * 10**10 - pico) <= 5 * 10**9
