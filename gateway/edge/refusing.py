"""What the protocol itself says when it refuses: a short JSON body that names what is wrong.

In the words of the SDK that asked, where its mount is known. Nothing of the request stands in it, and the connection
ends with it. To give a refusal a better reason: an ``Objection`` where it is made, else ``_WHY``.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec
import orjson

from gateway.edge.grammar import NO_UPGRADE, Objection
from gateway.kernel.errors import BadRequest, GatewayError, OperationRefused, PayloadTooLarge
from gateway.kernel.ids import new_id
from gateway.providers import installed
from gateway.providers.contract import Provider
from gateway.wire.headers import asks_for_websocket
from gateway.wire.messages import Header, Headers, Inbound

_WHY: Final = {
    400: "the request is no valid HTTP: send it with an HTTP library, and let no proxy in between rewrite it",
    405: "only GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS pass",
    408: "the request did not arrive in time: send it at once",
    413: "the request body is too large: send less at once",
    414: "the URL is too long: send what it holds in the body",
    417: "of Expect only 100-continue passes: leave it out",
    431: "the request has too many header fields, or too large ones: send fewer",
    501: "the only transfer coding that passes is chunked: send a Content-Length",
    505: "only HTTP 1.0 and 1.1 are spoken here",
}
_TIMED_OUT: Final = 408
_TOO_LARGE: Final = 413
_JSON: Final[Header] = (b"content-type", b"application/json")
_WEBSOCKET: Final = (
    "WebSockets do not pass this gateway yet: use the HTTP form of the same call (openai: responses with stream=True; "
    "google-genai: generate_content_stream)"
)


Refused: TypeAlias = Callable[[str, str], None]
"""Told of each refusal: provider (or NOWHERE) and code, for a metric."""
NOWHERE: Final = "none"


def unheard(provider: str, code: str) -> None:
    """Nobody counts."""


class Asking(msgspec.Struct, frozen=True):
    """As much of a request as was read; ``target`` is b"" where that is not even its line."""

    method: bytes = b""
    target: bytes = b""
    headers: Headers = ()


def websocket_refusal(provider: Provider, inbound: Inbound) -> OperationRefused:
    """Why a WebSocket is refused: as the operation is without one, where it is, else because it is one."""
    try:
        provider.recognise(inbound)
    except OperationRefused as refusal:
        return refusal
    except GatewayError:
        pass
    return OperationRefused(_WEBSOCKET)


class Words:
    """The responses of the protocol itself."""

    def __init__(
        self, providers: Sequence[Provider] | None = None, refused: Refused = unheard
    ) -> None:
        """``providers``: those whose mounts have a voice of their own; None: the installed ones."""
        found = installed() if providers is None else providers
        self._refused = refused
        self._mounts = {provider.mount: provider for provider in found}

    def refusal(self, status: int, asking: Asking) -> bytes:
        """A whole response that ends its connection."""
        status, headers, body = self._said(status, asking)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        lines += [b"%b: %b" % header for header in headers]
        # A HEAD is told the same without a body: its client does not read one.
        body = b"" if asking.method == b"HEAD" else body
        lines += [b"connection: close", b"content-length: %d" % len(body), b"", body]
        return b"\r\n".join(lines)

    def _said(self, status: int, asking: Asking) -> tuple[int, Headers, bytes]:
        """Status, headers and body. The status stays the protocol's own, but for a WebSocket."""
        why = status.why if isinstance(status, Objection) else _WHY.get(status, _WHY[400])
        path, _, query = asking.target.partition(b"?")
        provider = self._mounts.get(b"/" + path[1:].split(b"/", 1)[0])
        is_websocket = status is NO_UPGRADE and asks_for_websocket(asking.headers)
        if provider is None or not is_websocket:
            # A status, since one code stands for several of them in the answers; hence never many.
            self._refused(NOWHERE if provider is None else provider.name, f"http_{int(status)}")
        if provider is None or status == _TIMED_OUT:
            body = orjson.dumps({"error": {"code": BadRequest.code, "message": why}})
            return status, (_JSON,), body
        inbound = Inbound(asking.method, path, query, asking.headers, b"")
        error: GatewayError = PayloadTooLarge(why) if status == _TOO_LARGE else BadRequest(why)
        if is_websocket:
            error = websocket_refusal(provider, inbound)
            self._refused(provider.name, error.code)
        said = provider.refuse(error, None, inbound, str(new_id()))
        return said.status if is_websocket else status, said.headers, said.body
