"""Objects that a request has the provider fetch: it does so as the gateway, so the owner says which it may.

A place whose upstream may not read them is left out; where none is left, the request is refused.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from gateway.exchange.admission import Admitted
from gateway.kernel.errors import MalformedBody, ObjectNotAllowed
from gateway.providers.contract import Provider
from gateway.wire.jsondoc import MalformedJson
from gateway.wire.objects import lies_under, may_name_objects, object_uris

WALKED_INLINE_BYTES_MAX: Final = 64 * 1024


async def readable(provider: Provider, body: bytes, admitted: Admitted) -> Admitted:
    """The call at the places that may read every object it names. Raises ObjectNotAllowed, and MalformedBody."""
    schemes = provider.object_schemes
    if not may_name_objects(body, schemes):
        return admitted
    try:
        if len(body) <= WALKED_INLINE_BYTES_MAX:
            uris = object_uris(body, schemes)
        else:
            uris = await asyncio.to_thread(object_uris, body, schemes)
    except MalformedJson as error:
        raise MalformedBody(f"{error}; send one JSON object as the request body") from error
    return _at_places(uris, admitted) if uris else admitted


def _at_places(uris: Collection[str], admitted: Admitted) -> Admitted:
    options = admitted.options
    left = [
        option
        for option in options
        if all(lies_under(uri, option.upstream.object_uris) for uri in uris)
    ]
    if not left:
        first = admitted.upstream
        named = next(uri for uri in sorted(uris) if not lies_under(uri, first.object_uris))
        raise ObjectNotAllowed(
            f"{named[:200]!r} would be read with the gateway's own identity, and upstream {first.name!r} does not say "
            f"that it may be: name its bucket or folder in upstreams.{first.name}.object_uris of the gateway's "
            "configuration, or send the bytes in the request"
        )
    return admitted if len(left) == len(options) else admitted.among(left)
