"""Fixed costs: every rule's parts and the idle rest sum to the cost, in whole pico-USD."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.errors import BadRequest
from gateway.reporting.allocation import allocate
from gateway.reporting.fixed import RULES, FixedCost, Used, check, due, serves, shared

USD = 10**12
POOL = FixedCost(
    id="1", name="ptu", kind="ptu", first=202611, last=None, pico=73_000 * USD, source="invoice 7"
)


def used(centre: str, list_pico: int, quantity: int = 1, **names: str) -> Used:
    return Used(centre, names, "input_text", quantity, list_pico)


def parts(
    cost: FixedCost, usage: list[Used], seats: dict[str, int] | None = None
) -> dict[str, int]:
    made = allocate(shared(cost, usage, seats or {}, 202611), {})
    return {**made.parts, "idle": made.central}


def test_the_worked_case_by_list_cost() -> None:
    usage = [used(c, share * USD) for c, share in (("a", 60), ("b", 30), ("c", 10))]
    assert parts(POOL, usage) == {"a": 43_800 * USD, "b": 21_900 * USD, "c": 7_300 * USD, "idle": 0}


def test_idle_capacity_stays_visible_with_the_platform() -> None:
    cost = msgspec.structs.replace(POOL, capacity=200)
    usage = [used("a", 60 * USD), used("b", 40 * USD)]
    assert parts(cost, usage) == {"a": 21_900 * USD, "b": 14_600 * USD, "idle": 36_500 * USD}
    tokens = msgspec.structs.replace(POOL, rule="tokens", capacity=1_000)
    assert parts(tokens, [used("a", 0, 250)]) == {"a": 18_250 * USD, "idle": 54_750 * USD}


def test_a_cost_per_seat_is_of_the_seats_bought_and_empty_ones_are_idle() -> None:
    seat = msgspec.structs.replace(POOL, kind="seat", rule="seat", pico=19 * USD, per_seat=True)
    assert parts(seat, [], {"a": 600, "b": 400}) == {"a": 11_400 * USD, "b": 7_600 * USD, "idle": 0}
    bought = msgspec.structs.replace(seat, capacity=1_000)
    assert parts(bought, [], {"a": 600}) == {"a": 11_400 * USD, "idle": 7_600 * USD}


def test_only_the_pool_counts() -> None:
    cost = msgspec.structs.replace(POOL, pool={"deployment": "ptu-*", "provider": "azure"})
    usage = [
        used("a", 5 * USD, deployment="ptu-1", provider="azure"),
        used("b", 5 * USD, deployment="other", provider="azure"),
        used("c", 5 * USD, deployment="ptu-1", provider="google"),
    ]
    assert parts(cost, usage) == {"a": 73_000 * USD, "idle": 0}
    assert serves(POOL, {})


def test_even_and_direct() -> None:
    usage = [used("a", 9 * USD), used("b", 1 * USD), used("c", 0, 0)]
    even = msgspec.structs.replace(POOL, rule="even", pico=9)
    assert parts(even, [*usage, used("a", 1)]) == {"a": 5, "b": 4, "idle": 0}
    direct = msgspec.structs.replace(POOL, rule="direct", shares={"x": 3, "y": 1})
    assert parts(direct, usage) == {"x": 54_750 * USD, "y": 18_250 * USD, "idle": 0}


def test_a_pool_nobody_used_is_the_platforms() -> None:
    assert parts(POOL, []) == {"idle": 73_000 * USD}


def test_another_currency_needs_the_months_rate() -> None:
    cost = msgspec.structs.replace(POOL, currency="EUR", pico=92 * USD)
    assert shared(cost, [], {}, 202611, 920_000_000_000).pico == 100 * USD
    with pytest.raises(
        BadRequest, match=r"2026-09 has no rate: weighbridge fx set 2026-09 EUR RATE --source"
    ):
        shared(cost, [], {}, 202609)


def test_a_cost_per_seat_in_another_currency_is_that_of_all_seats() -> None:
    seat = msgspec.structs.replace(
        POOL, rule="seat", pico=10 * USD, per_seat=True, currency="EUR", capacity=3
    )
    assert shared(seat, [], {"a": 2}, 202611, USD // 2).pico == 60 * USD


def test_a_weight_by_list_cost_is_rounded_up_to_the_micro_dollar() -> None:
    usage = [used("a", 1), used("b", 1_000_000), used("c", 1_000_000), used("c", 1), used("d", 0)]
    assert shared(POOL, usage, {}, 202611).shares == {"a": 1, "b": 1, "c": 2}


def test_tokens_of_all_kinds_weigh_and_other_units_do_not() -> None:
    tokens = msgspec.structs.replace(POOL, rule="tokens")
    usage = [used("a", 9, 5), used("a", 9, 7), *(
        Used(centre, {}, unit, 3, 9)
        for centre, unit in (("a", "output_text"), ("a", "web_search_requests"), ("a", "unheard_of"), ("b", "web_search_requests"), ("c", "unheard_of"))
    )]  # fmt: skip
    assert shared(tokens, usage, {}, 202611).shares == {"a": 15}


def test_how_a_cost_is_shared_is_said_in_words() -> None:
    seats = {"a": 1}
    said = {}
    for rule in RULES:
        cost = msgspec.structs.replace(POOL, rule=rule, shares={"x": 1}, capacity=7)
        made = shared(cost, [used("b", USD)], seats, 202611)
        said[rule] = (made.rule, made.unit, made.capacity, made.shares)
        assert made.name == "ptu"
        assert made.basis
    assert said == {
        "direct": ("fixed", "shares", 7, {"x": 1}),
        "even": ("fixed", "shares", 7, {"b": 1}),
        "seat": ("fixed", "seats", 7, {"a": 1}),
        "tokens": ("fixed", "tokens", 7, {"b": 1}),
        "list_cost": ("fixed", "list cost", 7_000_000, {"b": 1_000_000}),
    }


def test_the_first_and_the_last_month_are_paid() -> None:
    cost = msgspec.structs.replace(POOL, first=202611, last=202701)
    months = (202610, 202611, 202612, 202701, 202702)
    assert [cost.is_due(month) for month in months] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "lorry"}, "--kind: expected one of ptu"),
        ({"rule": "fair"}, "--rule: expected one of direct"),
        ({"pool": {"colour": "red", "app": "x"}}, "--pool: expected provider"),
        ({"rule": "direct"}, "--cost-centre: the rule direct names at least one"),
        ({"shares": {"x": 1}}, "--cost-centre: the rule direct names at least one"),
        ({"last": 202610}, "--to: expected a month not before"),
        ({"capacity": 0}, "--capacity: expected a figure from 1"),
        ({"per_seat": True}, "--per-seat: only with --rule seat"),
        ({"source": ""}, "--source: expected where"),
        ({"name": ""}, "NAME: is empty: give a name"),
    ],
)
def test_one_mistake_is_one_problem(changes: dict[str, object], said: str) -> None:
    (problem,) = check(msgspec.structs.replace(POOL, **changes))
    assert problem.startswith(said)


def test_what_lies_on_a_bound_is_no_mistake() -> None:
    for changes in (
        {"last": 202611}, {"capacity": 1}, {"pico": 0}, {"rule": "seat", "per_seat": True},
        {"pool": {"app": "x"}},
    ):  # fmt: skip
        assert check(msgspec.structs.replace(POOL, **changes)) == []


def test_a_row_without_a_name_is_of_no_pool_that_asks_for_one() -> None:
    cost = msgspec.structs.replace(POOL, pool={"app": "chat*"})
    assert [serves(cost, names) for names in ({"app": "chat-1"}, {"app": "x"}, {})] == [
        True, False, False,
    ]  # fmt: skip


def test_a_cost_is_of_its_months_only() -> None:
    until = msgspec.structs.replace(POOL, name="a", last=202701)
    assert [c.name for c in due([POOL, until], 202611)] == ["a", "ptu"]
    assert due([POOL, until], 202610) == []
    assert [c.name for c in due([POOL, until], 202702)] == ["ptu"]


def test_every_mistake_is_told_by_its_option() -> None:
    wrong = msgspec.structs.replace(
        POOL, kind="lorry", rule="seat", pool={"colour": "red"}, last=202601, capacity=0,
        shares={"x": 1}, source="", currency="EUX",
    )  # fmt: skip
    said = "\n".join(check(wrong))
    for option in (
        "--currency: expected a currency of ISO 4217 such as EUR, found 'EUX'",
        "--kind",
        "--pool",
        "--cost-centre",
        "--to",
        "--capacity",
        "--source",
    ):
        assert option in said
    assert check(POOL) == []
    assert (POOL.at_us, POOL.capacity, POOL.last, POOL.per_seat) == (0, None, None, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pico": -1}, "--amount: expected a figure from 0 to 1,000,000,000,000"),
        ({"pico": 10**24 + 1}, "--amount: expected a figure from 0 to"),
        ({"capacity": 10**15 + 1}, "--capacity: expected a figure from 1 to"),
        (
            {"rule": "direct", "shares": {"x": 10**15 + 1, "y": 1}},
            "--cost-centre: expected weights of at",
        ),
    ],
)
def test_a_figure_no_statement_could_hold_is_refused(changes: dict[str, object], said: str) -> None:
    (problem,) = check(msgspec.structs.replace(POOL, **changes))
    assert problem.startswith(said)
    largest = {"pico": 10**24, "capacity": 10**15, "rule": "direct", "shares": {"x": 10**15}}
    assert check(msgspec.structs.replace(POOL, **largest)) == []


def test_a_source_that_is_no_name_is_told_and_none_at_all_is_told_once() -> None:
    (hidden,) = check(msgspec.structs.replace(POOL, source="invoice\u202e7"))
    assert hidden.startswith("--source: ")
    (missing,) = check(msgspec.structs.replace(POOL, source=""))
    assert missing.startswith("--source: expected where")


usages = st.lists(
    st.builds(used, st.sampled_from("abc"), st.integers(0, 10**15), st.integers(0, 10**9)),
    max_size=8,
)


@settings(max_examples=200)
@given(
    usages, st.sampled_from([r for r in RULES if r != "direct"]), st.integers(0, 10**18),
    st.one_of(st.none(), st.integers(1, 10**6)),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 500)),
)  # fmt: skip
def test_parts_and_idle_sum_to_the_cost_and_nobody_pays_less_than_nothing(
    usage: list[Used], rule: str, pico: int, capacity: int | None, seats: dict[str, int]
) -> None:
    cost = msgspec.structs.replace(POOL, rule=rule, pico=pico, capacity=capacity)
    made = parts(cost, usage, seats)
    assert sum(made.values()) == pico
    assert all(type(part) is int and part >= 0 for part in made.values())
