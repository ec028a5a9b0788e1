"""Carving of inclusive totals: an input and an output total whose detail objects name parts *inside* them.

``{"prompt_tokens": 1117, "prompt_tokens_details": {"cached_tokens": 1024}, …}`` → 93 plain, 1024 from cache.
Both spellings of the members (prompt/completion, input/output, details with one or two plurals) are read.
To read another detail: one line in ``_MODALITIES`` or ``_LIFETIMES``, or one part in ``_carve_output``.

What a total adds to its two sides is reasoning where the report names exactly that many, or where the endpoint is
known not to name them (``unnamed_thoughts``); anywhere else it is explained by nothing: the row keeps what was stated
and does not balance. Of the recorded objects with a total (446 in the form carved here: OpenAI, Azure, mantle, and
Google's compatible endpoint) all balance to the token but the 2 of Google's, {"prompt_tokens": 35,
"completion_tokens": 12, "total_tokens": 109}: that endpoint alone leaves thoughts out of the completion unnamed.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.metering.meter import Reading
from gateway.metering.reader import as_raw
from gateway.metering.units import INPUT_TEXT, OUTPUT_TEXT
from gateway.metering.usage import MISMATCH, Source, UsageInvalid, carve, component, count_of
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

UNBALANCED: Final = "unbalanced"
UNNAMED: Final = "reasoning_unnamed"
_BY_PROVIDER: Final = Source.PROVIDER
_CACHED_DETAILS: Final = "cached_tokens_details"
_WRITTEN_DETAILS: Final = "cache_write_tokens_details"
_NESTED: Final = frozenset({_CACHED_DETAILS, _WRITTEN_DETAILS})


class Inclusive(msgspec.Struct, frozen=True):
    """What an inclusive usage object says.

    counts        disjoint
    stated_total  its own total
    whole         both sides are known
    flags         MISMATCH where it contradicts itself about a part, UNNAMED where reasoning was inferred
    """

    counts: dict[str, int]
    stated_total: int | None
    whole: bool
    flags: tuple[str, ...] = ()

    def doubts(self) -> tuple[str, ...]:
        """The flags of one usage among several, whose totals only sum up: its own balance among them."""
        if self.stated_total in (None, sum(self.counts.values())):
            return self.flags
        return (*self.flags, UNBALANCED)


def read_inclusive(
    usage: Json,
    *,
    input_rest: str = INPUT_TEXT,
    output_rest: str = OUTPUT_TEXT,
    unnamed_thoughts: bool = False,
) -> Inclusive | None:
    """Carve one usage object; None where it says nothing at all (absent is not zero).

    ``input_rest`` and ``output_rest`` are the units of what no detail explains. ``unnamed_thoughts``: the
    endpoint's total counts reasoning that no member names. Raises UsageInvalid on anything that cannot be a
    count and on parts above their total.
    """
    if not isinstance(usage, dict):
        raise UsageInvalid("not a usage object")
    into = _first_count(usage, _INPUT)
    out = _first_count(usage, _OUTPUT)
    total = count_of(usage.get("total_tokens"))
    if into is None and out is None:
        return None
    inputs = _first_object(usage, _INPUT_DETAILS) or {}
    outputs = _first_object(usage, _OUTPUT_DETAILS) or {}
    beyond = 0 if total is None or into is None or out is None else total - into - out
    named = outputs.get("reasoning_tokens")
    reasoning = count_of(named) or 0
    inferred = max(beyond, 0) if unnamed_thoughts and named is None else 0
    outside = inferred or (reasoning if reasoning == beyond else 0)
    inside = 0 if outside else reasoning
    is_odd = _contradicts(usage, inputs, outputs, (into or 0, out or 0, reasoning))
    if inside > (out or 0) and total is not None and not beyond:
        # Some servers count reasoning by another tokenizer, a token too many; the total proves the output.
        inside, is_odd = out or 0, True
    counts = _carve_input(into or 0, inputs, input_rest)
    counts.update(_carve_output(out or 0, outputs, output_rest, inside))
    if outside:
        counts["output_reasoning"] = outside
    # Embeddings have no output side: their total says so.
    whole = into is not None and (out is not None or total == into)
    flags = (MISMATCH,) * is_odd + (UNNAMED,) * bool(inferred)
    return Inclusive(counts, total, whole, flags)


def _contradicts(
    usage: Mapping[str, Json],
    inputs: dict[str, Json],
    outputs: dict[str, Json],
    totals: tuple[int, int, int],
) -> bool:
    """Whether the object says two things about one count, none of which the balance would show.

    ``totals``: its input, its output, and the reasoning in that.
    """
    into, out, reasoning = totals
    for one, other in (_INPUT, _OUTPUT):
        twin = usage.get(other)
        if twin is not None and usage.get(one) is not None and count_of(twin) != usage[one]:
            return True
    if inputs and (
        _is_short(inputs, into)
        or _is_short(inputs.get(_CACHED_DETAILS), inputs.get("cached_tokens"))
        or _misses_lifetimes(inputs)
    ):
        return True
    # The text of an output is said with its reasoning, and without.
    return bool(outputs) and _is_short(outputs, out) and _is_short(outputs, out - reasoning)


def _is_short(modalities: Json, total: Json) -> bool:
    """Whether modalities whose text is stated, so that none is left to be inferred, do not sum to their total."""
    if not isinstance(modalities, dict) or total is None or modalities.get("text_tokens") is None:
        return False
    stated = sum([_part(modalities, member) for member in _MEMBERS.values()])
    return stated not in (0, total)


def _misses_lifetimes(inputs: Mapping[str, Json]) -> bool:
    """Whether lifetimes are stated, and do not sum to what was written."""
    written, lifetimes = inputs.get("cache_write_tokens"), inputs.get(_WRITTEN_DETAILS)
    if written is None or not isinstance(lifetimes, dict):
        return False
    stated = sum([_part(lifetimes, name) for name in _LIFETIMES])
    return stated not in (0, written)


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
        flags=carved.flags,
    )
