"""The stores that a body has the provider search or open: it does so as the gateway, not as the caller.

A store is named by the text, or the list of texts, under a member of one of the provider's names; camelCase and
snake_case read the same, and so do escapes. What a user's own tools take and give is stepped over: ``_OWN``.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.wire.members import Members, document, folded, is_tool_result, is_tool_use
from gateway.wire.spelling import may_escape_letters, plainly

_OWN: Final = frozenset(
    {
        "args",
        "arguments",
        "inputSchema",
        "input_schema",
        "json",
        "labels",
        "metadata",
        "parameters",
        "parametersJsonSchema",
        "parameters_json_schema",
        "response",  # of a function
        "responseJsonSchema",
        "responseSchema",
        "response_json_schema",
        "response_schema",
        "schema",
    }
)
_TOOL_INPUT: Final = "input"
_TOOL_RESULT: Final = "result"
_NAME: Final = re.compile(r"[A-Za-z0-9._~:@/-]+")
_NO_SEGMENT: Final = frozenset({"", ".", ".."})


def may_name_stores(body: bytes, names: tuple[str, ...]) -> bool:
    """Whether a body can have a member of these names (in lower case, without underscores) at all."""
    return bool(names) and (plainly(names).search(body) is not None or may_escape_letters(body))


def store_names(body: bytes, names: tuple[str, ...]) -> frozenset[str]:
    """Every text under a member of these names that a JSON body holds, as written.

    Raises MalformedJson where the body is no JSON.
    """
    if not may_name_stores(body, names):
        return frozenset()
    found: set[str] = set()
    waiting = [document(body)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list) and not isinstance(value, Members):
            waiting.extend(value)
        elif isinstance(value, Members):
            for name, inner in _inside(value):
                waiting.append(inner)
                found.update(_texts(inner) if folded(name) in names else ())
    return frozenset(found)


def _inside(members: Members) -> Iterator[tuple[str, object]]:
    is_called, is_answered = is_tool_use(members), is_tool_result(members)
    for name, value in members:
        is_input = is_called and name == _TOOL_INPUT and isinstance(value, Members)
        is_result = is_answered and name == _TOOL_RESULT
        if not (name in _OWN or is_input or is_result):
            yield name, value


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and each:
            yield each
        elif isinstance(each, list) and not isinstance(each, Members):
            waiting.extend(each)


def is_among(store: str, allowed: Sequence[str]) -> bool:
    """Whether a store is one of ``allowed``, or lies under one of them: whole names between slashes, as written.

    Nothing is resolved: what has a dot, a blank or an escape where a name would stand lies under nothing. One slash
    in front means nothing.
    """
    store = store.removeprefix("/")
    if _NAME.fullmatch(store) is None or not _NO_SEGMENT.isdisjoint(store.split("/")):
        return False
    return any(f"{store}/".startswith(f"{each.strip('/')}/") for each in allowed)
