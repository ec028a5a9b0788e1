"""A stream without certain events: every other byte passes as it came.

To withhold another kind of event: two predicates, one on the raw bytes (cheap, may say yes too often), one on
the decoded event (exact).
"""

from collections.abc import Callable
from typing import Final

from gateway.wire.jsondoc import Json, MalformedJson, parse
from gateway.wire.sse import RawSseSplitter, SseDecoder

HELD_BYTES_MAX: Final = 64 * 1024  # an event larger than this is none of ours: it passes in pieces


class WithheldEvents:
    """Takes out the SSE events both predicates agree on; comment lines inside them stay.

    Holds back the unfinished event, at most HELD_BYTES_MAX of it.
    """

    def __init__(
        self, suspect: Callable[[bytes], bool], unwanted: Callable[[dict[str, Json]], bool]
    ) -> None:
        self._suspect = suspect
        self._unwanted = unwanted
        self._splitter = RawSseSplitter(HELD_BYTES_MAX)

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on."""
        goes_on = self._splitter.oversized
        events = self._splitter.feed(chunk)
        if not any(map(self._suspect, events)):
            return events[0] if len(events) == 1 else b"".join(events)
        # The pieces of an event too large are no events: the first belongs to one that began earlier.
        last = len(events) - 1 if self._splitter.oversized else len(events)
        return b"".join(
            self._kept(event) if place >= goes_on and place < last else event
            for place, event in enumerate(events)
        )

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        goes_on = self._splitter.oversized
        rest = self._splitter.rest()
        return rest if goes_on else self._kept(rest)

    def _kept(self, event: bytes) -> bytes:
        if not self._suspect(event) or not self._is_unwanted(event):
            return event
        return b"".join(line for line in event.splitlines(keepends=True) if line.startswith(b":"))

    def _is_unwanted(self, event: bytes) -> bool:
        decoder = SseDecoder(HELD_BYTES_MAX)
        for found in (*decoder.feed(event), *decoder.finish()):
            try:
                document = parse(found.data)
            except MalformedJson:
                return False
            return isinstance(document, dict) and self._unwanted(document)
        return False
