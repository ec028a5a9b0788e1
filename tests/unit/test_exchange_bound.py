"""Bounds put together: of several places the most at any, of several models the sum, and what is not known stays so."""

from hypothesis import given, settings, strategies as st

from gateway.exchange.bound import Bound, highest, plus, together
from gateway.quota.amount import Estimate

AMOUNT = st.integers(0, 10**15)
COUNT = st.integers(0, 10**6)
UNITS = st.dictionaries(st.sampled_from(["web_search_requests", "images_out"]), st.integers(1, 9))
ESTIMATES = st.builds(Estimate, st.none() | AMOUNT, st.none() | AMOUNT, COUNT, COUNT, UNITS)
BOUNDS = st.builds(
    Bound, ESTIMATES, COUNT, st.booleans(), st.booleans(), COUNT,
    st.sampled_from([None, "file_search_calls", "web_search_requests"]),
)  # fmt: skip


def none_or_most(amounts: list[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return max(known) if len(known) == len(amounts) else None


@given(st.lists(BOUNDS, min_size=1, max_size=4))
@settings(max_examples=80)
def test_of_several_places_it_is_the_most_at_any_and_not_known_where_one_is_not(
    bounds: list[Bound],
) -> None:
    found, estimates = highest(bounds), [bound.estimate for bound in bounds]
    assert found.estimate.list_pico == none_or_most([one.list_pico for one in estimates])
    assert found.estimate.net_pico == none_or_most([one.net_pico for one in estimates])
    assert found.estimate.input_tokens == max(one.input_tokens for one in estimates)
    assert found.estimate.output_tokens == max(one.output_tokens for one in estimates)
    named = {unit for one in estimates for unit in one.units}
    assert found.estimate.units == {
        unit: max(one.units.get(unit, 0) for one in estimates) for unit in named
    }
    assert found.output_tokens == max(bound.output_tokens for bound in bounds)
    assert found.unseen == max(bound.unseen for bound in bounds)
    assert found.priced == all(bound.priced for bound in bounds)
    assert found.is_bounded == bounds[0].is_bounded, "the request says it, not the place"
    wanting = [bound.wanting for bound in bounds if bound.wanting]
    assert (found.wanting in wanting) if wanting else (found.wanting is None)
    assert highest(bounds[:1]) == bounds[0]


@given(BOUNDS, BOUNDS, st.sampled_from([None, "other"]))
@settings(max_examples=80)
def test_what_another_model_is_asked_comes_on_top(
    bound: Bound, other: Bound, unpriced: str | None
) -> None:
    found = together(bound, other, unpriced)
    one, more, sums = bound.estimate, other.estimate, found.estimate
    for before, added, both in (
        (one.list_pico, more.list_pico, sums.list_pico),
        (one.net_pico, more.net_pico, sums.net_pico),
    ):
        assert both == (None if before is None else before + (added or 0))
    assert sums.input_tokens == one.input_tokens + more.input_tokens
    assert sums.output_tokens == one.output_tokens + more.output_tokens
    assert sums.units == {
        unit: one.units.get(unit, 0) + more.units.get(unit, 0) for unit in {*one.units, *more.units}
    }
    assert found.wanting == (bound.wanting or unpriced)
    assert (found.output_tokens, found.is_bounded, found.priced, found.unseen) == (
        bound.output_tokens, bound.is_bounded, bound.priced, bound.unseen,
    )  # fmt: skip


@given(AMOUNT, AMOUNT)
def test_what_is_not_known_is_not_known_with_more_on_top(amount: int, more: int) -> None:
    assert plus(amount, more) == amount + more
    assert plus(None, more) is None
