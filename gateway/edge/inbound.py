"""ASGI messages → Inbound: the whole request, bounded, with the bytes of the path as they were sent.

To accept a compressed request, decode it here under its own bound; nothing is ever forwarded unread.
"""

from typing import Final

from starlette.types import Receive, Scope

from gateway.edge.grammar import Objection, target_status
from gateway.edge.heads import PLAIN_KEY
from gateway.edge.limits import KIB, MIB
from gateway.edge.presence import SCOPE_KEY, ClientGone
from gateway.kernel.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding
from gateway.wire.headers import first
from gateway.wire.messages import Headers, Inbound

# Everything a request says has to be inspected, and 32 MiB hold any prompt with its images.
BODY_BYTES_MAX: Final = 32 * MIB
# More than this is not read of a stranger; nearly every request is smaller, and is asked for its name once.
STRANGER_BYTES_MAX: Final = 256 * KIB


async def read_inbound(
    scope: Scope, receive: Receive, *, body_bytes_max: int = BODY_BYTES_MAX
) -> Inbound:
    """Read a request to its end.

    Raises PayloadTooLarge (before reading, where Content-Length says so), UnsupportedEncoding, and
    ClientGone where the client leaves while uploading. After a refusal the protocol itself reads on for
    a while, so that the client sees the answer: there is nothing to discard here. BadRequest for a target
    that two servers could read differently, where the protocol in use (HTTP/2) has not looked at it.
    """
    if SCOPE_KEY not in scope:
        _refuse_ambiguous(scope)
    headers: Headers = tuple(scope["headers"])
    if PLAIN_KEY not in scope:
        _refuse_unread(headers, body_bytes_max)
    return Inbound(
        method=scope["method"].encode("ascii"),
        raw_path=scope["raw_path"],
        query=scope["query_string"],
        headers=headers,
        body=await _read_body(receive, body_bytes_max),
        facts=scope.get(PLAIN_KEY),
    )


def expects_much(scope: Scope) -> bool:
    """Whether a body is still to come that is large, or of unknown size."""
    if PLAIN_KEY in scope:
        return False
    headers: Headers = scope["headers"]
    length = first(headers, b"content-length")
    if length is None:
        return first(headers, b"transfer-encoding") is not None
    return int(length) > STRANGER_BYTES_MAX


def _refuse_ambiguous(scope: Scope) -> None:
    """What grammar.py refuses of every request that came through the strict protocol."""
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    status = target_status(target)
    if isinstance(status, Objection):
        raise BadRequest(status.why)


def _refuse_unread(headers: Headers, body_bytes_max: int) -> None:
    """What the head alone decides."""
    coding = first(headers, b"content-encoding")
    if coding is not None and coding.lower() not in (b"", b"identity"):
        raise UnsupportedEncoding(
            "send the request body uncompressed: a compressed one is not read"
        )
    length = first(headers, b"content-length")
    if length is not None and int(length) > body_bytes_max:
        raise _too_large(body_bytes_max)


async def _read_body(receive: Receive, body_bytes_max: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > body_bytes_max:
            raise _too_large(body_bytes_max)
        return body  # nearly every request: one message, no copy
    parts: list[bytes] = []
    count = 0
    while message["type"] == "http.request":
        part: bytes = message.get("body", b"")
        parts.append(part)
        count += len(part)
        if count > body_bytes_max:
            raise _too_large(body_bytes_max)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise ClientGone


def _too_large(body_bytes_max: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the request body is over the limit of {body_bytes_max} bytes")
