"""The ids that a body names: found wherever and however they are written, and nothing that is the user's own."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.wire.jsondoc import MalformedJson
from gateway.wire.references import REFERENCES_MAX, TooManyReferences, references

NAMING: list[tuple[str, Any]] = [
    ("previous_response_id", "a1"),
    ("file_id", "a1"),
    ("input_file_id", "a1"),
    ("file_ids", ["a1"]),
    ("vector_store_ids", ["a1"]),
    ("conversation", "a1"),
    ("conversation", {"id": "a1"}),
    ("container", "a1"),
    ("container", {"type": "auto", "file_ids": ["a1"]}),
    ("cachedContent", "a1"),
    ("cached_content", "a1"),
]


def found_in(document: Any) -> tuple[set[str], set[str]]:
    """What is named by its id, and what is brought."""
    named, brought = references(json.dumps(document).encode())
    return set(named), set(brought)


@given(
    naming=st.sampled_from(NAMING),
    path=st.lists(st.sampled_from(["content", "input", "tools", "messages", 0]), max_size=5),
    written=st.sampled_from([str, str.upper, str.title]),
)
def test_an_id_is_found_at_any_depth_in_any_case(
    naming: tuple[str, Any], path: list[Any], written: Callable[[str], str]
) -> None:
    name, value = naming
    document: Any = {written(name): value}
    for step in path:
        document = [document] if step == 0 else {"type": "message", step: document}
    assert found_in(document) == ({"a1"}, set())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"file_id":"a","file_id":"b"}', {"a", "b"}),
        (b'{"f\\u0069le_id":"a"}', {"a"}),
        (b'{"input":[{"type":"item_reference","id":"m"},{"type":"message","id":"n"}]}', {"m"}),
        (b'{"input":[{"id":"m"},{"id":"n","type":null},{"id":"o","content":"own"}]}', {"m", "n"}),
        (b'{"Input" : [{"ID":"m","Type":null},{"id":"n","type":[]}]}', {"m"}),
        (
            b'{"input":[{"type":"reasoning","id":"r","summary":[],"content":[]}]}',
            {"r"},
        ),
        (
            b'{"input":[{"type":"reasoning","id":"r","encrypted_content":"sealed"}]}',
            set(),
        ),
        (
            b'{"input":[{"type":"image_generation_call","id":"i","result":null}]}',
            {"i"},
        ),
        (
            b'{"input":[{"type":"image_generation_call","id":"i","result":"aGk="}]}',
            set(),
        ),
        (
            b'{"input":[{"type":"function_call","id":"f","type":"reasoning"}]}',
            {"f"},
        ),
        (b'{"messages":[{"role":"assistant","audio":{"id":"a"}}]}', {"a"}),
        (b'{"audio":{"voice":"v","format":"wav"},"tools":[{"id":"b"}]}', set()),
        (b'{"type":"tool_use","input":[{"content":[{"file_id":"a"}]}]}', {"a"}),
        (b'{"input":["a"],"tools":[{"id":"m"}]}', set()),
        (b'{"fileData":{"fileUri":"https://host.invalid/v1beta/files/f1"}}', {"files/f1"}),
        (b'{"fileData":{"file_uri":"gs://bucket/object"}}', set()),
        (b'{"fileData":{"fileUri":"https://video.invalid/watch?v=1"}}', set()),
        (b'{"file_id":null,"conversation":{},"container":{"type":"auto"}}', set()),
        (b'{"content":"say \\"file_id\\": \\"a\\""}', set()),
    ],
)
def test_twins_escapes_items_and_remote_files_are_read(body: bytes, named: set[str]) -> None:
    assert references(body).named == named


HOSTED: dict[str, dict[str, Any]] = {
    "web_search_call": {"action": {"type": "search", "query": "q"}},
    "file_search_call": {"queries": ["q"], "results": None},
    "code_interpreter_call": {"code": "1", "container_id": "c"},
    "mcp_call": {"name": "n", "arguments": "{}", "server_label": "s", "output": "o"},
    "mcp_list_tools": {"server_label": "s", "tools": [{"name": "n", "input_schema": {}}]},
    "mcp_approval_request": {"name": "n", "arguments": "{}", "server_label": "s"},
}


@pytest.mark.parametrize("kind", HOSTED)
def test_an_item_of_a_hosted_tool_is_brought_and_by_its_id_alone_it_is_named(kind: str) -> None:
    def found(**item: Any) -> tuple[set[str], set[str]]:
        return found_in({"input": [{"id": "i", **item}]})

    shown = {"type": kind, "status": "completed", **HOSTED[kind]}
    assert found(**shown) == ({"c"} if "container_id" in shown else set(), {"i"})
    assert found(type=kind, status="completed") == ({"i"}, set())
    assert found(**shown, Type="message")[1] == {"i"}
    assert found(type="a_tool_of_tomorrow", anything=1) == (set(), {"i"})


def test_what_keeps_nothing_back_is_not_looked_up() -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "id": "a", "role": "assistant", "content": [{"text": "t"}]},
        {"type": "function_call", "id": "b", "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "function_call_output", "id": "d", "call_id": "c", "output": "o"},
        {"type": "reasoning", "id": "e", "encrypted_content": "sealed"},
    ]
    assert found_in({"input": items}) == (set(), set())


def test_an_approval_names_the_item_that_asked_for_it() -> None:
    asked = {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True}
    assert found_in({"input": [asked]}) == (set(), {"r"})


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {"conversation_id": "a"}},
        {"tools": [{"function": {"parameters": {"properties": {"file_id": {"type": "string"}}}}}]},
        {"tools": [{"input_schema": {"file_id": "a"}}]},
        {"content": [{"type": "tool_use", "input": {"file_id": "a"}}]},
        {"contents": [{"parts": [{"functionCall": {"args": {"file_id": "a"}}}]}]},
        {"messages": [{"content": [{"toolUse": {"input": {"file_id": "a"}}}]}]},
    ],
)
def test_what_is_the_users_own_names_nothing(document: Any) -> None:
    assert found_in(document) == (set(), set())


def test_what_cannot_be_looked_into_is_refused() -> None:
    many = {"file_ids": [f"f{number}" for number in range(REFERENCES_MAX + 1)]}
    with pytest.raises(TooManyReferences):
        references(json.dumps(many).encode())
    with pytest.raises(TooManyReferences):
        references(json.dumps({"file_id": "x" * 600}).encode())
    for body in (b'{"file_id":"a"', b'{"file_id":NaN}', b"[" * 5000 + b'"file_id"' + b"]" * 5000):
        with pytest.raises(MalformedJson):
            references(body)
