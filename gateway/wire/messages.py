"""The values that cross the wire's rooms: an inbound request, a response head.

msgspec structs rather than dataclasses: they are made once per request and cost a tenth to build.
"""

from typing import TypeAlias

import msgspec

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = tuple[Header, ...]


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A whole client request. ``raw_path`` and ``query`` are the bytes as sent; header names are lower case."""

    method: bytes
    raw_path: bytes
    query: bytes
    headers: Headers
    body: bytes


class Head(msgspec.Struct, frozen=True, gc=False):
    """Status line and headers of a response, before its body. Header names keep the sender's spelling."""

    status: int
    headers: Headers
