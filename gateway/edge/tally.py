"""What one request has cost in bytes, against its limits. Each check returns a status, 0 to go on.

To bound something new: a counter here, reset with the others, and its case in tests/edge/test_tally.py.
"""

from typing import Final

from gateway.edge.grammar import ACCEPTED
from gateway.edge.limits import Limits

# Per header field, what "name: value\r\n" adds to the name and the value.
_FIELD_OVERHEAD: Final = 4
# Reads in a row that bring framing but no content, in multiples of what trailers may cost.
_BARREN_FACTOR: Final = 2


class Tally:
    """The counters of one connection's current request; made once, reset for every request."""

    __slots__ = (
        "_barren",
        "_blank",
        "_body",
        "_counted",
        "_limits",
        "_spare",
        "_trailer",
        "_trailing",
        "_wire",
        "chunked",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Back to the state before a request's first byte."""
        self.chunked = False
        self._trailing = False
        self._blank = self._trailer = 0
        self._body = self._counted = self._wire = self._barren = self._spare = 0

    def blank(self, count: int) -> int:
        """CR and LF outside of a message."""
        self._blank += count
        return 400 if self._blank > self._limits.blank_bytes_max else ACCEPTED

    def head_read(self, count: int) -> int:
        """Raw bytes of a head that is not complete: bounds what the parser keeps of one field."""
        self._wire += count
        return 431 if self._wire > self._limits.head_bytes_max else ACCEPTED

    def head(self, text_bytes: int, fields: int) -> int:
        """A complete head, but for its request line: names and values together, and their number."""
        size = text_bytes + _FIELD_OVERHEAD * fields
        return 431 if size > self._limits.head_bytes_max else ACCEPTED

    def trailer(self, name: bytes, value: bytes) -> int:
        """One trailer field: it costs, and is dropped."""
        self._trailer += len(name) + len(value) + _FIELD_OVERHEAD
        return 431 if self._trailer > self._limits.trailer_bytes_max else ACCEPTED

    def chunk(self) -> None:
        """A chunk header: one without content is the last, and what follows it are trailers."""
        self._trailing = True

    def content(self, count: int) -> int:
        """Bytes of the body itself."""
        self._trailing = False
        self._body += count
        return 413 if self._body > self._limits.body_bytes_max else ACCEPTED

    def first_read(self, data: bytes) -> int:
        """The read in which the head ended: only what follows the blank line is the body's."""
        self._wire = 0
        return self.body_read(len(data) - max(data.find(b"\r\n\r\n"), 0))

    def body_read(self, count: int) -> int:
        """Raw bytes of a body: refuse one that is all framing, over the whole and at a stretch."""
        if not self.chunked:
            return ACCEPTED
        limits = self._limits
        self._wire += count
        self._barren = 0 if self._body != self._counted else self._barren + count
        self._counted = self._body
        allowed = limits.overhead_ratio_max * self._body + limits.overhead_free_bytes
        if self._wire > allowed or self._barren > _BARREN_FACTOR * limits.trailer_bytes_max:
            return 431 if self._trailing else 400
        return ACCEPTED

    def restart_spare(self) -> None:
        """Begin counting what is read and dropped."""
        self._spare = 0

    def spare(self, count: int, allowed: int) -> bool:
        """Bytes that are read only to be dropped; False beyond ``allowed``."""
        self._spare += count
        return self._spare <= allowed
