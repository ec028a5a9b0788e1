"""Names of members that another parser may take for one that decides model, price or metering.

Some match names in any case, so "Model" beside "model" would price one and run the other.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

HARMLESS_MAX: Final = (
    512  # names that are known to mean nothing else, of each set of sensitive ones
)
HARMLESS_CHARS_MAX: Final = 64
_ESCAPE: Final = b"\\"
_ASCII: Final = b"\\u00"
_LETTER: Final = re.compile(rb"\\u00(?:[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff])")  # or an underscore


def may_escape(raw: bytes) -> bool:
    """Whether a document may spell a name of ASCII letters otherwise than it reads."""
    return _ESCAPE in raw and _ASCII in raw  # the first look is the quick one


def may_escape_letters(raw: bytes) -> bool:
    """The same, of names that are letters and underscores: other escapes are common in some languages' texts."""
    return may_escape(raw) and _LETTER.search(raw) is not None


@lru_cache(maxsize=64)
def plainly(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """Where one of these names (in lower case, without underscores) is a text of its own and has no escape.

    Led by a quote and a look at the letter behind it, and with both cases spelt out: that makes it quick.
    """
    first = "".join(sorted({name[0] for name in names}))
    spellings = "|".join("_*".join(f"[{each}{each.upper()}]" for each in name) for name in names)
    return re.compile(f'"(?=[_{first}{first.upper()}])_*(?:{spellings})_*"'.encode())


class Spelling:
    """How the sensitive names may not be spelt, and what was found to be no spelling of them.

    What clients send are the same few names: they are remembered, while they are short and few.
    """

    __slots__ = ("_folded", "harmless")

    def __init__(self, sensitive: Iterable[str]) -> None:
        self._folded = {name.casefold(): name for name in sensitive}
        self.harmless = set(self._folded.values())

    def misspelt(self, document: Mapping[str, object]) -> str | None:
        """The sensitive name that an object spells in another case; None where it spells none so."""
        if document.keys() <= self.harmless:
            return None
        for key in document:
            right = self._folded.get(key.casefold())
            if right is not None and right != key:
                return right
            if len(key) <= HARMLESS_CHARS_MAX and len(self.harmless) < HARMLESS_MAX:
                self.harmless.add(key)
        return None


@lru_cache(maxsize=256)
def spelling(sensitive: tuple[str, ...]) -> Spelling:
    """The one of these names."""
    return Spelling(sensitive)
