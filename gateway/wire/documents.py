"""An answer's body as the JSON documents it carries, whatever the framing: body, array, SSE, event-stream.

A meter asks for ``documents(head)`` and never looks at bytes. To add a framing: a class with ``feed`` and
``finish`` that yields Documents, and its content type in ``documents``.
"""

import binascii
import json
from typing import Final, Protocol

import msgspec

from gateway.wire.eventstream import EventStreamDecoder, Message
from gateway.wire.headers import first
from gateway.wire.jsondoc import (
    BODY_BYTES_MAX,
    ArrayItems,
    BoundedBody,
    Json,
    MalformedJson,
    parse,
    string,
)
from gateway.wire.messages import Head
from gateway.wire.sse import SseDecoder, SseEvent

DOCUMENT_BYTES_MAX: Final = BODY_BYTES_MAX  # an image and the usage may share one event
_DONE: Final = b"[DONE]"
_JSON: Final = b"application/json"  # told at once: nearly every answer that is no stream says so


class Document(msgspec.Struct, frozen=True):
    """One JSON object of an answer. ``event``: its SSE or event-stream type; ``intact``: its CRC was right."""

    value: dict[str, Json]
    event: str = ""
    intact: bool = True


class Seen(msgspec.Struct):
    """What the framing itself had to say.

    whole    the framing has an end of its own and it was reached (a JSON body, a closed array)
    blind    something could not be read: bad JSON, an oversized element, a broken frame
    clipped  the body outgrew the bound: only its last ``salvaged`` objects were read
    bad_crc  a frame's checksum was wrong
    failed   an exception frame came after the head
    """

    whole: bool = False
    blind: bool = False
    clipped: bool = False
    bad_crc: bool = False
    failed: bool = False


class Documents(Protocol):
    """Bytes in, documents out; never raises, and the result does not depend on how the bytes were cut."""

    seen: Seen

    def feed(self, chunk: bytes) -> list[Document]:
        """The documents that this chunk completes."""
        ...

    def finish(self) -> list[Document]:
        """What the end of the body completes."""
        ...


def documents(
    head: Head,
    salvaged: tuple[str, ...] = ("usage",),
    document_bytes_max: int = DOCUMENT_BYTES_MAX,
) -> Documents:
    """The documents of a response with that head.

    ``salvaged`` names the objects worth finding in a body or an SSE event beyond its bound; each becomes a
    member of one last document, wherever in the body or event it stood.
    """
    label = first(head.headers, b"content-type")
    if label is None or label == _JSON:
        return _Unframed(salvaged, document_bytes_max)
    kind = label.split(b";", 1)[0].strip().lower()
    if kind == b"text/event-stream":
        return _Unframed(salvaged, document_bytes_max, events=True)
    if kind == b"application/vnd.amazon.eventstream":
        return _Frames()
    return _Unframed(salvaged, document_bytes_max)


def _decode(raw: bytes, seen: Seen, event: str = "", *, intact: bool = True) -> list[Document]:
    """One document, or none where the bytes are no object."""
    value = _value(raw, seen)
    return [] if value is None else [Document(value, event, intact)]


def _value(raw: bytes, seen: Seen) -> dict[str, Json] | None:
    """The object that the bytes are; None where they are none."""
    try:
        value = parse(raw)
    except MalformedJson:
        value = _lenient(raw, seen)
    return value if isinstance(value, dict) else None


def _lenient(raw: bytes, seen: Seen) -> Json:
    """A second try for what strict parsers refuse and some providers send: lone surrogates, NaN."""
    try:
        value: Json = json.loads(raw)
    except (ValueError, RecursionError):
        seen.blind = True
        return None
    return value


class _Sse:
    """``text/event-stream``: one document per event; the [DONE] marker is the framing's own end.

    An event beyond the bound (an image) is passed over in constant memory; usage stands at its end, so the
    tail of what follows is kept and searched.
    """

    def __init__(self, salvaged: tuple[str, ...], event_bytes_max: int) -> None:
        self.seen = Seen()
        self._salvaged = salvaged
        self._decoder = SseDecoder(event_bytes_max)
        self._tail = BoundedBody(0)

    def feed(self, chunk: bytes) -> list[Document]:
        found = self._documents(self._decoder.feed(chunk))
        if self._decoder.overflowed:
            self._tail.feed(chunk)
        return found

    def finish(self) -> list[Document]:
        found = self._documents(self._decoder.finish())
        if not self._decoder.overflowed:
            return found
        self.seen.clipped = True
        return found + _salvage(self._tail, self._salvaged, self.seen)

    def _documents(self, events: list[SseEvent]) -> list[Document]:
        found: list[Document] = []
        for event in events:
            data = event.data
            if data[:6] == _DONE:
                self.seen.whole = True
            elif data and (value := _value(data, self.seen)) is not None:
                name = event.event.decode("latin-1") if event.event else ""
                found.append(Document(value, name))
        return found


class _Frames:
    """``application/vnd.amazon.eventstream``: one document per frame, ``chunk`` frames unwrapped.

    A frame with a wrong checksum is still read, and marked, unless it is no JSON.
    """

    def __init__(self) -> None:
        self.seen = Seen()
        self._decoder = EventStreamDecoder()

    def feed(self, chunk: bytes) -> list[Document]:
        found = [
            document
            for message in self._decoder.feed(chunk)
            for document in self._documents(message)
        ]
        self.seen.blind = self.seen.blind or self._decoder.broken
        return found

    def finish(self) -> list[Document]:
        return []

    def _documents(self, message: Message) -> list[Document]:
        if not message.crc_ok:
            self.seen.bad_crc = True
        if message.message_type in ("exception", "error"):
            self.seen.failed = True
            return []
        event = message.event_type or ""
        found = _decode(message.payload, self.seen, event, intact=message.crc_ok)
        wrapped = string(found[0].value, "bytes") if event == "chunk" and found else None
        return found if wrapped is None else self._unwrapped(wrapped, intact=message.crc_ok)

    def _unwrapped(self, wrapped: str, *, intact: bool) -> list[Document]:
        try:
            raw = binascii.a2b_base64(wrapped)
        except (binascii.Error, ValueError):
            self.seen.blind = True
            return []
        return _decode(raw, self.seen, "chunk", intact=intact)


class Lines:
    """One object per line: the text frames of a WebSocket, kept as lines. Not found by a head: ask for it."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> list[Document]:
        self._tail += chunk
        if b"\n" not in chunk:
            self._bound()
            return []
        *lines, rest = bytes(self._tail).split(b"\n")
        self._tail[:] = rest
        self._bound()
        return self._documents(lines)

    def finish(self) -> list[Document]:
        rest = bytes(self._tail)
        self._tail.clear()
        return self._documents([rest])

    def _documents(self, lines: list[bytes]) -> list[Document]:
        return [
            document
            for line in lines
            if line and not line.isspace()
            for document in _decode(line, self.seen)
        ]

    def _bound(self) -> None:
        if len(self._tail) > DOCUMENT_BYTES_MAX:
            self.seen.blind = True
            self._tail.clear()


class _Array:
    """A streamed JSON array: one document per element."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._items = ArrayItems(DOCUMENT_BYTES_MAX)

    def feed(self, chunk: bytes) -> list[Document]:
        found = [
            document for item in self._items.feed(chunk) for document in _decode(item, self.seen)
        ]
        self.seen.whole = self._items.done
        self.seen.blind = self.seen.blind or self._items.broken
        return found

    def finish(self) -> list[Document]:
        return []


class _Body:
    """One JSON document, known when the body has ended."""

    def __init__(self, salvaged: tuple[str, ...], body_bytes_max: int) -> None:
        self.seen = Seen()
        self._body = BoundedBody(body_bytes_max)
        self._salvaged = salvaged

    def feed(self, chunk: bytes) -> list[Document]:
        self._body.feed(chunk)
        return []

    def finish(self) -> list[Document]:
        raw = self._body.whole()
        if raw is None:
            self.seen.clipped = True
            return _salvage(self._body, self._salvaged, self.seen)
        found = _decode(raw, self.seen)
        self.seen.whole = bool(found)
        return found


def _salvage(body: BoundedBody, names: tuple[str, ...], seen: Seen) -> list[Document]:
    """The last objects of those names that head and tail of a body hold, as one document."""
    value: dict[str, Json] = {}
    for name in names:
        raw = body.find_object(name.encode())
        for document in _decode(raw, seen) if raw else ():
            value[name] = document.value
    return [Document(value)] if value else []


class _Unframed:
    """The first byte tells whether the body is an array, an object or events, whatever the label says.

    ``events``: labelled as events, which what is neither array nor object is then taken for.
    """

    def __init__(
        self, salvaged: tuple[str, ...], document_bytes_max: int, *, events: bool = False
    ) -> None:
        self.seen = Seen()
        self._events = events
        self._salvaged = salvaged
        self._document_bytes_max = document_bytes_max
        self._found: Documents | None = None

    def feed(self, chunk: bytes) -> list[Document]:
        if self._found is None:
            chunk = chunk.lstrip()
            if not chunk:
                return []
            self._found = self._framing(chunk[:1])
            self.seen = self._found.seen
        return self._found.feed(chunk)

    def finish(self) -> list[Document]:
        return [] if self._found is None else self._found.finish()

    def _framing(self, beginning: bytes) -> Documents:
        if beginning == b"[":
            return _Array()
        # data, event, id, retry, a comment
        if beginning in b"deir:" or (self._events and beginning != b"{"):
            return _Sse(self._salvaged, self._document_bytes_max)
        return _Body(self._salvaged, self._document_bytes_max)
