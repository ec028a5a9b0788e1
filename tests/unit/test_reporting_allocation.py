"""Shared cost: the parts and what stays central sum to the whole, whatever the weights."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.reporting.allocation import RULES, SharedCost, allocate, by_spend

WEIGHTS = st.dictionaries(st.sampled_from(["1", "2", "3", "4", ""]), st.integers(0, 10**15))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    WEIGHTS,
    WEIGHTS,
    st.integers(-(10**18), 10**18),
    st.sampled_from(RULES),
    st.one_of(st.none(), st.integers(1, 10**16)),
)
def test_the_parts_sum_to_the_whole(
    used: dict[str, int], shares: dict[str, int], pico: int, rule: str, capacity: int | None
) -> None:
    cost = SharedCost(name="c", pico=pico, rule=rule, capacity=capacity, shares=shares)  # type: ignore[arg-type]  # one of RULES
    made = allocate(cost, used)
    assert sum(made.parts.values()) + made.central == pico
    assert set(made.parts) <= set(used) | set(shares)
    assert made.idle >= 0
    sign = -1 if pico < 0 else 1
    assert all(part * sign >= 0 for part in (*made.parts.values(), made.central))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WEIGHTS, st.integers(0, 10**18))
def test_nobody_gets_more_than_a_unit_beside_the_exact_share(
    used: dict[str, int], pico: int
) -> None:
    made = allocate(SharedCost(name="c", pico=pico), used)
    whole = sum(used.values())
    for code, part in made.parts.items():
        assert abs(part * whole - pico * used[code]) < whole


def test_three_equal_parts_of_a_hundred_differ_by_one_unit() -> None:
    made = allocate(
        SharedCost(name="c", pico=100, rule="even"), {"1": 5, "2": 50, "3": 500, "4": 0}
    )
    assert made.parts == {"1": 34, "2": 33, "3": 33}
    assert made.note("1") == "1 of 3 equal shares"


def test_idle_capacity_stays_central_and_its_denominator_is_named() -> None:
    cost = SharedCost(name="PTU", pico=118_015, capacity=1_000, unit="hours")
    made = allocate(cost, {"4100": 270, "5200": 620})
    assert (made.parts, made.central, made.idle) == ({"4100": 31_864, "5200": 73_169}, 12_982, 110)
    assert made.note("4100") == "27.0 % of the hours bought"


def test_seats_are_split_by_those_assigned_and_unused_ones_are_idle() -> None:
    cost = SharedCost(name="Seats", pico=1_900, rule="fixed", shares={"1": 40, "2": 20}, capacity=100, unit="seats")  # fmt: skip
    made = allocate(cost, {"3": 10**9})
    assert (made.parts, made.central, made.idle) == ({"1": 760, "2": 380}, 760, 40)


def test_a_central_cost_is_never_shared_however_much_was_used() -> None:
    made = allocate(SharedCost(name="c", pico=7, rule="central", shares={"1": 1}), {"1": 5})
    assert (made.parts, made.central, made.idle) == ({}, 7, 0)
    assert made.note("1") == ""


def test_who_has_no_share_has_no_part() -> None:
    fixed = allocate(SharedCost(name="c", pico=7, rule="fixed", shares={"1": 3, "2": 0}), {})
    assert (fixed.parts, fixed.used) == ({"1": 7}, {"1": 3})
    assert by_spend(7, {"1": 0, "2": 1, "3": -1}) == {"2": 7}


def test_equal_parts_of_a_capacity_are_one_unit_each_and_the_rest_is_idle() -> None:
    made = allocate(SharedCost(name="c", pico=100, rule="even", capacity=4), {"1": 9, "2": 1})
    assert (made.parts, made.central, made.idle) == ({"1": 25, "2": 25}, 50, 2)


def test_a_part_is_said_with_its_denominator_and_no_part_is_none_of_it() -> None:
    made = allocate(SharedCost(name="c", pico=7), {"1": 27, "2": 73})
    assert (made.note("1"), made.note("3")) == ("27.0 % of the tokens used", "0.0 % of the tokens used")  # fmt: skip


def test_what_nobody_used_stays_central() -> None:
    for rule in ("proportional", "even", "central"):
        made = allocate(SharedCost(name="c", pico=7, rule=rule, capacity=9), {"1": 0})
        assert (made.parts, made.central, made.idle) == ({}, 7, 9)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**15), st.dictionaries(st.text(max_size=2), st.integers(-5, 10**15)))
def test_spreading_by_spend_loses_nothing_and_charges_nobody_without_spend(
    whole: int, spend: dict[str, int]
) -> None:
    parts = by_spend(whole, spend)
    assert set(parts) == {code for code, pico in spend.items() if pico > 0}
    assert not parts or sum(parts.values()) == whole


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        allocate(SharedCost(name="c", pico=7), {"1": -1, "2": 5})
