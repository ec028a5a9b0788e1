"""Estimates for families without a published formula: o200k tokens times the family's weight, plus its template.

The online correction (``ratio``) then learns what these constants miss. To refine a family: its figures in ``families``.
"""

import re
from typing import Final

from gateway.metering.families import MILLION, Family, Weights
from gateway.metering.prompt import Function, Prompt, encoded_functions
from gateway.metering.render import compact
from gateway.metering.tally import Tally

OPAQUE: Final = (
    220  # a page of a document; what else a part of unknown kind costs, its ratio learns
)
LOOKED_AT_CHARS: Final = 1024  # the beginning tells the kind of a text
FOREIGN_PERCENT: Final = 30
STRUCTURED_PERCENT: Final = 12
_FOREIGN: Final = re.compile(r"[\u0250-\U0010ffff]")
_STRUCTURE: Final = b'{}[]"<>=_;'


def estimated_tokens(prompt: Prompt, _name: str, family: Family, tally: Tally) -> int:
    """Prompt tokens of a chat for a family that is counted by ratio."""
    tokens = family.opening + family.message * max(len(prompt.turns) - 1, 0)
    for turn in prompt.turns:
        tokens += weighted(turn.text, family, tally) + family.image * len(turn.images)
        tokens += OPAQUE * turn.opaque
        for call in turn.calls:
            tokens += weighted(f"{call.name} {call.arguments}", family, tally)
    if prompt.functions:
        tokens += family.tools
        tokens += rounded(_declared_tokens(prompt.functions, tally) * family.declared)
    if prompt.schema and family.schema:
        tokens += weighted(compact(prompt.schema.schema), family, tally)
    return tokens


def weighted(text: str, family: Family, tally: Tally) -> int:
    """A text's tokens times the family's weight for its kind, rounded half up."""
    tokens = tally.n(text)
    if family.formula:
        return tokens
    return rounded(tokens * _weight(text, family.weights))


def rounded(millionths: int) -> int:
    """Millionths of a token as tokens, half up."""
    return (millionths + MILLION // 2) // MILLION


def _weight(text: str, weights: Weights) -> int:
    beginning = text[:LOOKED_AT_CHARS]
    size = len(beginning)
    if not beginning.isascii() and len(_FOREIGN.findall(beginning)) * 100 > FOREIGN_PERCENT * size:
        return weights.foreign
    encoded = beginning.encode("utf-8", "surrogatepass")
    structure = len(encoded) - len(encoded.translate(None, _STRUCTURE))
    if structure * 100 > STRUCTURED_PERCENT * size:
        return weights.structured
    return weights.prose


def _declared_tokens(functions: tuple[Function, ...], tally: Tally) -> int:
    """o200k tokens of the tools as compact JSON, the form they cross the wire in."""

    def counted(fresh: Tally) -> int:
        return sum(fresh.n(_declared(each)) for each in functions)

    encoded = encoded_functions(functions)
    return tally.remembered(encoded and b"json" + encoded, counted)


def _declared(function: Function) -> str:
    return compact(
        {
            "name": function.name,
            "description": function.description,
            "parameters": function.parameters,
        }
    )
