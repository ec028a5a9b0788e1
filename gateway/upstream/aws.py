"""AWS credentials at work: keys from one source, every request signed with them.

Where keys come from is aws_sources.py; to sign another way than SigV4: a method beside ``headers``.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gateway.identity.sigv4 import sign
from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.credentials import Hidden, Outbound
from gateway.upstream.keeping import Dated, Kept
from gateway.wire.messages import Headers


class AwsKeys(Hidden, frozen=True):
    """What signs."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


Fetch: TypeAlias = Callable[[], Awaitable[Dated[AwsKeys]]]


class AwsCredential:
    """Signs with kept keys, for the service and region the target names."""

    def __init__(self, keys: Kept[AwsKeys], what: str) -> None:
        self._keys = keys
        self._what = what

    async def headers(self, outbound: Outbound) -> Headers:
        keys = await self._keys.value()
        signing = outbound.signing
        if signing is None:
            raise UpstreamFailed(
                f"{self._what} signs requests, and this operation is not signed: use an API key or a token"
            )
        return sign(
            outbound.method,
            outbound.path_and_query,
            outbound.headers,
            outbound.body,
            access_key_id=keys.access_key_id,
            secret=keys.secret_access_key,
            session_token=keys.session_token,
            region=signing.region,
            service=signing.service,
            now_us=outbound.now_us,
        )

    def standing(self, key_header: bytes) -> Headers | None:
        return None  # every request has its own signature

    async def run(self) -> None:
        await self._keys.run()

    async def aclose(self) -> None:
        await self._keys.aclose()
