"""What-if: the same tokens elsewhere, nothing invented, nothing left out silently."""

from typing import Any
from uuid import uuid4

import msgspec
from hypothesis import given, strategies as st

from gateway.ledger.adjust import together
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.reprice import Tariff, repriced
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate
from gateway.reporting.whatif import Pace, Source, Target, WhatIf, percentile

AT_US = 1_795_000_000_000_000
HEADER = ",".join(load.COLUMNS)


def price(model: str, unit: str, usd: str, above: int = 0, until: str = "") -> str:
    return f"cloud,{model},global,,,standard,{unit},{above},{usd},1000000,USD,2026-01-01,{until},s,r,manual"


BOOK: Book = load.book({"p.csv": "\n".join((
    HEADER,
    price("dear", "input_text", "4"), price("dear", "input_text", "8", 1000),
    price("dear", "output_text", "16"), price("dear", "output_text", "24", 1000),
    price("dear", "cache_read_text", "0.4"), price("dear", "cache_read_text", "0.8", 1000),
    price("cheap", "input_text", "1"), price("cheap", "output_text", "2"),
    price("gone", "input_text", "1", until="2026-02-01"), price("gone", "output_text", "1", until="2026-02-01"),
    price("deaf", "input_text", "1"),
    "",
)).encode()})  # fmt: skip


def charged(counts: dict[str, int], model: str | None = "dear", **changes: Any) -> Entry:
    at = Circumstances(provider="cloud", model=model, scope="global", at_us=AT_US)
    signs = (
        [(1, counts)]
        if all(n >= 0 for n in counts.values())
        else [(-1, {u: -n for u, n in counts.items()})]
    )
    lines = tuple(
        Line(line.unit, sign * line.quantity, line.price_id, sign * line.list_pico, sign * line.list_pico)
        for sign, part in signs
        for line in rate(BOOK, at, part).lines
        if line.list_pico is not None
    )  # fmt: skip
    fields: dict[str, Any] = {
        "id": uuid4(), "request_id": uuid4(), "occurred_us": AT_US, "booked_us": AT_US,
        "day": "2026-11-18", "period": 202611, "org": "o", "team": "t", "user": "user-0001", "key_id": "k",
        "provider": "cloud", "operation": "chat", "upstream": "u", "model": model, "status": 200,
        "outcome": Outcome.COMPLETE, "provenance": "reported", "lines": lines,
    }  # fmt: skip
    return Entry(**(fields | changes))


def folded(*entries: Entry, to: str = "cheap", **where: Any) -> WhatIf:
    made = WhatIf(BOOK, Target("cloud", to, "global", **where))
    for entry in entries:
        made.add(entry)
    return made


USED = st.dictionaries(
    st.sampled_from(["input_text", "output_text", "cache_read_text"]),
    st.integers(0, 5000),
    min_size=1,
)


@given(st.lists(USED, max_size=5))
def test_repricing_at_the_same_prices_returns_the_same_sum(rows: list[dict[str, int]]) -> None:
    made = folded(*(charged(counts) for counts in rows), to="dear")
    for found in made.sources.values():
        assert found.is_pico == found.was_pico
        assert found.left_out.total() == 0


def test_the_other_models_context_tiers_are_those_of_each_request() -> None:
    short = charged({"input_text": 1000, "output_text": 10}, "cheap")
    long = charged({"input_text": 1001, "output_text": 10}, "cheap")
    (found,) = folded(short, long, to="dear").sources.values()
    assert found.is_pico == 10**6 * (1000 * 4 + 10 * 16 + 1001 * 8 + 10 * 24)
    assert (found.rows, found.input_tokens, found.output_tokens) == (2, 2001, 20)


def test_what_has_no_price_there_is_charged_as_what_it_refines_and_said() -> None:
    (found,) = folded(
        charged({"cache_read_text": 100, "input_text": 5, "output_text": 1})
    ).sources.values()
    assert found.is_pico == 10**6 * (105 + 2)
    assert found.charged_as == {("cache_read_text", "input_text"): 100}


def test_a_row_without_a_price_on_either_side_is_in_neither_sum_and_counted() -> None:
    priced = charged({"input_text": 7})
    silent = charged({"input_text": 5, "output_text": 5})
    unpriced = charged({"input_text": 9}, lines=(Line("input_text", 9, None, None, None),))
    (found,) = folded(priced, silent, unpriced, to="deaf").sources.values()
    assert (found.rows, found.left_out) == (3, {"there": 1, "was": 1})
    assert (found.was_pico, found.is_pico) == (28 * 10**6, 7 * 10**6)


def test_each_row_is_priced_on_its_own_day_unless_one_day_is_asked_for() -> None:
    early = AT_US - 300 * 86_400_000_000
    entry = charged({"input_text": 10})
    (found,) = folded(entry, to="gone").sources.values()
    assert found.left_out == {"there": 1}
    (found,) = folded(entry, to="gone", at_us=early).sources.values()
    assert found.is_pico == 10 * 10**6


def test_a_correction_takes_back_what_it_corrects() -> None:
    whole = charged({"input_text": 100, "output_text": 10})
    back = charged({"input_text": -100, "output_text": -10}, kind=EntryKind.REVERSAL)
    (found,) = folded(whole, back).sources.values()
    assert (found.was_pico, found.is_pico, found.input_tokens) == (0, 0, 0)
    assert found.pace.requests == 1


def test_a_row_that_was_rated_again_is_one_row_at_its_price_of_now() -> None:
    counts = {"input_text": 1001, "output_text": 10}
    first, *rest = charged(counts, scope="global").lines
    silent = msgspec.structs.replace(first, price_id=None, list_pico=None, net_pico=None)
    dearer = msgspec.structs.replace(first, price_id="old", list_pico=9, net_pico=9)
    for was in (silent, dearer):
        row = charged(counts, scope="global", price_status="priced", lines=(was, *rest))
        corrections = repriced(row, (), Tariff(BOOK), AT_US)
        (found,) = folded(together(row, corrections), to="dear").sources.values()
        assert (found.rows, found.input_tokens, found.left_out) == (1, 1001, {})
        assert found.was_pico == found.is_pico == 10**6 * (1001 * 8 + 10 * 24)


def test_a_model_that_became_known_is_compared_under_its_name() -> None:
    row = charged({"input_text": 5}, model=None, served_model="dear", scope="global",
        lines=(Line("input_text", 5, None, None, None),), price_status="unpriced")  # fmt: skip
    whole = together(row, repriced(row, (), Tariff(BOOK), AT_US))
    (found,) = folded(whole).sources.items()
    assert found[0] == Source("cloud", "dear")
    assert (found[1].was_pico, found[1].is_pico, found[1].left_out) == (20 * 10**6, 5 * 10**6, {})


def test_guardrails_and_hosted_tools_stay_where_they_are() -> None:
    own = Line("input_text", 10, "p", 40 * 10**6, 40 * 10**6)
    tool = Line("web_search_requests", 3, "p", 30 * 10**9, 30 * 10**9, role="tool")
    other = Line("input_text", 99, "p", 99, 99, model="helper")
    (found,) = folded(charged({}, lines=(own, tool, other))).sources.values()
    assert (found.was_pico, found.is_pico) == (40 * 10**6, 10 * 10**6)


def test_only_rows_that_fit_are_repriced_and_the_other_models_speed_is_its_own() -> None:
    made = WhatIf(BOOK, Target("cloud", "cheap", "global"))
    made.add(charged({"input_text": 1}, "cheap", total_ms=80), reprice=False)
    made.add(charged({"input_text": 1}, total_ms=900))
    assert set(made.sources) == {Source("cloud", "dear")}
    assert made.target_pace.total_ms(50) == 80


def test_pace_is_exact_percentiles_of_successful_calls_and_errors_beside_it() -> None:
    pace = Pace()
    for ms in range(1, 101):
        lines = (Line("output_text", 50, "p", 1, 1),)
        pace.add(charged({}, lines=lines, stream=True, first_byte_ms=ms, total_ms=ms + 1000))
    pace.add(charged({}, status=529, total_ms=9_999_999))
    pace.add(charged({}, outcome=Outcome.UPSTREAM_FAILED, total_ms=9_999_999))
    assert (pace.requests, pace.errors) == (102, 2)
    assert (pace.first_byte_ms(50), pace.first_byte_ms(95), pace.total_ms(95)) == (50, 95, 1095)
    assert pace.tokens_per_second(50) == 50
    assert (Pace().total_ms(50), Pace().tokens_per_second(50)) == (None, None)


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_enough_do_not_exceed(
    values: list[int], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)
