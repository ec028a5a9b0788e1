"""Which keys of the configuration are names: what a person reads on a statement or in a row, and another types again.

They obey the law of names (kernel.names). To add one: its key below its table. What only refers to a name that is given
elsewhere (``deployments.upstream``) is compared with what there is, and needs no line.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.config.tables import (
    AlternativeTable,
    ContractTable,
    DeploymentTable,
    Org,
    Statements,
    TermTable,
)
from gateway.exchange.routing import RouteRule
from gateway.kernel.names import CODE_CHARS_MAX, NAME_CHARS_MAX, unfit

WIRE_CHARS_MAX: Final = 2_048  # a name as clients write it may be a whole ARN
_WIRE: Final = {"name": WIRE_CHARS_MAX, "model": WIRE_CHARS_MAX}
_ACCOUNTS: Final = ("recharge_account", "tax_account", "account")
# Table → key → how long a name it may be.
_NAMES: Final[Mapping[type[msgspec.Struct], Mapping[str, int]]] = {
    Org: {"name": NAME_CHARS_MAX},
    Statements: {
        **dict.fromkeys(("organisation", *_ACCOUNTS, "tax_name"), NAME_CHARS_MAX),
        "platform_centre": CODE_CHARS_MAX,
    },
    DeploymentTable: _WIRE,
    AlternativeTable: _WIRE,
    RouteRule: {"models": WIRE_CHARS_MAX},
    ContractTable: dict.fromkeys(("name", "org", "team"), NAME_CHARS_MAX),
    TermTable: {"model": WIRE_CHARS_MAX},
}


def misnamed(kind: type[msgspec.Struct], key: str, value: object, default: object) -> str:
    """What is wrong with a value that has to be a name, with what is expected; '' where nothing is, or it is none.

    An empty text is right where that is what stands for 'none given'.
    """
    most = _NAMES.get(kind, {}).get(key)
    if most is None or not isinstance(value, str) or (not value and default == ""):
        return ""
    return ill(value, most)


def ill(name: str, most: int = NAME_CHARS_MAX) -> str:
    """What is wrong with a name, with what is expected; '' of one that can be read and typed again."""
    said = unfit(name, most)
    shown = repr(name)
    beginning = f"{shown[:57]}…" if len(shown) > 60 else shown  # noqa: PLR2004 - a line of a message
    return f"expected a name that can be read and typed again: {beginning} {said}" if said else ""
