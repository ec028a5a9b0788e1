"""Guardrail units from both traces."""

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from gateway.metering.guardrails import guarded, guardrail_component, traced_usages
from gateway.metering.usage import Component, UsageInvalid
from gateway.wire.jsondoc import Json

USAGE = {"contentPolicyUnits": 2, "wordPolicyUnits": 7, "sensitiveInformationPolicyFreeUnits": 3}
ASSESSMENT = {"invocationMetrics": {"usage": USAGE}}


@pytest.mark.parametrize(
    "guardrail",
    [
        {"inputAssessment": {"g": ASSESSMENT}, "outputAssessments": {"g": [ASSESSMENT]}},
        {"input": {"g": ASSESSMENT}, "outputs": [{"g": ASSESSMENT}], "modelOutput": ["{}"]},
    ],
)
def test_both_traces_tell_the_same(guardrail: dict[str, object]) -> None:
    found = traced_usages({"guardrail": guardrail})  # type: ignore[dict-item]  # literal JSON
    assert found == [USAGE, USAGE]
    assert guardrail_component(found) == Component("guardrail", {"content_policy_units": 4})


@pytest.mark.parametrize("trace", [None, [], {}, {"guardrail": {"input": [[[[[ASSESSMENT]]]]]}}])
def test_a_trace_of_another_shape_says_nothing(trace: object) -> None:
    assert traced_usages(trace) == []  # type: ignore[arg-type]  # any JSON value, also wrong ones


def test_free_units_alone_are_nothing() -> None:
    assert guardrail_component(({"wordPolicyUnits": 7}, None)) is None


def test_impossible_units_are_refused() -> None:
    with pytest.raises(UsageInvalid):
        guardrail_component(({"contentPolicyUnits": -1},))


POLICIES = {
    "contentPolicyUnits": "content_policy_units",
    "topicPolicyUnits": "topic_policy_units",
    "sensitiveInformationPolicyUnits": "sensitive_information_policy_units",
    "contextualGroundingPolicyUnits": "contextual_grounding_policy_units",
    "automatedReasoningPolicyUnits": "automated_reasoning_policy_units",
    "contentPolicyImageUnits": "content_policy_image_units",
}
COUNTS = st.dictionaries(st.sampled_from(sorted(POLICIES)), st.integers(0, 9))


@given(st.lists(COUNTS, max_size=5))
def test_the_units_of_all_assessments_sum_up_policy_by_policy(usages: list[dict[str, int]]) -> None:
    sums = Counter[str]()
    for usage in usages:
        sums.update({POLICIES[policy]: count for policy, count in usage.items()})
    expected = {unit: count for unit, count in sums.items() if count}
    found = guardrail_component([*usages, None, "noise"])  # type: ignore[list-item]
    assert found == (Component("guardrail", expected) if expected else None)


def test_several_guardrails_and_assessments_are_all_billed() -> None:
    one: Json = {"topicPolicyUnits": 1}
    two: Json = {"topicPolicyUnits": 2}
    trace: Json = {
        "guardrail": {
            "inputAssessment": {"g": {"invocationMetrics": {"usage": one}}},
            "outputAssessments": {
                "g": [{"invocationMetrics": {"usage": two}}, {"invocationMetrics": {"usage": one}}],
                "h": [{"invocationMetrics": {"usage": one}}],
            },
        }
    }
    assert traced_usages(trace) == [one, two, one, one]
    components, flags = guarded((), trace, looked_at=True)
    assert components == (Component("guardrail", {"topic_policy_units": 5}),)
    assert flags == ()


@pytest.mark.parametrize("depth", range(7))
def test_an_assessment_is_looked_for_down_to_a_depth(depth: int) -> None:
    inside: Json = ASSESSMENT  # type: ignore[assignment]  # literal JSON
    for _ in range(depth):
        inside = [inside]
    assert len(traced_usages({"guardrail": {"input": inside}})) == int(depth <= 4)


MAIN = (Component("main", {"input_text": 3}),)


@pytest.mark.parametrize(
    "trace",
    [
        None,
        {"guardrail": {}},
        {"guardrail": {"input": {"g": {"invocationMetrics": {"latency": 5}}}}},
        {"guardrail": {"input": {"g": {"invocationMetrics": {"usage": {}}}}}},
    ],
)
def test_who_looked_on_without_telling_its_units_is_flagged(trace: Json) -> None:
    assert guarded(MAIN, trace, looked_at=True) == (MAIN, ("guardrail_unmeasured",))
    assert guarded(MAIN, trace, looked_at=False) == (MAIN, ())


def test_a_trace_that_tells_of_free_units_only_has_told() -> None:
    told: Json = {"guardrail": {"input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 0}}}}}}  # fmt: skip
    assert guarded(MAIN, told, looked_at=True) == (MAIN, ())
    paid: Json = {"guardrail": {"input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 4}}}}}}  # fmt: skip
    units = Component("guardrail", {"topic_policy_units": 4})
    for looked_at in (True, False):
        assert guarded(MAIN, paid, looked_at=looked_at) == ((*MAIN, units), ())
