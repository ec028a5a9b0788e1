"""Disjoint counts from Gemini's usage objects: totals with detail lists per modality, in three spellings.

The prompt includes what was read from cache; candidates exclude thoughts; tool prompts stand beside the prompt.
To read another spelling: one ``Names``. To follow a new modality: one line in ``_MODALITIES`` and its units.
"""

from typing import Final

import msgspec

from gateway.metering.usage import MISMATCH, carve, count_of
from gateway.wire.jsondoc import Json, arr

# Some clients ask for enums as numbers.
_MODALITIES: Final[dict[str | int, str]] = {
    "TEXT": "text", 1: "text",
    "IMAGE": "image", 2: "image",
    "VIDEO": "video", 3: "video",
    "AUDIO": "audio", 4: "audio",
    "DOCUMENT": "document", 5: "document",
}  # fmt: skip
_WRITTEN: Final = frozenset({"image", "audio", "video"})


class Names(msgspec.Struct, frozen=True):
    """Where a usage object keeps its totals and details; ``tokens`` is the count inside a detail."""

    prompt: str
    cached: str
    written: str
    thoughts: str
    tools: str
    total: str
    prompt_details: tuple[str, ...]
    cached_details: str
    written_details: str
    tokens: str = "tokenCount"


GENERATED: Final = Names(
    prompt="promptTokenCount",
    cached="cachedContentTokenCount",
    written="candidatesTokenCount",
    thoughts="thoughtsTokenCount",
    tools="toolUsePromptTokenCount",
    total="totalTokenCount",
    prompt_details=("promptTokensDetails", "promptTokenDetails"),  # batch embeddings say the second
    cached_details="cacheTokensDetails",
    written_details="candidatesTokensDetails",
)
LIVE_TURN: Final = msgspec.structs.replace(
    GENERATED, written="responseTokenCount", written_details="responseTokensDetails"
)
INTERACTED: Final = Names(
    prompt="total_input_tokens",
    cached="total_cached_tokens",
    written="total_output_tokens",
    thoughts="total_thought_tokens",
    tools="total_tool_use_tokens",
    total="total_tokens",
    prompt_details=("input_tokens_by_modality",),
    cached_details="cached_tokens_by_modality",
    written_details="output_tokens_by_modality",
    tokens="tokens",
)


class Modal(msgspec.Struct, frozen=True):
    """One usage object, disjoint. ``total``: the provider's own, where it gives one; ``odd``: see ``flags``."""

    counts: dict[str, int]
    total: int | None
    thoughts: int
    odd: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """A word for the row where a list of modalities sums to more than the total it is of."""
        return (MISMATCH,) * self.odd


def modal_counts(usage: dict[str, Json], names: Names) -> Modal:
    """Carve a usage object. Raises UsageInvalid on anything that cannot be a count, and on parts above totals."""

    def said(member: str) -> int:
        return count_of(usage.get(member)) or 0

    thoughts = said(names.thoughts)
    counts = {
        **_prompt(usage, names, said(names.prompt), said(names.cached)),
        **_written(usage, names, said(names.written)),
        "output_reasoning": thoughts,
        "input_tool": said(names.tools),
    }
    total = count_of(usage.get(names.total))
    prompted, read, written = said(names.prompt), said(names.cached), said(names.written)
    odd = (
        any(_exceeds(usage, member, names.tokens, prompted) for member in names.prompt_details)
        or _exceeds(usage, names.cached_details, names.tokens, read)
        or _exceeds(usage, names.written_details, names.tokens, written)
    )
    return Modal({unit: count for unit, count in counts.items() if count}, total, thoughts, odd)


def _exceeds(usage: dict[str, Json], member: str, tokens: str, total: int) -> bool:
    """Whether a list says more than its total. It may say less: of 993 recorded ones 10 do, and none says more."""
    if member not in usage:
        return False
    said = [each.get(tokens) for each in arr(usage, member) if isinstance(each, dict)]
    return sum([count_of(count) or 0 for count in said]) > total


def _details(usage: dict[str, Json], member: str, tokens: str) -> dict[str, int]:
    """Tokens by modality, text left out: it is what remains of the total (the lists may not add up)."""
    found: dict[str, int] = {}
    for detail in arr(usage, member):
        if not isinstance(detail, dict):
            continue
        word = detail.get("modality")
        key = word.upper() if isinstance(word, str) else word
        modality = _MODALITIES.get(key, "text") if isinstance(key, str | int) else "text"
        if modality != "text":
            found[modality] = found.get(modality, 0) + (count_of(detail.get(tokens)) or 0)
    return found


def _prompt(usage: dict[str, Json], names: Names, total: int, cached: int) -> dict[str, int]:
    inside: dict[str, int] = {}
    for member in names.prompt_details:
        inside = inside or _details(usage, member, names.tokens)
    read = _from_cache(usage, names, cached, total, inside)
    fresh = {f"input_{m}": max(n - read.get(m, 0), 0) for m, n in inside.items()}
    counts = carve("input_text", total - cached, fresh)
    return counts | {f"cache_read_{modality}": count for modality, count in read.items()}


def _from_cache(
    usage: dict[str, Json], names: Names, cached: int, total: int, inside: dict[str, int]
) -> dict[str, int]:
    """Cached tokens by modality. What no detail explains is text, as far as the prompt has text."""
    if not cached:
        return {}
    read = _details(usage, names.cached_details, names.tokens)
    unstated = carve("text", cached, read).get("text", 0)
    read["text"] = min(unstated, max(total - sum(inside.values()), 0))
    unstated -= read["text"]
    for modality, count in inside.items():
        taken = min(unstated, max(count - read.get(modality, 0), 0))
        read[modality] = read.get(modality, 0) + taken
        unstated -= taken
    read["text"] += unstated
    return read


def _written(usage: dict[str, Json], names: Names, total: int) -> dict[str, int]:
    details = _details(usage, names.written_details, names.tokens)
    return carve(
        "output_text", total, {f"output_{m}": n for m, n in details.items() if m in _WRITTEN}
    )
