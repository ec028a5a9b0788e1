"""Image sizes from headers: every format, and no header that breaks it."""

import struct
from base64 import b64encode

import pytest
from hypothesis import given, strategies as st

from gateway.wire.pixels import pixels_of, pixels_of_data_url

side = st.integers(1, 16_383)


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7\x00\x00"


def jpeg(width: int, height: int) -> bytes:
    """With a thumbnail segment before the frame, as cameras write it."""
    thumbnail = b"\xff\xe1" + struct.pack(">H", 20_002) + b"\xff\xc0" * 10_000
    frame = b"\xff\xc2" + struct.pack(">HBHH", 11, 8, height, width) + b"\x01"
    return b"\xff\xd8\xff\xd0" + thumbnail + b"\xff" + frame


def webp_lossy(width: int, height: int) -> bytes:
    return (
        b"RIFF____WEBPVP8 ____" + b"\x00" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)
    )


def webp_lossless(width: int, height: int) -> bytes:
    packed = (width - 1) | (height - 1) << 14
    return b"RIFF____WEBPVP8L____\x2f" + struct.pack("<I", packed)


def webp_extended(width: int, height: int) -> bytes:
    sides = b"".join((each - 1).to_bytes(3, "little") for each in (width, height))
    return b"RIFF____WEBPVP8X____\x10\x00\x00\x00" + sides


@pytest.mark.parametrize("image", [png, gif, jpeg, webp_lossy, webp_lossless, webp_extended])
@given(width=side, height=side)
def test_every_format_tells_its_size(image: object, width: int, height: int) -> None:
    assert callable(image)
    text = b64encode(image(width, height) + b"\x00" * 80).decode()
    assert pixels_of(text) == (width, height)
    assert pixels_of_data_url(f"data:image/x;base64,{text}") == (width, height)


@pytest.mark.parametrize(
    "url",
    [
        "https://pictures.example/a.png",
        "data:image/svg+xml,<svg/>",
        "data:image/png;base64",
        "data:,",
    ],
)
def test_no_other_url_is_looked_into(url: str) -> None:
    assert pixels_of_data_url(url) is None


@given(
    beginning=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF8", b"RIFF", b""]),
    rest=st.binary(max_size=64),
)
def test_no_header_breaks_it(beginning: bytes, rest: bytes) -> None:
    found = pixels_of(b64encode(beginning + rest).decode())
    assert found is None or min(found) > 0


@given(text=st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    assert pixels_of(text) is None
