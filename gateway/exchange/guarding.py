"""What a guardrail that looks on at a call may bill at most: every policy, over the prompt and over the answer.

Which policies it has, and what it looks at, only a trace tells. A new policy is a unit in metering.units.
"""

from typing import Final

from gateway.dialects.contract import Request
from gateway.metering.units import UNITS

POLICY_CHARACTERS: Final = 1000  # of text, in one unit of a policy
TOKEN_CHARACTERS: Final = 8  # of an answer, that one token is at the most
_POLICIES: Final = tuple(name for name, unit in UNITS.items() if unit.modality == "guardrail")
_OF_PICTURES: Final = "content_policy_image_units"


def most(request: Request, written: int, pictures: int) -> dict[str, int]:
    """The most units of each policy; {} where no guardrail looks on. ``written``: tokens of the answer."""
    if not request.guarded:
        return {}
    characters = (request.prompt.characters(), written * TOKEN_CHARACTERS)
    texts = sum([count // POLICY_CHARACTERS + 1 for count in characters])
    return {unit: pictures if unit == _OF_PICTURES else texts for unit in _POLICIES}
