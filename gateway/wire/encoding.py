"""Content codings of answers: what the meter reads while the client gets the bytes as they came.

A coding that is not understood makes the meter blind, never the client. To add one (br, zstd), name it in
``_WINDOWS`` or give ``Decoded`` a decompressor with zlib's interface for it.
"""

import zlib
from typing import Final

DECODED_BYTES_MAX: Final = (
    64 * 1024 * 1024
)  # what a meter can use; a small answer beyond it is a bomb
_GZIP: Final = 16 + zlib.MAX_WBITS
_WINDOWS: Final = {b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": zlib.MAX_WBITS}
_IDENTITY: Final = frozenset({b"", b"identity"})
_ZLIB_HEADER_BYTES: Final = 2


STEP_BYTES_MAX: Final = 1024 * 1024  # yielded by one call: some milliseconds of inflating
WAITING_BYTES_MAX: Final = 4 * 1024 * 1024  # compressed, while earlier ones still inflate
# Given to zlib at once: it hands back a copy of what it does not use, and a member may have 20 bytes.
SLICE_BYTES: Final = 16 * 1024


class Decoded:
    """Decodes one body incrementally; never raises. One call yields at most ``STEP_BYTES_MAX``.

    blind      nothing (more) can be read: an unknown coding, or output beyond ``decoded_bytes_max``
    broken     the compressed bytes are damaged; what was decoded before stands
    is_behind  more of what was fed is still to come: by the next ``feed``, or by ``more``
    """

    def __init__(self, content_encoding: bytes, decoded_bytes_max: int = DECODED_BYTES_MAX) -> None:
        self.broken = False
        coding = content_encoding.strip(b" \t").lower()
        self._identity = coding in _IDENTITY
        self._window = _WINDOWS.get(coding, 0)
        self.blind = not self._identity and not self._window
        self._left_bytes = decoded_bytes_max
        self._inflater = zlib.decompressobj(self._window or zlib.MAX_WBITS)
        self._header = b""  # of a deflate body, until it tells zlib from raw
        self._ended = False
        self._waiting = bytearray()
        self._is_full = False

    def feed(self, chunk: bytes) -> bytes:
        """The next decoded bytes; b"" once blind, broken or at the body's end."""
        if self._identity:
            return chunk
        if self._window != _GZIP and len(self._header) < _ZLIB_HEADER_BYTES:
            chunk = self._recognised(chunk)
        if len(self._waiting) + len(chunk) > WAITING_BYTES_MAX + STEP_BYTES_MAX:
            self.blind = True
        self._waiting += chunk
        return self.more()

    def more(self) -> bytes:
        """The next decoded bytes of what was fed already."""
        pieces: list[bytes] = []
        room = STEP_BYTES_MAX
        while room and self.is_behind:
            pieces.append(self._inflate(min(room, self._left_bytes + 1)))
            room -= len(pieces[-1])
        if self.blind:
            self._waiting.clear()
        return b"".join(pieces)

    @property
    def flags(self) -> tuple[str, ...]:
        """What kept a meter from reading it, as words for the row."""
        return ("blind",) * self.blind + ("coding_broken",) * self.broken

    @property
    def is_behind(self) -> bool:
        """See the class."""
        over = self.blind or self.broken or self._ended
        return not over and (self._is_full or bool(self._waiting))

    def _recognised(self, chunk: bytes) -> bytes:
        """Some servers send raw deflate under the name of zlib's format: its first two bytes tell."""
        start = self._header + chunk
        self._header = start[:_ZLIB_HEADER_BYTES]
        if len(self._header) < _ZLIB_HEADER_BYTES:
            return b""
        is_zlib = self._header[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(self._header) % 31
        if not is_zlib:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return start

    def _inflate(self, bytes_max: int) -> bytes:
        """Decode up to the end of a gzip member, or up to ``bytes_max``."""
        chunk = bytes(self._waiting[:SLICE_BYTES])
        if self._inflater.eof:  # a further member; whatever else stands there is padding
            self._ended = self._window != _GZIP or not chunk.startswith(b"\x1f")
            self._inflater = zlib.decompressobj(self._window)
        piece = b""
        try:
            if not self._ended:
                piece = self._inflater.decompress(chunk, bytes_max)
        except zlib.error:
            self.broken = True
        if self._ended or self.broken:
            self._waiting.clear()
            return b""
        # What zlib has still to hand out it may have read already.
        self._is_full = len(piece) == bytes_max and not self._inflater.eof
        unused = self._inflater.unconsumed_tail or self._inflater.unused_data
        del self._waiting[: len(chunk) - len(unused)]
        kept = piece[: self._left_bytes]
        self.blind = len(piece) > len(kept)
        self._left_bytes -= len(kept)
        return kept
