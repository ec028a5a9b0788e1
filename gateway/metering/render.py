"""Tools and schemas as the model is shown them: a TypeScript namespace, and minified JSON.

Schemas come from users: nesting, literals and the whole rendering are bounded, and nothing in them raises.
To follow a change of the provider's rendering: change ``_Namespace`` and the golden counts that prove it.
"""

import json
from typing import Final

import orjson

from gateway.metering.prompt import Function, ToolCall
from gateway.wire.jsondoc import Json

NESTING_MAX: Final = 32  # deeper schemas are refused by the providers; recursion stays shallow
RENDERED_CHARS_MAX: Final = (
    1_000_000  # a list of types repeats its object: without a bound this grows by powers
)
NODE_CHARS: Final = 16  # what one step of the rendering costs of that bound
_UNKNOWN: Final = "any"
_PLAIN: Final = {
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
    "string": "string",
}
_ANNOTATIONS: Final = frozenset({"title", "additionalProperties"})
_NAMED_SCHEMAS: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})


class Rendering:
    """Renders the tools of one request. ``clipped`` says afterwards whether a bound was reached.

    The Responses API shows more than chat completions: it resolves references and heads a function's argument with
    comments, where chat only names the argument's title.
    """

    def __init__(self, *, is_responses: bool = False) -> None:
        self.clipped = False
        self._is_responses = is_responses
        self._definitions: dict[str, Json] = {}
        self._chars_left = RENDERED_CHARS_MAX

    def namespace(self, functions: tuple[Function, ...]) -> str:
        """All functions as one namespace of TypeScript types."""
        blocks = "\n\n".join(self._declaration(function) for function in functions)
        return f"namespace functions {{\n\n{blocks}\n\n}} // namespace functions"

    def _declaration(self, function: Function) -> str:
        head = f"// {function.description}\n" if function.description else ""
        parameters = function.parameters
        argument = ""
        if isinstance(parameters, dict) and _properties(parameters):
            self._definitions = _definitions(parameters) if self._is_responses else {}
            argument = f"_: {self._heading(parameters)}{self._object(parameters, 0, 0)}"
        return f"{head}type {function.name} = ({argument}) => any;"

    def _heading(self, parameters: dict[str, Json]) -> str:
        title, description = _said(parameters, "title"), _said(parameters, "description")
        if not self._is_responses:
            return f"{title} " if title else ""
        return "".join(f"// {comment}\n" for comment in (title, description) if comment)

    def _type(self, schema: Json, indent: int, nesting: int) -> str:
        """A schema as a type expression; ``indent`` counts objects, ``nesting`` every step down."""
        if not isinstance(schema, dict):
            return _UNKNOWN
        if nesting >= NESTING_MAX or not self._spend(NODE_CHARS):
            self.clipped = True
            return _UNKNOWN
        choices = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(choices, list):
            return " | ".join(self._type(each, indent, nesting + 1) for each in choices)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            return " | ".join(self._literal(value) for value in values)
        return self._typed(schema, indent, nesting)

    def _typed(self, schema: dict[str, Json], indent: int, nesting: int) -> str:
        if self._definitions and (name := _said(schema, "$ref").rpartition("/")[2]):
            # A referenced object is set flush with its property, not one step in.
            return self._type(self._definitions.get(name), indent - 1, nesting + 1)
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        return " | ".join(self._kind(schema, each, indent, nesting) for each in kinds)

    def _kind(self, schema: dict[str, Json], kind: Json, indent: int, nesting: int) -> str:
        if isinstance(kind, str) and kind in _PLAIN:
            return _PLAIN[kind]
        if kind == "array":
            items = schema.get("items")
            return self._type(items, indent, nesting + 1) + "[]" if items else "any[]"
        if _properties(schema):
            return self._object(schema, indent + 1, nesting + 1)
        return "object" if kind == "object" else _UNKNOWN

    def _object(self, schema: dict[str, Json], indent: int, nesting: int) -> str:
        """An object on one line, or on several where anything in it is described."""
        properties, required = _properties(schema), _required(schema)
        pad = "  " * indent
        fields, comments = [], []
        for name, each in properties.items():
            optional = "" if name in required else "?"
            fields.append(f"{name}{optional}: {self._type(each, indent, nesting)}")
            comments.append(_comments(each, pad))
            self._spend(len(name) + len(comments[-1]))
        if not any(comments):
            return "{ " + ", ".join(fields) + " }"
        lines = "".join(
            f"{comment}{pad}{field},\n" for comment, field in zip(comments, fields, strict=True)
        )
        return "{\n" + lines + "  " * max(indent - 1, 0) + "}"

    def _literal(self, value: Json) -> str:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            text = _UNKNOWN
            self.clipped = True
        return text if self._spend(len(text)) else _UNKNOWN

    def _spend(self, chars: int) -> bool:
        """Take from the bound; False, and clipped, once it is used up."""
        self._chars_left -= chars
        if self._chars_left < 0:
            self.clipped = True
        return self._chars_left >= 0


def minified(text: str) -> str:
    """A JSON document without its blanks; text that is not JSON stays as it is."""
    try:
        return orjson.dumps(orjson.loads(text)).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text


def parallel(calls: tuple[ToolCall, ...]) -> str:
    """Several calls of one turn as the one call of a wrapping tool that the model is shown."""
    uses = ", ".join(
        f'{{"recipient_name": "functions.{call.name}", "parameters": {_spaced(call.arguments)}}}'
        for call in calls
    )
    return f'{{"tool_uses": [{uses}]}}'


def _spaced(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def compact(value: Json) -> str:
    """A JSON value as compact text; empty where it nests too deep to be one."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return ""


def shown_schema(schema: Json, nesting: int = 0) -> Json:
    """A schema without the annotations the model is not shown. A *property* of such a name stays."""
    if nesting >= NESTING_MAX:
        return None
    if isinstance(schema, list):
        return [shown_schema(each, nesting + 1) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _shown_named(value, nesting + 1)
        if key in _NAMED_SCHEMAS
        else shown_schema(value, nesting + 1)
        for key, value in schema.items()
        if key not in _ANNOTATIONS
    }


def _shown_named(value: Json, nesting: int) -> Json:
    if not isinstance(value, dict):
        return shown_schema(value, nesting)
    return {name: shown_schema(each, nesting) for name, each in value.items()}


def _properties(schema: dict[str, Json]) -> dict[str, Json]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _definitions(schema: dict[str, Json]) -> dict[str, Json]:
    definitions = schema.get("$defs") or schema.get("definitions")
    return definitions if isinstance(definitions, dict) else {}


def _comments(schema: Json, pad: str) -> str:
    """A property's title and description, each line ended; only the first line of a description is marked."""
    title, description = _said(schema, "title"), _said(schema, "description")
    above = f"{pad}// {title}\n{pad}//\n" if title else ""
    return f"{above}{pad}// {description}\n" if description else above


def _required(schema: dict[str, Json]) -> frozenset[str]:
    names = schema.get("required")
    if not isinstance(names, list):
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str))


def _said(schema: Json, key: str) -> str:
    """An annotation's text, or '' where there is none or it is not text."""
    value = schema.get(key) if isinstance(schema, dict) else None
    return value if isinstance(value, str) else ""
