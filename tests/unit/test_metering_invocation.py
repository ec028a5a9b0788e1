"""What a runtime states beside the body: one meaning in three places."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering.invocation import (
    Stated,
    disagree,
    header_usage,
    runtime_usage,
    served_tier,
    tier_of,
)
from gateway.metering.usage import UsageInvalid
from gateway.wire.jsondoc import Json

few = st.integers(0, 9999)
HEADERS = ("Input", "Output", "Cache-Read-Input", "Cache-Write-Input")


@given(counts=st.tuples(few, few, few, few))
def test_headers_metrics_and_members_mean_the_same(counts: tuple[int, int, int, int]) -> None:
    stem = ("input", "output", "cacheReadInput", "cacheWriteInput")
    metrics = {f"{name}TokenCount": n for name, n in zip(stem, counts, strict=True)}
    members = {f"{name}Tokens": n for name, n in zip(stem, counts, strict=True)}
    headers = tuple(
        (f"X-Amzn-Bedrock-{name}-Token-Count".encode(), str(n).encode())
        for name, n in zip(HEADERS, counts, strict=True)
    )
    stated = runtime_usage({**metrics})
    assert stated == runtime_usage({**members}) == runtime_usage(header_usage(headers))
    assert stated is not None
    assert sum(stated.counts.values()) == sum(counts)


def test_both_names_of_one_count_count_once() -> None:
    stated = runtime_usage(
        {
            "inputTokens": 1,
            "cacheReadInputTokens": 5,
            "cacheReadInputTokenCount": 5,
            "outputTokens": 2,
        }
    )
    assert stated == Stated({"input_text": 1, "cache_read_text": 5, "output_text": 2})


def test_one_side_alone_is_not_the_whole() -> None:
    assert runtime_usage({"inputTokens": 1}) == Stated({"input_text": 1}, whole=False)
    assert runtime_usage({"outputTokens": 1}) == Stated({"output_text": 1}, whole=False)


def test_nothing_stated_is_none() -> None:
    assert runtime_usage({}) is None
    assert runtime_usage({"invocationLatency": 3}) is None
    assert header_usage(()) == {}


@pytest.mark.parametrize("value", [b"x", b"", b"-1", b"1.5", b"9" * 30])
def test_a_header_that_is_no_count_is_refused(value: bytes) -> None:
    with pytest.raises(UsageInvalid):
        runtime_usage(header_usage(((b"x-amzn-bedrock-input-token-count", value),)))


def test_lifetimes_are_parts_of_what_was_written() -> None:
    details: list[Json] = [
        {"ttl": "1h", "inputTokens": 3},
        {"ttl": "30m", "inputTokens": 2},
        {"ttl": "9w", "inputTokens": 1},
    ]
    stated = runtime_usage(
        {
            "inputTokens": 1,
            "cacheWriteInputTokens": 10,
            "cacheDetails": details,
            "outputTokens": 2,
        }
    )
    counts = {"input_text": 1, "cache_write_1h": 3, "cache_write_30m": 2, "cache_write": 5}
    # The details do not explain all that was written.
    assert stated == Stated({**counts, "output_text": 2}, odd=True)


def test_statements_are_compared_by_kind_not_by_lifetime() -> None:
    fine = Stated({"input_text": 1, "cache_write_5m": 2, "output_text": 1, "output_reasoning": 4})
    assert not disagree(fine, Stated({"input_text": 1, "cache_write": 2, "output_text": 5}))
    assert disagree(fine, Stated({"input_text": 1, "cache_read_text": 2, "output_text": 5}))


def test_optimised_latency_is_a_tier_and_standard_latency_is_none() -> None:
    optimized = ((b"X-Amzn-Bedrock-PerformanceConfig-Latency", b"optimized"),)
    assert served_tier(optimized) == "optimized"
    assert served_tier(((b"X-Amzn-Bedrock-PerformanceConfig-Latency", b"standard"),)) is None
    assert served_tier((*optimized, (b"x-amzn-bedrock-service-tier", b"flex"))) == "flex"
    assert tier_of({"type": "flex"}, {"latency": "optimized"}) == "flex"
    # A service tier that is none of its own does not hide a latency that is.
    assert served_tier((*optimized, (b"x-amzn-bedrock-service-tier", b"default"))) == "optimized"
    assert tier_of({"type": "default"}, {"latency": "optimized"}) == "optimized"
    assert tier_of(None, {"latency": "standard"}) is None
