"""The size of an inline image, read from its own header: PNG, JPEG, GIF, WebP. Nothing is decoded or fetched.

To add a format: one reader in ``_READERS``, keyed by the bytes it begins with.
"""

import binascii
from collections.abc import Callable
from typing import Final

HEAD_CHARS: Final = 64  # enough of the base64 text for every format but JPEG
JPEG_CHARS_MAX: Final = (
    256 * 1024
)  # its size stands behind any embedded thumbnail and colour profile
_JPEG_MARKER: Final = 0xFF
_JPEG_SIZED: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length

Pixels = tuple[int, int]


def pixels_of(base64_text: str) -> Pixels | None:
    """Width and height in pixels of a base64-encoded image; None where its header does not tell."""
    head = _decoded(base64_text, HEAD_CHARS)
    for beginning, reader in _READERS:
        if head.startswith(beginning):
            return _plausible(reader(head, base64_text))
    return None


def pixels_of_data_url(url: str) -> Pixels | None:
    """The same for ``data:image/png;base64,…``; None for any other URL."""
    if not url.startswith("data:"):
        return None
    kind, comma, content = url.partition(",")
    return pixels_of(content) if comma and kind.endswith(";base64") else None


def _decoded(base64_text: str, chars_max: int) -> bytes:
    part = base64_text[: chars_max - chars_max % 4]
    try:
        return binascii.a2b_base64(part[: len(part) - len(part) % 4])
    except (binascii.Error, ValueError):
        return b""


def _plausible(pixels: Pixels) -> Pixels | None:
    return pixels if pixels[0] > 0 and pixels[1] > 0 else None


def _png(head: bytes, _: str) -> Pixels:
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(head: bytes, _: str) -> Pixels:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _webp(head: bytes, _: str) -> Pixels:
    kind = head[8:16]
    if kind == b"WEBPVP8X":
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    if kind == b"WEBPVP8L":
        packed = int.from_bytes(head[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        return (
            int.from_bytes(head[26:28], "little") & 0x3FFF,
            int.from_bytes(head[28:30], "little") & 0x3FFF,
        )
    return 0, 0


def _jpeg(_: bytes, base64_text: str) -> Pixels:
    """Walk the segments up to the frame header."""
    raw = _decoded(base64_text, JPEG_CHARS_MAX)
    place = 2
    while place + 9 <= len(raw) and raw[place] == _JPEG_MARKER:
        marker = raw[place + 1]
        if marker in _JPEG_SIZED:
            height = int.from_bytes(raw[place + 5 : place + 7], "big")
            return int.from_bytes(raw[place + 7 : place + 9], "big"), height
        if marker == _JPEG_MARKER:
            place += 1
        elif marker in _JPEG_BARE:
            place += 2
        else:
            place += 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    return 0, 0


_READERS: Final[tuple[tuple[bytes, Callable[[bytes, str], Pixels]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
)
