"""tiktoken's own count of prompts and answers; the only importer of tiktoken, which never reaches the network here.

To add an encoding: its file beside the others in ``vocabulary/``, its pattern and digest in ``_ENCODINGS``,
its published pattern in the law that both cut alike.
"""

import sys
import zlib
from base64 import b64decode
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec
import tiktoken

from gateway.metering.estimate import estimated_tokens, weighted
from gateway.metering.families import CL100K, O200K, Family, family_of, plain_name
from gateway.metering.formula import formula_tokens, written_overhead
from gateway.metering.prompt import Image, Observed, Prompt, ToolCall, Turn
from gateway.metering.ratio import Ratios
from gateway.metering.tally import CountMemory, Encoder, Tally

__all__ = [
    "VOCABULARY_NAMES",
    "Confidence",
    "Count",
    "Counter",
    "Ratios",
    "Vocabulary",
    "VocabularyDamaged",
]

GZIP: Final = 16  # zlib's flag for gzip framing
VOCABULARY_BYTES_MAX: Final = 8 * 1024 * 1024  # unpacked; the larger file holds 3.6 MB


class VocabularyDamaged(Exception):
    """A vocabulary file is not the published one; nothing can be counted with it."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"vocabulary {name} is damaged: expected sha256 {expected}, found {found}; "
            "reinstall the weighbridge package, which ships it"
        )
        self.name = name
        self.expected = expected
        self.found = found


class Confidence(StrEnum):
    """How far a count may be trusted."""

    EXACT = "exact"
    FORMULA = "formula"
    ESTIMATE = "estimate"


_EXACT, _FORMULA, _ESTIMATE = Confidence.EXACT, Confidence.FORMULA, Confidence.ESTIMATE


class Count(msgspec.Struct, frozen=True, gc=False):
    """Tokens, and how they are known."""

    tokens: int
    confidence: Confidence


class _Encoding(msgspec.Struct, frozen=True):
    """What the published encoding consists of, beside its file (tiktoken, MIT: see vocabulary/NOTICE).

    plain   the pattern's branches before its only look-ahead, as one group
    blanks  the look-ahead and what follows it

    The published pattern has no such group. It changes no cut, but lets the regular expressions' engine try the
    branches in one pass; for the same reason quantifiers that could give nothing back anyway are not possessive.
    """

    digest: str
    plain: str
    blanks: str
    special: dict[str, int]


_ENCODINGS: Final = {
    O200K: _Encoding(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        # one branch a line: words (2), numbers, signs, ends of lines
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
        r"|\s*[\r\n]+",
        r"\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
    CL100K: _Encoding(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]",
        r"\s+(?!\S)|\s",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
}
VOCABULARY_NAMES: Final = tuple(_ENCODINGS)


class Vocabulary:
    """The encodings, ready to use. Loading takes about half a second and 120 MB: once, before any fork."""

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        self.encoders = dict(encoders)

    @classmethod
    def from_bytes(cls, files: Mapping[str, bytes]) -> "Vocabulary":
        """Build from the gzipped files, by encoding name (VOCABULARY_NAMES, all of them).

        Raises VocabularyDamaged where one is missing or its content is not the published one.
        """
        contents = {name: _content(name, files.get(name, b"")) for name in VOCABULARY_NAMES}
        return cls({name: _encoder(name, content) for name, content in contents.items()})


def _content(name: str, gzipped: bytes) -> bytes:
    """The unpacked file, checked against the published digest."""
    expected = _ENCODINGS[name].digest
    if not gzipped:
        raise VocabularyDamaged(name, expected, "no file")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | GZIP)
    try:
        content = unpacker.decompress(gzipped, VOCABULARY_BYTES_MAX)
    except zlib.error as error:
        raise VocabularyDamaged(name, expected, f"no gzip file ({error})") from error
    found = sha256(content).hexdigest()
    if found != expected:
        raise VocabularyDamaged(name, expected, found)
    return content


def _encoder(name: str, content: bytes) -> Encoder:
    lines = (line.split() for line in content.splitlines())
    published = _ENCODINGS[name]
    return tiktoken.Encoding(
        name,
        pat_str=f"(?:{published.plain})|{published.blanks}",
        mergeable_ranks={b64decode(token): int(rank) for token, rank in lines},
        special_tokens=published.special,
    )


class Counter:
    """Counts prompts and answers for any model. One instance serves all threads; nothing here blocks or waits."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._encoders = vocabulary.encoders
        self._memories = {name: CountMemory() for name in vocabulary.encoders}

    def input(self, prompt: Prompt, model: str, fresh_max: int = sys.maxsize) -> Count:
        """Prompt tokens of a request to ``model`` (wire or canonical name).

        Raises NotAtOnce where more than ``fresh_max`` characters would have to be encoded, that are not remembered.
        """
        family = family_of(model)
        tally = self._tally(family, fresh_max)
        if prompt.shape in ("embeddings", "plain"):
            tokens = sum(weighted(turn.text, family, tally) for turn in prompt.turns)
            return Count(tokens + prompt.token_ids, _confidence(prompt, family, tally))
        count = formula_tokens if family.formula else estimated_tokens
        tokens = count(prompt, plain_name(model), family, tally)
        return Count(tokens + prompt.token_ids, _confidence(prompt, family, tally))

    def output(self, observed: Observed, model: str) -> Count:
        """Output tokens of what a model was seen to write; 0 where it wrote nothing."""
        family = family_of(model)
        tally = self._tally(family)
        tokens = weighted(observed.text, family, tally)
        if observed.reasoning:
            tokens += weighted(observed.reasoning, family, tally)
        for call in observed.tool_calls:
            tokens += weighted(_call_text(call), family, tally)
        tokens += written_overhead(observed, family)
        hidden = family.reasoning or observed.reasoning or observed.clipped or tally.guessed
        if hidden or not (family.formula and family.proven):
            return Count(tokens, _ESTIMATE)
        return Count(tokens, _FORMULA)

    def text(self, text: str, model: str) -> Count:
        """Tokens of a bare text."""
        return self.input(Prompt("plain", (Turn("", text),)), model)

    def _tally(self, family: Family, fresh_max: int = sys.maxsize) -> Tally:
        return Tally(self._encoders[family.encoding], self._memories[family.encoding], fresh_max)


def _call_text(call: ToolCall) -> str:
    return f"{call.name}{call.arguments}"


def _confidence(prompt: Prompt, family: Family, tally: Tally) -> Confidence:
    if not (family.formula and family.proven) or tally.guessed:
        return _ESTIMATE
    confidence = _FORMULA if prompt.functions or prompt.schema else _EXACT
    for turn in prompt.turns:
        if turn.opaque or (turn.images and not all(map(_is_sized, turn.images))):
            return _ESTIMATE
        if turn.images or turn.tool_calls or turn.legacy_call:
            confidence = _FORMULA
    return confidence


def _is_sized(image: Image) -> bool:
    return bool(image.width and image.height) or image.detail == "low"
