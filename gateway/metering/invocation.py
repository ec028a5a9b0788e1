"""Token counts as a model runtime states them beside the model's own body: members, metrics, headers.

One spelling per place of the same four counts. To follow a new spelling: one name in ``_ALIASES``, to follow
a new cache lifetime: one line in ``_BY_LIFETIME``.
"""

from typing import Final

import msgspec

from gateway.metering.usage import MISMATCH, UsageInvalid, carve, count_of, misses_lifetimes
from gateway.wire.headers import first, text
from gateway.wire.jsondoc import Json, arr, string
from gateway.wire.messages import Headers

METRICS: Final = "amazon-bedrock-invocationMetrics"
TRACE: Final = "amazon-bedrock-trace"

_BASE: Final = frozenset({"", "default", "standard"})
_DIGITS_MAX: Final = 19
_INPUT: Final = ("inputTokens", "inputTokenCount")
_OUTPUT: Final = ("outputTokens", "outputTokenCount")
# The wire sends some counts under two names at once: the first that is there counts, never both.
_CACHE_READ: Final = ("cacheReadInputTokens", "cacheReadInputTokenCount")
_CACHE_WRITE: Final = ("cacheWriteInputTokens", "cacheWriteInputTokenCount")
_HEADERS: Final = (
    (b"x-amzn-bedrock-input-token-count", "inputTokenCount"),
    (b"x-amzn-bedrock-output-token-count", "outputTokenCount"),
    (b"x-amzn-bedrock-cache-read-input-token-count", "cacheReadInputTokenCount"),
    (b"x-amzn-bedrock-cache-write-input-token-count", "cacheWriteInputTokenCount"),
)
_BY_LIFETIME: Final = {
    "5m": "cache_write_5m",
    "30m": "cache_write_30m",
    "1h": "cache_write_1h",
    "12h": "cache_write_12h",
}


class Stated(msgspec.Struct, frozen=True):
    """What the runtime states, disjoint.

    counts  unit → tokens
    total   its own total, where it gives one
    gross   its input count included the cached tokens, and was carved
    whole   both sides are said (embeddings have no output)
    odd     it says two things about one count
    """

    counts: dict[str, int]
    total: int | None = None
    gross: bool = False
    whole: bool = True
    odd: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """Words for the row."""
        return ("gross_input",) * self.gross + (MISMATCH,) * self.odd


def runtime_usage(usage: dict[str, Json]) -> Stated | None:
    """Disjoint counts of a usage object; None where it has neither input nor output.

    The contract says that input excludes the cache, but for some models it is reported with it: where
    input + output already make the total, it is. Raises UsageInvalid.
    """
    said_input, output = _count(usage, _INPUT), _count(usage, _OUTPUT)
    if said_input is None and output is None:
        return None
    read, written = _count(usage, _CACHE_READ) or 0, _count(usage, _CACHE_WRITE) or 0
    total = count_of(usage.get("totalTokens"))
    cached, plain = read + written, said_input or 0
    gross = 0 < cached <= plain and total == plain + (output or 0)
    counts = {
        "input_text": plain - cached if gross else plain,
        "cache_read_text": read,
        **_writes(usage, written),
        "output_text": output or 0,
    }
    return Stated(
        {unit: count for unit, count in counts.items() if count},
        total,
        gross,
        whole=said_input is not None and output is not None,
        odd=_has_twins(usage) or misses_lifetimes(counts),
    )


def _has_twins(usage: dict[str, Json]) -> bool:
    """Whether two names of one count differ."""
    for one, other in (_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE):
        if usage.get(one) is not None and usage.get(other) not in (None, usage[one]):
            return True
    return False


def header_usage(headers: Headers) -> dict[str, Json]:
    """The token-count headers of a response head as a usage object; {} where there are none."""
    usage: dict[str, Json] = {}
    for name, member in _HEADERS:
        value = first(headers, name)
        if value is not None:
            # What is no number stays text, and is refused as a count.
            usage[member] = (
                int(value) if value.isdigit() and len(value) <= _DIGITS_MAX else str(value)
            )
    return usage


def served_tier(headers: Headers) -> str | None:
    """The tier a head names: the service tier, else optimised latency."""
    tier = text(headers, b"x-amzn-bedrock-service-tier")
    return _either(tier, text(headers, b"x-amzn-bedrock-performanceconfig-latency"))


def tier_of(service_tier: Json, performance: Json) -> str | None:
    """The tier a body names: ``serviceTier.type``, else a ``performanceConfig.latency`` beyond standard."""
    return _either(string(service_tier, "type"), string(performance, "latency"))


def _either(tier: str | None, latency: str | None) -> str | None:
    """The service tier; a latency beyond standard where that has no price of its own."""
    if latency is None or latency.lower() == "standard":
        return tier
    return latency if (tier or "").lower() in _BASE else tier


def disagree(one: Stated, other: Stated) -> bool:
    """Whether two statements about one call differ in input, cache or output (lifetimes aside)."""
    return _by_kind(one.counts) != _by_kind(other.counts)


def _by_kind(counts: dict[str, int]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for unit, count in counts.items():
        kind = "_".join(unit.split("_")[:2]) if unit.startswith("cache") else unit.split("_")[0]
        kinds[kind] = kinds.get(kind, 0) + count
    return kinds


def _count(usage: dict[str, Json], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = count_of(usage.get(name))
        if count is not None:
            return count
    return None


def _writes(usage: dict[str, Json], written: int) -> dict[str, int]:
    """Cache writes by lifetime, the rest under the class of unknown lifetime."""
    parts: dict[str, int] = {}
    for detail in arr(usage, "cacheDetails"):
        unit = _BY_LIFETIME.get(string(detail, "ttl") or "")
        count = count_of(detail.get("inputTokens")) if isinstance(detail, dict) else None
        if unit is not None and count:
            parts[unit] = parts.get(unit, 0) + count
    if not written and parts:
        raise UsageInvalid("cache lifetimes without cache writes")
    return carve("cache_write", written, parts)
