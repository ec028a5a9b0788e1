"""The one place where httpx's errors become ours.

To map another: a line in ``_OURS``; the most specific class of an error's ancestry decides.
"""

from types import TracebackType
from typing import Final

import httpx

from gateway.kernel.errors import (
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)

# UpstreamUnreachable promises that nothing was sent: the caller may void, or try elsewhere.
_OURS: Final[dict[type[BaseException], type[UpstreamFailed]]] = {
    httpx.ConnectError: UpstreamUnreachable,
    httpx.ConnectTimeout: UpstreamUnreachable,
    httpx.PoolTimeout: UpstreamUnreachable,
    httpx.UnsupportedProtocol: UpstreamUnreachable,
    httpx.TimeoutException: UpstreamTimeout,
    httpx.RemoteProtocolError: UpstreamMalformed,
    httpx.TransportError: UpstreamFailed,
}


class Wall:
    """A context manager: what httpx raises inside leaves as the kernel's error, with its cause."""

    __slots__ = ("_name",)

    def __init__(self, upstream_name: str) -> None:
        self._name = upstream_name

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, httpx.TransportError):
            raise self.ours(error) from error

    def ours(self, error: httpx.TransportError) -> UpstreamFailed:
        """The kernel's error, to be raised from httpx's."""
        kind = next(_OURS[parent] for parent in type(error).__mro__ if parent in _OURS)
        return kind(f"upstream {self._name!r}: {error}")
