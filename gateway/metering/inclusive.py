"""Carving of inclusive totals: an input and an output total whose detail objects name parts *inside* them.

``{"prompt_tokens": 1117, "prompt_tokens_details": {"cached_tokens": 1024}, …}`` → 93 plain, 1024 from cache.
Both spellings of the members (prompt/completion, input/output, details with one or two plurals) are read.
To read another detail: one line in ``_MODALITIES`` or ``_LIFETIMES``, or one part in ``_carve_output``.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.metering.meter import Reading
from gateway.metering.reader import as_raw
from gateway.metering.units import INPUT_TEXT, OUTPUT_TEXT
from gateway.metering.usage import Source, UsageInvalid, carve, component, count_of
from gateway.wire.jsondoc import Json

# Text first: cached and written tokens whose modality is not stated are taken from text, then onwards.
_MODALITIES: Final = ("text", "image", "audio", "video")
# By modality: the member that states a part, and the units it is carved into. Spelt out once, not per answer.
_MEMBERS: Final = {name: f"{name}_tokens" for name in _MODALITIES}
_INPUTS: Final = {name: f"input_{name}" for name in _MODALITIES}
_READS: Final = {name: f"cache_read_{name}" for name in _MODALITIES}
_OUTPUTS: Final = {f"output_{name}": member for name, member in _MEMBERS.items()}
_LIFETIMES: Final = {
    "ttl_5m_tokens": "cache_write_5m",
    "ttl_30m_tokens": "cache_write_30m",
    "ttl_1h_tokens": "cache_write_1h",
    "ttl_12h_tokens": "cache_write_12h",
}
_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")
_INPUT_DETAILS: Final = (
    "prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details",
)  # fmt: skip
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details", "output_tokens_details", "output_token_details",
    "completion_token_details",
)  # fmt: skip

_BY_PROVIDER: Final = Source.PROVIDER
_CACHED_DETAILS: Final = "cached_tokens_details"
_WRITTEN_DETAILS: Final = "cache_write_tokens_details"
_NESTED: Final = frozenset({_CACHED_DETAILS, _WRITTEN_DETAILS})


class Inclusive(msgspec.Struct, frozen=True):
    """What an inclusive usage object says. ``whole``: both sides are known; ``stated_total``: its own total."""

    counts: dict[str, int]
    stated_total: int | None
    whole: bool


def read_inclusive(
    usage: Json, *, input_rest: str = INPUT_TEXT, output_rest: str = OUTPUT_TEXT
) -> Inclusive | None:
    """Carve one usage object; None where it says nothing at all (absent is not zero).

    ``input_rest`` and ``output_rest`` are the units of what no detail explains. Raises UsageInvalid on
    anything that cannot be a count and on parts above their total.
    """
    if not isinstance(usage, dict):
        raise UsageInvalid("not a usage object")
    into = _first_count(usage, _INPUT)
    out = _first_count(usage, _OUTPUT)
    total = count_of(usage.get("total_tokens"))
    if into is None and out is None:
        return None
    details = _first_object(usage, _OUTPUT_DETAILS)
    reasoning, outside = _reasoning(details, into, out, total)
    counts = _carve_input(into or 0, _first_object(usage, _INPUT_DETAILS) or {}, input_rest)
    inside = 0 if outside else reasoning
    counts.update(_carve_output(out or 0, details or {}, output_rest, inside))
    if outside:
        counts["output_reasoning"] = reasoning
    # Embeddings have no output side: their total says so.
    whole = into is not None and (out is not None or total == into)
    return Inclusive(counts, total, whole)


def _first_count(usage: Mapping[str, Json], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = usage.get(name)
        if count is not None:
            return count_of(count)
    return None


def _first_object(usage: Mapping[str, Json], names: tuple[str, ...]) -> dict[str, Json] | None:
    for name in names:
        found = usage.get(name)
        if isinstance(found, dict):
            return found
        if found is not None:
            raise UsageInvalid(f"not a detail object: {name}")
    return None


def _is_silent(details: Mapping[str, Json]) -> bool:
    """Whether details name no part at all: nearly every answer's do but for a cache or reasoning."""
    for value in details.values():
        if value is not None and (type(value) is not int or value):
            return False
    return details.keys().isdisjoint(_NESTED)


def _part(details: Mapping[str, Json], name: str) -> int:
    found = details.get(name)
    return 0 if found is None else count_of(found) or 0


def _reasoning(
    details: Mapping[str, Json] | None, into: int | None, out: int | None, total: int | None
) -> tuple[int, bool]:
    """Reasoning tokens, and whether they stand outside the output total.

    The total decides. Where a server gives no output details at all, what its total adds to both sides is
    reasoning it does not name (recorded from compatible endpoints).
    """
    beyond = 0 if total is None else total - (into or 0) - (out or 0)
    if details is None:
        has_both = into is not None and out is not None
        return (beyond, True) if beyond > 0 and has_both else (0, False)
    reasoning = _part(details, "reasoning_tokens")
    if total is not None and beyond == 0:
        # Some servers count reasoning by another tokenizer, a token too many; the total proves the output.
        return min(reasoning, out or 0), False
    return reasoning, reasoning > 0 and beyond == reasoning


def _carve_input(total: int, details: Mapping[str, Json], rest: str) -> dict[str, int]:
    if _is_silent(details):
        return {rest: total} if total else {}
    left = _modalities(total, details, rest)
    cached = _cached(details, left)
    written = _written(details)
    _take(left, sum(written.values()))
    for modality, count in left.items():
        if count:
            written[_INPUTS[modality]] = count
    return written | cached


def _modalities(total: int, details: Mapping[str, Json], rest: str) -> dict[str, int]:
    """The input by modality; ``rest`` takes what the stated ones leave."""
    counts: dict[str, int] = {}
    left = total
    for name, member in _MEMBERS.items():
        part = 0 if _INPUTS[name] == rest else _part(details, member)
        counts[name] = part
        left -= part
    if left < 0:
        raise UsageInvalid(f"parts {counts!r} exceed their total {total}")
    counts[rest.removeprefix("input_")] = left
    return counts


def _cached(details: Mapping[str, Json], left: dict[str, int]) -> dict[str, int]:
    """What was read from cache, by modality, taken out of ``left``."""
    by_modality = _first_object(details, (_CACHED_DETAILS,))
    total = count_of(details.get("cached_tokens"))
    if not by_modality:
        taken = _take(left, total or 0)
        return {_READS[name]: count for name, count in taken.items() if count}
    stated = {name: _part(by_modality, member) for name, member in _MEMBERS.items()}
    unstated = (total or 0) - sum(stated.values()) if total is not None else 0
    if unstated < 0:
        raise UsageInvalid(f"parts {stated!r} exceed their total {total}")
    for name, count in stated.items():
        left[name] -= count
        if left[name] < 0:
            raise UsageInvalid(f"more {name} read from cache than there was input")
    for name, count in _take(left, unstated).items():
        stated[name] += count
    return {_READS[name]: count for name, count in stated.items() if count}


def _written(details: Mapping[str, Json]) -> dict[str, int]:
    """Cache writes by lifetime; what has none stated is ``cache_write``."""
    by_lifetime = _first_object(details, (_WRITTEN_DETAILS,)) or {}
    if not by_lifetime and details.get("cache_write_tokens") is None:
        return {}
    parts = {unit: _part(by_lifetime, name) for name, unit in _LIFETIMES.items()}
    total = count_of(details.get("cache_write_tokens"))
    return carve("cache_write", sum(parts.values()) if total is None else total, parts)


def _take(left: dict[str, int], wanted: int) -> dict[str, int]:
    """Take tokens out of ``left``, text first. Raises UsageInvalid where there are not enough."""
    taken: dict[str, int] = {}
    for name in _MODALITIES:
        if not wanted:
            return taken
        count = min(left[name], wanted)
        left[name] -= count
        wanted -= count
        taken[name] = count
    if wanted:
        raise UsageInvalid(f"cached and written tokens exceed the input by {wanted}")
    return taken


def _carve_output(
    total: int, details: Mapping[str, Json], rest: str, reasoning: int
) -> dict[str, int]:
    if not reasoning and _is_silent(details):
        return {rest: total} if total else {}
    # Accepted and rejected predictions are inside the total, and are plain output.
    parts = {unit: _part(details, member) for unit, member in _OUTPUTS.items()}
    del parts[rest]
    parts["output_reasoning"] = reasoning
    return carve(rest, total, parts)


def usage_reading(
    usage: Json,
    read: Callable[[Json], Inclusive | None] = read_inclusive,
    *,
    settled: bool = True,
) -> Reading:
    """A reading of the main component alone. ``settled``: the usage is no running count of a cut answer.

    Invalid usage gives no components and the flag "usage_invalid": it is never booked as if it were right.
    """
    if usage is None:
        return Reading(final=False)
    try:
        carved = read(usage)
    except UsageInvalid:
        return Reading(final=False, flags=("usage_invalid",), usage_raw=as_raw(usage))
    if carved is None:
        return Reading(final=False, usage_raw=as_raw(usage))
    sure = carved.whole and settled
    return Reading(
        components=(component(carved.counts),),
        source=_BY_PROVIDER if sure else Source.PARTIAL,
        final=sure,
        stated_total=carved.stated_total,
        usage_raw=as_raw(usage),
    )
