"""Chat messages, tools and schemas of a request, as what tiktoken is to count.

To read another kind of content part: one line in ``_PARTS``; another kind of tool: ``_function``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import as_json
from gateway.metering.prompt import Function, Image, Prompt, Schema, ToolCall, Turn
from gateway.metering.sized import TOOL, Sized, file_part, sound_part
from gateway.wire.jsondoc import Json, arr, obj, string
from gateway.wire.pixels import pixels_of_data_url

_PLAIN: Final = 2  # members of a message that has only a role and a content
_FORMAT: Final = "response_format"


class Content(msgspec.Struct):
    """The parts of one message, sorted."""

    texts: list[str] = []
    images: list[Image] = []
    opaque: int = 0
    sized: list[Sized] = []


def chat_prompt(request: dict[str, Json]) -> Prompt:
    """The prompt of a chat request. Raises MalformedBody where there are no messages to count."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise MalformedBody('"messages" must be an array of message objects')
    turns = [_turn(message) for message in messages]
    if request.get("data_sources") and turns:  # what the search adds is not in the request
        first = turns[0]
        sized = (*first.sized, TOOL)
        turns[0] = msgspec.structs.replace(first, opaque=first.opaque + 1, sized=sized)
    return Prompt(
        "chat",
        turns=tuple(turns),
        functions=functions_of(request) if "tools" in request or "functions" in request else (),
        schema=schema_of(obj(obj(request, _FORMAT), "json_schema")) if _FORMAT in request else None,
    )


def content_of(content: Json) -> Content:
    """A message's content: a string, or a list of typed parts. What is not understood counts as opaque."""
    found = Content()
    if isinstance(content, str):
        found.texts.append(content)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            found.texts.append(part)
            continue
        reader = _PARTS.get(string(part, "type") or "", _opaque)
        reader(found, part)
    return found


def functions_of(request: dict[str, Json]) -> tuple[Function, ...]:
    """The tools a model may call, in whichever of the three forms they are declared."""
    declared = [_function(tool) for tool in arr(request, "tools")]
    declared += [_plain_function(each) for each in arr(request, "functions")]
    return tuple(function for function in declared if function is not None)


def schema_of(declared: dict[str, Json]) -> Schema | None:
    """A json_schema response format; None where there is none."""
    schema = declared.get("schema")
    if schema is None:
        return None
    return Schema(string(declared, "name") or "", string(declared, "description"), schema)


def tool_call(function: Json) -> ToolCall:
    """A call by name, its arguments as sent (an object where the client did not make it a string)."""
    arguments = function.get("arguments") if isinstance(function, dict) else None
    text = arguments if isinstance(arguments, str) else as_json(arguments) if arguments else ""
    return ToolCall(string(function, "name") or "", text)


def _turn(message: Json) -> Turn:
    if not isinstance(message, dict):
        raise MalformedBody('every entry of "messages" must be an object with "role" and "content"')
    text, role = message.get("content"), message.get("role")
    if len(message) == _PLAIN and type(text) is str and type(role) is str:  # nothing else is there
        return Turn(role or "user", text)
    content = content_of(message.get("content"))
    legacy = obj(message, "function_call")
    return Turn(
        role=string(message, "role") or "user",
        text="".join(content.texts),
        name=string(message, "name"),
        tool_calls=tuple(_earlier_call(call) for call in arr(message, "tool_calls")),
        legacy_call=tool_call(legacy) if legacy else None,
        images=tuple(content.images),
        opaque=content.opaque + continues_sound(message),
        sized=tuple(content.sized),
    )


def continues_sound(message: Json) -> bool:
    """Whether a message is an earlier answer in sound, which the provider keeps and looks up."""
    return isinstance(message, dict) and "audio" in message and bool(obj(message, "audio"))


def _earlier_call(call: Json) -> ToolCall:
    custom = obj(call, "custom")
    if custom:
        return ToolCall(string(custom, "name") or "", string(custom, "input") or "")
    return tool_call(obj(call, "function"))


def _function(tool: Json) -> Function | None:
    """``{"type": "function", "function": {…}}``, the flat form of it, or a custom tool; None for hosted ones."""
    for nested in ("function", "custom"):
        inner = obj(tool, nested)
        if inner:
            return _plain_function(inner)
    return _plain_function(tool)


def _plain_function(declared: Json) -> Function | None:
    name = string(declared, "name")
    if name is None or not isinstance(declared, dict):
        return None
    return Function(name, string(declared, "description"), declared.get("parameters"))


def _text(found: Content, part: Json) -> None:
    found.texts.append(string(part, "text") or string(part, "refusal") or "")


def _image(found: Content, part: Json) -> None:
    """Chat nests the URL in an object, Responses has it flat; a file id says nothing about the size."""
    nested = obj(part, "image_url")
    url = string(nested, "url") or string(part, "image_url") or ""
    pixels = pixels_of_data_url(url)
    detail = string(nested, "detail") or string(part, "detail") or "auto"
    found.images.append(Image(detail, *pixels) if pixels else Image(detail))


def _opaque(found: Content, part: Json) -> None:
    found.opaque += 1


def _sound(found: Content, part: Json) -> None:
    _seen_as(found, sound_part(string(obj(part, "input_audio"), "data")))


def _file(found: Content, part: Json) -> None:
    """Chat nests the file in an object, Responses has it flat; one named by its id or URL is nowhere to be seen."""
    named = {**obj(part, "file"), **(part if isinstance(part, dict) else {})}
    is_here = named.get("file_id") is None and named.get("file_url") is None
    _seen_as(found, file_part(string(named, "file_data"), None) if is_here else None)


def _seen_as(found: Content, sized: Sized | None) -> None:
    found.opaque += 1
    if sized is not None:
        found.sized.append(sized)


_PARTS: Final[dict[str, Callable[[Content, Json], None]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "reasoning_text": _text,
    "refusal": _text,
    "image_url": _image,
    "input_image": _image,
    "input_audio": _sound,
    "file": _file,
    "input_file": _file,
}
