"""The law of the grouped splitting patterns: they cut every text where the published ones cut it."""

import pytest
import tiktoken
from hypothesis import given, settings, strategies as st

from gateway.metering.count import VOCABULARY_NAMES, Vocabulary
from gateway.metering.tally import Encoder

# As published by tiktoken (MIT): openai_public.py, o200k_base and cl100k_base.
PUBLISHED = {
    "o200k_base": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s"
    ),
}
SPECIAL_FROM = {"o200k_base": 199_998, "cl100k_base": 100_256}  # ids below are ordinary tokens
# What the branches of both patterns tell apart, and what sits between them: marks, modifiers, odd blanks.
ALPHABET = " \t\n\r\u00a0\u2003\u200b'sStTrReEvVlLdDmMaZ09٣/-_.,é漢字ǅʰ\u0301🙂\ufeff\0"

Pair = tuple[Encoder, Encoder]


@pytest.fixture(scope="module", params=VOCABULARY_NAMES)
def pair(request: pytest.FixtureRequest, loaded_vocabulary: Vocabulary) -> Pair:
    """An encoding as it is used, and the same with the published pattern."""
    used = loaded_vocabulary.encoders[request.param]
    assert isinstance(used, tiktoken.Encoding)
    ordinary = range(SPECIAL_FROM[request.param])
    ranks = {used.decode_single_token_bytes(token): token for token in ordinary}
    pattern = PUBLISHED[request.param]
    published = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return used, published


@settings(max_examples=800, deadline=None)
@given(text=st.text(ALPHABET, max_size=40) | st.text(max_size=40))
def test_every_text_is_cut_as_the_published_pattern_cuts_it(pair: Pair, text: str) -> None:
    used, published = pair
    assert used.encode_ordinary(text) == published.encode_ordinary(text)


@pytest.mark.parametrize(
    "text",
    [
        "it's WE'LL don'T 'S'LL's",
        "12345678 1 234  5",
        "a  b   c \n  \n\n d\r\n\r e \t\n",
        "trailing   ",
        "   \n   ",
        " \u2003\u00a0x \u00a0",
        "// --- ===\n\n{}[]!!\r\n/path/to//",
        "ǅungla ʰé é 漢字かな 한국어 ไทย हिन्दी",
    ],
)
def test_words_numbers_signs_and_blanks_are_cut_alike(pair: Pair, text: str) -> None:
    used, published = pair
    for cut in range(len(text) + 1):
        assert used.encode_ordinary(text[:cut]) == published.encode_ordinary(text[:cut])
