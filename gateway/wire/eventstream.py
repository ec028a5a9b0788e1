"""The AWS event-stream framing (application/vnd.amazon.eventstream): a decoder that never raises, an encoder.

A frame is: total length, headers length, CRC-32 of those eight bytes, headers, payload, CRC-32 of all before
it; numbers big-endian. To read a further header type, add it to ``_FIXED`` or to ``_value``.
"""

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias
from zlib import crc32

import msgspec

MESSAGE_BYTES_MAX: Final = (
    24 * 1024 * 1024
)  # AWS sends at most 16 MiB of payload and 128 KiB of headers

HeaderValue: TypeAlias = str | bytes | int | bool

_PRELUDE: Final = struct.Struct(">III")
_PRELUDE_BYTES: Final = _PRELUDE.size
_CRC: Final = struct.Struct(">I")
_FRAME_BYTES_MIN: Final = _PRELUDE_BYTES + _CRC.size
_SHORT: Final = struct.Struct(">H")
_TRUE, _FALSE, _BINARY, _STRING, _UUID = 0, 1, 6, 7, 9
_UUID_BYTES: Final = 16
_UNTRUSTED: Final = -1
# Byte, short, integer, long, timestamp (milliseconds since the epoch): type → bytes.
_FIXED: Final = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One frame. ``crc_ok`` is False where its checksum is wrong: the payload may be damaged then."""

    headers: dict[str, HeaderValue]
    payload: bytes
    crc_ok: bool = True

    @property
    def message_type(self) -> str:
        """'event', 'exception' or 'error'; '' where the frame does not say."""
        return self._text(":message-type")

    @property
    def event_type(self) -> str:
        """Such as 'metadata' or 'chunk'; '' where it is no event."""
        return self._text(":event-type")

    @property
    def exception_type(self) -> str:
        """Such as 'throttlingException'; '' where it is none."""
        return self._text(":exception-type")

    def _text(self, name: str) -> str:
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamDecoder:
    """The frames of a stream as they complete, however the bytes are cut.

    A frame with a wrong checksum is stepped over by its length and still delivered. ``broken``: the lengths
    themselves cannot be trusted (wrong prelude checksum, absurd length), so nothing more can be read.
    """

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.broken = False
        self._message_bytes_max = message_bytes_max
        self._tail = bytearray()
        self._needed = _PRELUDE_BYTES

    @property
    def holds(self) -> bool:
        """Whether a frame is under way: at the end of a stream, it was cut."""
        return bool(self._tail)

    def feed(self, chunk: bytes) -> list[Message]:
        """The frames that this chunk completes; never raises."""
        if self.broken:
            return []
        self._tail += chunk
        if len(self._tail) < self._needed:
            return []
        frames = bytes(self._tail)
        messages: list[Message] = []
        start = 0
        while 0 < (total := self._total(frames, start)) <= len(frames) - start:
            messages.append(_message(frames[start : start + total]))
            start += total
        self.broken = total == _UNTRUSTED
        self._needed = total or _PRELUDE_BYTES
        del self._tail[: len(frames) if self.broken else start]
        return messages

    def _total(self, frames: bytes, start: int) -> int:
        """The length of the frame that begins at ``start``; 0 while unknown, or _UNTRUSTED."""
        if len(frames) - start < _PRELUDE_BYTES:
            return 0
        total, headers, crc = _PRELUDE.unpack_from(frames, start)
        lengths_end = start + _PRELUDE_BYTES - _CRC.size
        if crc32(frames[start:lengths_end]) != crc:
            return _UNTRUSTED
        fits = _FRAME_BYTES_MIN + headers <= total <= self._message_bytes_max
        return int(total) if fits else _UNTRUSTED


class FrameSplitter:
    """Cuts a stream behind its frames; nothing is lost, added or changed, and a frame under way is held back.

    Where a length cannot be trusted everything passes as it comes from then on.
    """

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._message_bytes_max = message_bytes_max
        self._tail = bytearray()
        self._is_lost = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes up to the end of the last frame that is whole."""
        self._tail += chunk
        end = 0
        while not self._is_lost and len(self._tail) - end >= _CRC.size:
            (total,) = _CRC.unpack_from(self._tail, end)
            self._is_lost = not _FRAME_BYTES_MIN <= total <= self._message_bytes_max
            if self._is_lost or len(self._tail) - end < total:
                break
            end += total
        if self._is_lost:
            end = len(self._tail)
        whole = bytes(self._tail[:end])
        del self._tail[:end]
        return whole

    def rest(self) -> bytes:
        """What is held back, at the end of the stream."""
        rest = bytes(self._tail)
        self._tail.clear()
        return rest


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame with string headers. Raises ValueError where a name or value does not fit its length."""
    named = b"".join(
        _encoded_header(name.encode(), value.encode()) for name, value in headers.items()
    )
    lengths = struct.pack(">II", _FRAME_BYTES_MIN + len(named) + len(payload), len(named))
    frame = b"".join((lengths, _CRC.pack(crc32(lengths)), named, payload))
    return frame + _CRC.pack(crc32(frame))


def _encoded_header(name: bytes, value: bytes) -> bytes:
    try:
        return b"".join(
            (struct.pack(">B", len(name)), name, bytes((_STRING,)), _SHORT.pack(len(value)), value)
        )
    except struct.error as error:
        raise ValueError("a header of an event-stream frame is too long") from error


def _message(frame: bytes) -> Message:
    headers_end = _PRELUDE_BYTES + _PRELUDE.unpack_from(frame)[1]
    (crc,) = _CRC.unpack(frame[-_CRC.size :])
    return Message(
        _headers(frame[_PRELUDE_BYTES:headers_end]),
        frame[headers_end : -_CRC.size],
        crc32(frame[: -_CRC.size]) == crc,
    )


def _headers(raw: bytes) -> dict[str, HeaderValue]:
    """The headers as far as they can be read: what follows an unknown type has no known place."""
    headers: dict[str, HeaderValue] = {}
    place = 0
    while place < len(raw):
        name_end = place + 1 + raw[place]
        read = _value(raw, name_end)
        if read is None:
            break
        headers[raw[place + 1 : name_end].decode("utf-8", "replace")], place = read
    return headers


def _value(raw: bytes, start: int) -> tuple[HeaderValue, int] | None:
    """The value whose type byte stands at ``start``, and where it ends; None where it cannot be read."""
    kind = raw[start] if start < len(raw) else -1
    value_start = start + 1
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, value_start
    if kind in (_BINARY, _STRING):
        value_start += _SHORT.size
        size = int.from_bytes(raw[start + 1 : value_start], "big")
    else:
        size = _UUID_BYTES if kind == _UUID else _FIXED.get(kind, -1)
    end = value_start + size
    if size < 0 or end > len(raw):
        return None
    return _decoded(kind, raw[value_start:end]), end


def _decoded(kind: int, value: bytes) -> HeaderValue:
    if kind == _STRING:
        return value.decode("utf-8", "replace")
    return int.from_bytes(value, "big", signed=True) if kind in _FIXED else value
