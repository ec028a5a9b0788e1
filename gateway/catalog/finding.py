"""What a look at price files finds: each with its rule, its place and its cure.

To add a rule: a line in ``RULES`` (the operator's page lists them) and whatever finds it.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Severity = Literal["refused", "implausible", "notice"]

# Every rule with how much it weighs. ``refused``: the book would not load. ``implausible``: it loads, and
# a person must look at the source. ``notice``: right, and worth knowing.
RULES: Final[dict[str, Severity]] = {
    "row": "refused",
    "scale": "implausible",
    "output_below_input": "implausible",
    "cache_read_above_input": "implausible",
    "cache_write_below_input": "implausible",
    "longer_cache_cheaper": "implausible",
    "discount_above_standard": "implausible",
    "surcharge_below_standard": "implausible",
    "long_context_cheaper": "implausible",
    "place_below_global": "implausible",
    "date": "implausible",
    "source_ref": "implausible",
    "ends": "notice",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing found.

    rule      a key of ``RULES``
    origin    'file:line', or '' where it concerns no single line
    price_id  the row, or ''
    text      what was found, in figures
    cure      what to do about it
    """

    rule: str
    origin: str
    price_id: str
    text: str
    cure: str

    @property
    def severity(self) -> Severity:
        """How much it weighs."""
        return RULES[self.rule]


def faults(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that a person must do something about."""
    return tuple(found for found in findings if found.severity != "notice")
