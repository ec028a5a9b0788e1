"""Marks in a request that ask for its prompt to be cached, and the lifetimes they ask for.

To read another lifetime: one line in ``_LIFETIMES``.
"""

from typing import Final

from gateway.wire.jsondoc import Json, string
from gateway.wire.spelling import may_escape

_LIFETIMES: Final = {None: "cache_write_5m", "5m": "cache_write_5m", "1h": "cache_write_1h"}


def asked_writes(asked: dict[str, Json], body: bytes, mark: str) -> tuple[str, ...]:
    """The units that members called ``mark``, anywhere in the body, may write; a lifetime not known as the longest."""
    if mark.encode() not in body and not may_escape(body):
        return ()
    found: set[str] = set()
    waiting: list[Json] = [asked]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get(mark) is not None:
                found.add(_LIFETIMES.get(string(value[mark], "ttl"), "cache_write_1h"))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return tuple(sorted(found))
