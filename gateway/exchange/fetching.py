"""Objects and stores that a request has the provider read: it does so as the gateway, so the owner says which it may.

A place whose upstream may not have them read is left out; where none is left, the request is refused.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from gateway.exchange.admission import Admitted
from gateway.kernel.errors import MalformedBody, ObjectNotAllowed, StoreNotAllowed
from gateway.providers.contract import Provider, Upstream
from gateway.wire.jsondoc import MalformedJson
from gateway.wire.objects import lies_under, may_name_objects, object_uris
from gateway.wire.sources import EMBEDDING
from gateway.wire.stores import is_among, may_name_stores, store_names

WALKED_INLINE_BYTES_MAX: Final = 64 * 1024


class _Named(NamedTuple):
    """What a body has the provider read."""

    objects: frozenset[str]
    stores: frozenset[str]


def fetches(provider: Provider, admitted: Admitted) -> bool:
    """Whether a call may have something read, so that ``readable`` has to look."""
    return bool(provider.object_schemes or provider.store_members or admitted.request.stores)


async def readable(provider: Provider, body: bytes, admitted: Admitted) -> Admitted:
    """The call at the places that may have everything read that it names.

    Raises ObjectNotAllowed, StoreNotAllowed, and MalformedBody.
    """
    schemes, members = provider.object_schemes, provider.store_members
    admitted = _at_places(admitted.request.stores, admitted, _may_search, _source_refused)
    if not (may_name_objects(body, schemes) or may_name_stores(body, members)):
        return admitted

    def named() -> _Named:
        return _Named(object_uris(body, schemes), store_names(body, members))

    try:
        if len(body) <= WALKED_INLINE_BYTES_MAX:
            objects, stores = named()
        else:
            objects, stores = await asyncio.to_thread(named)
    except MalformedJson as error:
        raise MalformedBody(f"{error}; send one JSON object as the request body") from error
    admitted = _at_places(objects, admitted, _may_read, _object_refused)
    return _at_places(stores, admitted, _may_search, _store_refused)


def _at_places(
    named: Collection[str],
    admitted: Admitted,
    may: Callable[[Upstream, str], bool],
    refused: Callable[[Upstream, str], Exception],
) -> Admitted:
    if not named:
        return admitted
    options = admitted.options
    left = [option for option in options if all(may(option.upstream, each) for each in named)]
    if not left:
        first = admitted.upstream
        raise refused(first, next(each for each in sorted(named) if not may(first, each)))
    return admitted if len(left) == len(options) else admitted.among(left)


def _may_read(upstream: Upstream, uri: str) -> bool:
    return lies_under(uri, upstream.object_uris)


def _may_search(upstream: Upstream, store: str) -> bool:
    return is_among(store, upstream.stores)


def _object_refused(upstream: Upstream, uri: str) -> Exception:
    return ObjectNotAllowed(
        f"{uri[:200]!r} would be read with the gateway's own identity, and upstream {upstream.name!r} does not say "
        f"that it may be: name its bucket or folder in upstreams.{upstream.name}.object_uris of the gateway's "
        "configuration, or send the bytes in the request"
    )


def _source_refused(upstream: Upstream, source: str) -> Exception:
    if source.startswith(EMBEDDING):
        return StoreNotAllowed(
            f"{source[:200]!r} would embed the question at the cost of upstream {upstream.name!r}, and no answer says "
            f"how much: name it in upstreams.{upstream.name}.stores of the gateway's configuration to have it pass "
            "unmetered, search without embedding_dependency, or have it embed at an endpoint with a key of its own"
        )
    return StoreNotAllowed(
        f"{_store_refused(upstream, source)}; a data source may be authenticated with a key of its own instead"
    )


def _store_refused(upstream: Upstream, store: str) -> Exception:
    return StoreNotAllowed(
        f"{store[:200]!r} would be searched or opened with the gateway's own identity, whichever team asks, and "
        f"upstream {upstream.name!r} does not say that it may be: name it in upstreams.{upstream.name}.stores of the "
        "gateway's configuration"
    )
