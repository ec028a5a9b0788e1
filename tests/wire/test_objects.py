"""URIs of a cloud's objects: found wherever and however they are written; texts and a user's own tools are neither."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.wire.jsondoc import MalformedJson
from gateway.wire.objects import lies_under, may_name_objects, object_uris

BOTH = ("s3", "gs")
URI = "gs://bucket/a b.png"
NAMES = st.sampled_from(["fileUri", "uri", "url", "data", "s3Location", "of_tomorrow", "contents"])


def written(text: str, escaped: set[int]) -> str:
    """A JSON string in which some characters are written as escapes."""
    return "".join(f"\\u{ord(each):04x}" if at in escaped else each for at, each in enumerate(text))


@given(
    names=st.lists(NAMES, min_size=1, max_size=5),
    uri=st.sampled_from([URI, "s3://bucket/a", "S3://bucket/a", "gS://bucket/a", "  gs://b/o"]),
    escaped=st.sets(st.integers(0, 12)),
    slashes=st.booleans(),
)
def test_a_uri_is_found_at_any_depth_however_it_is_written(
    names: list[str], uri: str, escaped: set[int], *, slashes: bool
) -> None:
    text = written(uri, escaped)
    if slashes:
        text = text.replace("/", "\\/")
    body = f'"{text}"'
    for name in names:
        body = f'[{{"{name}": {body}}}]'
    assert object_uris(body.encode(), BOTH) == {uri.strip()}


@given(
    document=st.recursive(
        st.sampled_from(["gs:x", URI, "s3://b", "things: /", "\u00e9", "<gs:>", 1, None]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["uri", "text", "args"]), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    ascii_only=st.booleans(),
)
def test_the_first_look_passes_nothing_that_the_walk_would_find(
    document: Any, *, ascii_only: bool
) -> None:
    body = json.dumps([document], ensure_ascii=ascii_only).encode()
    assert may_name_objects(body, BOTH) or "://" not in body.decode()
    assert object_uris(body, ()) == frozenset()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"uri":"gs://a/1","uri":"gs://b/2"}', {"gs://a/1", "gs://b/2"}),
        (b'{"gcsSource":{"uris":["gs://a/1"]}}', {"gs://a/1"}),
        (b'{"functionResponse":{"parts":[{"fileData":{"fileUri":"gs://a/1"}}]}}', {"gs://a/1"}),
        (b'{"toolResult":{"content":[{"image":{"s3Location":{"uri":"s3://a/1"}}}]}}', {"s3://a/1"}),
        (b'{"parameters":{"storageUri":"gs://a/1"}}', {"gs://a/1"}),
        (b'{"fileUri":"https://public.invalid/gs://a"}', set()),
        (b'{"fileUri":"https://host.invalid/v1beta/files/f1"}', set()),
        (b'{"text":"gs://a/1 is where it lies","content":"s3://a"}', set()),
        (b'{"content":["s3://a"],"inputText":"s3://a","input_text":"s3://a"}', set()),
        (b'{"functionCall":{"args":{"uri":"gs://a/1"}}}', set()),
        (b'{"functionResponse":{"response":{"uri":"gs://a/1"}}}', set()),
        (b'{"toolUse":{"input":{"uri":"s3://a/1"}}}', set()),
        (b'{"toolResult":{"content":[{"json":{"uri":"s3://a/1"}}]}}', set()),
        (b'{"type":"tool_use","input":{"uri":"s3://a/1"}}', set()),
        (b'{"function":{"arguments":"{\\"uri\\":\\"s3://a/1\\"}"}}', set()),
    ],
)
def test_what_the_provider_reads_is_told_from_words_and_tools(body: bytes, found: set[str]) -> None:
    assert object_uris(body, BOTH) == found


def test_what_cannot_be_looked_into_is_refused() -> None:
    for body in (b'{"uri":"gs://a/1"', b'{"uri":"gs://a/1","n":NaN}', b"[" * 5000 + b'"gs://a"'):
        with pytest.raises(MalformedJson):
            object_uris(body, BOTH)


def test_a_folder_is_named_with_its_slash_and_its_scheme_in_any_case() -> None:
    allowed = ("gs://media/", "s3://archive/team-a/", "s3://")
    assert lies_under("GS://media/a", allowed[:2])
    assert lies_under("s3://archive/team-a/x", allowed[:2])
    assert lies_under("s3://anything", allowed)
    for uri in ("gs://media-2/a", "gs://Media/a", "s3://archive/team-b/x", "gs://media"):
        assert not lies_under(uri, allowed[:2])
    assert not lies_under("gs://a/1", ())


@pytest.mark.parametrize("path", ["../team-b/x", "./x", "..", "deep/../../team-b/x"])
def test_a_name_that_a_client_of_the_store_may_resolve_lies_under_nothing(path: str) -> None:
    assert not lies_under(f"s3://archive/team-a/{path}", ("s3://archive/team-a/",))
    assert lies_under("s3://archive/team-a/.hidden/a..b", ("s3://archive/team-a/",))
