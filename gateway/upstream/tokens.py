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

    async def headers(self, outbound: Outbound) -> Headers:
        if self._bearer is not None:
            return with_header(outbound.headers, _AUTHORIZATION, self._bearer)
        if self._key is None:
            return outbound.headers
        if outbound.key_header.lower() == _AUTHORIZATION:
            return with_header(outbound.headers, _AUTHORIZATION, b"Bearer " + self._key)
        return with_header(outbound.headers, outbound.key_header, self._key)

    async def run(self) -> None:
        """Nothing to renew."""

    async def aclose(self) -> None:
        """Nothing under way."""


class TokenCredential:
    """A bearer token somebody keeps fresh, with the headers that go with it."""

    def __init__(self, token: Kept[Headers]) -> None:
        self._token = token

    async def headers(self, outbound: Outbound) -> Headers:
        headers = outbound.headers
        for name, value in await self._token.value():
            headers = with_header(headers, name, value)
        return headers

    async def run(self) -> None:
        await self._token.run()

    async def aclose(self) -> None:
        await self._token.aclose()


def with_header(headers: Headers, name: bytes, value: bytes) -> Headers:
    """The list with one header set, whatever stood under its name before."""
    return (*without(headers, frozenset({name.lower()})), (name, value))
