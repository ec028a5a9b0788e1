"""Laws of the figures under the conventions' names: closed attributes, and sums that are the rows'."""

from uuid import UUID

from hypothesis import given, settings, strategies as st

from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry, Line, Outcome, reported_tokens
from gateway.telemetry.genai import DURATION, FIRST_CHUNK, MODELS_MAX, OTHER, TOKENS, GenAi
from gateway.telemetry.metrics import Histogram, Metrics
from gateway.telemetry.observe import Telemetry

ATTRIBUTES = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.token.type",
    "error.type",
}


def line(unit: str, quantity: int) -> Line:
    return Line(unit=unit, quantity=quantity, price_id="p", list_pico=1, net_pico=1)


def entry(number: int, *lines: Line, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "id": UUID(int=2 * number),
        "request_id": UUID(int=2 * number),
        "occurred_us": 0,
        "booked_us": 0,
        "day": "2026-11-30",
        "period": 202611,
        "org": "org-of-one",
        "team": "team-of-one",
        "user": "user-0001",
        "key_id": "key-of-one",
        "provider": "one",
        "operation": "messages",
        "upstream": "upstream-of-one",
        "model": "model-1",
        "status": 200,
        "outcome": Outcome.COMPLETE,
        "provenance": "reported",
        "net_pico": 2,
        "lines": lines or (line("input_text", 5), line("output_text", 7)),
        **changes,
    }
    return Entry(**fields)  # type: ignore[arg-type]  # the fields of an entry


def observed(*entries: Entry) -> GenAi:
    found = GenAi({"one": "cloud.one"})
    telemetry = Telemetry(Metrics(), SystemClock(), found)
    for each in entries:
        telemetry.settled(each)
    return found


def of(found: GenAi, name: str) -> list[tuple[dict[str, str], Histogram]]:
    return [
        (dict(labels), value)
        for named, labels, value in found.read()
        if named == name and isinstance(value, Histogram)
    ]


tokens = st.integers(0, 10**9)
entries = st.builds(
    lambda read, cached, written, stream, first, outcome, status, provenance: entry(
        1,
        line("input_text", read),
        line("cache_read_text", cached),
        line("output_text", written),
        stream=stream,
        first_byte_ms=first,
        total_ms=first + 3,
        outcome=outcome,
        status=status,
        provenance=provenance,
    ),
    *(tokens, tokens, tokens, st.booleans(), st.integers(0, 10**6)),
    *(st.sampled_from(Outcome), st.sampled_from([0, 200, 404, 429, 500, 599, 600, 999])),
    st.sampled_from(["reported", "partial", "counted"]),
)


@settings(max_examples=60)
@given(st.lists(entries, max_size=10))
def test_counts_and_sums_are_the_rows(rows: list[Entry]) -> None:
    found = observed(*rows)
    times = of(found, DURATION)
    assert sum(sum(value.counts) for _, value in times) == len(rows)
    assert sum(value.total for _, value in times) == sum(row.total_ms or 0 for row in rows)
    streams = [row.first_byte_ms or 0 for row in rows if row.stream]
    assert sum(value.total for _, value in of(found, FIRST_CHUNK)) == sum(streams)
    for place, kind in enumerate(("input", "output")):
        said = [reported_tokens(row)[place] for row in rows if row.provenance == "reported"]
        mine = [v for told, v in of(found, TOKENS) if told["gen_ai.token.type"] == kind]
        assert sum(value.total for value in mine) == sum(said)
    complete = sum(sum(value.counts) for told, value in times if "error.type" not in told)
    assert complete == sum(1 for row in rows if row.outcome is Outcome.COMPLETE)


@given(st.lists(entries, max_size=10))
@settings(max_examples=30)
def test_no_attribute_is_of_anybody_and_each_set_is_closed(rows: list[Entry]) -> None:
    closed = {"chat", "cloud.one", "model-1", "input", "output", *map(str, Outcome)}
    closed |= {str(status) for status in range(400, 600)}
    for _name, labels, _value in observed(*rows).read():
        assert dict(labels).keys() <= ATTRIBUTES
        assert set(dict(labels).values()) <= closed


def test_models_are_those_with_a_price_and_a_hundred_at_most() -> None:
    many = [entry(n, model=f"model-{n}", total_ms=1) for n in range(3 * MODELS_MAX)]
    odd = entry(0, model="what a client wrote", net_pico=None, total_ms=1)
    told = of(observed(*many, odd), DURATION)
    models = [labels.get("gen_ai.request.model") for labels, _value in told]
    assert len(models) == MODELS_MAX + 2
    assert {None, OTHER, "model-0"} < set(models)
    assert "what a client wrote" not in models


def test_an_operation_the_conventions_do_not_name_keeps_ours() -> None:
    told = of(observed(entry(1, operation="images.edits", total_ms=1)), DURATION)
    assert [labels["gen_ai.operation.name"] for labels, _value in told] == ["images.edits"]
