"""Data sources of a chat: named by host and index, but for those that bring a key of their own."""

import json
from typing import Any, Final

import pytest
from hypothesis import given, strategies as st

from gateway.wire.jsondoc import MalformedJson
from gateway.wire.sources import searched
from gateway.wire.stores import is_among
from tests.dialects.spellings import escaped_names

PLACE: Final = "https://Search-1.example.net"
KEYED: Final = {"type": "api_key", "key": "k"}
OURS: Final = {"type": "system_assigned_managed_identity"}


def source(**parameters: Any) -> dict[str, Any]:
    told = {"endpoint": PLACE, "index_name": "handbook", **parameters}
    return {"type": "azure_search", "parameters": told}


@given(
    member=st.sampled_from(["data_sources", "dataSources", "Data_Sources"]),
    letters=st.sets(st.integers(0, 90)),
    blank=st.sampled_from(["", " \n"]),
    is_listed=st.booleans(),
)
def test_a_source_that_is_searched_as_the_provider_is_named_however_it_is_written(
    member: str, letters: set[int], blank: str, *, is_listed: bool
) -> None:
    asked = source(authentication=OURS)
    body = json.dumps({"messages": [], member: [asked] if is_listed else asked})
    found = searched(escaped_names(body, letters, blank).encode())
    assert found == {"search-1.example.net/handbook"}
    assert is_among(next(iter(found)), ("search-1.example.net",))


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"authentication": KEYED}, set()),
        ({"authentication": {"type": "access_token", "access_token": "t"}}, set()),
        ({}, {"search-1.example.net/handbook"}),  # then it is the provider's own
        ({"authentication": {"type": "user_assigned_managed_identity"}}, {"search-1.example.net/handbook"}),
        ({"authentication": {"type": "of tomorrow"}}, {"search-1.example.net/handbook"}),
        ({"authentication": {"type": None}}, {"search-1.example.net/handbook"}),
        ({"endpoint": 7}, {"?/handbook"}),
        ({"index_name": ""}, {"search-1.example.net/?"}),
    ],
)  # fmt: skip
def test_a_key_of_its_own_makes_a_source_the_callers(
    parameters: dict[str, Any], found: set[str]
) -> None:
    assert searched(json.dumps({"data_sources": [source(**parameters)]}).encode()) == found


@pytest.mark.parametrize(
    ("twins", "found"),
    [
        (f'"authentication":{json.dumps(OURS)},"authentication":{json.dumps(KEYED)}', {"a/x"}),
        (f'"authentication":{json.dumps(KEYED)},"authentication":{json.dumps(OURS)}', {"a/x"}),
        ('"authentication":{"type":"none","type":"api_key"}', {"a/x"}),
        ('"endpoint":"https://b","index_name":"y"', {"a/x", "a/y", "b/x", "b/y"}),
    ],
)
def test_of_twins_every_reading_counts(twins: str, found: set[str]) -> None:
    inner = f'{{"endpoint":"https://a","index_name":"x",{twins}}}'
    body = f'{{"data_sources":[{{"type":"azure_search","parameters":{inner}}}]}}'
    assert searched(body.encode()) == found


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"embedding_dependency": {"type": "deployment_name", "deployment_name": "embed-1"}}, {"embedding/embed-1"}),
        ({"embeddingDependency": {"type": "DeploymentName", "deploymentName": "embed-1"}}, {"embedding/embed-1"}),
        ({"embeddingDeploymentName": "embed-1"}, {"embedding/embed-1"}),
        ({"embedding_dependency": {"type": "integrated"}}, {"embedding/integrated"}),
        ({"embedding_dependency": {"type": "model_id", "model_id": "elser"}}, {"embedding/elser"}),
        (
            {"embedding_dependency": {"type": "endpoint", "endpoint": f"{PLACE}/openai/x", "authentication": KEYED}},
            set(),
        ),
        ({"embedding_dependency": {"type": "endpoint", "endpoint": f"{PLACE}/x"}}, {"embedding/search-1.example.net"}),
        ({"embeddingEndpoint": PLACE}, {"embedding/search-1.example.net"}),
        ({"embeddingEndpoint": PLACE, "embeddingKey": "k"}, set()),
        ({"embedding_dependency": {"type": "of tomorrow", "deployment_name": "embed-1"}}, {"embedding/?"}),
        ({"embedding_dependency": {"type": "deployment_name"}}, {"embedding/?"}),
        ({"embedding_dependency": "embed-1"}, {"embedding/?"}),
        ({"embedding_dependency": None}, set()),
    ],
)  # fmt: skip
def test_what_embeds_for_a_source_is_named_whoevers_key_the_source_has(
    parameters: dict[str, Any], found: set[str]
) -> None:
    keyed = source(authentication=KEYED, **parameters)
    assert searched(json.dumps({"data_sources": [keyed]}).encode()) == found
    ours = source(authentication=OURS, **parameters)
    named = searched(json.dumps({"data_sources": [ours]}).encode())
    assert named == {"search-1.example.net/handbook", *found}
    assert not any(is_among(name, ("search-1.example.net",)) for name in found)
    assert all(is_among(name, ("embedding",)) for name in found if not name.endswith("?"))


def test_what_is_no_source_names_none_and_what_cannot_be_told_is_never_allowed() -> None:
    for held in (b"null", b"[]", b"7", b'"x"', b"[7]", b"{}", b"[{}]"):
        assert searched(b'{"data_sources":' + held + b"}") == frozenset()
    (unknown,) = searched(b'{"data_sources":[{"type":"azure_search"}]}')
    assert not is_among(unknown, ("", "/", "?"))
    for endpoint in ("https://a@b", "https://a\\\\@b", "https://a?b", "https://a#b", "https://a:1"):
        (found,) = searched(json.dumps({"data_sources": source(endpoint=endpoint)}).encode())
        assert not is_among(found, ("a",))
    with pytest.raises(MalformedJson):
        searched(b'{"data_sources":')
