"""A JSON document as it was written: every member of every object, for of twins a provider may take either."""

import json

from gateway.wire.jsondoc import MalformedJson, parse


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
    return any(
        name == "type" and isinstance(value, str) and value.endswith("tool_use")
        for name, value in members
    )


def folded(name: str) -> str:
    """A member's name without case and underscores: camelCase and snake_case read the same."""
    return name.lower().replace("_", "")
