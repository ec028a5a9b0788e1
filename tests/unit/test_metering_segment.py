"""Segments and samples: the law that a text cut at seams counts as the whole."""

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.count import Vocabulary
from gateway.metering.segment import (
    SAMPLE_CHARS,
    SAMPLED_CHARS,
    SAMPLES,
    SEAM_CHARS_MAX,
    SEGMENT_CHARS_MAX,
    samples,
    segments,
)

WORDS = ("weigh", "bridge", "Größe", "重量", "42", "--", "it's", "…", "x=1;", "café", "/path/to")
GLUE = (" ", " ", " ", "\n", "  ", ", ", ".\n", "\n\n", "\t", " \n ")


def composed(seeds: list[int], chars: int) -> str:
    """A text of at least that many characters, different for every list of seeds."""
    parts: list[str] = []
    size, state = 0, 1
    while size < chars:
        for seed in seeds:
            state = (state * 6364136223846793005 + seed + 1442695040888963407) % 2**64
            part = WORDS[(state >> 33) % len(WORDS)] + GLUE[(state >> 40) % len(GLUE)]
            parts.append(part)
            size += len(part)
    return "".join(parts)


@settings(max_examples=8, deadline=None)
@given(seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=5))
def test_the_segments_of_a_text_count_as_the_whole(
    loaded_vocabulary: Vocabulary, seeds: list[int]
) -> None:
    text = composed(seeds, 3 * SEGMENT_CHARS_MAX)
    for encoder in loaded_vocabulary.encoders.values():
        whole = len(encoder.encode_ordinary(text))
        pieces = sum(len(encoder.encode_ordinary(piece)) for piece in segments(text))
        assert abs(pieces - whole) * 1_000_000 <= 2 * whole


@given(
    seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=3),
    chars=st.integers(0, 4 * SEGMENT_CHARS_MAX),
)
@settings(max_examples=40, deadline=None)
def test_segments_lose_nothing_and_fit(seeds: list[int], chars: int) -> None:
    text = composed(seeds, chars)[:chars]
    pieces = list(segments(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= SEGMENT_CHARS_MAX for piece in pieces)
    assert all(pieces) or not text


def test_a_text_that_fits_is_one_segment() -> None:
    for size in (0, 1, SEGMENT_CHARS_MAX):
        assert list(segments(" " * size)) == [" " * size]


@pytest.mark.parametrize("run", ["a", " ", "\n", "你"])
def test_a_run_without_a_seam_is_cut_hard(run: str) -> None:
    sizes = [len(piece) for piece in segments(run * (SEGMENT_CHARS_MAX * 2 + 5))]
    assert sizes == [SEGMENT_CHARS_MAX, SEGMENT_CHARS_MAX, 5]


def test_a_cut_falls_before_a_single_blank_or_after_a_newline() -> None:
    words = list(segments("word " * SEGMENT_CHARS_MAX))
    assert all(piece.startswith(" word") for piece in words[1:])
    lines = list(segments("line\n" * SEGMENT_CHARS_MAX))
    assert all(piece.startswith("line") for piece in lines)


def test_the_last_blank_within_the_bound_is_the_seam() -> None:
    text = "a" * (SEGMENT_CHARS_MAX - 1) + " b c" + "d" * SEGMENT_CHARS_MAX
    assert len(next(segments(text))) == SEGMENT_CHARS_MAX - 1
    text = "a" * SEGMENT_CHARS_MAX + " b"
    assert [len(piece) for piece in segments(text)] == [SEGMENT_CHARS_MAX, 2]


def test_samples_reach_from_the_first_character_to_the_last() -> None:
    text = "".join(f"{index:07d}" for index in range(20_000))
    pieces = list(samples(text))
    assert len(pieces) == SAMPLES
    assert all(len(piece) == SAMPLE_CHARS for piece in pieces)
    assert text.startswith(pieces[0])
    assert text.endswith(pieces[-1])
    starts = [text.index(piece) for piece in pieces]
    assert all(later > earlier for earlier, later in pairwise(starts))


def test_the_bounds_are_those_the_tokenizer_was_measured_with() -> None:
    assert (SEGMENT_CHARS_MAX, SEAM_CHARS_MAX) == (65_536, 4_096)
    assert (SAMPLES, SAMPLE_CHARS, SAMPLED_CHARS) == (32, 2_048, 65_536)


@pytest.mark.parametrize("back", [1, 2, SEAM_CHARS_MAX - 1, SEAM_CHARS_MAX])
@pytest.mark.parametrize("seam", ["a b", "\nb"])
def test_a_seam_is_looked_for_so_far_back_and_no_further(back: int, seam: str) -> None:
    before = SEGMENT_CHARS_MAX - back
    lead = seam[:1]  # what stands before the cut
    text = "-" * (before - 1) + lead + seam[1:] + "-" * SEGMENT_CHARS_MAX
    assert len(next(segments(text))) == before
    further = "-" * (before - back - SEAM_CHARS_MAX) + lead + seam[1:] + "-" * 2 * SEGMENT_CHARS_MAX
    assert len(next(segments(further))) == SEGMENT_CHARS_MAX


def test_a_line_may_begin_right_behind_the_bound() -> None:
    text = "-" * (SEGMENT_CHARS_MAX - 1) + "\nword"
    assert [len(piece) for piece in segments(text)] == [SEGMENT_CHARS_MAX, 4]
    beyond = "-" * SEGMENT_CHARS_MAX + "\nword"
    assert [len(piece) for piece in segments(beyond)] == [SEGMENT_CHARS_MAX, 5]
    early = "-" * (SEGMENT_CHARS_MAX - 10) + "\nw" + "-" * 7 + "\n-"
    assert [len(piece) for piece in segments(early)] == [SEGMENT_CHARS_MAX - 9, 10]


def test_the_last_of_several_seams_is_taken_and_a_blank_before_a_newline() -> None:
    tail = "-" * 100
    text = "-" * (SEGMENT_CHARS_MAX - 60) + "a b" + "-" * 9 + "c d" + "-" * 9 + "\ne" + tail
    assert len(next(segments(text))) == SEGMENT_CHARS_MAX - 60 + 1 + 12


def test_samples_are_spread_evenly() -> None:
    text = "".join(f"{index:07d}" for index in range(20_000))
    starts = [text.index(piece) for piece in samples(text)]
    last = len(text) - 2_048
    assert starts == [last * nth // 31 for nth in range(32)]
    shortest = "".join(f"{index:07d}" for index in range(10_000))[:65_537]
    assert [len(piece) for piece in samples(shortest)] == [2_048] * 32
