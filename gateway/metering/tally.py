"""Counting the texts of one request: bounded, remembered, and saying when it had to guess.

``CountMemory`` keeps the counts of long texts that come again (system prompts, history), never the texts.
To change a bound: change the constant and run ``tests/benchmarks/bench_tokens.py``.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Protocol

from gateway.metering.segment import SAMPLED_CHARS, samples, segments

EXACT_CHARS_MAX: Final = (
    2 * 1024 * 1024
)  # a request's characters beyond it are sampled: seconds, not minutes
REMEMBERED_CHARS_MIN: Final = 256  # below it encoding is as quick as hashing
REMEMBERED_MAX: Final = 4096
DIGEST_BYTES: Final = 16
CHARS_PER_TOKEN: Final = 4
_TEXTS: Final = blake2b(digest_size=DIGEST_BYTES, person=b"text")  # copied, never fed


class Encoder(Protocol):
    """What is used of an encoding."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Token ids; special tokens are text like any other."""
        ...


class CountMemory:
    """Digest → tokens of long texts, at most REMEMBERED_MAX; the older half is forgotten at once.

    Safe between threads without a lock: each step is one dictionary operation, and a lost entry is only recounted.
    """

    def __init__(self) -> None:
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def get(self, digest: bytes) -> int | None:
        """The remembered count, or None."""
        tokens = self._young.get(digest)
        if tokens is None and (tokens := self._old.get(digest)) is not None:
            self.put(digest, tokens)
        return tokens

    def put(self, digest: bytes, tokens: int) -> None:
        """Remember a count."""
        if len(self._young) >= REMEMBERED_MAX // 2:
            self._old, self._young = self._young, {}
        self._young[digest] = tokens


class Tally:
    """Counts texts for one request. ``guessed`` says afterwards whether any count was not the tokenizer's own."""

    __slots__ = ("_chars", "_encoder", "_left", "_memory", "_tokens", "guessed")

    def __init__(self, encoder: Encoder, memory: CountMemory) -> None:
        self.guessed = False
        self._encoder = encoder
        self._memory = memory
        self._left = EXACT_CHARS_MAX
        self._chars = 0
        self._tokens = 0

    def n(self, text: str) -> int:
        """Tokens of a text."""
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
            return self._fresh(count)[0]
        digest = blake2b(key, digest_size=DIGEST_BYTES, person=b"offer").digest()
        tokens = self._memory.get(digest)
        if tokens is None:
            tokens, guessed = self._fresh(count)
            if not guessed:
                self._memory.put(digest, tokens)
        return tokens

    def _fresh(self, count: Callable[["Tally"], int]) -> tuple[int, bool]:
        fresh = Tally(self._encoder, self._memory)
        tokens = count(fresh)
        self.guessed = self.guessed or fresh.guessed
        return tokens, fresh.guessed

    def _long(self, text: str) -> int:
        state = _TEXTS.copy()
        state.update(text.encode("utf-8", "surrogatepass"))
        digest = state.digest()
        tokens = self._memory.get(digest)
        if tokens is None:
            guessed_before, self.guessed = self.guessed, False
            tokens = sum(self._piece(piece) for piece in segments(text))
            if not self.guessed:
                self._memory.put(digest, tokens)
            self.guessed = self.guessed or guessed_before
        return tokens

    def _piece(self, text: str) -> int:
        """Encode one segment. The tokenizer's own failures cost exactness, never the request."""
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
