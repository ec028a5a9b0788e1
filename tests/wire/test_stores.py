"""Stores that a body names: found wherever and however they are written; a user's own tools name none."""

import json
from typing import Final

import pytest
from hypothesis import given, strategies as st

from gateway.providers import google
from gateway.wire.jsondoc import MalformedJson
from gateway.wire.stores import is_among, may_name_stores, store_names

NAMES: Final = google.PROVIDER.store_members
RAG: Final = "projects/p/locations/us-central1/ragCorpora/1"
SEARCH: Final = "projects/p/locations/global/collections/default_collection/dataStores/d"
FILES: Final = "fileSearchStores/f-1"
TOOLS: Final = (
    ({"fileSearch": {"fileSearchStoreNames": [FILES]}}, FILES),
    ({"file_search": {"file_search_store_names": [FILES]}}, FILES),
    ({"type": "file_search", "file_search_store_names": FILES}, FILES),
    ({"retrieval": {"vertexRagStore": {"ragResources": [{"ragCorpus": RAG}]}}}, RAG),
    ({"retrieval": {"vertex_rag_store": {"rag_resources": {"rag_corpus": RAG}}}}, RAG),
    ({"retrieval": {"vertexRagStore": {"ragCorpora": [RAG]}}}, RAG),
    ({"retrieval": {"vertexAiSearch": {"datastore": SEARCH}}}, SEARCH),
    ({"retrieval": {"vertex_ai_search": {"engine": SEARCH}}}, SEARCH),
    ({"retrieval": {"vertexAiSearch": {"dataStoreSpecs": [{"dataStore": SEARCH}]}}}, SEARCH),
    ({"retrieval": {"externalApi": {"apiAuth": {"apiKeyConfig": {"apiKeySecretVersion": RAG}}}}}, RAG),
    ({"googleMaps": {"authConfig": {"oauthConfig": {"serviceAccount": "a@p.iam"}}}}, "a@p.iam"),
)  # fmt: skip


def rewritten(text: str, escaped: set[int], blank: str) -> str:
    """The same JSON, with some of its letters written as escapes, and blanks where they may stand."""
    written, in_text = [], False
    for at, each in enumerate(text):
        in_text ^= each == '"'
        if in_text and each.isascii() and each.isalpha() and at in escaped:
            written.append(f"\\u{ord(each):04x}")
        else:
            written.append(blank + each + blank if not in_text and each in ":,[]{}" else each)
    return "".join(written)


@given(
    tool=st.sampled_from(TOOLS),
    escaped=st.sets(st.integers(0, 200)),
    blank=st.sampled_from(["", " ", "\n\t"]),
    twin=st.booleans(),
)
def test_a_store_is_found_however_its_name_is_written(
    tool: tuple[dict[str, object], str], escaped: set[int], blank: str, *, twin: bool
) -> None:
    written, store = tool
    body = json.dumps({"contents": [], "tools": [written]})
    if twin:  # the provider may take the first, where our own parser takes the last
        body = f'{body[:-1]}, "tools": []}}'
    changed = rewritten(body, escaped, blank)
    assert json.loads(changed) == json.loads(body)
    assert store_names(changed.encode(), NAMES) == {store}


def test_a_result_hides_no_store_but_its_own_words() -> None:
    beside = {
        "type": "function_result",
        "result": {"engine": "V8"},
        "file_search_store_names": FILES,
    }
    elsewhere = {"type": "file_search", "result": {"datastore": SEARCH}}
    assert store_names(json.dumps({"tools": [beside]}).encode(), NAMES) == {FILES}
    assert store_names(json.dumps({"tools": [elsewhere]}).encode(), NAMES) == {SEARCH}


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [{"parts": [{"text": f'"datastore": "{SEARCH}"'}]}]},
        {"contents": [{"parts": [{"functionCall": {"args": {"engine": "v8"}}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"response": {"datastore": "x"}}}]}]},
        {"input": [{"type": "function_result", "call_id": "1", "result": {"engine": "V8"}}]},
        {"input": [{"type": "mcp_server_tool_result", "result": [{"dataStore": "x"}]}]},
        {"tools": [{"functionDeclarations": [{"parameters": {"properties": {"engine": "x"}}}]}]},
        {"tools": [{"functionDeclarations": [{"parametersJsonSchema": {"engine": "x"}}]}]},
        {"generationConfig": {"responseSchema": {"engine": "x"}}, "labels": {"engine": "x"}},
        {"messages": [{"content": [{"type": "tool_use", "input": {"engine": "x"}}]}]},
        {"tools": [{"input_schema": {"default": {"engine": "x"}}}]},
        {"engine": {"type": "string"}, "datastore": None, "ragCorpora": [], "ragCorpus": ""},
        {"tools": [{"googleSearch": {}}, {"fileSearch": {"metadataFilter": FILES}}]},
    ],
)  # fmt: skip
def test_words_and_what_tools_take_and_give_name_no_store(body: dict[str, object]) -> None:
    assert store_names(json.dumps(body).encode(), NAMES) == frozenset()


def test_a_type_that_reads_like_a_tools_hides_no_list() -> None:
    body = {"type": "tool_use", "input": [{"datastore": SEARCH}]}
    assert store_names(json.dumps(body).encode(), NAMES) == {SEARCH}


def test_the_first_look_is_enough_for_nearly_every_body() -> None:
    said = json.dumps({"contents": [{"parts": [{"text": "Größe <b>Ünïcode</b> & engine"}]}]})
    assert not may_name_stores(said.encode(), NAMES)
    assert not may_name_stores(said.replace("<", "\\u003c").encode(), NAMES)
    assert not may_name_stores(b'{"datastore": "x"}', ())
    assert may_name_stores(b'{"DATA_store": "x"}', NAMES)
    with pytest.raises(MalformedJson):
        store_names(b'{"datastore": "x"', NAMES)


def test_a_store_lies_under_whole_names_only() -> None:
    corpora = "projects/p/locations/us-central1/ragCorpora"
    for allowed in (RAG, corpora, f"{corpora}/", "projects/p"):
        assert is_among(RAG, (allowed,))
    for store in (f"{corpora}/10", f"{corpora}/1x", corpora, f"{corpora}/2/../1", f"{corpora}/1//",
                  f"//{RAG}", f"{RAG}/", f"{corpora}/%31", f"{RAG} ", RAG.upper(), ""):  # fmt: skip
        assert not is_among(store, (RAG,))
    assert not is_among(RAG, ())
