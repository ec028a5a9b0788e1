"""The data sources that a chat has the provider search, as the provider's own identity, and what embeds its questions.

A source that comes with a key of its own is the caller's own business. One without is named by its host and its
index; every reading that a twin in it allows counts. So is what embeds, whoever's key the source comes with: the
provider charges it to its own account, and no answer says a word of it. To take another kind of key: one word in
``_KEYS``; another way to embed: one line in ``_EMBEDDERS``.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.wire.members import Members, document, folded

SOURCES: Final = frozenset({"data_sources", "dataSources"})
# Members of a hosted tool that name what the owner of the provider's account has connected it with.
CONNECTIONS: Final = ("projectconnectionid", "indexconnectionid", "connectionid", "indexassetid")
_KEYS: Final = frozenset(
    {
        "access_token",
        "api_key",
        "connection_string",
        "encoded_api_key",
        "key_and_key_id",
        "username_and_password",
    }
)
_PLACES: Final = ("endpoint", "projectresourceid")
_INDEXES: Final = ("indexname", "index", "name")
# What embeds is named behind this, so that one list allows both: 'embedding/text-embedding-3-small'.
EMBEDDING: Final = "embedding/"
_DEPENDENCY: Final = "embeddingdependency"
# By the type of the dependency: the members that name what embeds.
_EMBEDDERS: Final = {
    "deploymentname": ("deploymentname",),
    "endpoint": _PLACES,
    "modelid": ("modelid",),
}
_INTEGRATED: Final = "integrated"  # into the index itself
# How versions of old said it, beside the other parameters; an endpoint came with its key.
_OLD_NAMES: Final = ("embeddingdeploymentname",)
_OLD_PLACES: Final = ("embeddingendpoint",)
_OLD_KEY: Final = "embeddingkey"


def searched(body: bytes) -> frozenset[str]:
    """Host and index ('search-1.example.net/handbook') of every source without a key of its own, as far as given.

    And what embeds for any source, behind ``EMBEDDING``, unless it is reached with a key of its own.
    Raises MalformedJson where the body is no JSON.
    """
    named = {folded(name) for name in SOURCES}
    listed = [value for name, value in _members(document(body)) if folded(name) in named]
    return frozenset(
        name
        for each in listed
        for source in _objects(each)
        for name in (*_names(source), *_embedders(source))
    )


def _names(source: Members) -> Iterator[str]:
    held = [value for name, value in source if folded(name) == "parameters"]
    found = [parameters for each in held for parameters in _objects(each)] or [Members()]
    for parameters in found:
        if not _has_key(parameters):
            places = [_host(each) for each in _texts(parameters, _PLACES)] or ["?"]
            indexes = _texts(parameters, _INDEXES) or ["?"]
            yield from (f"{place}/{index}" for place in places for index in indexes)


def _embedders(source: Members) -> Iterator[str]:
    """What embeds the questions to a source: where that cannot be told, a name that nobody can have allowed."""
    waiting = [source]
    while waiting:
        members = waiting.pop()
        for name, value in members:
            if folded(name) == _DEPENDENCY and value is not None:
                for dependency in _objects(value) or [Members()]:
                    yield from _dependency(dependency)
            else:
                waiting += _objects(value)
        yield from (f"{EMBEDDING}{text}" for text in _texts(members, _OLD_NAMES))
        if not _texts(members, (_OLD_KEY,)):
            yield from (f"{EMBEDDING}{_host(text)}" for text in _texts(members, _OLD_PLACES))


def _dependency(dependency: Members) -> Iterator[str]:
    kinds = [folded(kind) for kind in _texts(dependency, ("type",))] or ["?"]
    for kind in kinds:
        if kind == _INTEGRATED:
            yield EMBEDDING + _INTEGRATED
        elif kind != "endpoint" or not _has_key(dependency):
            names = _texts(dependency, _EMBEDDERS.get(kind, ())) or ["?"]
            yield from (EMBEDDING + _host(name) for name in names)


def _has_key(parameters: Members) -> bool:
    ways = [value for name, value in parameters if folded(name) == "authentication"]
    kinds = [
        value.lower() if isinstance(value, str) else ""
        for way in ways
        for name, value in _members(way)
        if folded(name) == "type"
    ]
    return bool(kinds) and _KEYS.issuperset(kinds)


def _host(place: str) -> str:
    """The host of an address, with a port where it has one; what is no address stays as it is."""
    _, is_address, rest = place.partition("://")
    return rest.split("/")[0].lower() if is_address else place.strip("/")


def _texts(parameters: Members, names: Iterable[str]) -> list[str]:
    return [
        value
        for name, value in parameters
        if folded(name) in names and isinstance(value, str) and value
    ]


def _members(value: object) -> Members:
    return value if isinstance(value, Members) else Members()


def _objects(value: object) -> list[Members]:
    listed = value if isinstance(value, list) and not isinstance(value, Members) else [value]
    return [each for each in listed if isinstance(each, Members) and each]
