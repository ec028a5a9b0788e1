"""The typed items of a request (messages, tool calls and their outputs), as what tiktoken is to count.

To read another kind of item: one line in ``_ITEMS``; what is not listed there counts as opaque.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from gateway.kernel.errors import MalformedBody
from gateway.metering.chat_prompt import content_of, functions_of, schema_of, tool_call
from gateway.metering.prompt import Prompt, ToolCall, Turn
from gateway.metering.sized import TOLD_ITEMS, TOOL, told_part
from gateway.wire.jsondoc import Json, arr, obj, string
from gateway.wire.references import is_named

# Context that the provider keeps and adds to the prompt; none of it is in the request.
_REFERENCES: Final = ("previous_response_id", "conversation", "prompt")


def item_prompt(request: dict[str, Json]) -> Prompt:
    """The prompt of a request made of items. Raises MalformedBody where the input is neither text nor items."""
    turns = [*_instructions(request), *_input(request.get("input"))]
    functions = functions_of(request)
    hosted = max(len(arr(request, "tools")) - len(functions), 0)
    opaque = hosted + sum(request.get(name) is not None for name in _REFERENCES)
    if opaque:
        first = turns[0] if turns else Turn("user")
        sized = (*first.sized, *(hosted * (TOOL,)))
        turns[:1] = [replace(first, opaque=first.opaque + opaque, sized=sized)]
    return Prompt(
        "responses",
        turns=tuple(turns),
        functions=functions,
        schema=schema_of(obj(obj(request, "text"), "format")),
    )


def is_tied(request: dict[str, Json]) -> bool:
    """Whether the request continues what one place keeps, or brings what only that place can open."""
    if any(request.get(name) is not None for name in _REFERENCES):
        return True
    return any(
        _is_named(item) or string(item, "encrypted_content") for item in arr(request, "input")
    )


def _is_named(item: Json) -> bool:
    return isinstance(item, dict) and is_named(item.items())


def _instructions(request: dict[str, Json]) -> list[Turn]:
    instructions = string(request, "instructions")
    return [Turn("system", instructions)] if instructions else []


def _input(given: Json) -> list[Turn]:
    if given is None:
        return []
    if isinstance(given, str):
        return [Turn("user", given)]
    if not isinstance(given, list):
        raise MalformedBody('"input" must be text or an array of items')
    turns = (_turn(item) for item in given)
    return [turn for turn in turns if turn is not None]


def _turn(item: Json) -> Turn | None:
    if isinstance(item, str):
        return Turn("user", item)
    kind = string(item, "type") or ("item_reference" if _is_named(item) else "message")
    return _ITEMS.get(kind, _opaque)(item)


def _message(item: Json) -> Turn:
    content = content_of(item.get("content") if isinstance(item, dict) else None)
    return Turn(
        role=string(item, "role") or "user",
        text="".join(content.texts),
        images=tuple(content.images),
        opaque=content.opaque,
        sized=tuple(content.sized),
    )


def _function_call(item: Json) -> Turn:
    return Turn("assistant", tool_calls=(tool_call(item),))


def _custom_call(item: Json) -> Turn:
    call = ToolCall(string(item, "name") or "", string(item, "input") or "")
    return Turn("assistant", tool_calls=(call,))


def _output(item: Json) -> Turn:
    content = content_of(item.get("output") if isinstance(item, dict) else None)
    return Turn(
        "tool",
        text="".join(content.texts),
        images=tuple(content.images),
        opaque=content.opaque,
        sized=tuple(content.sized),
    )


def _dropped(item: Json) -> None:
    """Reasoning of earlier answers is sent back, and the provider drops what it does not need."""


def _opaque(item: Json) -> Turn:
    return Turn("user", opaque=1)


def _told(item: Json) -> Turn:
    """What the provider told an earlier answer, sent back whole; by its id alone it is looked up, and nowhere to be seen."""
    told = None if _is_named(item) else told_part(item)
    return _opaque(item) if told is None else Turn("user", opaque=1, sized=(told,))


_ITEMS: Final[dict[str, Callable[[Json], Turn | None]]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _output,
    "reasoning": _dropped,
    **dict.fromkeys(TOLD_ITEMS, _told),
}
