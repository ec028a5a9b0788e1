"""Refusals of the scripted clouds, each in its provider's own shape."""

from typing import Any, Final

import orjson

from gateway.commands.demo.scripted import JSON, Answer

_AWS_CODES: Final = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_GOOGLE_STATUSES: Final = {
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def refusal(path: str, status: int) -> Answer:
    """A refusal in the shape of whichever API the path belongs to, with its hint to try again soon."""
    message = f"scripted refusal {status}"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"retry-after-ms", b"30"),)
    if path.startswith(("/model/", "/guardrail/")):
        body: Any = {"message": message}
        code = _AWS_CODES[status].encode() + b":http://internal.amazon.com/coral/"
        headers = ((b"x-amzn-ErrorType", code), (b"x-amz-retry-after", b"30"))
    elif "anthropic" in path:
        body = {"type": "error", "error": {"type": "scripted_error", "message": message}}
    elif "/google/" in path or ":generate" in path or ":stream" in path:
        word = _GOOGLE_STATUSES[status]
        body = {"error": {"code": status, "message": message, "status": word}}
    else:
        body = {"error": {"message": message, "type": "scripted", "code": str(status)}}
    return Answer(JSON, (orjson.dumps(body),), status=status, headers=headers)


def unknown_parameter() -> Answer:
    """What an old api-version says of ``stream_options``."""
    error = {
        "message": "Unrecognized request argument supplied: stream_options",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_parameter",
    }
    body = orjson.dumps({"error": error})
    return Answer(JSON, (body,), status=400)
