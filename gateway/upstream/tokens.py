"""Credentials that are one header: API keys, bearer tokens, tokens that a cloud's identity service renews.

A new kind of token is a ``Kept[str]`` given to TokenCredential, no new class.
"""

from typing import Final

from gateway.upstream.credentials import Outbound
from gateway.upstream.keeping import Kept
from gateway.wire.headers import without
from gateway.wire.messages import Headers

_AUTHORIZATION: Final = b"authorization"


class FixedCredential:
    """What never expires: nothing, an API key in the provider's header, or a bearer token."""

    def __init__(self, *, key: str | None = None, bearer: str | None = None) -> None:
        self._key = None if key is None else key.encode("ascii")
        self._bearer = None if bearer is None else b"Bearer " + bearer.encode("ascii")
        self._standing: dict[
            bytes, Headers
        ] = {}  # by the providers' key headers, which are a handful

    async def headers(self, outbound: Outbound) -> Headers:
        return with_headers(outbound.headers, self.standing(outbound.key_header))

    def standing(self, key_header: bytes) -> Headers:
        standing = self._standing.get(key_header)
        if standing is None:
            standing = self._standing[key_header] = self._added(key_header)
        return standing

    def _added(self, key_header: bytes) -> Headers:
        if self._bearer is not None:
            return ((_AUTHORIZATION, self._bearer),)
        if self._key is None:
            return ()
        if key_header.lower() == _AUTHORIZATION:
            return ((_AUTHORIZATION, b"Bearer " + self._key),)
        return ((key_header, self._key),)

    async def run(self) -> None:
        """Nothing to renew."""

    async def aclose(self) -> None:
        """Nothing under way."""


class TokenCredential:
    """A bearer token somebody keeps fresh, with the headers that go with it."""

    def __init__(self, token: Kept[Headers]) -> None:
        self._token = token

    async def headers(self, outbound: Outbound) -> Headers:
        return with_headers(outbound.headers, await self._token.value())

    def standing(self, key_header: bytes) -> Headers | None:
        return self._token.kept

    async def run(self) -> None:
        await self._token.run()

    async def aclose(self) -> None:
        await self._token.aclose()


def with_headers(headers: Headers, added: Headers) -> Headers:
    """The list with some headers set, whatever stood under their names before."""
    for name, value in added:
        headers = (*without(headers, frozenset({name.lower()})), (name, value))
    return headers
