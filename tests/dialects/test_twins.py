"""A body that has a name twice in one object, wherever that is, never gets as far as a hold.

Which of two members a provider takes nobody knows, so of every single reading the hold would have to be the larger
one. It is refused instead: no encoder writes such a body.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects import anthropic, converse, gemini, openai_chat, openai_responses
from gateway.dialects.contract import Dialect
from gateway.kernel.errors import MalformedBody
from gateway.wire.twins import twin
from tests.dialects.spellings import escaped_names
from tests.dialects.test_spellings import ASKED

TOOLS: Final[tuple[tuple[Dialect, dict[str, Any]], ...]] = (
    (
        openai_chat.CHAT,
        {"messages": [{"role": "user", "content": "a: b"}], "tools": [{"type": "web_search", "name": "s"}]},
    ),
    (
        converse.CONVERSE,
        {"toolConfig": {"tools": [{"systemTool": {"name": "grounding"}}]}, "messages": []},
    ),
)  # fmt: skip
# Asked the cheap way by one twin, the dear way by the other: a tool's kind and how often it may be used.
DEARER: Final = (
    (anthropic.MESSAGES, '"type":"custom","type":"web_search_20250305"'),
    (anthropic.MESSAGES, '"type":"web_search_20250305","type":"custom"'),
    (anthropic.MESSAGES, '"type":"web_search_20250305","max_uses":50,"max_uses":1'),
    (anthropic.MESSAGES, '"type":"web_search_20250305","max_uses":1,"max_\\u0075ses":50'),
    (openai_responses.RESPONSES, '"type":"web_search","type":"function"'),
    (gemini.GENERATE, '"googleSearch":{},"googleSearch":{}'),
)
letters = st.sets(st.integers(0, 300), max_size=40)
blanks = st.sampled_from(["", " ", "\r\n\t"])


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document that has a member."""
    if isinstance(value, dict):
        if value:
            yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def doubled(document: dict[str, Any], place: int, name: str, value: Any, *, first: bool) -> str:
    """The document with a second member of a name in one of its objects, before the other or behind it."""
    mark = "0twin0"
    copy = json.loads(json.dumps(document))
    target = list(objects(copy))[place]
    held = target.pop(name)
    one, other = (value, held) if first else (held, value)
    target[name], target[mark] = one, other
    text = json.dumps(copy)
    return text.replace(f'"{mark}"', json.dumps(name))


@settings(max_examples=400, deadline=None)
@given(draw=st.data(), letters=letters, blank=blanks, first=st.booleans())
def test_of_twins_anywhere_no_reading_can_be_dearer_than_the_hold_for_there_is_none(
    draw: st.DataObject, letters: set[int], blank: str, *, first: bool
) -> None:
    dialect, asked = draw.draw(st.sampled_from(ASKED + TOOLS))
    found = list(objects(asked))
    place = draw.draw(st.integers(0, len(found) - 1))
    name = draw.draw(st.sampled_from(sorted(found[place])))
    other = draw.draw(st.sampled_from([found[place][name], None, 99_999, "web_search", {}, "x: y"]))
    body = escaped_names(doubled(asked, place, name, other, first=first), letters, blank)
    with pytest.raises(MalformedBody, match="twice in one object: send it once"):
        dialect.read_request(body.encode(), b"application/json")
    dialect.read_request(json.dumps(asked).encode(), b"application/json")  # it is the twin alone


@pytest.mark.parametrize(("dialect", "members"), DEARER)
def test_a_tool_with_two_kinds_or_two_limits_is_refused(dialect: Dialect, members: str) -> None:
    body = f'{{"model":"m","max_tokens":9,"messages":[],"tools":[{{"name":"s",{members}}}]}}'
    with pytest.raises(MalformedBody, match="twice"):
        dialect.read_request(body.encode(), b"application/json")


@pytest.mark.parametrize("member", ["Type", "TYPE", "Max_Uses"])
def test_a_tool_that_spells_what_decides_in_another_case_is_refused(member: str) -> None:
    body = {"messages": [], "tools": [{"name": "s", member: "web_search"}]}
    with pytest.raises(MalformedBody, match="another case"):
        anthropic.MESSAGES.read_request(json.dumps(body).encode(), b"")


values = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from([":", '":', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(
    document=st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=4), draw=st.data()
)
def test_no_document_has_twins_unless_they_are_put_there(
    document: dict[str, Any], draw: st.DataObject
) -> None:
    for written in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        raw = written.encode("utf-8", "surrogatepass")
        assert twin(raw, json.loads(raw)) is None
    found = list(objects(document))
    place = draw.draw(st.integers(0, len(found) - 1))
    name = draw.draw(st.sampled_from(sorted(found[place])))
    raw = doubled(document, place, name, draw.draw(values), first=draw.draw(st.booleans())).encode()
    assert twin(raw, json.loads(raw)) is not None


def test_what_stands_twice_is_named_where_its_name_is_a_plain_word() -> None:
    for name, shown in (("max_uses", "max_uses"), ("a secret of mine", "?"), ("x" * 41, "?")):
        raw = f'{{"a":{{"{name}":1,"{name}":2}}}}'.encode()
        assert twin(raw, json.loads(raw)) == shown
