"""Amazon's usage types: three grammars read by words. ``USW2-Claude4.6Sonnet-output-tokens``."""

import re
from typing import Final

from gateway.reporting.bills.meter import (
    GEO,
    GLOBAL,
    OTHER,
    READ,
    REGIONAL,
    STANDARD,
    WRITE,
    Meter,
    Reading,
)

_REGION: Final = re.compile(r"^[A-Z0-9]+-")
_MARKETPLACE: Final = re.compile(r"^MP:[A-Z0-9]+_")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[a-z0-9])(?=[A-Z][a-z])")
_NO_TOKENS: Final = (
    "provisioned", "reserved", "tpm", "customization", "guardrail", "flow", "automation", "storage",
    "image", "t2i",
)  # fmt: skip
_TIERS: Final = ("batch", "flex", "priority")
_TTLS: Final = ("5m", "30m", "1h")
_MARKERS: Final = frozenset({"input", "output", "cache", "mantle"})
_EDITION: Final = re.compile(r"\s*\(Amazon Bedrock Edition\).*$")


def read(name: str, description: str = "") -> Reading:
    """What a usage type says; the marketplace's name the model in their description only."""
    body = _REGION.sub("", name.strip(), count=1)
    if any(word in body.lower() for word in _NO_TOKENS):
        return OTHER
    words, key = _words(body, description)
    if not {"token", "tokens"} & set(words):
        return None
    cache = (READ if "read" in words else WRITE if "write" in words else "") if "cache" in words else ""  # fmt: skip
    direction = "output" if "output" in words else "input" if cache or "input" in words else ""
    if not direction or ("cache" in words and not cache):
        return None
    return Meter(
        key=key,
        direction=direction,
        cache=cache,
        scope=_scope(words),
        tier=next((word for word in words if word in _TIERS), STANDARD),
        context="long" if {"ctx", "lctx"} & set(words) else "",
        ttl=next((word for word in words if word in _TTLS), "") if cache == WRITE else "",
    )


def _words(body: str, description: str) -> tuple[list[str], str]:
    """The words that say what is counted, and the model's."""
    inner, is_marketplace = _MARKETPLACE.subn("", body)
    if is_marketplace:
        parts = re.split(r"[_\-]+", _CAMEL.sub("_", inner))
        return [part.lower() for part in parts if part], _EDITION.sub("", description).strip()
    parts = [part for part in body.split("-") if part]
    start = next((at for at, part in enumerate(parts) if part.lower() in _MARKERS), len(parts))
    return [part.lower() for part in parts[start:]], "-".join(parts[:start])


def _scope(words: list[str]) -> str:
    if "global" in words:
        return GLOBAL
    return GEO if "cross" in words else REGIONAL
