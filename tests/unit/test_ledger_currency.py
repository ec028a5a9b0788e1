"""Other currencies: exact to the pico-unit, rounded once; the newest rate of a month holds."""

import json
from importlib.resources import files

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.errors import BadRequest
from gateway.kernel.money import PICO_PER_USD
from gateway.ledger.currencies import CODES, minor_digits, unlike
from gateway.ledger.currency import Rate, checked, from_usd, in_minor, in_usd, standing

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
    [
        *((code, "1") for code in ("eur", "USD", "EUX")),
        *(("EUR", rate) for rate in ("0", "-1", "1e3", "lots", "NaN", "1000000000.1")),
    ],
)
def test_what_is_no_rate_is_refused(currency: str, rate: str) -> None:
    with pytest.raises(BadRequest):
        checked(currency, rate)


def test_the_smallest_rate_is_one_pico_unit() -> None:
    assert checked("EUR", "0.000000000001") == 1


def test_the_largest_rate_is_a_thousand_million_for_a_dollar() -> None:
    assert checked("EUR", "1000000000") == 10**21


def test_currencies_are_the_active_ones_of_the_standard() -> None:
    assert {len(code) for code in CODES} == {3}
    assert {"EUR", "CHF", "JPY", "CLF", "XOF", "XCG", "ZWG"} <= CODES
    assert not CODES & {"DEM", "HRK", "BGN", "XXX", "XTS", "XAU", "EUX"}
    assert unlike("EUR") == ""
    assert unlike("eur") == "expected a currency of ISO 4217 such as EUR, found 'eur': write it EUR"
    assert unlike("EUX") == "expected a currency of ISO 4217 such as EUR, found 'EUX'"


def test_minor_units_are_the_standards() -> None:
    told = {
        digits: {code for code in CODES if minor_digits(code) == digits} for digits in (0, 2, 3, 4)
    }
    assert sum(map(len, told.values())) == len(CODES)
    # ISO 4217's table, copied by hand: everything else is a hundredth.
    assert told[0] == {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}  # fmt: skip
    assert told[3] == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert told[4] == {"CLF", "UYW"}


@given(amounts, st.sampled_from((0, 2, 3, 4)))
def test_a_minor_unit_is_rounded_to_once_half_away_from_zero(pico: int, digits: int) -> None:
    unit = PICO_PER_USD // 10**digits
    minor = in_minor(pico, digits)
    assert 2 * abs(minor * unit - pico) <= unit
    assert in_minor(-pico, digits) == -minor
    assert in_minor(minor * unit + unit // 2, digits) == minor + (minor >= 0)


def test_the_table_is_the_one_the_judge_of_our_exports_has_but_for_what_changed_since() -> None:
    known = json.loads(
        (files("focus_data_toolkit") / "model/iso_4217_currencies.json").read_bytes()
    )
    nobody_is_billed_in = {code for code in known["codes"] if code[:2] == "XB"}
    nobody_is_billed_in |= {"XXX", "XTS", "XAU", "XAG", "XPD", "XPT"}
    assert set(known["codes"]) - nobody_is_billed_in - {"ANG", "BGN"} == CODES


def test_the_newest_rate_of_a_month_holds() -> None:
    made = [
        Rate(period=202611, currency="EUR", pico=pico, source="s", author="a", at_us=at)
        for pico, at in ((1, 5), (3, 9), (2, 7))
    ]
    assert standing(made)[202611, "EUR"].pico == 3
