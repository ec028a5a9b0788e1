"""A JSON document as it was written: every member of every object, for of twins a provider may take either."""

import json
from collections.abc import Iterator

from gateway.wire.jsondoc import Json, MalformedJson, parse
from gateway.wire.spelling import may_escape_letters, plainly


class Members(list[tuple[str, object]]):
    """An object with every member it was written with, in order."""


def document(body: bytes) -> object:
    """A body with its objects as Members. Raises MalformedJson where it is no JSON, or too deep to look into."""
    parse(body)  # strictly, and with a bound on its depth
    try:
        found: object = json.loads(body, object_pairs_hook=Members)
    except (ValueError, RecursionError) as error:
        raise MalformedJson("not a JSON document that can be looked into") from error
    return found


def is_tool_use(members: Members) -> bool:
    """Whether an object says that it is the use of a tool: what that is called with is the user's own."""
    return _is_kind(members, "tool_use")


def is_tool_result(members: Members) -> bool:
    """Whether an object says that it is what a tool gave (``function_result``): that is the user's own as well."""
    return _is_kind(members, "_result")


def _is_kind(members: Members, ending: str) -> bool:
    return any(
        name == "type" and isinstance(value, str) and value.endswith(ending)
        for name, value in members
    )


def folded(name: str) -> str:
    """A member's name without case and underscores: camelCase and snake_case read the same."""
    return name.lower().replace("_", "")


def anywhere(
    decoded: dict[str, Json], body: bytes, names: tuple[str, ...]
) -> list[tuple[str, object]]:
    """Every member of these names (folded) at any depth of a body, twins too, with its folded name.

    ``decoded``: the body, or an object of it, as the decoder took it, which keeps one of twins. The document is
    read once more only where it may have more of these members than were found so. Raises MalformedJson.
    """
    if may_escape_letters(body):
        return list(_as_written(document(body), names))
    written = plainly(names).findall(body)
    if not written:
        return []
    found: list[tuple[str, object]] = []
    for quoted in set(written):
        spelling = quoted[1:-1].decode()
        found += [(folded(spelling), value) for value in _as_decoded(decoded, spelling)]
    return found if len(found) == len(written) else list(_as_written(document(body), names))


def _as_decoded(decoded: Json, spelling: str) -> list[Json]:
    found: list[Json] = []
    waiting = [decoded]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if spelling in value:
                found.append(value[spelling])
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def _as_written(found: object, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Members):
            for spelling, inner in value:
                name = folded(spelling)
                if name in names:
                    yield name, inner
                waiting.append(inner)
        elif isinstance(value, list):
            waiting += value
