"""The values that cross the wire's rooms: an inbound request, a response head.

msgspec structs rather than dataclasses: they are made once per request and cost a tenth to build.
"""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import msgspec

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = tuple[Header, ...]

_UNREAD: Final = object()


_Fact = TypeVar("_Fact")


class Facts:
    """What a head says, read once for all the requests it comes with: they differ in Content-Length and body.

    To have something else remembered, ask ``of`` with a function of the headers that does not look at the length.
    """

    __slots__ = ("_found", "_headers")

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._found: dict[Callable[[Headers], object], object] = {}

    def of(self, read: Callable[[Headers], _Fact]) -> _Fact:
        """What ``read`` makes of the headers. Raises what it raises."""
        found = self._found.get(read, _UNREAD)
        if found is _UNREAD:
            found = self._found[read] = read(self._headers)
        return found  # type: ignore[return-value]  # it is what this very function returned


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A whole client request. ``raw_path`` and ``query`` are the bytes as sent; header names are lower case.

    ``facts``: those of its head, where that came before.
    """

    method: bytes
    raw_path: bytes
    query: bytes
    headers: Headers
    body: bytes
    facts: Facts | None = None

    def told(self, read: Callable[[Headers], _Fact]) -> _Fact:
        """What a function makes of its headers, which must not depend on their Content-Length."""
        return read(self.headers) if self.facts is None else self.facts.of(read)


class Head(msgspec.Struct, frozen=True, gc=False):
    """Status line and headers of a response, before its body. Header names keep the sender's spelling."""

    status: int
    headers: Headers
