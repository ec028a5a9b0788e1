"""What a guardrail that looks on at a call may bill at most: every policy, over the prompt and over the answer.

Which policies it has, and what it looks at, only a trace tells. A new policy is a unit in metering.units.
"""

from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import Request
from gateway.metering.guardrails import ROLE
from gateway.metering.units import UNITS
from gateway.pricing.book import Book
from gateway.pricing.dimensions import STANDARD, Circumstances
from gateway.pricing.rate import ROLES, charge_of

POLICY_CHARACTERS: Final = 1000  # of text, in one unit of a policy
TOKEN_CHARACTERS: Final = 8  # of an answer, that one token is at the most
_POLICIES: Final = tuple(name for name, unit in UNITS.items() if unit.modality == "guardrail")
_OF_PICTURES: Final = "content_policy_image_units"


def most(
    book: Book, under: Circumstances, request: Request, written: int, pictures: int
) -> tuple[dict[str, int], int]:
    """The most units of each policy and their pico-USD; ({}, 0) where no guardrail looks on.

    ``written``: tokens of the answer. What has no price there adds nothing: its row will have none either.
    """
    if not request.guarded:
        return {}, 0
    characters = (request.prompt.characters(), written * TOKEN_CHARACTERS)
    texts = sum([count // POLICY_CHARACTERS + 1 for count in characters])
    units = {unit: pictures if unit == _OF_PICTURES else texts for unit in _POLICIES}
    billed = replace(under, model=ROLES[ROLE].model, tier=STANDARD)
    prices = book.ladder(billed).steps[0].prices
    charges = [
        charge_of(quantity, price.pico, price.per)
        for unit, quantity in units.items()
        if (price := prices.get(unit)) is not None
    ]
    return units, sum(charges)
