"""Error bodies in the four shapes SDKs parse, so that each raises its own typed exception.

Shapes and the headers that stop an SDK's retries: OpenAI and Anthropic obey ``x-should-retry``; the AWS SDKs
read the code from ``x-amzn-errortype`` and wait by ``x-amz-retry-after``; Google's read ``error.status``.
To add a shape: one function ``(error, request_id) -> Rendered`` and its row in ``SHAPES``.
"""

from collections.abc import Callable
from typing import Final

import orjson

from gateway.kernel.errors import (
    BudgetSpent,
    GatewayError,
    NotYetBooked,
    Throttled,
    TooManyRequests,
    Unavailable,
)
from gateway.wire.messages import Header, Headers

Rendered = tuple[int, Headers, bytes]

_JSON: Final = (b"content-type", b"application/json")
_NO_RETRY: Final = (b"x-should-retry", b"false")
_PASSING: Final = (
    TooManyRequests,
    Unavailable,
    NotYetBooked,
)  # over in a while: these say when to come back
# Longer waits make some SDKs sleep for minutes (anthropic obeys any value) and others give up (openai > 120 s).
_OURS: Final = 500  # from here on the fault is not the client's, and trying again may help
RETRY_AFTER_MS_MAX: Final = 60_000

_OPENAI_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# AWS has no 401: a client that is not known is denied access.
_AWS_CODES: Final = {
    400: (400, "ValidationException"),
    401: (403, "AccessDeniedException"),
    403: (403, "AccessDeniedException"),
    404: (404, "ResourceNotFoundException"),
    409: (409, "ConflictException"),
    413: (400, "ValidationException"),
    415: (400, "ValidationException"),
    429: (429, "ThrottlingException"),
    503: (503, "ServiceUnavailableException"),
    504: (408, "ModelTimeoutException"),
}
_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def openai(error: GatewayError, request_id: str) -> Rendered:
    """``{"error": {message, type, code, param}}``; a spent budget is ``insufficient_quota``, never retried."""
    spent = isinstance(error, BudgetSpent)
    kind = "insufficient_quota" if spent else _OPENAI_TYPES.get(error.status, "server_error")
    detail = {
        "message": error.message,
        "type": kind,
        "code": "insufficient_quota" if spent else error.code,
        "param": None,
        **_detailed(error),
    }
    body = orjson.dumps({"error": detail})
    return error.status, (_JSON, (b"x-request-id", request_id.encode()), *_stainless(error)), body


def anthropic(error: GatewayError, request_id: str) -> Rendered:
    """``{"type": "error", "error": {type, message}, "request_id"}``."""
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
    detail = {"type": kind, "message": error.message, **_detailed(error)}
    body = orjson.dumps({"type": "error", "error": detail, "request_id": request_id})
    return error.status, (_JSON, (b"request-id", request_id.encode()), *_stainless(error)), body


def aws(error: GatewayError, request_id: str) -> Rendered:
    """``x-amzn-errortype: Code`` with ``{"message"}``; a spent budget is the one 4xx boto3 never retries."""
    status, code = _AWS_CODES.get(error.status, (500, "InternalServerException"))
    if isinstance(error, BudgetSpent):
        status, code = 400, "ServiceQuotaExceededException"
    headers: list[Header] = [
        _JSON,
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amzn-errortype", code.encode()),
        *_stainless(error),
    ]
    if isinstance(error, TooManyRequests):
        headers.append((b"x-amz-retry-after", b"%d" % _wait_ms(error)))
    return status, tuple(headers), orjson.dumps({"message": error.message, **_detailed(error)})


def google(error: GatewayError, request_id: str) -> Rendered:
    """``{"error": {code, message, status, details}}`` with RetryInfo where waiting helps."""
    reason: dict[str, object] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code.upper(),
        "domain": "weighbridge",
        "metadata": {"request_id": request_id, **_texts(error)},
    }
    details: list[dict[str, object]] = [reason]
    headers: list[Header] = [(b"content-type", b"application/json; charset=UTF-8")]
    if isinstance(error, _PASSING):
        wait_ms = _wait_ms(error)
        delay = f"{wait_ms // 1000}.{wait_ms % 1000:03d}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
        headers.append((b"retry-after", _seconds(wait_ms)))
    status = _GOOGLE_STATUSES.get(error.status, "INTERNAL")
    body = {"code": error.status, "message": error.message, "status": status, "details": details}
    return error.status, tuple(headers), orjson.dumps({"error": body})


def _detailed(error: GatewayError) -> dict[str, object]:
    """The figures of a refusal under a member of our own, which every SDK passes on untouched."""
    return {} if error.details is None else {"weighbridge": error.details}


def _texts(error: GatewayError) -> dict[str, str]:
    """The same for Google, whose ErrorInfo holds texts only."""
    return {name: str(value) for name, value in (error.details or {}).items() if value is not None}


def _stainless(error: GatewayError) -> Headers:
    """Retry hints of the SDKs generated by Stainless (openai, anthropic)."""
    if isinstance(error, _PASSING):
        wait_ms = _wait_ms(error)
        return ((b"retry-after", _seconds(wait_ms)), (b"retry-after-ms", b"%d" % wait_ms))
    if isinstance(error, Throttled) or error.status < _OURS:
        return (_NO_RETRY,)
    return ()


def _wait_ms(error: GatewayError) -> int:
    return min(error.retry_after_ms or 1000, RETRY_AFTER_MS_MAX)


def _seconds(wait_ms: int) -> bytes:
    return b"%d" % max(1, -(-wait_ms // 1000))


SHAPES: Final[dict[str, Callable[[GatewayError, str], Rendered]]] = {
    "openai": openai,
    "anthropic": anthropic,
    "aws": aws,
    "goog": google,
}
