"""A running stream whose hold grows with it, and which ends in its own protocol's way when a budget runs out.

Only where every budget that the answer's length counts on says ``stop`` and the client set no ceiling: then a
step is held at first instead of the model's maximum. What has been sent always ends behind a whole event, so
that the protocol's own end can follow at any moment. To make another framing stoppable: ``Growth.cut``.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.dialects.contract import Dialect
from gateway.exchange.counting import Counting
from gateway.exchange.holding import Held
from gateway.metering.meter import Filter, Meter, can_glance
from gateway.wire.eventstream import FrameSplitter, encode
from gateway.wire.headers import first
from gateway.wire.messages import Head
from gateway.wire.sse import RawSseSplitter

STEP_TOKENS: Final = (
    2_048  # held beyond what was written; what a stop may let through at most is less
)
LOOK_BYTES: Final = 1_024  # of a stream, between two looks at what it has written
UNKNOWN_TOKENS: Final = 1 << 40
STOPPED_WORDS: Final = (
    "a hard budget has run out while this answer was being written: it ends here; ask the owner of the budget "
    "for a raise, or set an output ceiling (max tokens) of your own"
)


class _Events:
    """Server-sent events, held back until they are whole."""

    def __init__(self, inner: Filter | None) -> None:
        self._inner = inner
        self._splitter = RawSseSplitter()

    def feed(self, chunk: bytes) -> bytes:
        passed = chunk if self._inner is None else self._inner.feed(chunk)
        return b"".join(self._splitter.feed(passed))

    def flush(self) -> bytes:
        late = b"" if self._inner is None else self._inner.flush()
        return b"".join(self._splitter.feed(late)) + self._splitter.rest()


class _Frames:
    """Event-stream frames, held back until they are whole."""

    def __init__(self) -> None:
        self._splitter = FrameSplitter()

    def feed(self, chunk: bytes) -> bytes:
        return self._splitter.feed(chunk)

    def flush(self) -> bytes:
        return self._splitter.rest()


class Growth:
    """The growing hold of one stream.

    held    what is held now
    ending  the protocol's own end; None where it has none: the client then sees the stream break
    """

    def __init__(
        self,
        held: Held,
        grow: Callable[[Held, int], Awaitable[Held | None]],
        written: Callable[[], int],
        *,
        tokens: int,
        most: int,
    ) -> None:
        """``written``: tokens so far; ``grow``: hold for so many in all, None where there is no room."""
        self.held = held
        self.ending: bytes | None = None
        self.is_stopped = False
        self._grow = grow
        self._written = written
        self._tokens = tokens
        self._most = most
        self._unseen_bytes = 0

    def cut(self, head: Head, inner: Filter | None, dialect: Dialect | None) -> Filter | None:
        """What an answer with that head has to pass, in place of ``inner``, so that it can end anywhere."""
        if dialect is None or first(head.headers, b"content-encoding") not in (None, b"identity"):
            return inner
        kind = (first(head.headers, b"content-type") or b"").split(b";", 1)[0].strip().lower()
        if kind == b"application/vnd.amazon.eventstream" and inner is None:
            self.ending = exception()
            return _Frames()
        if kind == b"text/event-stream" and dialect.sse_end is not None:
            self.ending = dialect.sse_end(STOPPED_WORDS)
            return _Events(inner)
        return inner

    async def step(self, size: int) -> bool:
        """After every chunk, with its size: whether the stream may go on."""
        self._unseen_bytes += size
        if self._unseen_bytes < LOOK_BYTES or self._tokens >= self._most:
            return True
        self._unseen_bytes = 0
        wanted = self._written() + STEP_TOKENS // 2
        if wanted <= self._tokens:
            return True
        target = min(self._most, wanted + STEP_TOKENS // 2)
        held = await self._grow(self.held, target)
        if held is None:
            self.is_stopped = True
            return False
        self.held, self._tokens = held, target
        return True


def written_by(meter: Meter, counting: Counting) -> int:
    """How many tokens a stream has written, by length; of what cannot be looked into in the middle: too many."""
    if not can_glance(meter):
        return UNKNOWN_TOKENS
    return counting.roughly(meter.glance().observed).tokens


def exception() -> bytes:
    """The event-stream frame that ends a stream whose budget ran out."""
    named = {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(named, b'{"message":"%b"}' % STOPPED_WORDS.encode())
