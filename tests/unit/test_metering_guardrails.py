"""Guardrail units from both traces."""

import pytest

from gateway.metering.guardrails import guardrail_component, traced_usages
from gateway.metering.usage import Component, UsageInvalid

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
