"""Tools and schemas as the model is shown them: the rendering, and schemas that mean harm."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.prompt import Function, ToolCall
from gateway.metering.render import (
    NESTING_MAX,
    RENDERED_CHARS_MAX,
    Rendering,
    compact,
    minified,
    parallel,
    shown_schema,
)
from gateway.wire.jsondoc import Json


def shown(parameters: Json, *, is_responses: bool = False) -> str:
    """What stands between the parentheses of one function's type."""
    function = Function("f", None, parameters)
    text = Rendering(is_responses=is_responses).namespace((function,))
    start, end = "namespace functions {\n\ntype f = (", ") => any;\n\n} // namespace functions"
    assert text.startswith(start)
    assert text.endswith(end)
    return text[len(start) : -len(end)]


def shown_type(schema: Json) -> str:
    """How one property's schema is shown."""
    return shown({"properties": {"p": schema}, "required": ["p"]})[len("_: { p: ") : -len(" }")]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"type": "string", "enum": ["ü"]}, '"ü"'),
        ({"const": {"a": [1, 2]}}, '{"a": [1, 2]}'),
        ({"const": None}, "null"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, "string | number"),
        ({"oneOf": [{"type": "string"}, {}]}, "string | any"),
        ({"anyOf": [], "oneOf": [{"type": "null"}]}, "null"),
        ({"type": "array"}, "any[]"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"type": "array", "items": {}}}, "any[][]"),
        ({"type": "object"}, "object"),
        ({"type": "object", "properties": {}}, "object"),
        ({"properties": {"a": {"type": "string"}}}, "{ a?: string }"),
        ({"$ref": "#/$defs/X"}, "any"),
        ({}, "any"),
        (True, "any"),
        ("string", "any"),
        ({"type": 7, "required": 7, "properties": 7, "enum": 7, "anyOf": 7}, "any"),
    ],
)
def test_a_schema_is_shown_as_a_type(schema: Json, text: str) -> None:
    assert shown_type(schema) == text


def test_functions_stand_in_one_namespace_under_their_descriptions() -> None:
    functions = (Function("a", "Does a."), Function("b", None, {"properties": {}}))
    assert Rendering().namespace(functions) == (
        "namespace functions {\n\n// Does a.\ntype a = () => any;\n\ntype b = () => any;"
        "\n\n} // namespace functions"
    )


def test_a_described_object_takes_a_line_for_each_property() -> None:
    inner: dict[str, Json] = {
        "type": "object",
        "properties": {"x": {"type": "number", "description": "two\nlines"}},
    }
    parameters: dict[str, Json] = {
        "properties": {"a": {"type": "string", "title": "A", "description": "First"}, "b": inner},
        "required": ["a", 7],
    }
    assert shown(parameters) == (
        "_: {\n// A\n//\n// First\na: string,\nb?: {\n  // two\nlines\n  x?: number,\n},\n}"
    )


def test_the_two_apis_show_headings_and_references_their_own_way() -> None:
    parameters: dict[str, Json] = {
        "title": "f_args",
        "description": "Said.",
        "properties": {"r": {"$ref": "#/$defs/R"}},
        "$defs": {"R": {"type": "object", "properties": {"x": {"title": "X", "type": "null"}}}},
    }
    assert shown(parameters) == "_: f_args { r?: any }"
    assert shown(parameters, is_responses=True) == (
        "_: // f_args\n// Said.\n{ r?: {\n// X\n//\nx?: null,\n} }"
    )


def test_a_schema_that_refers_to_itself_ends() -> None:
    node: dict[str, Json] = {"properties": {"l": {"$ref": "#/$defs/N"}, "r": {"$ref": "#/$defs/N"}}}
    parameters: dict[str, Json] = {**node, "$defs": {"N": node}}
    rendering = Rendering(is_responses=True)
    text = rendering.namespace((Function("f", None, parameters),))
    assert rendering.clipped
    assert len(text) < 4 * RENDERED_CHARS_MAX


def test_types_that_multiply_end() -> None:
    schema: dict[str, Json] = {"type": "string"}
    for _ in range(NESTING_MAX // 2):
        schema = {"type": ["object"] * 50, "properties": {"p": schema}}
    rendering = Rendering()
    text = rendering.namespace((Function("f", None, schema),))
    assert rendering.clipped
    assert len(text) < 40 * RENDERED_CHARS_MAX


def test_a_schema_as_deep_as_allowed_is_shown_whole_and_a_deeper_one_is_clipped() -> None:
    def nested(levels: int) -> dict[str, Json]:
        schema: dict[str, Json] = {"type": "string"}
        for _ in range(levels):
            schema = {"type": "array", "items": schema}
        return {"properties": {"p": schema}}

    for levels, clipped in ((NESTING_MAX - 1, False), (NESTING_MAX, True), (5_000, True)):
        rendering = Rendering()
        rendering.namespace((Function("f", None, nested(levels)),))
        assert rendering.clipped is clipped


def test_a_literal_too_deep_to_write_is_unknown() -> None:
    value: Json = None
    for _ in range(200_000):
        value = [value]
    assert shown_type({"const": value}) == "any"
    assert compact(value) == ""


def test_annotations_are_not_shown_but_properties_of_their_name_are() -> None:
    schema: dict[str, Json] = {
        "title": "T",
        "additionalProperties": False,
        "properties": {"title": {"title": "x", "type": "string"}, "additionalProperties": True},
        "anyOf": [{"title": "y"}],
        "$defs": {"title": {"title": "z", "type": "null"}},
        "required": ["title"],
    }
    assert shown_schema(schema) == {
        "properties": {"title": {"type": "string"}, "additionalProperties": True},
        "anyOf": [{}],
        "$defs": {"title": {"type": "null"}},
        "required": ["title"],
    }
    assert shown_schema({"properties": ["title"]}) == {"properties": ["title"]}


def test_arguments_are_minified_where_they_are_json() -> None:
    assert minified('{ "a" : [1, 2.50, "x y"],\n "ü": null }') == '{"a":[1,2.5,"x y"],"ü":null}'
    for text in ("", "{", "not json", "[" * 100_000, '"\ud800"'):
        assert minified(text) == text


def test_parallel_calls_stand_in_one_wrapping_call() -> None:
    calls = (ToolCall("a", '{"x":1,"y":"ü"}'), ToolCall("b", "{"))
    assert parallel(calls) == (
        '{"tool_uses": [{"recipient_name": "functions.a", "parameters": {"x": 1, "y": "ü"}}, '
        '{"recipient_name": "functions.b", "parameters": {}]}'
    )


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(
    ["type", "properties", "items", "anyOf", "enum", "const", "required", "title", "$ref", "$defs"]
) | st.text(max_size=4)
documents: st.SearchStrategy[Json] = st.recursive(
    scalars | st.sampled_from(["object", "array", "string", "#/$defs/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(documents, st.booleans())
def test_no_schema_raises_and_none_is_lost_in_the_frame(
    parameters: Json,
    is_responses: bool,  # noqa: FBT001  (drawn by Hypothesis)
) -> None:
    text = Rendering(is_responses=is_responses).namespace((Function("f", "d", parameters),))
    assert text.startswith("namespace functions {\n\n// d\ntype f = (")
    assert text.endswith(") => any;\n\n} // namespace functions")
    shown_schema(parameters)


@settings(max_examples=200, deadline=None)
@given(documents.filter(lambda value: json.loads(json.dumps(value)) == value))
def test_minifying_is_done_after_once(value: Json) -> None:
    once = minified(json.dumps(value, indent=2))
    assert minified(once) == once
