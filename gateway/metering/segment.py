"""Safe segmentation: text cut into pieces the tokenizer survives, and samples of text too long to count.

The tokenizer works piece by piece along its pattern, so a cut where the pattern always cuts costs nothing.
To allow another kind of cut: add a pattern to ``_SEAMS``, and a case to the law that segments add up to the whole.
"""

import re
from collections.abc import Iterator
from typing import Final

SEGMENT_CHARS_MAX: Final = 64 * 1024  # a longer run of blanks overflows the tokenizer's own stack
SEAM_CHARS_MAX: Final = 4 * 1024  # how far back a seam is looked for; without one the cut is hard
SAMPLES: Final = 32
SAMPLE_CHARS: Final = 2048
SAMPLED_CHARS: Final = SAMPLES * SAMPLE_CHARS

# Both patterns start a new piece at a blank between two non-blanks, and after a newline that a word follows.
_SEAMS: Final = (re.compile(r"(?<=\S)(?= \S)"), re.compile(r"(?<=\n)(?=\w)"))


def segments(text: str) -> Iterator[str]:
    """The text in order, in pieces of at most SEGMENT_CHARS_MAX characters, cut at seams where there are any."""
    start = 0
    while len(text) - start > SEGMENT_CHARS_MAX:
        end = _seam(text, start + SEGMENT_CHARS_MAX)
        yield text[start:end]
        start = end
    yield text[start:]


def samples(text: str) -> Iterator[str]:
    """SAMPLES pieces of SAMPLE_CHARS characters, evenly spread from the first character to the last.

    The text must hold more than SAMPLED_CHARS characters.
    """
    last = len(text) - SAMPLE_CHARS
    for index in range(SAMPLES):
        start = last * index // (SAMPLES - 1)
        yield text[start : start + SAMPLE_CHARS]


def _seam(text: str, limit: int) -> int:
    """The last seam in the SEAM_CHARS_MAX characters before ``limit``, or ``limit`` itself."""
    floor = limit - SEAM_CHARS_MAX
    for pattern in _SEAMS:
        # The window keeps one character after ``limit``, so that the look-ahead sees what follows the blank.
        seams = [match.start() for match in pattern.finditer(text, floor, limit + 1)]
        if seams:
            return seams[-1]
    return limit
