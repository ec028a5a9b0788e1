"""Each cause by itself: where its bound lies, what it says, and which goes before which."""

from typing import Any

import pytest

from gateway.reporting.causes import CAUSES, MATCHED, OPEN, SETTLED, Evidence, Side, cause_of

USD = 10**12
MICRO = 10**6  # pico-USD


def side(
    tokens: int = 1_000, pico: int = USD, scope: str = "global", tier: str = "standard", **more: Any
) -> Side:
    made = Side()
    made.add(tokens, pico, scope, tier)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def seen(ours: Side | None = None, theirs: Side | None = None, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "is_routed": True, "is_named": True, "is_used": True, "class_gap": 10**9,
        "neighbour_gap": 0, "retried": 0,
    }  # fmt: skip
    return Evidence(ours or side(), theirs or side(), **(fields | changes))


def cause(ours: Side | None = None, theirs: Side | None = None, **changes: Any) -> str:
    return cause_of(seen(ours, theirs, **changes))[0]


def note(ours: Side | None = None, theirs: Side | None = None, **changes: Any) -> str:
    return cause_of(seen(ours, theirs, **changes))[1]


def test_a_side_sums_its_rows_by_scope_and_tier_in_one_word_for_either() -> None:
    made = Side()
    assert (made.tokens, made.pico, made.rows, made.unpriced, made.uncertain) == (0, 0, 0, 0, 0)
    for tokens, scope, tier in ((5, "in_region", "batch"), (7, "regional", "flex"), (2, "", "flex")):  # fmt: skip
        made.add(tokens, 10 * tokens, scope, tier)
    assert (made.tokens, made.pico) == (14, 140)
    assert made.scopes == {"regional": 12, "": 2}
    assert made.tiers == {"batch": 5, "flex": 9}


def test_a_difference_is_what_was_invoiced_less_what_was_metered() -> None:
    found = seen(side(10, 3), side(4, 8))
    assert (found.gap, found.off) == (-6, 5)


def test_all_causes_are_named_once_and_those_that_are_settled_are_among_them() -> None:
    assert len(set(CAUSES)) == len(CAUSES)
    assert CAUSES[0] == MATCHED
    assert CAUSES[-1] == OPEN
    assert set(CAUSES) > SETTLED


def test_the_same_matches_without_a_word() -> None:
    assert cause_of(seen()) == (MATCHED, "")
    assert cause(theirs=side(1_001, USD)) != MATCHED
    assert cause(theirs=side(1_000, USD + 1)) == "rounding"


@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_is_a_micro_dollar_a_row_and_one_more(sign: int) -> None:
    at_most = side(pico=USD + sign * 4 * MICRO, rows=3)
    assert note(theirs=at_most) == "the bill rounds each of its 3 rows"
    assert cause(theirs=side(pico=USD + sign * (4 * MICRO + 1), rows=3)) == "price"
    assert cause(theirs=side(1_500, USD + sign, rows=3)) == OPEN


def test_a_meter_that_nobody_can_name_comes_before_what_else_differs() -> None:
    unread = side(5, 2 * USD, names={"zeta", "alpha"})
    assert cause(theirs=unread, is_named=False, is_routed=False) == "unread"
    assert "by the meter 'alpha': --confirm" in note(theirs=unread, is_named=False)
    assert "by the meter '': --confirm" in note(theirs=side(5), is_named=False)


def test_what_was_used_without_the_gateway_is_outside() -> None:
    more = side(2_000)
    assert note(theirs=more, is_routed=False).startswith("this account is used without")
    assert note(theirs=more, is_used=False).startswith("this model on this account is used")
    assert note(theirs=more, is_routed=False, is_used=False).startswith("this account is used")
    assert cause(theirs=side(0, 0), is_routed=False) == "not invoiced"


def test_tokens_without_a_price_explain_money_only_where_the_tokens_agree() -> None:
    unpriced = side(pico=0, unpriced=1_200)
    assert note(unpriced) == "1,200 metered tokens have no price yet"
    assert cause(unpriced, side(1_500)) == OPEN
    assert cause(side(pico=0)) == "price"


def test_another_tier_or_scope_explains_money_only_where_the_tokens_agree() -> None:
    dear = side(pico=2 * USD, tier="priority")
    assert note(theirs=dear) == "invoiced under tier priority, metered under standard"
    assert cause(theirs=side(1_500, 2 * USD, tier="priority")) == OPEN
    zone = side(pico=2 * USD, scope="data_zone")
    assert note(theirs=zone) == "invoiced under scope data_zone, metered under global"
    assert cause(theirs=side(1_500, 2 * USD, scope="data_zone")) == OPEN
    assert cause(theirs=side(pico=2 * USD, scope="data_zone", tier="batch")) == "tier"


def test_a_scope_that_the_bill_does_not_name_of_all_tokens_explains_nothing() -> None:
    assert cause(theirs=side(pico=2 * USD, scope="")) == "price"
    half = side(500, USD, scope="data_zone")
    half.add(500, USD, "", "standard")
    assert cause(theirs=half) == "price"


def test_several_tiers_are_named_in_order_and_those_without_tokens_are_not() -> None:
    both = side(400, USD, tier="priority")
    both.add(600, USD, "global", "batch")
    both.add(0, 0, "global", "flex")
    both.scopes = {"global": 1_000}
    assert note(theirs=both) == "invoiced under tier batch, priority, metered under standard"
    nothing = note(side(0, USD, tier="flex"), side(0, 0, tier="batch"))
    assert nothing == "invoiced under tier none, metered under none"
    assert cause(side(0, USD), Side()) == cause(Side(), side(0, USD)) == "not invoiced"
    nameless = side(pico=2 * USD, tier="")
    assert note(theirs=nameless) == "invoiced under tier none, metered under standard"


def test_a_price_is_said_by_the_million_on_both_sides() -> None:
    assert note(side(2_000, USD), side(2_000, 3 * USD)) == (
        "same tokens, $1500 a million invoiced, $500 metered"
    )
    assert cause(side(0, USD), side(0, 0)) == "not invoiced"


def test_tokens_in_another_cache_class_agree_to_a_hundredth_of_what_is_missing() -> None:
    def of(class_gap: int, missing: int = 800) -> str:
        return cause(side(1_000), side(1_000 - missing), class_gap=class_gap)

    assert [of(gap) for gap in (-9, -8, 0, 8, 9)] == [OPEN, "cache", "cache", "cache", OPEN]
    # Of few tokens one may still be missing.
    assert [of(gap, 50) for gap in (-2, -1, 1, 2)] == [OPEN, "cache", "cache", OPEN]
    assert [of(gap, 990) for gap in (9, 10)] == ["cache", OPEN]
    assert cause(theirs=side(pico=2 * USD), class_gap=0) == "price"
    assert cause(side(0, USD), side(0, 0), class_gap=0) == "not invoiced"


def test_what_other_days_make_good_to_a_hundredth_is_late() -> None:
    def of(neighbour_gap: int) -> str:
        return cause(side(1_000), side(200), neighbour_gap=neighbour_gap)

    assert [of(gap) for gap in (791, 792, 800, 808, 809)] == [OPEN, "late", "late", "late", OPEN]
    assert cause(side(1_000), side(10), neighbour_gap=1_000) == OPEN
    assert cause(side(0, USD), side(0, 2 * USD)) == "not invoiced"


def test_what_is_metered_alone_is_not_invoiced() -> None:
    assert note(theirs=side(0, 0)) == "metered, and not on this bill: late, or another account's"


def test_a_thousandth_of_both_tokens_and_money_is_close_enough() -> None:
    ours = side(10_000, 10 * USD)

    def of(tokens: int, milli_usd: int) -> str:
        theirs = side(10_000 + tokens, 10 * USD + milli_usd * 10**9)
        return cause(ours, theirs)

    assert note(ours, side(10_010, 10 * USD + 10**10)) == "+10 tokens"
    assert note(ours, side(9_990, 10 * USD - 10**10)) == "-10 tokens"
    assert [of(10, 10), of(-10, -10), of(11, 10), of(10, 11), of(-11, 0), of(1, -11)] == [
        "within 0.1 %", "within 0.1 %", OPEN, OPEN, OPEN, OPEN,
    ]  # fmt: skip
    assert cause(side(9_990), side(10_000)) == OPEN
    back = side(10_000, -10 * USD)
    assert cause(back, side(10_001, -10 * USD)) == "within 0.1 %"


def test_as_many_tokens_as_we_counted_ourselves_may_differ() -> None:
    ours = side(1_000, uncertain=1_200)
    said = "1,200 tokens were counted by us: the streams were cut before their usage"
    for tokens in (2_200, 1):
        assert note(ours, side(tokens)) == said
    assert cause(ours, side(2_201)) == OPEN
    assert cause(side(1_000), side(1_500)) == OPEN


def test_attempts_that_were_sent_again_explain_only_what_is_too_much() -> None:
    assert note(theirs=side(1_500), retried=1_234) == (
        "1,234 attempts failed and were sent again: the provider may bill both"
    )
    assert cause(theirs=side(500), retried=3) == OPEN
    assert cause(side(500), side(501), retried=3) == "retry billed twice"
    assert cause(theirs=side(1_500)) == OPEN
    assert note(theirs=side(1_500)).startswith("nothing explains this")
