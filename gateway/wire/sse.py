"""Server-sent events on bytes: a decoder for meters, and a splitter for the filter that drops one event.

Both cut behind blank lines (LF, CR or CRLF, mixed too), whatever the chunks, each byte being searched once.
To read a further field of an event, add it to ``SseEvent`` and to ``_read``.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
import orjson

EVENT_BYTES_MAX: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# Two line ends in a row; the possessive ``?+`` keeps a CRLF together.
_BLANK_LINE: Final = re.compile(rb"\n(?:\n|\r\n?+)|\r(?:\n(?:\n|\r\n?+)|\r\n?+)")
_OVERLAP: Final = 3  # so much of a blank line can be in already, that is: CR LF CR


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its data lines joined with LF, and its name (b"" where it has none)."""

    data: bytes
    event: bytes = b""


def error_event(members: Mapping[str, object]) -> bytes:
    """The event ``error`` as several protocols have it: an object of type error, with these members."""
    return b"event: error\ndata: %b\n\n" % orjson.dumps({"type": "error", **members})


class RawSseSplitter:
    """Cuts a stream into raw events with their terminators; nothing is lost, added or changed.

    An event that outgrows ``event_bytes_max`` comes in pieces as its bytes arrive, so memory is bounded;
    ``overflowed`` counts those, ``oversized`` says that one is under way.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.overflowed = 0
        self.oversized = False
        self._event_bytes_max = event_bytes_max
        self._tail = bytearray()
        self._searched = 0
        self._carriage_returns = False  # seen any: until then a plain find is enough

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes; together with ``rest()`` all bytes, in order."""
        if not self.holds and self._is_one_event(chunk):
            return [chunk]
        self._carriage_returns = self._carriage_returns or b"\r" in chunk
        self._tail += chunk
        blocks: list[bytes] = []
        start = 0
        while (end := self._end_of_event()) >= 0:
            blocks.append(bytes(self._tail[start:end]))
            self.overflowed += end - start > self._event_bytes_max and not self.oversized
            self.oversized = False
            self._searched = start = end
        del self._tail[:start]
        self._searched = max(0, len(self._tail) - _OVERLAP)
        self._let_go(blocks)
        return blocks

    @property
    def holds(self) -> bool:
        """Whether an event is under way."""
        return self.oversized or bool(self._tail)

    def rest(self) -> bytes:
        """The bytes behind the last whole event; the splitter is empty afterwards."""
        rest = bytes(self._tail)
        self._tail.clear()
        self._searched = 0
        return rest

    def _is_one_event(self, chunk: bytes) -> bool:
        """The common case, told without copying: one event, LF only."""
        return (
            chunk.find(b"\n\n") == len(chunk) - 2 >= 0
            and b"\r" not in chunk
            and len(chunk) <= self._event_bytes_max
        )

    def _end_of_event(self) -> int:
        if not self._carriage_returns:
            found = self._tail.find(b"\n\n", self._searched)
            return found + 2 if found >= 0 else -1
        blank = _BLANK_LINE.search(self._tail, self._searched)
        # A CR at the very end may be half of a CRLF: the next chunk tells.
        if blank is None or (blank.end() == len(self._tail) and self._tail[-1:] == b"\r"):
            return -1
        return blank.end()

    def _let_go(self, blocks: list[bytes]) -> None:
        """Hand on what is held of an event too large, but for what may be half a blank line."""
        if not self.oversized and len(self._tail) <= self._event_bytes_max:
            return
        self.overflowed += not self.oversized
        self.oversized = True
        if len(self._tail) > _OVERLAP:
            blocks.append(bytes(self._tail[:-_OVERLAP]))
            del self._tail[:-_OVERLAP]
        self._searched = 0


class SseDecoder:
    """The events of a stream as they complete; comments, ids and empty events are left out.

    An event beyond ``event_bytes_max`` (an image) is passed over in constant memory and counted.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._splitter = RawSseSplitter(event_bytes_max)
        self._idle = True  # nothing of an event is held
        self._started = False
        self.overflowed = 0  # how many events were passed over for their size

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes; never raises."""
        if self._idle and chunk[:6] == b"data: " and self._is_one_line(chunk):
            self._started = True
            return [SseEvent(chunk[6:-2])]
        if (
            self._idle
            and chunk[-2:] == b"\n\n"
            and b"\r" not in chunk
            and len(chunk) <= self._event_bytes_max
        ):
            return self._read_all(chunk.split(b"\n\n"))
        oversized = self._splitter.oversized
        blocks = self._splitter.feed(chunk)
        self.overflowed = self._splitter.overflowed
        # Pieces of an event too large stand first (it ends here) and last (it goes on).
        pieces = [oversized and bool(blocks), self._splitter.oversized]
        whole = blocks[pieces[0] : len(blocks) - 1 if pieces[1] else len(blocks)]
        self._idle = not self._splitter.holds
        return self._read_all([block for block in whole if len(block) <= self._event_bytes_max])

    def _is_one_line(self, chunk: bytes) -> bool:
        """The common case, told without cutting: one event of one data line."""
        return (
            chunk.find(b"\n") == len(chunk) - 2
            and chunk[-1:] == b"\n"
            and b"\r" not in chunk
            and len(chunk) <= self._event_bytes_max
        )

    def finish(self) -> list[SseEvent]:
        """What the end of the stream completes: a last event without its blank line counts."""
        oversized = self._splitter.oversized
        rest = self._splitter.rest()
        self._idle = True
        return [] if oversized else self._read_all([rest])

    def _read_all(self, blocks: list[bytes]) -> list[SseEvent]:
        if not self._started and blocks:
            self._started = True
            blocks[0] = blocks[0].removeprefix(_BOM)
        return [event for block in blocks if (event := _read(block)) is not None]


def _read(block: bytes) -> SseEvent | None:
    """The event of a raw block, or None where no line of it is data."""
    text = block.rstrip(b"\r\n")
    if not text:
        return None
    if text[:6] == b"data: " and b"\n" not in text and b"\r" not in text:
        return SseEvent(text[6:])
    data: list[bytes] = []
    event = b""
    for line in text.replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return SseEvent(b"\n".join(data), event) if data else None
