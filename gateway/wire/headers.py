"""Header lists: look-up, the credential headers we take away, the hop-by-hop ones nobody forwards."""

from collections.abc import Iterable
from typing import Final

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


def first(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The first value of a header, or None. ``name`` is lower case; spelling in the list is free."""
    for key, value in headers:
        if key == name or key.lower() == name:
            return value
    return None


def text(headers: Iterable[Header], name: bytes) -> str | None:
    """The first value of a header as text (latin-1), or None."""
    value = first(headers, name)
    return None if value is None else value.decode("latin-1")


def named_by_connection(headers: Iterable[Header]) -> frozenset[bytes]:
    """The lower-case names a Connection header declares as hop-by-hop."""
    return frozenset(
        token.strip(b" \t").lower()
        for key, value in headers
        if key.lower() == b"connection"
        for token in value.split(b",")
    )


def without(headers: Iterable[Header], names: frozenset[bytes]) -> Headers:
    """The list without the named headers; order, spelling and repeats of the rest are kept."""
    return tuple(header for header in headers if header[0].lower() not in names)
