"""Marks in a request that ask for its prompt to be cached, and the lifetimes they ask for.

To read another lifetime: one line in ``_LIFETIMES``.
"""

from typing import Final

from gateway.metering.asking import read_anywhere
from gateway.wire.jsondoc import Json
from gateway.wire.members import Members, folded

_TTL: Final = "ttl"
_LONGEST: Final = "cache_write_1h"
_LIFETIMES: Final[dict[object, str]] = {
    None: "cache_write_5m",
    "5m": "cache_write_5m",
    "1h": _LONGEST,
}


def asked_writes(asked: dict[str, Json], body: bytes, mark: str) -> tuple[str, ...]:
    """The units that members called ``mark``, in camelCase or snake_case, anywhere in the body, may write.

    A lifetime that is not known counts as the longest, one that is given twice as both.
    """
    mark = folded(mark)
    found = read_anywhere(asked, body, (mark, _TTL))
    units = {
        _written_for(lifetime)
        for name, value in found
        if name == mark and value is not None
        for lifetime in _lifetimes(value)
    }
    return tuple(sorted(units))


def _lifetimes(value: object) -> list[object]:
    said = value if isinstance(value, Members) else value.items() if isinstance(value, dict) else ()
    return [lifetime for name, lifetime in said if folded(name) == _TTL] or [None]


def _written_for(lifetime: object) -> str:
    is_word = lifetime is None or isinstance(lifetime, str)
    return _LIFETIMES.get(lifetime, _LONGEST) if is_word else _LONGEST
