"""Header lists: look-up, the credential headers we take away, the hop-by-hop ones nobody forwards."""

from collections.abc import Iterable
from typing import Final

from gateway.kernel.remembered import remembered, whole
from gateway.wire.messages import Header, Headers

# Every header that can carry a credential of the client's; an SDK may send two at once.
CREDENTIALS: Final = frozenset(
    {
        b"authorization",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"proxy-authorization",
        b"cookie",
    }
)

# RFC 9110 section 7.6.1, plus what describes this hop's framing.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_NONE_NAMED: Final[frozenset[bytes]] = frozenset()


def first(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The first value of a header, or None. ``name`` is lower case; spelling in the list is free."""
    size = len(name)
    for key, value in headers:
        if len(key) == size and (key == name or key.lower() == name):
            return value
    return None


def content_type(headers: Headers) -> bytes:
    """What the body is said to be; b"" where nothing is."""
    return first(headers, b"content-type") or b""


def asks_for_websocket(headers: Headers) -> bool:
    """Whether a WebSocket is to be made of the connection."""
    upgrade = first(headers, b"upgrade")
    return upgrade is not None and b"websocket" in upgrade.lower()


def text(headers: Iterable[Header], name: bytes) -> str | None:
    """The first value of a header as text (latin-1), or None."""
    value = first(headers, name)
    return None if value is None else value.decode("latin-1")


def every(headers: Iterable[Header], name: bytes) -> list[str]:
    """All values of a header as text, also those of one line: who reads it may take the first or the last."""
    said = [value for key, value in headers if key.lower() == name]
    return [each.strip().decode("latin-1") for each in b",".join(said).split(b",")] if said else []


def named_by_connection(headers: Iterable[Header]) -> frozenset[bytes]:
    """The lower-case names a Connection header declares as hop-by-hop."""
    size = len(b"connection")
    said = [value for key, value in headers if len(key) == size and key.lower() == b"connection"]
    return _tokens(b",".join(said)) if said else _NONE_NAMED


@remembered(whole, entries_max=64, entry_bytes_max=4 * 1024)
def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip(b" \t").lower() for token in value.split(b","))


def united(names: frozenset[bytes], others: frozenset[bytes]) -> frozenset[bytes]:
    """Both sets of names as one; the first itself where it holds the second, as it does for nearly every message."""
    return names if others <= names else names | others


def without(headers: Iterable[Header], names: frozenset[bytes]) -> Headers:
    """The list without the named headers; order, spelling and repeats of the rest are kept."""
    return tuple([header for header in headers if header[0].lower() not in names])


# What a client may say to the gateway or its proxies, but not to a provider under our credential: other
# credentials, other payers, other hosts, and what we state ourselves.
_NOT_FORWARDED: Final = (
    CREDENTIALS
    | HOP_BY_HOP
    | frozenset(
        {
            b"accept-encoding", b"content-length", b"expect", b"forwarded", b"host", b"ocp-apim-subscription-key",
            b"via", b"x-goog-iam-authorization-token", b"x-goog-user-project", b"x-real-ip",
            # A free GET that a front door takes for a POST is no free call.
            b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-rewrite-url",
            # Another model than the one that was named to us, and held for.
            b"x-ms-model-mesh-model-name", b"azureml-model-deployment", b"azureml-model-group",
        }
    )
)  # fmt: skip
_ATTEMPT_DIGITS_MAX: Final = 5
_NOT_FORWARDED_PREFIXES: Final = (
    b"x-amz-",
    b"amz-sdk-",
    b"x-forwarded-",
    b"x-weighbridge-",
    b"x-original-",
)


def forwardable(headers: Headers) -> Headers:
    """The request headers that go upstream: all but credentials, hop-by-hop and what names payer or host."""
    listed = united(_NOT_FORWARDED, named_by_connection(headers))
    return tuple(
        [
            header
            for header in headers
            if header[0] not in listed and not header[0].startswith(_NOT_FORWARDED_PREFIXES)
        ]
    )


def client_attempt(headers: Headers) -> tuple[str | None, int | None]:
    """The SDK's own call id and attempt number (1 = first), to tell its retries from new calls."""
    call_id = attempt = None
    for name, value in headers:
        if name == b"amz-sdk-invocation-id":
            call_id = value[:64].decode("latin-1")
        elif name == b"amz-sdk-request":
            # 'attempt=1', and from the first retry on 'ttl=…; attempt=2; max=3'.
            attempt = _number(value.partition(b"attempt=")[2].split(b";", 1)[0])
        elif name == b"x-stainless-retry-count":
            retries = _number(value)
            attempt = None if retries is None else retries + 1
    return call_id, attempt


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _ATTEMPT_DIGITS_MAX else None
