"""Microsoft's meters: read by words, never by position. ``5.4 mini cd Inp Gl 1M Tokens``."""

import re
from typing import Final

from gateway.reporting.bills.meter import (
    DATA_ZONE,
    GLOBAL,
    OTHER,
    READ,
    REGIONAL,
    STANDARD,
    WRITE,
    Meter,
    Reading,
)

_TOKENS: Final = re.compile(r"(?:\s+1[KM])?\s+Tokens$", re.IGNORECASE)
_COUNTS_OTHERS: Final = re.compile(
    r"\b(units?|hours?|images?|gb|calls|seconds?|sessions?|characters|minutes?|pages?)$",
    re.IGNORECASE,
)
_TUNING: Final = frozenset({"ft", "finetuned", "grader", "training", "trng", "hstng", "hosting"})
_DIRECTIONS: Final = {
    **dict.fromkeys(("inp", "inpt", "in", "input"), "input"),
    **dict.fromkeys(("outp", "outpt", "opt", "out", "output"), "output"),
}
_CACHE: Final = frozenset({"cached", "cchd", "ccchd", "cd", "cach", "caching"})
_WRITES: Final = frozenset({"wr", "write"})
_SCOPES: Final = {
    **dict.fromkeys(("glbl", "gl", "global"), GLOBAL),
    **dict.fromkeys(("dzone", "dzn", "dz", "datazone"), DATA_ZONE),
    **dict.fromkeys(("regnl", "rg", "regional"), REGIONAL),
}
_TIERS: Final = {"batch": "batch", "pp": "priority", "std": STANDARD, "flex": "flex"}
_CONTEXTS: Final = {"shortco": "short", "longco": "long"}
_MODALITIES: Final = {
    **dict.fromkeys(("aud", "audio"), "audio"),
    **dict.fromkeys(("img", "image"), "image"),
    **dict.fromkeys(("txt", "text"), "text"),
}
_REGISTERS: Final = (_DIRECTIONS, _SCOPES, _TIERS, _CONTEXTS, _MODALITIES)


def read(name: str, _description: str = "") -> Reading:
    """What a meter name says."""
    body, counts_tokens = _TOKENS.subn("", name.strip())
    if not counts_tokens:
        return OTHER if _COUNTS_OTHERS.search(name.strip()) else None
    text = re.sub(r"data[ \-_]zone", "datazone", body, flags=re.IGNORECASE)
    words = [word for word in re.split(r"[ \-_/]+", text.lower()) if word]
    if _TUNING & set(words):
        return OTHER
    cache = _cache(words)
    direction = _first(words, _DIRECTIONS) or ("input" if cache or "embedding" in words else "")
    if not direction:
        return None
    return Meter(
        key=" ".join(word for word in words if not _is_said(word)),
        direction=direction,
        cache=cache,
        scope=_first(words, _SCOPES),
        tier=_first(words, _TIERS) or STANDARD,
        context=_first(words, _CONTEXTS) or _long(words),
        modality=_first(words, _MODALITIES),
    )


def _first(words: list[str], known: dict[str, str]) -> str:
    return next((known[word] for word in words if word in known), "")


def _cache(words: list[str]) -> str:
    if not _CACHE & set(words):
        return ""
    return WRITE if _WRITES & set(words) else READ


def _long(words: list[str]) -> str:
    """A lone L after the scope is a long context."""
    after = [at for at, word in enumerate(words) if word in _SCOPES]
    return "long" if after and "l" in words[after[0] :] else ""


def _is_said(word: str) -> bool:
    """Whether a word speaks of anything but the model. Modality words do name models, too."""
    if word in _MODALITIES:
        return False
    registers = any(word in register for register in _REGISTERS)
    return registers or word in _CACHE or word in _WRITES or word == "l"
