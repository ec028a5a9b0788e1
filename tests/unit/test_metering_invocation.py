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


def usage_of(**counts: Json) -> Stated:
    found = runtime_usage({"inputTokens": 100, "outputTokens": 7, **counts})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("read", "written", "total", "is_gross"),
    [
        (60, 0, 107, True), (0, 60, 107, True), (40, 60, 107, True), (40, 61, 107, False), (60, 0, 167, False),
        (60, 0, None, False), (0, 0, 107, False), (60, 0, 106, False), (1, 0, 107, True), (100, 0, 107, True),
        (101, 0, 107, False),
    ],
)  # fmt: skip
def test_an_input_that_has_the_cache_in_it_is_told_by_the_total(
    read: int, written: int, total: int | None, *, is_gross: bool
) -> None:
    found = usage_of(cacheReadInputTokens=read, cacheWriteInputTokens=written, totalTokens=total)
    assert (found.gross, found.total) == (is_gross, total)
    assert found.flags == (("gross_input",) if is_gross else ())
    plain = 100 - read - written if is_gross else 100
    expected = {
        "input_text": plain,
        "cache_read_text": read,
        "cache_write": written,
        "output_text": 7,
    }
    assert found.counts == {unit: count for unit, count in expected.items() if count}
    assert found.whole


def test_an_input_with_the_cache_in_it_may_have_no_output() -> None:
    found = runtime_usage({"inputTokens": 9, "cacheReadInputTokens": 9, "totalTokens": 9})
    assert found == Stated({"cache_read_text": 9}, 9, gross=True, whole=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("inputTokens", "inputTokenCount"),
        ("outputTokens", "outputTokenCount"),
        ("cacheReadInputTokens", "cacheReadInputTokenCount"),
        ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
    ],
)
def test_two_names_of_one_count_that_differ_are_told_and_the_first_counts(
    one: str, other: str
) -> None:
    base: dict[str, Json] = {"inputTokens": 5, "outputTokens": 6}
    differing = runtime_usage({**base, one: 5, other: 6})
    assert differing is not None
    assert (differing.odd, differing.flags) == (True, ("count_mismatch",))
    alone = runtime_usage({**base, one: 5})
    assert alone is not None
    assert (differing.counts, alone.odd) == (alone.counts, False)
    for same in ({one: 5, other: 5}, {one: None, other: 5}, {one: 5, other: None}):
        found = runtime_usage({**base, **same})
        assert found is not None
        assert (found.odd, found.counts) == (False, alone.counts)


def test_every_lifetime_is_written_under_its_own_unit_and_all_under_one_are_no_contradiction() -> None:  # fmt: skip
    details: list[Json] = [
        {"ttl": "5m", "inputTokens": 1}, {"ttl": "30m", "inputTokens": 2}, {"ttl": "1h", "inputTokens": 3},
        {"ttl": "12h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 10}, {"ttl": "1h", "inputTokens": 0},
        {"inputTokens": 99}, {"ttl": 5, "inputTokens": 99}, "noise", {"ttl": "1h"},
    ]  # fmt: skip
    found = usage_of(cacheWriteInputTokens=20, cacheDetails=details)
    assert found.counts == {
        "input_text": 100, "output_text": 7, "cache_write_5m": 11, "cache_write_30m": 2, "cache_write_1h": 3,
        "cache_write_12h": 4,
    }  # fmt: skip
    assert not found.odd
    for written in (0, None, 19):
        with pytest.raises(UsageInvalid):
            usage_of(cacheWriteInputTokens=written, cacheDetails=details)
    assert usage_of(cacheDetails=[{"ttl": "1h", "inputTokens": 0}]).counts == usage_of().counts
    assert usage_of(cacheWriteInputTokens=3, cacheDetails=[{"ttl": "9w", "inputTokens": 3}]).counts["cache_write"] == 3  # fmt: skip


def test_only_what_is_a_count_of_the_head_is_read() -> None:
    head = (
        (b"x-amzn-bedrock-input-token-count", b"0012"),
        (b"x-amzn-bedrock-cache-write-input-token-count", b"9" * 19),
        (b"x-amzn-bedrock-output-token-count", b"9" * 20),
        (b"x-amzn-bedrock-invocation-latency", b"77"),
    )
    usage = header_usage(head)
    assert usage.keys() == {"inputTokenCount", "cacheWriteInputTokenCount", "outputTokenCount"}
    assert (usage["inputTokenCount"], usage["cacheWriteInputTokenCount"]) == (12, 10**19 - 1)
    assert isinstance(usage["outputTokenCount"], str)


@pytest.mark.parametrize(
    ("tier", "latency", "expected"),
    [
        (None, None, None), ("flex", None, "flex"), ("default", None, "default"), (None, "optimized", "optimized"),
        ("Default", "optimized", "optimized"), ("standard", "optimized", "optimized"), ("", "optimized", "optimized"),
        ("priority", "optimized", "priority"), ("flex", "Standard", "flex"), (None, "standard", None),
    ],
)  # fmt: skip
def test_a_service_tier_of_its_own_decides_before_a_latency(
    tier: str | None, latency: str | None, expected: str | None
) -> None:
    assert tier_of({"type": tier}, {"latency": latency}) == expected
    said = (
        (b"x-amzn-bedrock-service-tier", tier), (b"x-amzn-bedrock-performanceconfig-latency", latency),
    )  # fmt: skip
    head = tuple((name, value.encode()) for name, value in said if value is not None)
    assert served_tier(head) == (expected or (tier or None))


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ({"input_text": 1}, {"input_image": 1}, False),
        ({"input_text": 1, "input_image": 1}, {"input_text": 2}, False),
        ({"cache_read_text": 1}, {"cache_read_image": 1}, False),
        ({"cache_write_1h": 1}, {"cache_write_5m": 1}, False),
        ({"cache_write": 1}, {"cache_read_text": 1}, True),
        ({"cache_write": 1}, {"input_text": 1}, True),
        ({"output_text": 1}, {"input_text": 1}, True),
        ({"output_text": 1}, {"output_text": 2}, True),
        ({}, {"output_text": 1}, True),
        ({}, {}, False),
    ],
)
def test_statements_differ_in_input_cache_or_output(
    one: dict[str, int], other: dict[str, int], *, differ: bool
) -> None:
    assert disagree(Stated(one), Stated(other)) is differ
    assert disagree(Stated(other), Stated(one)) is differ


def test_a_cache_beside_an_input_that_is_not_said_is_counted() -> None:
    found = runtime_usage({"outputTokens": 7, "cacheReadInputTokens": 5, "totalTokens": 12})
    assert found == Stated({"cache_read_text": 5, "output_text": 7}, 12, whole=False)
