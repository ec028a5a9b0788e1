"""What a client presented as its credential: a gateway key in any of the headers SDKs use, or a SigV4 signature."""

from typing import Final

import msgspec

from gateway.identity.keys import ACCESS_KEY_ID_PREFIX
from gateway.kernel.errors import Unauthenticated
from gateway.wire.messages import Headers

_AUTHORIZATION: Final = b"authorization"
_CARRIERS: Final = frozenset({_AUTHORIZATION, b"api-key", b"x-api-key", b"x-goog-api-key"})
_SIGV4: Final = b"AWS4-HMAC-SHA256"
# In a signature that is made with a pair of ours.
_OUR_PAIR: Final = b"Credential=" + ACCESS_KEY_ID_PREFIX.encode()
_CURE: Final = (
    "send a gateway key (wb_…) as 'Authorization: Bearer', 'api-key', 'x-api-key' or 'x-goog-api-key', "
    "or sign with a gateway-issued AWS access key"
)


class Presented(msgspec.Struct, frozen=True, gc=False):
    """``key`` is a bearer key as sent; ``signed``: a SigV4 signature is to be verified.

    Where both are there, both have to stand for the same principal.
    """

    key: str | None = None
    signed: bool = False


def presented(headers: Headers, prefix: str) -> Presented:
    """Find the client's credential. SDKs may send two headers with the same key; two different keys are refused.

    ``prefix`` is the gateway's key prefix: a foreign token or signature beside a gateway key is ignored (and stripped
    later). Raises Unauthenticated where there is none, or more than one gateway key.
    """
    carrying = [header for header in headers if header[0] in _CARRIERS]
    if len(carrying) == 1 and (only := _key(*carrying[0])) is not None:
        return Presented(only)  # as nearly every client does
    candidates = [key for header in carrying if (key := _key(*header)) is not None]
    ours = {candidate for candidate in candidates if candidate.startswith(prefix)}
    if len(ours) > 1:
        raise Unauthenticated("two different gateway keys were presented: send one")
    if ours:
        return Presented(key=ours.pop(), signed=any(_OUR_PAIR in value for _, value in carrying))
    if any(name == _AUTHORIZATION and value.startswith(_SIGV4) for name, value in carrying):
        return Presented(signed=True)
    if candidates:
        return Presented(key=candidates[0])
    raise Unauthenticated(f"no credential was presented: {_CURE}")


def _key(name: bytes, value: bytes) -> str | None:
    """The key in a header that may carry one; None where it is an Authorization of another scheme."""
    if name == _AUTHORIZATION:
        if value[:7].lower() != b"bearer ":
            return None
        value = value[7:]
    return value.decode("latin-1").strip(" \t")
