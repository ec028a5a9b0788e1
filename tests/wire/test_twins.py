"""Names that stand twice: told just where an object has one, in whatever spelling and at whatever depth."""

import json
from typing import TypeAlias, Union

import orjson
import pytest
from hypothesis import example, given, settings, strategies as st

from gateway.wire.twins import twin

# A document as it is written: an object is a list of members, so that a name may come twice.
Written: TypeAlias = Union[str, int, list["Written"], tuple[tuple[str, "Written"], ...], None]
TEXTS = st.sampled_from(["a", "b", ":", "a:b", "é", '"', "\\", "{", "model name", "x" * 41, ""])
WRITTEN = st.recursive(
    st.none() | st.integers(0, 3) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(TEXTS, inner), max_size=3).map(tuple)
    ),
    max_leaves=10,
)  # fmt: skip


def spelt(text: str, *, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"' if escaped else json.dumps(text)


def raw_of(written: Written, draw: st.DataObject) -> str:
    if isinstance(written, tuple):
        members = (
            f"{spelt(name, escaped=draw.draw(st.booleans()))}:{raw_of(value, draw)}"
            for name, value in written
        )
        return "{" + ",".join(members) + "}"
    if isinstance(written, list):
        return "[" + ", ".join(raw_of(value, draw) for value in written) + "]"
    if isinstance(written, str):
        return spelt(written, escaped=draw.draw(st.booleans()))
    return json.dumps(written)


def twins_of(written: Written) -> set[str]:
    if isinstance(written, tuple):
        names = [name for name, _ in written]
        own = {name for name in names if names.count(name) > 1}
        return own.union(*(twins_of(value) for _, value in written))
    if isinstance(written, list):
        return set[str]().union(*map(twins_of, written))
    return set()


def told(raw: bytes) -> str | None:
    return twin(raw, orjson.loads(raw))


@given(WRITTEN, st.data())
@settings(max_examples=200)
def test_a_name_is_told_just_where_one_object_has_it_twice(
    written: Written, draw: st.DataObject
) -> None:
    found = told(raw_of(written, draw).encode())
    doubled = twins_of(written)
    assert (found is None) == (not doubled)
    assert found is None or found == "?" or found in doubled


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\u003a","a":"\\u003a"}',  # the escaped colon makes up for the member that is dropped
        b'{"a":"\\u003A\\u003A","\\u0061":":"}',
        b'{"b":["\\u003a"],"a":1,"a":2}',
        b'[{"a":1},{"x":{"a":1,"a":2}},"\\u003a"]',
        b'{"a":{"b":1},"a":{"b":1}}',
    ],
)
def test_no_way_of_writing_a_colon_hides_a_twin(raw: bytes) -> None:
    assert told(raw) == "a"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\u003a"}',
        b'{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}',
        b'{"a":"::::"}',
        b'"a:a"',
        b"[]",
        b'{"a":123456789012345678901,"b":"\\u003a"}',
    ],
)
def test_what_stands_once_is_no_twin(raw: bytes) -> None:
    assert told(raw) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("max_tokens", "max_tokens"), ("a.b-c", "a.b-c"), ("x" * 40, "x" * 40), ("x" * 41, "?"),
        ("", "?"), ("a b", "?"), ("é", "?"), ("a\\n", "?"), ("sk-1:2", "?"),
    ],
)  # fmt: skip
def test_only_a_plain_word_is_shown(name: str, shown: str) -> None:
    raw = b'{"%b":1,"%b":2}' % (name.encode(), name.encode())
    assert told(raw) == shown


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=4))
@example({"a": ":"})
@settings(max_examples=60)
def test_what_an_encoder_writes_has_no_twin(document: dict[str, str]) -> None:
    for raw in (json.dumps(document).encode(), json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")):  # fmt: skip
        assert told(raw) is None


def test_a_document_that_cannot_be_written_anew_is_read_once_more() -> None:
    deep = b"[" * 300 + b'{"a":1,"a":2}' + b"]" * 300
    assert twin(deep, orjson.loads(deep)) == "a"
    once = b"[" * 300 + b'{"a":1}' + b"]" * 300
    assert twin(once, orjson.loads(once)) is None
