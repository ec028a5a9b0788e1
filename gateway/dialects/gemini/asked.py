"""Reading Gemini requests: contents, tools and limits, in camelCase or snake_case (protobuf JSON takes both).

To read another kind of part: one line in ``_PARTS``.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway.dialects.gemini.grounding import ENTERPRISE
from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import TurnBuilder
from gateway.metering.hosted import TOOL_USES_MAX
from gateway.metering.prompt import Function, Turn
from gateway.metering.sized import file_part
from gateway.wire.jsondoc import Json, string

_Part = dict[str, Json]
_DECLARED: Final = frozenset({"functionDeclarations", "function_declarations"})
_SEARCHED: Final = {"grounding_google_search": TOOL_USES_MAX, "grounding_google_search_prompts": 1}
# Built-in tools, by name without case and underscores: the units they bill, at most.
_GROUNDING: Final = {
    "googlesearch": _SEARCHED,
    "googlesearchretrieval": _SEARCHED,
    "googlemaps": {"grounding_google_maps": 1},
    "retrieval": {"grounding_retrieval": 1},
    "enterprisewebsearch": {ENTERPRISE: TOOL_USES_MAX},
}


def either(value: Json, camel: str) -> Json:
    """A member under its camelCase or snake_case name. Raises MalformedBody where both are given."""
    if not isinstance(value, dict):
        return None
    snake = _snake(camel)
    if snake != camel and snake in value:
        if camel in value:
            raise MalformedBody(f'the body has both "{camel}" and "{snake}": send one of them')
        return value[snake]
    return value.get(camel)


@lru_cache(maxsize=64)
def _snake(camel: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel)


def listed(value: Json) -> list[Json]:
    """A repeated field, also where it is a single object."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else []


def content_turn(content: Json, role: str | None = None) -> Turn:
    """One content object as a turn."""
    turn = TurnBuilder()
    if isinstance(content, str):
        turn.text(content)
    for part in listed(either(content, "parts")):
        _read_part(turn, part)
    return turn.turn(role or string(content, "role"))


def functions_of(tools: Json) -> tuple[Function, ...]:
    """The declared functions; a built-in tool counts by its name."""
    functions: list[Function] = []
    for tool in listed(tools):
        declared = listed(either(tool, "functionDeclarations"))
        functions += [_function(each) for each in declared]
        if not declared and isinstance(tool, dict):
            functions += [Function(name) for name in tool]
    return tuple(functions)


def hosted_of(tools: Json) -> tuple[int, dict[str, int]]:
    """How many tools the service runs itself, and what they may bill by the use at most."""
    hosted = 0
    units: dict[str, int] = {}
    for tool in listed(tools):
        for member in tool if isinstance(tool, dict) else ():
            if member not in _DECLARED:
                hosted += 1
                units |= _GROUNDING.get(member.replace("_", "").lower(), {})
    return hosted, units


def _function(declared: Json) -> Function:
    parameters = either(declared, "parameters") or either(declared, "parametersJsonSchema")
    return Function(string(declared, "name") or "", string(declared, "description"), parameters)


def _read_part(turn: TurnBuilder, part: Json) -> None:
    if not isinstance(part, dict):
        turn.opaque()
        return
    text = part.get("text")
    if len(part) == 1 and type(text) is str:  # nothing else is there
        turn.text(text)
        return
    for member, read in _PARTS.items():
        value = either(part, member)
        if value is not None:
            read(turn, value)


def _inline(turn: TurnBuilder, value: Json) -> None:
    kind = either(value, "mimeType")
    if isinstance(kind, str) and kind.startswith("image/"):
        turn.image(string(value, "data"))
    else:
        turn.opaque(file_part(string(value, "data"), kind if isinstance(kind, str) else None))


def _file(turn: TurnBuilder, value: Json) -> None:
    kind = either(value, "mimeType")
    if isinstance(kind, str) and kind.startswith("image/"):
        turn.image(None)
    else:
        turn.opaque()


def _text(turn: TurnBuilder, value: Json) -> None:
    turn.text(value if isinstance(value, str) else None)


def _call(turn: TurnBuilder, value: Json) -> None:
    turn.call(string(value, "name"), value.get("args") if isinstance(value, dict) else None)


def _response(turn: TurnBuilder, value: Json) -> None:
    turn.text(string(value, "name"))
    turn.json(value.get("response") if isinstance(value, dict) else None)
    for part in listed(either(value, "parts")):  # files that a function answers with
        for member, read in (("inlineData", _inline), ("fileData", _file)):
            held = either(part, member)
            if held is not None:
                read(turn, held)


_PARTS: Final[dict[str, Callable[[TurnBuilder, Json], None]]] = {
    "text": _text,
    "inlineData": _inline,
    "fileData": _file,
    "functionCall": _call,
    "functionResponse": _response,
    "executableCode": lambda turn, value: turn.text(string(value, "code")),
    "codeExecutionResult": lambda turn, value: turn.text(string(value, "output")),
}
