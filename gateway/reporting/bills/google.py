"""Google's SKUs: ``Gemini 2.5 Flash GA Text Input - Predictions`` and ``Generate content input token count …``."""

import re
from typing import Final

from gateway.reporting.bills.meter import (
    GLOBAL,
    OTHER,
    READ,
    REGIONAL,
    STANDARD,
    Meter,
    Reading,
)

_NO_TOKENS: Final = (
    "caching storage", "grounding", "search query", "index serving", "tuning", "training",
    "provisioned", "gsu",
)  # fmt: skip
_API: Final = re.compile(
    r"^generate content (?P<cached>cached )?(?P<direction>input|output) token count (?P<rest>.+)$"
)
_BAND: Final = re.compile(r"\b(short|long)\b(?: (?:input|context))?")
_PARTNER: Final = re.compile(r"^.*model as a service ")
_MODALITIES: Final = ("text", "audio", "image", "video")
_TIERS: Final = ("batch", "flex", "priority", "offpeak")
_SCOPES: Final = {"global": GLOBAL, "regional": REGIONAL}
_DROPPED: Final = frozenset(
    {"ga", "live", "thinking", "on", "predictions", "caching", "input", "output", "long", "short"}
)
_FAMILIES: Final = ("gemini", "model as a service", "token count", "claude", "flash")


def read(name: str, _description: str = "") -> Reading:
    """What a SKU's description says."""
    text = " ".join(name.lower().split())
    if any(word in text for word in _NO_TOKENS):
        return OTHER
    api = _API.match(text)
    if api is not None:
        band = _BAND.search(api["rest"])
        rest = _plain(_BAND.sub(" ", api["rest"]))
        return _meter(rest, api["direction"], READ if api["cached"] else "", band and band[1])
    words = _plain(_PARTNER.sub("", text))
    direction = "output" if "output" in words else "input" if "input" in words else ""
    if not direction:
        return None if any(family in text for family in _FAMILIES) else OTHER
    return _meter(words, direction, READ if "caching" in words else "", "long" if "long" in words else "")  # fmt: skip


def _plain(text: str) -> list[str]:
    return [word for word in re.split(r"[ ()/]+|(?<= )-(?= )", text) if word and word != "-"]


def _meter(words: list[str], direction: str, cache: str, context: str | None) -> Meter:
    said = {*_DROPPED, *_MODALITIES, *_TIERS, *_SCOPES}
    return Meter(
        key=" ".join(word for word in words if word not in said),
        direction=direction,
        cache=cache,
        scope=next((_SCOPES[word] for word in words if word in _SCOPES), ""),
        tier=next((word for word in words if word in _TIERS), STANDARD),
        context=context or "",
        modality=next((word for word in words if word in _MODALITIES), ""),
    )
