"""Names that stand twice in one object of a JSON document: of such twins each parser takes one, and not all the same.

That nothing stands twice is proven by counting, and only what is not proven so is read once more. To prove it for
another way of writing: ``_ESCAPED``.
"""

import json
import re
from typing import Final

import orjson

_COLON: Final = b":"
_ESCAPED: Final = b"\\u003"  # so may a colon be written in a text: the document then has more of them than the bytes
_SHOWN: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class _Doubled(Exception):
    """An object has this name twice."""


def twin(raw: bytes, decoded: object) -> str | None:
    """A name that one of a document's objects has twice, in whatever spelling; None where none has.

    ``decoded``: the document as the decoder took it, which keeps one of twins. Of a name that is no plain word, '?'
    is told: it may be anything that was written.
    """
    if raw.count(_COLON) == _colons(decoded) and _ESCAPED not in raw:
        return None
    try:
        json.loads(raw, object_pairs_hook=_distinct, parse_int=str, parse_float=str)
    except _Doubled as found:
        name = str(found)
        return name if _SHOWN.fullmatch(name) else "?"
    return None


def _colons(decoded: object) -> int:
    """How many there are where the document is written anew, each member once.

    Every member has one, and the texts have theirs: those of a member that was dropped are missing.
    """
    try:
        return orjson.dumps(decoded).count(_COLON)
    except orjson.JSONEncodeError:  # then nothing is proven
        return -1


def _distinct(pairs: list[tuple[str, object]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise _Doubled(name)
        names.add(name)
