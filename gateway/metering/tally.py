"""Counting the texts of one request: bounded, remembered, and saying when it had to guess.

``CountMemory`` keeps the counts of long texts that come again (system prompts, history), never the texts.
To change a bound: change the constant and run ``tests/benchmarks/bench_tokens.py``.
"""

import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Protocol, TypeAlias

from gateway.metering.segment import SAMPLED_CHARS, samples, segments

EXACT_CHARS_MAX: Final = (
    2 * 1024 * 1024
)  # a request's characters beyond it are sampled: seconds, not minutes
REMEMBERED_CHARS_MIN: Final = 48  # below it encoding is nearly as quick as looking up
REMEMBERED_MAX: Final = 16_384  # about 3 MB of an encoding
DIGEST_BYTES: Final = 16
CHARS_PER_TOKEN: Final = 4
_TEXTS: Final = blake2b(digest_size=DIGEST_BYTES, person=b"text")  # copied, never fed
# Python's own hash of a text has a secret key, so that nobody can look for two texts with one; unless that was switched
# off. A text works its hash out once, and a digest takes four times as long.
_IS_HASH_SECRET: Final = bool(sys.flags.hash_randomization)

Key: TypeAlias = bytes | tuple[int, int]  # a digest; of a text its hash and length


class NotAtOnce(Exception):
    """More would have to be encoded than may be at once."""


class Encoder(Protocol):
    """What is used of an encoding."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Token ids; special tokens are text like any other."""
        ...


class CountMemory:
    """Key → tokens of long texts, at most REMEMBERED_MAX; the older half is forgotten at once.

    Safe between threads without a lock: each step is one dictionary operation, and a lost entry is only recounted.
    """

    def __init__(self) -> None:
        self._young: dict[Key, int] = {}
        self._old: dict[Key, int] = {}

    def get(self, key: Key) -> int | None:
        """The remembered count, or None."""
        tokens = self._young.get(key)
        if tokens is None and (tokens := self._old.get(key)) is not None:
            self.put(key, tokens)
        return tokens

    def put(self, key: Key, tokens: int) -> None:
        """Remember a count."""
        if len(self._young) >= REMEMBERED_MAX // 2:
            self._old, self._young = self._young, {}
        self._young[key] = tokens


class Tally:
    """Counts texts for one request. ``guessed`` says afterwards whether any count was not the tokenizer's own."""

    __slots__ = ("_chars", "_encoder", "_fresh", "_left", "_memory", "_tokens", "guessed")

    def __init__(self, encoder: Encoder, memory: CountMemory, fresh_max: int = sys.maxsize) -> None:
        """``fresh_max``: characters that may be encoded; one more raises NotAtOnce, what was counted is remembered."""
        self.guessed = False
        self._fresh = fresh_max
        self._encoder = encoder
        self._memory = memory
        self._left = EXACT_CHARS_MAX
        self._chars = 0
        self._tokens = 0

    def n(self, text: str) -> int:
        """Tokens of a text. Raises NotAtOnce."""
        size = len(text)
        if size > self._left:
            return self._beyond(text)
        self._left -= size
        tokens = self._piece(text) if size < REMEMBERED_CHARS_MIN else self._long(text)
        self._chars += size
        self._tokens += tokens
        return tokens

    def remembered(self, key: bytes | None, count: Callable[["Tally"], int]) -> int:
        """What ``count`` makes of something other than a text that ``key`` tells from everything else.

        It counts within a bound of its own, so that the result is the same remembered or not.
        """
        if not key:
            return self._counted(count)[0]
        digest = blake2b(key, digest_size=DIGEST_BYTES, person=b"offer").digest()
        tokens = self._memory.get(digest)
        if tokens is None:
            if len(key) > self._fresh:
                raise NotAtOnce
            tokens, guessed = self._counted(count)
            if not guessed:
                self._memory.put(digest, tokens)
        return tokens

    def _counted(self, count: Callable[["Tally"], int]) -> tuple[int, bool]:
        apart = Tally(self._encoder, self._memory, self._fresh)
        tokens = count(apart)
        self._fresh = apart._fresh
        self.guessed = self.guessed or apart.guessed
        return tokens, apart.guessed

    def _long(self, text: str) -> int:
        key = (hash(text), len(text)) if _IS_HASH_SECRET else _digest(text)
        tokens = self._memory.get(key)
        if tokens is None:
            guessed_before, self.guessed = self.guessed, False
            tokens = sum(self._piece(piece) for piece in segments(text))
            if not self.guessed:
                self._memory.put(key, tokens)
            self.guessed = self.guessed or guessed_before
        return tokens

    def _piece(self, text: str) -> int:
        """Encode one segment. The tokenizer's own failures cost exactness, never the request. Raises NotAtOnce."""
        self._fresh -= len(text)
        if self._fresh < 0:
            raise NotAtOnce
        try:
            return len(self._encoder.encode_ordinary(text))
        except ValueError:
            pass
        except (
            BaseException
        ) as error:  # the tokenizer's panic is no Exception; anything else is passed on
            if type(error).__name__ != "PanicException":
                raise
        self.guessed = True
        return len(text.encode("utf-8", "surrogatepass")) // CHARS_PER_TOKEN + 1

    def _beyond(self, text: str) -> int:
        """Tokens of a text over the bound: sampled while samples fit, then by the request's own density."""
        self.guessed = True
        size = len(text)
        if self._left >= SAMPLED_CHARS:  # and the text is longer than what is left
            self._left -= SAMPLED_CHARS
            sampled = sum(self._piece(piece) for piece in samples(text))
            return -(-sampled * size // SAMPLED_CHARS)
        if self._chars:
            return -(-self._tokens * size // self._chars)
        return -(-size // CHARS_PER_TOKEN)


def _digest(text: str) -> bytes:
    state = _TEXTS.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return state.digest()
