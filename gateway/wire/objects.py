"""The objects in a cloud's store that a body names by URI: the provider reads them as the gateway, not as the caller.

A fast look at the bytes, which nearly every body fails; then one walk over the whole document. A text that begins
like a URI is a text: ``_TEXTS``. What a user's own tools take and give is stepped over: ``_OWN``.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from gateway.wire.members import Members, document, folded, is_tool_use

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
_TOOL_INPUT: Final = "input"
_DOTS: Final = frozenset({".", ".."})


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
    waiting = [("", document(body))]
    starts = tuple(f"{scheme}://" for scheme in schemes)
    found: set[str] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Members):
            waiting.extend(_inside(value))
        elif isinstance(value, list):
            waiting.extend((name, each) for each in value)
        elif isinstance(value, str) and _is_object(name, value.strip().lower(), starts):
            found.add(value.strip())
    return frozenset(found)


def _is_object(name: str, lowered: str, starts: tuple[str, ...]) -> bool:
    return lowered.startswith(starts) and folded(name) not in _TEXTS


def _inside(members: Members) -> Iterator[tuple[str, object]]:
    is_called = is_tool_use(members)
    for name, value in members:
        # What a tool is called with is an object; a list under that name is a request's own items.
        is_input = is_called and name == _TOOL_INPUT and isinstance(value, Members)
        if name not in _OWN and not is_input:
            yield name, value


def lies_under(uri: str, prefixes: Sequence[str]) -> bool:
    """Whether a URI begins with one of ``prefixes``; only its scheme may be written in another case.

    Dots between slashes belong to a name in a store, but some clients of one resolve them: so it lies under nothing.
    """
    scheme, _, path = uri.partition("://")
    if not _DOTS.isdisjoint(path.split("/")):
        return False
    return f"{scheme.lower()}://{path}".startswith(tuple(prefixes))
