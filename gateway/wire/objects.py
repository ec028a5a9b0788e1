"""The objects in a cloud's store that a body names by URI: the provider reads them as the gateway, not as the caller.

A fast look at the bytes, which nearly every body fails; then one walk over the whole document. A text that begins
like a URI is a text: ``_TEXTS``. What a user's own tools take and give is stepped over: ``_OWN``.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from gateway.wire.jsondoc import MalformedJson, parse

# Members whose value is words for the model, in lower case without underscores.
_TEXTS: Final = frozenset(
    {
        "content",
        "description",
        "input",
        "inputtext",
        "instructions",
        "message",
        "name",
        "output",
        "prompt",
        "query",
        "stop",
        "stopsequences",
        "system",
        "text",
        "texts",
        "title",
    }
)
_OWN: Final = frozenset(
    {
        "args",
        "functionCall",
        "function_call",
        "inputSchema",
        "input_schema",
        "json",
        "response",  # of a function
        "toolUse",
    }
)
_TOOL_USE: Final = "tool_use"
_TOOL_INPUT: Final = "input"
_DOTS: Final = frozenset({".", ".."})


class _Members(list[tuple[str, object]]):
    """An object with every member it was written with: of twins the provider may take either."""


@lru_cache(maxsize=16)
def _spelled(schemes: tuple[str, ...]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Where one of the schemes is written plainly, and where a letter of it is written as an escape.

    Each is led by a letter that bodies have few of: that is what makes it quick.
    """
    named = "|".join(f"(?<=(?i:{scheme}):)" for scheme in schemes)
    letters = sorted({*"".join(schemes).lower(), *"".join(schemes).upper(), ":", "/"})
    escapes = "|".join(f"{ord(each):02x}" for each in letters)
    return (
        re.compile(rf":(?=[/\\\\])(?:{named})".encode()),
        re.compile(rf"\\u00(?i:{escapes})".encode()),
    )


def may_name_objects(body: bytes, schemes: tuple[str, ...]) -> bool:
    """Whether a body can hold a URI of these schemes (in lower case, without colon) at all."""
    if not schemes:
        return False
    plain, escaped = _spelled(schemes)
    if plain.search(body) is not None:
        return True
    return b"\\" in body and b"\\u00" in body and escaped.search(body) is not None


def object_uris(body: bytes, schemes: tuple[str, ...]) -> frozenset[str]:
    """Every URI of these schemes that a JSON body holds, as written, without blanks around it.

    Raises MalformedJson where the body is no JSON.
    """
    if not may_name_objects(body, schemes):
        return frozenset()
    parse(body)  # strictly, and with a bound on its depth
    try:
        waiting: list[tuple[str, object]] = [("", json.loads(body, object_pairs_hook=_Members))]
    except (ValueError, RecursionError) as error:
        raise MalformedJson("not a JSON document that can be looked into") from error
    starts = tuple(f"{scheme}://" for scheme in schemes)
    found: set[str] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, _Members):
            waiting.extend(_inside(value))
        elif isinstance(value, list):
            waiting.extend((name, each) for each in value)
        elif isinstance(value, str) and _is_object(name, value.strip().lower(), starts):
            found.add(value.strip())
    return frozenset(found)


def _is_object(name: str, lowered: str, starts: tuple[str, ...]) -> bool:
    return lowered.startswith(starts) and name.lower().replace("_", "") not in _TEXTS


def _inside(members: _Members) -> Iterator[tuple[str, object]]:
    is_tool_use = any(
        name == "type" and isinstance(value, str) and value.endswith(_TOOL_USE)
        for name, value in members
    )
    for name, value in members:
        is_own = name in _OWN or (is_tool_use and name == _TOOL_INPUT)
        if not is_own:
            yield name, value


def lies_under(uri: str, prefixes: Sequence[str]) -> bool:
    """Whether a URI begins with one of ``prefixes``; only its scheme may be written in another case.

    Dots between slashes belong to a name in a store, but some clients of one resolve them: so it lies under nothing.
    """
    scheme, _, path = uri.partition("://")
    if not _DOTS.isdisjoint(path.split("/")):
        return False
    return f"{scheme.lower()}://{path}".startswith(tuple(prefixes))
