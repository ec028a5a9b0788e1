"""What a meter name of an invoice says, in words every cloud shares.

To read a further cloud: a module with ``read`` (name and description → Reading) and its row readers.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

STANDARD: Final = "standard"
GLOBAL, DATA_ZONE, REGIONAL, GEO = "global", "data_zone", "regional", "geo"
READ, WRITE = "read", "write"
_PIECES: Final = re.compile(r"\d+(?:\.\d+)*|[a-z]+")
# Words that say who sells a model or how a release is called, and nothing about which model it is.
_SILENT: Final = frozenset(
    re.findall(r"\w+", "gpt openai anthropic amazon google meta xai zai mistralai ga v")
)


class Meter(msgspec.Struct, frozen=True):
    """A meter that counts tokens of inference.

    key        what is left of the name: the words of the model
    direction  input | output
    cache      '' | read | write
    scope      global | data_zone | regional | geo, '' where the name does not say
    """

    key: str
    direction: str
    cache: str = ""
    scope: str = ""
    tier: str = STANDARD
    context: str = ""  # long, short
    ttl: str = ""  # of a cache write: 5m, 30m, 1h
    modality: str = ""


class Other(msgspec.Struct, frozen=True):
    """A meter that counts no tokens of inference (capacity, storage, tuning): listed apart."""


OTHER: Final = Other()
Reading: TypeAlias = Meter | Other | None  # None: not read, listed as such, never dropped


def fingerprint(name: str) -> frozenset[str]:
    """The telling words of a model's name, whatever their order: '5.4 mini' and 'gpt-5.4-mini' are alike.

    Versions written with a dash are versions: claude-sonnet-4-6 is Claude4.6Sonnet.
    """
    text = re.sub(r"(?<=\d)-(?=\d{1,2}(?:\D|$))", ".", name.lower())
    text = re.sub(r"\b(\d+)\.0\b", r"\1", re.sub(r"(\d)\.0(?=[a-z])", r"\1", text))
    return frozenset(piece for piece in _PIECES.findall(text) if piece not in _SILENT)


def proposed(key: str, models: Iterable[str]) -> str | None:
    """The one model a meter's words name; None where none or several do. A person confirms it."""
    wanted = fingerprint(key)
    found = [model for model in models if wanted and fingerprint(model) == wanted]
    return found[0] if len(found) == 1 else None
