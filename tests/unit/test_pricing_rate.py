"""Rating by law: exact, monotone, additive; a miss is NULL and never somebody else's price."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from gateway.metering.units import UNITS
from gateway.metering.usage import Component
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import (
    FREE,
    ChargeLine,
    Status,
    charge_of,
    context_tier,
    context_tokens,
    name_of,
    rate,
    rate_components,
    steady,
)
from gateway.pricing.row import Row

DAY_US = 86_400_000_000
MILLION = 1_000_000
USD = 10**12


def row(unit: str, pico: int, **changes: object) -> Row:
    """A row of cloud/model-a, global, standard, valid from day 0; ``changes`` by field or dimension."""
    dims = {"provider": "cloud", "model": "model-a", "scope": "global", "geo": "", "region": ""}
    dims |= {"tier": "standard"}
    terms = tuple(str(changes.pop(name, value)) for name, value in dims.items())
    fields: dict[str, object] = {"source": "a test", "evidence": "manual", "origin": "t.csv:2"}
    return Row(terms=terms, unit=unit, pico=pico, **(fields | changes))  # type: ignore[arg-type]  # cells by name


def here(**changes: object) -> Circumstances:
    fields: dict[str, object] = {"model": "model-a", "scope": "global", "at_us": DAY_US}
    return Circumstances(provider="cloud", **(fields | changes))  # type: ignore[arg-type]  # fields by name


BOOK = Book.compile(
    [
        row("input_text", 2_500_000 * MILLION),
        row("input_text", 5_000_000 * MILLION, context_gt=1000),
        row("cache_read_text", 250_000 * MILLION),
        row("cache_read_text", 500_000 * MILLION, context_gt=1000),
        row("output_text", 15_000_000 * MILLION),
        row("output_text", 22_500_000 * MILLION, context_gt=1000),
        row("output_reasoning", 0, as_unit="output_text"),
        row("web_search_requests", 14 * USD, per=1000),
        row("audio_seconds", 396 * 10**9, per=3600),
        row("content_policy_units", 150_000_000, per=1, model="guardrail"),
        row("input_text", 1_000_000 * MILLION, model="model-b"),
        row("input_text", 7 * MILLION, scope="regional", region="here"),
        row("input_text", 9 * MILLION, scope="regional", region="there"),
        row("output_text", 3 * MILLION, scope="regional", region="there"),
    ]
)
counts = st.integers(0, 2**40)
usages = st.dictionaries(
    st.sampled_from(["input_text", "cache_read_text", "output_text", "output_reasoning"]), counts
)


def total(usage: Mapping[str, int], context: int = 0) -> int:
    charge = rate(BOOK, here(context_tokens=context), usage)
    assert charge.list_pico is not None
    return charge.list_pico


def test_a_charge_is_the_sum_of_quantity_times_price() -> None:
    charge = rate(BOOK, here(), {"input_text": 100, "cache_read_text": 10, "output_text": 1})
    assert [line.list_pico for line in charge.lines] == [250_000_000, 2_500_000, 15_000_000]
    assert charge.list_pico == charge.net_pico == 267_500_000
    assert charge.status is Status.PRICED
    assert charge.lines[0].price_id == "cloud/model-a/global/-/-/standard/input_text/0@1970-01-01"
    assert [(line.unit, line.quantity) for line in charge.lines] == [
        ("input_text", 100), ("cache_read_text", 10), ("output_text", 1),
    ]  # fmt: skip


@settings(max_examples=100)
@given(usages, usages)
def test_charging_is_additive_in_a_context_tier(one: dict[str, int], two: dict[str, int]) -> None:
    both = {unit: one.get(unit, 0) + two.get(unit, 0) for unit in one | two}
    assert total(one) + total(two) == total(both)


@settings(max_examples=100)
@given(usages, st.sampled_from(["input_text", "output_text"]), counts)
def test_more_of_a_unit_never_costs_less(usage: dict[str, int], unit: str, more: int) -> None:
    assert total(usage | {unit: usage.get(unit, 0) + more}) >= total(usage)


@settings(max_examples=100)
@given(usages)
def test_how_usage_is_split_into_components_does_not_change_the_sum(usage: dict[str, int]) -> None:
    parts = [Component("main", {unit: count}) for unit, count in usage.items()]
    whole = rate_components(BOOK, here(context_tokens=0), [Component("main", usage)])
    split = rate_components(BOOK, here(context_tokens=0), parts)
    assert whole == split
    assert whole.list_pico == sum(line.list_pico or 0 for line in whole.lines)


@settings(max_examples=100)
@given(st.integers(0, 10**9), st.integers(0, 10**15), st.integers(1, 10**7))
def test_a_line_is_rounded_half_up_once(quantity: int, pico: int, per: int) -> None:
    amount = charge_of(quantity, pico, per)
    assert -per < 2 * (amount * per - quantity * pico) <= per
    assert isinstance(amount, int)


def test_a_price_per_hour_is_charged_by_the_second() -> None:
    assert rate(BOOK, here(), {"audio_seconds": 754}).list_pico == 82_940_000_000


def test_a_million_one_token_rows_are_one_million_tokens() -> None:
    assert MILLION * total({"input_text": 1}) == total({"input_text": MILLION})


@pytest.mark.parametrize(("context", "pico"), [(1000, 2_500_000), (1001, 5_000_000)])
def test_the_context_threshold_must_be_strictly_exceeded(context: int, pico: int) -> None:
    assert rate(BOOK, here(), {"input_text": 1, "cache_read_text": context - 1}).lines[
        0
    ].list_pico == (pico)


def test_the_whole_request_is_charged_at_its_context_tier() -> None:
    charge = rate(BOOK, here(), {"input_text": 1001, "output_text": 1, "output_reasoning": 1})
    assert [line.list_pico for line in charge.lines] == [5_005_000_000, 22_500_000, 22_500_000]


def test_output_does_not_make_a_prompt_long() -> None:
    assert context_tokens({"input_text": 2, "cache_write_1h": 3, "output_text": 5000}) == 5
    assert context_tokens({"images_out": 9, "never_heard_of": 1}) == 0
    assert context_tokens({"audio_seconds": 9, "characters_in": 9, "session_seconds": 9}) == 0


def test_what_is_priced_at_nothing_is_known_to_cost_nothing() -> None:
    book = Book.compile([row("input_text", 0), row("output_text", 3 * MILLION)])
    free = rate(book, here(), {"input_text": 9})
    assert (free.status, free.list_pico, free.net_pico) == (Status.PRICED, 0, 0)
    assert rate(book, here(), {"input_text": 9, "output_text": 2}).list_pico == 6


def test_a_given_context_wins_over_the_counts() -> None:
    assert rate(BOOK, here(context_tokens=1001), {"input_text": 1}).list_pico == 5_000_000


def test_a_parts_context_tier_is_the_calls_own_for_its_main_part_only() -> None:
    short, long = {"input_text": 5}, {"input_text": 1001}
    told = here(context_tokens=9999)
    assert context_tier(BOOK, told, Component("main", short)) == 1000
    assert context_tier(BOOK, here(), Component("main", long)) == 1000
    assert context_tier(BOOK, here(), Component("main", short)) == 0
    assert context_tier(BOOK, told, Component("iteration", short)) == 0
    assert context_tier(BOOK, told, Component("iteration", long)) == 1000
    assert context_tier(BOOK, told, Component("main", short, "model-a")) == 0
    assert context_tier(BOOK, told, Component("main", long, "model-b")) == 0


def test_a_batch_is_nobodys_prompt() -> None:
    book = Book.compile(
        [
            row("input_text", 1 * MILLION, tier="batch"),
            row("input_text", 2 * MILLION, tier="batch", context_gt=1000),
        ]
    )
    assert rate(book, here(tier="batch"), {"input_text": 5000}).list_pico == 5000
    assert rate(book, here(tier="batch", context_tokens=5000), {"input_text": 1}).list_pico == 2


def test_a_counted_unit_keeps_its_price_in_every_context_tier() -> None:
    charge = rate(BOOK, here(context_tokens=9999), {"web_search_requests": 4})
    assert charge.list_pico == 56_000_000_000


def test_a_token_unit_without_a_price_in_the_context_tier_is_null() -> None:
    book = Book.compile(
        [
            row("input_text", 1 * MILLION),
            row("input_text", 2 * MILLION, context_gt=10),
            row("output_text", 3 * MILLION),
        ]
    )
    charge = rate(book, here(), {"input_text": 11, "output_text": 1})
    assert [line.list_pico for line in charge.lines] == [22, None]
    assert (charge.status, charge.list_pico, charge.net_pico) == (Status.PARTIAL, None, None)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"model": "model-z"},
        {"model": None},
        {"scope": "data_zone"},
        {"scope": None},
        {"tier": "flex"},
    ],
)
def test_a_miss_is_null_and_never_a_neighbours_price(elsewhere: dict[str, object]) -> None:
    charge = rate(BOOK, here(**elsewhere), {"input_text": 10, "output_text": 1})
    assert charge.status is Status.UNPRICED
    assert charge.list_pico is charge.net_pico is None
    assert {(line.price_id, line.list_pico, line.net_pico) for line in charge.lines} == {
        (None, None, None)
    }


def test_one_unpriced_unit_leaves_the_total_open() -> None:
    charge = rate(BOOK, here(), {"input_text": 10, "input_audio": 1})
    assert (charge.status, charge.list_pico, charge.net_pico) == (Status.PARTIAL, None, None)
    assert charge.lines[0].list_pico == 25_000_000
    assert charge.lines[1].list_pico is None


def test_a_unit_nobody_registered_is_null() -> None:
    assert rate(BOOK, here(), {"new_unit": 1}).status is Status.UNPRICED


def test_an_unknown_region_is_ambiguous_where_rates_differ_and_only_there() -> None:
    charge = rate(BOOK, here(scope="regional"), {"input_text": 1})
    assert (charge.status, charge.list_pico) == (Status.AMBIGUOUS, None)
    agreed = rate(BOOK, here(scope="regional"), {"output_text": 1})
    assert (agreed.status, agreed.list_pico) == (Status.PRICED, 3)


def test_ambiguous_outranks_partial() -> None:
    charge = rate(BOOK, here(scope="regional"), {"input_text": 1, "output_text": 1, "x": 1})
    assert (charge.status, charge.list_pico) == (Status.AMBIGUOUS, None)


def test_nothing_used_is_free() -> None:
    assert rate(BOOK, here(), {}) is FREE
    assert rate(BOOK, here(model=None), {"input_text": 0}) is FREE
    assert rate_components(BOOK, here(), ()) is FREE
    assert (FREE.list_pico, FREE.net_pico, FREE.status) == (0, 0, Status.FREE)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        rate(BOOK, here(), {"input_text": -1})


def test_paid_for_capacity_costs_nothing_more_and_shows_its_list_price() -> None:
    charge = rate(BOOK, here(scope="provisioned"), {"input_text": 100})
    assert (charge.status, charge.list_pico, charge.net_pico) == (
        Status.ZERO_MARGINAL, 250_000_000, 0,
    )  # fmt: skip
    assert charge.lines[0].net_pico == 0
    assert charge == rate(BOOK, here(provisioned=True), {"input_text": 100})


def test_a_shadow_without_a_list_price_stays_open_at_net_zero() -> None:
    charge = rate(BOOK, here(scope="provisioned", shadow_scope="geo"), {"input_text": 100})
    assert (charge.status, charge.list_pico, charge.net_pico) == (Status.ZERO_MARGINAL, None, 0)
    assert (charge.lines[0].list_pico, charge.lines[0].net_pico) == (None, 0)


def test_spilled_over_capacity_is_charged_as_you_go() -> None:
    charge = rate(BOOK, here(scope="provisioned", provisioned=False), {"input_text": 100})
    assert (charge.status, charge.net_pico) == (Status.PRICED, 250_000_000)


def test_a_component_with_its_own_model_is_charged_under_it() -> None:
    charge = rate_components(
        BOOK,
        here(context_tokens=2000),
        [
            Component("main", {"input_text": 1}),
            Component("advisor_message", {"input_text": 1}, "model-b"),
            Component("compaction", {"input_text": 1}),
        ],
    )
    assert [(line.role, line.model, line.list_pico) for line in charge.lines] == [
        ("main", None, 5_000_000),
        ("advisor_message", "model-b", 1_000_000),
        ("compaction", None, 2_500_000),
    ]


def test_a_main_component_of_another_model_is_charged_under_that_model() -> None:
    charge = rate_components(BOOK, here(), [Component("main", {"input_text": 1}, "model-b")])
    assert [line.list_pico for line in charge.lines] == [1_000_000]


def test_a_component_with_its_own_model_runs_in_the_tier_of_the_call() -> None:
    book = Book.compile(
        [
            row("input_text", 5 * MILLION, model="model-b"),
            row("input_text", 3 * MILLION, model="model-b", tier="flex"),
        ]
    )
    part = Component("advisor_message", {"input_text": 1}, "model-b")
    assert rate_components(book, here(tier="flex"), [part]).list_pico == 3
    assert rate_components(book, here(), [part]).list_pico == 5


def test_a_component_of_an_unknown_model_never_gets_the_calls_own_price() -> None:
    charge = rate_components(
        BOOK,
        here(),
        [
            Component("main", {"input_text": 1}),
            Component("advisor_message", {"input_text": 1}, "model-z"),
            Component("tool_image_gen", {"input_text": 1}),
        ],
    )
    assert [line.list_pico for line in charge.lines] == [2_500_000, None, None]
    assert charge.status is Status.PARTIAL


def test_guardrail_units_are_charged_as_guardrails_whatever_tier_the_model_ran_in() -> None:
    part = Component("guardrail", {"content_policy_units": 12})
    for tier in ("standard", "flex"):
        charge = rate_components(BOOK, here(tier=tier), [part])
        assert (charge.status, charge.list_pico) == (Status.PRICED, 1_800_000_000)
        assert charge.lines[0].role == "guardrail"


def test_a_steady_price_is_the_charge_of_its_unit_alone_while_it_stands() -> None:
    at = here(at_us=DAY_US)
    found = steady(BOOK, at, "input_text", None)
    assert found is not None
    assert found.stands(1000, DAY_US)
    assert not found.stands(1001, DAY_US)  # a longer prompt has another price
    assert not found.stands(-1, DAY_US)
    for quantity in (0, 1, 999, 1000):
        assert found.charge(quantity) == rate(BOOK, at, {"input_text": quantity})


@given(st.integers(0, 2**40))
def test_a_unit_that_makes_no_prompt_long_is_steady_at_any_quantity(quantity: int) -> None:
    found = steady(BOOK, here(), "audio_seconds", None)
    assert found is not None
    assert found.stands(quantity, DAY_US)
    assert found.charge(quantity) == rate(BOOK, here(), {"audio_seconds": quantity})


def test_a_steady_price_ends_where_any_place_has_another() -> None:
    """A nearer place that is priced from tomorrow on is the one from tomorrow on."""
    book = Book.compile(
        [
            row("input_text", 5 * MILLION, scope="regional"),
            row("input_text", 7 * MILLION, scope="regional", region="here", since_us=2 * DAY_US),
        ]
    )
    at = here(scope="regional", region="here")
    found = steady(book, at, "input_text", None)
    assert found is not None
    assert found.stands(1, 2 * DAY_US - 1)
    assert not found.stands(1, 2 * DAY_US)
    later = steady(
        book, here(scope="regional", region="here", at_us=2 * DAY_US), "input_text", None
    )
    assert later is not None
    assert (later.pico, later.stands(1, 2 * DAY_US - 1)) == (7 * MILLION, False)


@pytest.mark.parametrize(
    "at",
    [
        here(model="unheard-of"),
        here(scope="provisioned"),
        here(scope="regional"),  # here and there disagree
    ],
)
def test_what_has_no_one_price_per_quantity_is_not_steady(at: Circumstances) -> None:
    assert steady(BOOK, at, "input_text", None) is None


# ── what is remembered between requests ──────────────────────────────────────────────────────────

ROWS = (
    row("input_text", 3_000, until_us=50),
    row("input_text", 2_000, since_us=50),
    row("input_text", 5_000, context_gt=100, since_us=20),
    row("input_text", 9_000, context_gt=200, until_us=90),
    row("output_text", 15_000, until_us=90),
    row("output_text", 30_000, context_gt=100),
    row("web_search_requests", 7, per=2),
    row("input_text", 4_000, tier="batch"),
    row("input_text", 6_000, tier="batch", context_gt=100),
)
CONTRACT = Contract(
    name="ours",
    margin_bp=250,
    terms=(
        Term(unit="output*", discount_bp=1_000),
        Term(unit="web*", pico=5, per=3, tier="standard"),
        Term(tier="batch", discount_bp=3_333),
    ),
)


def plainly(at: Circumstances, unit: str, quantity: int, size: int) -> ChargeLine:
    """A line by a look at every row: nothing is remembered, and nothing is looked up."""
    fitting = [
        each
        for each in ROWS
        if each.terms == ("cloud", at.model, at.scope, "", "", at.tier)
        and each.since_us <= at.at_us < each.until_us
    ]
    thresholds = [each.context_gt for each in fitting if UNITS[each.unit].is_token]
    tier = max((each for each in thresholds if each < size), default=0)
    wanted = tier if UNITS[unit].is_token else 0
    found = [each for each in fitting if (each.unit, each.context_gt) == (unit, wanted)]
    if not found:
        return ChargeLine(unit, quantity, None, None, None)
    (price,) = found
    exact = Fraction(quantity * price.pico, price.per)
    for term in CONTRACT.terms:
        if fnmatchcase(unit, term.unit) and term.tier in {None, at.tier}:
            net = exact if term.pico is None else Fraction(quantity * term.pico, term.per)
            net *= Fraction(10_000 - term.discount_bp, 10_000)
            break
    else:
        net = exact
    net *= Fraction(10_000 + CONTRACT.margin_bp, 10_000)
    half = Fraction(1, 2)
    return ChargeLine(unit, quantity, price.price_id(), int(exact + half), int(net + half))


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 19, 20, 49, 50, 89, 90, 91]),
            st.sampled_from(["standard", "batch", "priority"]),
            st.dictionaries(
                st.sampled_from(
                    ["input_text", "output_text", "web_search_requests", "input_audio"]
                ),
                st.sampled_from([1, 3, 100, 101, 200, 201, 10**9 + 7]),
                min_size=1,
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_book_that_has_rated_before_rates_as_if_it_looked_at_every_row(
    calls: list[tuple[int, str, dict[str, int]]],
) -> None:
    book, bargain = Book.compile(ROWS), Bargain(CONTRACT)
    for at_us, tier, usage in calls:
        at = here(at_us=at_us, tier=tier)
        size = 0 if tier == "batch" else usage.get("input_text", 0) + usage.get("input_audio", 0)
        lines = tuple(plainly(at, unit, quantity, size) for unit, quantity in usage.items())
        net = rate(book, at, usage, bargain)
        assert net.lines == lines
        listed = rate(book, at, usage)
        assert listed.lines == tuple(replace(line, net_pico=line.list_pico) for line in lines)
        is_whole = all(line.list_pico is not None for line in lines)
        assert net.list_pico == (sum(line.list_pico or 0 for line in lines) if is_whole else None)
        assert net.net_pico == (sum(line.net_pico or 0 for line in lines) if is_whole else None)


@pytest.mark.parametrize("tier", ["standard", "batch"])
@pytest.mark.parametrize("unit", ["input_text", "output_text", "web_search_requests"])
def test_a_steady_price_is_the_charge_under_a_contract_too(unit: str, tier: str) -> None:
    book, bargain = Book.compile(ROWS), Bargain(CONTRACT)
    for at_us in (0, 19, 20, 49, 50, 89, 90):
        at = here(at_us=at_us, tier=tier)
        found = steady(book, at, unit, bargain)
        for quantity in (0, 1, 3, 100, 101, 10**9 + 7):
            charge = rate(book, at, {unit: quantity}, bargain)
            if found is not None and found.stands(quantity, at_us):
                assert found.charge(quantity) == charge
            else:
                assert found is None or quantity > 100
        if tier == "batch" and unit == "input_text":
            assert found is not None
            assert found.stands(10**9, at_us)


def test_a_line_without_a_price_says_what_it_is_of() -> None:
    part = Component("tool", {"images_out": 3}, "nobody")
    (line,) = rate_components(BOOK, here(), (part,)).lines
    assert line == ChargeLine("images_out", 3, None, None, None, "tool", "nobody")


def test_paid_for_capacity_serves_its_model_and_nothing_that_is_billed_beside_it() -> None:
    paid = here(scope="provisioned")
    tokens = Component("main", {"input_text": 100})
    checks = [Component("guardrail", {"content_policy_units": units}) for units in (12, 5)]
    charge = rate_components(BOOK, paid, (checks[0], tokens, checks[1]))
    assert [line.net_pico for line in charge.lines] == [1_800_000_000, 0, 750_000_000]
    assert charge.net_pico == 2_550_000_000
    assert charge.list_pico == sum(line.list_pico or 0 for line in charge.lines) == 2_800_000_000
    assert charge.status is Status.ZERO_MARGINAL


def test_what_stands_beside_paid_for_capacity_and_has_no_price_leaves_the_total_open() -> None:
    paid = here(scope="provisioned")
    unpriced = Component("guardrail", {"topic_policy_units": 1})
    charge = rate_components(BOOK, paid, (Component("main", {"input_text": 100}), unpriced))
    assert [line.net_pico for line in charge.lines] == [0, None]
    assert (charge.status, charge.list_pico, charge.net_pico) == (Status.PARTIAL, None, None)


def test_a_role_that_is_billed_beside_every_model_has_a_name_of_its_own() -> None:
    names = {role: name_of(role) for role in ("guardrail", "hosted_tool", "main", "svg", "other")}
    assert names == {
        "guardrail": "guardrail", "hosted_tool": "hosted-tools", "main": None, "svg": None, "other": None,
    }  # fmt: skip
