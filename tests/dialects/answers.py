"""Answers made up for a test, in every framing, and a meter to read them with."""

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from gateway.dialects.contract import Dialect, Request
from gateway.metering.meter import Reading
from gateway.wire.eventstream import encode
from gateway.wire.messages import Head

JSON = "application/json"
SSE = "text/event-stream"
FRAMES = "application/vnd.amazon.eventstream"

# What a hostile or broken provider may put where a count belongs.
odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


def head(content_type: str = JSON, **headers: str) -> Head:
    """A 200 with that content type; header names are given with underscores."""
    named = {"content-type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Head(200, tuple((k.encode(), v.encode()) for k, v in named.items()))


def whole(document: object) -> bytes:
    return json.dumps(document).encode()


def events(*documents: dict[str, Any]) -> bytes:
    """Server-sent events, named by the document's type as Anthropic does."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(each.get("type", "")).encode(), whole(each))
        for each in documents
    )


def frame(event: str, document: object) -> bytes:
    return encode({":message-type": "event", ":event-type": event}, whole(document))


def chunk_frames(*documents: dict[str, Any]) -> bytes:
    """InvokeModel's frames: base64 JSON inside JSON."""
    return b"".join(
        frame("chunk", {"bytes": b64encode(whole(each)).decode(), "p": "abc"}) for each in documents
    )


def damaged(raw: bytes) -> bytes:
    """A frame whose checksum is wrong and whose content is not."""
    return raw[:-1] + bytes((raw[-1] ^ 0xFF,))


def exception_frame(kind: str) -> bytes:
    return encode({":message-type": "exception", ":exception-type": kind}, b'{"message":"no"}')


def read(
    dialect: Dialect,
    answer: bytes | Iterable[bytes],
    answer_head: Head | None = None,
    request: Request | None = None,
) -> Reading:
    """What a fresh meter makes of an answer, given whole or in chunks."""
    meter = dialect.meter(request or Request(), answer_head or head())
    for chunk in [answer] if isinstance(answer, bytes) else answer:
        meter.feed(chunk)
    return meter.read()


def counts(reading: Reading, role: str = "main") -> dict[str, int]:
    """Unit → count of the component with that role; {} where there is none."""
    return next((part.counts for part in reading.components if part.role == role), {})


def asked(dialect: Dialect, body: object) -> Request:
    return dialect.read_request(whole(body), JSON.encode())
