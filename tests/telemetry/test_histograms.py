"""Laws of what a scrape says, read by Prometheus's own parser: times are the rows' times, to the millisecond."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry, Outcome
from gateway.telemetry.exposition import exposition
from gateway.telemetry.metrics import BOUNDS_MS, METRICS, Metrics
from gateway.telemetry.observe import Telemetry

TIMES: dict[str, Callable[[Entry], int | None]] = {
    "weighbridge_request_duration_seconds": lambda row: row.total_ms,
    "weighbridge_first_byte_seconds": lambda row: row.first_byte_ms,
}
ODD = 'a "quoted" \\ and\nbroken'
near = st.sampled_from(BOUNDS_MS).flatmap(lambda bound: st.integers(bound - 1, bound + 1))
ms = st.none() | near | st.integers(0, 10**12)
rows = st.lists(
    st.builds(
        lambda outcome, provider, provenance, first, total, net: Entry(
            id=UUID(int=2),
            request_id=UUID(int=2),
            occurred_us=0,
            booked_us=0,
            day="2026-11-30",
            period=202611,
            org="o",
            team="t",
            user="user-0001",
            key_id="k",
            provider=provider,
            operation="chat",
            upstream="u",
            status=200,
            outcome=outcome,
            provenance=provenance,
            first_byte_ms=first,
            total_ms=total,
            net_pico=net,
        ),
        st.sampled_from(Outcome),
        st.sampled_from(["one", "two", ODD]),
        st.sampled_from(["reported", "counted"]),
        ms,
        ms,
        st.integers(0, 10**25),
    ),
    max_size=30,
)


def observed(entries: Sequence[Entry]) -> Metrics:
    metrics = Metrics()
    telemetry = Telemetry(metrics, SystemClock())
    for entry in entries:
        telemetry.settled(entry)
    return metrics


def parsed(text: str) -> dict[str, Any]:
    """Families by name; a counter's is without ``_total`` there."""
    families: Iterable[Any] = text_string_to_metric_families(text)
    return {family.name: family for family in families}


def of(family: Any, suffix: str, **labels: str) -> list[Any]:
    """Samples with these labels at least."""
    return [
        sample
        for sample in family.samples
        if sample.name == family.name + suffix and labels.items() <= sample.labels.items()
    ]


@settings(max_examples=40)
@given(rows)
def test_a_scrape_says_of_times_what_the_rows_say(entries: list[Entry]) -> None:
    families = parsed(observed(entries).render())
    for name, read in TIMES.items():
        kinds = {(str(row.outcome), row.provider) for row in entries}
        assert {
            (sample.labels["outcome"], sample.labels["provider"])
            for sample in of(families[name], "_count")
        } == kinds
        for outcome, provider in kinds:
            labels = {"outcome": outcome, "provider": provider}
            mine = [row for row in entries if (row.outcome, row.provider) == (outcome, provider)]
            times = [time for row in mine if (time := read(row)) is not None]
            buckets = {
                float(sample.labels["le"]): sample.value
                for sample in of(families[name], "_bucket", **labels)
            }
            assert list(buckets) == [*(bound / 1000 for bound in BOUNDS_MS), inf]
            assert buckets == {le: sum(1 for time in times if time / 1000 <= le) for le in buckets}
            (count,) = of(families[name], "_count", **labels)
            (total,) = of(families[name], "_sum", **labels)
            assert count.value == buckets[inf] == len(times)
            assert total.value == sum(times) / 1000


@settings(max_examples=20)
@given(st.lists(rows, max_size=3))
def test_the_answer_for_several_workers_is_one_each_and_parses_whole(
    each: list[list[Entry]],
) -> None:
    workers = [
        ((("worker", str(slot)),), observed(entries).samples()) for slot, entries in enumerate(each)
    ]
    text = exposition(METRICS, workers)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    families = parsed(text)
    samples = [sample for family in families.values() for sample in family.samples]
    assert len(samples) == len(lines) == sum(len(found) for _label, found in workers)
    assert len({(one.name, tuple(sorted(one.labels.items()))) for one in samples}) == len(samples)
    assert {name: family.type for name, family in families.items()} == {
        name.removesuffix("_total") if kind == "counter" else name: kind
        for name, (kind, _help) in METRICS.items()
    }
    for name, read in TIMES.items():
        for slot, entries in enumerate(each):
            counted = sum(one.value for one in of(families[name], "_count", worker=str(slot)))
            assert counted == sum(1 for row in entries if read(row) is not None)


def test_the_buckets_reach_from_five_milliseconds_to_ten_minutes_and_rise() -> None:
    assert (BOUNDS_MS[0], BOUNDS_MS[-1]) == (5, 600_000)
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_every_family_is_named_as_prometheus_wants_its_kind(kind: str) -> None:
    names = [name for name, (found, _help) in METRICS.items() if found == kind]
    assert names
    assert all(name.endswith("_total") == (kind == "counter") for name in names)
