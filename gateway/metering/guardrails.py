"""Guardrail units: what a content policy's check of a request and its answer is billed in.

Free units (word filters, regular expressions) are not listed. To add a policy: its member and unit in ``_UNITS``.
"""

from collections.abc import Iterable
from typing import Final

from gateway.metering.usage import Component, component, count_of
from gateway.wire.jsondoc import Json, obj

ROLE: Final = "guardrail"
UNMEASURED: Final = "guardrail_unmeasured"
ACTION: Final = "amazon-bedrock-guardrailAction"  # in an answer that a guardrail has looked at
_UNITS: Final = {
    "contentPolicyUnits": "content_policy_units",
    "topicPolicyUnits": "topic_policy_units",
    "sensitiveInformationPolicyUnits": "sensitive_information_policy_units",
    "contextualGroundingPolicyUnits": "contextual_grounding_policy_units",
    "automatedReasoningPolicyUnits": "automated_reasoning_policy_units",
    "contentPolicyImageUnits": "content_policy_image_units",
}
# Two traces tell the same in other words: one of conversations, one of raw invocations.
_ASSESSMENTS: Final = ("inputAssessment", "outputAssessments", "input", "outputs")
_NESTING_MAX: Final = 4  # {id: [ {assessment} ]} or [ {id: assessment} ]


def traced_usages(trace: Json) -> list[dict[str, Json]]:
    """The usage objects of a trace ({"guardrail": {…}}): one per assessment of the input and the outputs."""
    guardrail = obj(trace, "guardrail")
    return [usage for name in _ASSESSMENTS for usage in _usages(guardrail.get(name), _NESTING_MAX)]


def guardrail_component(usages: Iterable[Json]) -> Component | None:
    """The billed units of all usage objects together; None where there are none. Raises UsageInvalid."""
    counts: dict[str, int] = {}
    for usage in usages:
        for member, unit in _UNITS.items():
            count = count_of(usage.get(member)) if isinstance(usage, dict) else None
            if count:
                counts[unit] = counts.get(unit, 0) + count
    return component(counts, ROLE) if counts else None


def guarded(
    components: tuple[Component, ...], trace: Json, *, looked_at: bool
) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """Components with those a trace states; a flag where a guardrail looked on and no trace tells its units.

    Raises UsageInvalid.
    """
    found = guardrail_component(usages := traced_usages(trace))
    flags = (UNMEASURED,) if looked_at and not usages else ()
    return components if found is None else (*components, found), flags


def _usages(value: Json, nesting: int) -> list[dict[str, Json]]:
    metrics = obj(value, "invocationMetrics")
    if metrics:
        usage = obj(metrics, "usage")  # without it nothing tells what was looked at
        return [usage] if usage else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [usage for each in inner for usage in _usages(each, nesting - 1)] if nesting else []
