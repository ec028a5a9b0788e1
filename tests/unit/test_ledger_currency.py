"""Other currencies: exact to the pico-unit, rounded once; the newest rate of a month holds."""

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.errors import BadRequest
from gateway.kernel.money import PICO_PER_USD
from gateway.ledger.currency import Rate, checked, from_usd, in_usd, standing

amounts = st.integers(-(10**24), 10**24)
rates = st.integers(1, 10**18)


def test_the_worked_case() -> None:
    assert from_usd(82_000_000_000, checked("EUR", "0.9200")) == 75_440_000_000


@given(amounts, rates)
def test_there_and_back_is_off_by_less_than_half_a_unit_of_the_coarser(
    pico: int, rate: int
) -> None:
    back = in_usd(from_usd(pico, rate), rate)
    assert 2 * abs(back - pico) <= PICO_PER_USD // rate + 2


@given(amounts, amounts, rates)
def test_conversion_is_monotone_and_odd(one: int, other: int, rate: int) -> None:
    low, high = sorted((one, other))
    assert from_usd(low, rate) <= from_usd(high, rate)
    assert from_usd(-one, rate) == -from_usd(one, rate)
    assert type(from_usd(one, rate)) is int


@pytest.mark.parametrize(
    ("currency", "rate"),
    [("eur", "1"), ("USD", "1"), ("EUR", "0"), ("EUR", "-1"), ("EUR", "1e3"), ("EUR", "lots")],
)
def test_what_is_no_rate_is_refused(currency: str, rate: str) -> None:
    with pytest.raises(BadRequest):
        checked(currency, rate)


def test_the_smallest_rate_is_one_pico_unit() -> None:
    assert checked("EUR", "0.000000000001") == 1


def test_the_newest_rate_of_a_month_holds() -> None:
    made = [
        Rate(period=202611, currency="EUR", pico=pico, source="s", author="a", at_us=at)
        for pico, at in ((1, 5), (3, 9), (2, 7))
    ]
    assert standing(made)[202611, "EUR"].pico == 3
