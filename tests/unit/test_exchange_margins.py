"""How far a request may go beyond its count: never less than the recorded traffic went."""

from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from gateway.exchange.margins import ALLOWANCE, MARGINS, Margins, Slack
from gateway.metering.count import Confidence

COUNTED = st.integers(0, 10**10)


@given(COUNTED, st.integers(0, 300), st.integers(0, 10**6))
@settings(max_examples=80)
def test_slack_is_the_percentage_rounded_up_and_the_tokens(
    counted: int, percent: int, tokens: int
) -> None:
    found = Slack(percent, tokens).over(counted)
    exact = counted + Fraction(counted * percent, 100) + tokens
    assert exact <= found < exact + 1


@pytest.mark.parametrize(
    ("confidence", "counted", "most"),
    [
        (Confidence.EXACT, 1_000, 1_008),
        (Confidence.FORMULA, 1_000, 1_562),
        (Confidence.FORMULA, 1_001, 1_564),
        (Confidence.ESTIMATE, 1_000, 2_274),
        (Confidence.ESTIMATE, 0, 1_024),
    ],
)
def test_the_slack_of_a_count_is_what_its_confidence_was_seen_to_need(
    confidence: Confidence, counted: int, most: int
) -> None:
    assert MARGINS.slack(confidence).over(counted) == most


@given(COUNTED, COUNTED)
@settings(max_examples=30)
def test_who_is_less_sure_holds_more_and_more_is_held_for_more(one: int, other: int) -> None:
    less, more = sorted((one, other))
    for confidence in Confidence:
        slack = MARGINS.slack(confidence)
        assert less <= slack.over(less) <= slack.over(more)
    exact, formula, estimate = (
        MARGINS.slack(each).over(less)
        for each in (Confidence.EXACT, Confidence.FORMULA, Confidence.ESTIMATE)
    )
    assert exact <= formula <= estimate


def test_confidences_have_a_slack_each() -> None:
    told_apart = Margins(exact=Slack(1), formula=Slack(2), estimate=Slack(3))
    assert [told_apart.slack(one).percent for one in Confidence] == [1, 2, 3]
    assert list(Confidence) == [Confidence.EXACT, Confidence.FORMULA, Confidence.ESTIMATE]


def test_what_nobody_can_count_is_held_by_the_figures_of_the_recordings() -> None:
    """exchange/README.md tells where each is from."""
    assert (MARGINS.unseen, MARGINS.tool, MARGINS.context) == (None, 32_768, 262_144)
    assert (MARGINS.image, MARGINS.picture, MARGINS.page, MARGINS.sound) == (
        4_096,
        8_192,
        3_072,
        32,
    )
    assert (MARGINS.sealed_characters, MARGINS.unread_characters) == (4, 1)
    assert (MARGINS.bytes_per_second, MARGINS.seconds) == (500, 7_200)
    assert not MARGINS.trusts_discounts
    assert Slack().over(1_000) == 1_000


def test_where_a_whole_context_would_be_held_an_allowance_may_be() -> None:
    assert ALLOWANCE == 32_768
    for unseen, tool in ((None, None), (None, 7), (5, None), (5, 7)):
        allowing = Margins(unseen=unseen, tool=tool, context=9).allowing()
        assert allowing == Margins(unseen=unseen or 32_768, tool=tool or 32_768, context=9)
