"""Content codings: the meter's view of a compressed body, for every cut, with a bound on its size."""

import gzip
import json
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gateway.wire.encoding import (
    DECODED_BYTES_MAX,
    STEP_BYTES_MAX,
    WAITING_BYTES_MAX,
    Decoded,
)

GZIPPED = Path(__file__).parents[1] / "transcripts" / "azure" / "chat-gzip.response"
CUTS = st.lists(st.integers(0, 10_000), max_size=8)


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-GZip ": gzip.compress,
    b"deflate": zlib.compress,
}


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(ends)]


def decode(coding: bytes, chunks: list[bytes], bytes_max: int = 1 << 20) -> tuple[bytes, Decoded]:
    decoded = Decoded(coding, bytes_max)
    return b"".join(decoded.feed(chunk) for chunk in chunks), decoded


@given(st.binary(max_size=300), st.sampled_from(sorted(CODINGS)), CUTS)
def test_a_body_decodes_to_itself_however_it_is_cut(
    body: bytes, coding: bytes, places: list[int]
) -> None:
    raw = CODINGS[coding](body)
    for chunks in (cut(raw, places), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        found, decoded = decode(coding, chunks)
        assert (found, decoded.broken, decoded.blind) == (body, False, False)


@given(st.binary(min_size=1, max_size=300), CUTS)
def test_raw_deflate_under_the_name_of_zlib_is_read(body: bytes, places: list[int]) -> None:
    assert decode(b"deflate", cut(raw_deflate(body), places))[0] == body


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), CUTS, st.binary(max_size=3))
def test_gzip_members_follow_each_other(
    bodies: list[bytes], places: list[int], padding: bytes
) -> None:
    raw = b"".join(map(gzip.compress, bodies)) + b"\0" * len(padding)
    found, decoded = decode(b"gzip", cut(raw, places))
    assert found == b"".join(bodies)
    assert not decoded.broken


@pytest.mark.parametrize("coding", [b"", b"identity", b" Identity"])
def test_no_coding_passes_the_same_bytes(coding: bytes) -> None:
    chunk = b"abc"
    assert Decoded(coding).feed(chunk) is chunk


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br", b"compress", b"\xff"])
def test_an_unknown_coding_makes_blind(coding: bytes) -> None:
    found, decoded = decode(coding, [b"abc", gzip.compress(b"abc")])
    assert (found, decoded.blind, decoded.broken) == (b"", True, False)


@given(st.binary(max_size=60), st.sampled_from([b"gzip", b"deflate"]), CUTS)
def test_noise_never_raises(noise: bytes, coding: bytes, places: list[int]) -> None:
    whole, at_once = decode(coding, [noise])
    pieces, in_pieces = decode(coding, cut(noise, places))
    assert (pieces.startswith(whole), in_pieces.broken) == (True, at_once.broken)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 300), st.integers(1, 255))
def test_damage_keeps_what_was_decoded_before(body: bytes, place: int, flip: int) -> None:
    raw = bytearray(gzip.compress(body) + gzip.compress(b"behind"))
    first = len(raw) - len(gzip.compress(b"behind"))
    raw[first + place % 2] ^= flip  # the second member's magic number
    found, decoded = decode(b"gzip", [bytes(raw)])
    assert found == body
    assert not decoded.blind


@given(st.integers(0, 4_000), CUTS)
def test_output_beyond_the_bound_makes_blind_at_the_same_byte_for_every_cut(
    bound: int, places: list[int]
) -> None:
    body = bytes(range(250)) * 10
    raw = gzip.compress(body)
    found, decoded = decode(b"gzip", cut(raw, places), bound)
    assert found == body[:bound]
    assert decoded.blind == (bound < len(body))


def test_a_bomb_yields_no_more_than_its_bound() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    decoded = Decoded(b"gzip", 1_000_000)
    sizes = [len(decoded.feed(bomb[i : i + 1000])) for i in range(0, len(bomb), 1000)]
    assert sum(sizes) == 1_000_000
    assert decoded.blind


def test_the_recorded_gzip_answer_is_read() -> None:
    raw = GZIPPED.read_bytes()
    found, decoded = decode(b"gzip", [raw[i : i + 7] for i in range(0, len(raw), 7)])
    assert json.loads(found)["usage"]["total_tokens"] > 0
    assert not decoded.broken


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"raw"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 300])
def test_one_call_yields_at_most_a_step_and_nothing_is_lost(coding: bytes, extra: int) -> None:
    body = bytes(3 * STEP_BYTES_MAX + extra)
    packings = {**CODINGS, b"raw": raw_deflate}
    packed = packings[coding](body)
    decoded = Decoded(b"deflate" if coding == b"raw" else coding)
    pieces = [decoded.feed(packed)]
    while decoded.is_behind:
        pieces.append(decoded.more())
    assert max(map(len, pieces)) <= STEP_BYTES_MAX
    assert (b"".join(pieces), decoded.flags) == (body, ())


def test_a_bomb_does_not_heap_up_while_it_waits() -> None:
    bomb = gzip.compress(bytes(30_000_000))
    decoded = Decoded(b"gzip")
    fed = 0
    while not decoded.blind:
        decoded.feed(bomb)
        fed += len(bomb)
    assert fed < DECODED_BYTES_MAX
    assert decoded.more() == b""


@pytest.mark.parametrize("body", [b"", b"a"])
def test_a_body_of_tiny_members_is_read_in_time_that_grows_with_it_only(body: bytes) -> None:
    """zlib hands back a copy of all that is behind a member: 4 MiB of 20-byte ones took 8 s, and now 0.4."""
    member = gzip.compress(body, mtime=0)
    count = WAITING_BYTES_MAX // len(member)
    decoded = Decoded(b"gzip")
    began = time.thread_time()  # of this thread alone, whatever else the machine does
    assert decoded.feed(member * count) == body * count
    assert time.thread_time() - began < 3
    assert (decoded.flags, decoded.is_behind) == ((), False)
