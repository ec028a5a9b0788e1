"""What a row's ``source_ref`` says: which figures it rests on, and what was done to them.

    reference = term *(" = " term) *("; " remark)
    term      = "meter " name *(" | " name)  |  key [" " field]
    remark    = "x1.1 regional endpoint"     |  any words

A field is what LiteLLM's table calls a figure, or the tier whose figure genai-prices states. A key is a model of LiteLLM's table or a 'provider/model' of genai-prices; an equals sign says that both state
the same figure. A row that is charged as another unit, or whose price is zero by a remark, rests on a rule.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

_METER: Final = "meter "
_FACTOR: Final = re.compile(r"^x(?P<factor>\d+(?:\.\d+)?)(?: |$)")


class Term(NamedTuple):
    """One source: ``names`` of meters, or a ``key`` with the field it means."""

    names: tuple[str, ...] = ()
    key: str = ""
    field: str = ""


class Reference(NamedTuple):
    """The terms of a row and the factor its figure was multiplied by."""

    terms: tuple[Term, ...]
    factor: Decimal


def parse(text: str) -> Reference:
    """The reference of a row. Terms that name no source are found out when they are looked up."""
    head, *remarks = text.split("; ")
    factor = Decimal(1)
    for remark in remarks:
        matched = _FACTOR.match(remark)
        if matched is not None:
            factor *= Decimal(matched["factor"])
    return Reference(tuple(_term(part) for part in head.split(" = ")), factor)


def _term(text: str) -> Term:
    if text.startswith(_METER):
        return Term(names=tuple(text.removeprefix(_METER).split(" | ")))
    key, _, field = text.partition(" ")
    return Term(key=key, field=field)
