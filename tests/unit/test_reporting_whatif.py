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


def paced(*entries: Entry) -> Pace:
    made = Pace()
    for entry in entries:
        made.add(entry)
    return made


def test_only_attempts_count_and_only_those_that_succeeded_have_a_pace() -> None:
    ok = charged({}, first_byte_ms=3, total_ms=5)
    made = paced(
        ok, charged({}, kind=EntryKind.INTERRUPTED, first_byte_ms=7, total_ms=9), charged({}, kind=EntryKind.ADJUSTMENT, total_ms=1),
        charged({}, kind=EntryKind.UNCONFIRMED, total_ms=1), charged({}, kind=EntryKind.REPRICE, total_ms=1),
    )  # fmt: skip
    assert (made.requests, made.errors, made.total_ms(50), made.total_ms(100)) == (2, 0, 5, 9)
    assert (made.first_byte_ms(50), made.first_byte_ms(100)) == (3, 7)
    for status, is_error in ((200, 0), (399, 0), (400, 1), (529, 1)):
        one = paced(charged({}, status=status, total_ms=1))
        assert (one.requests, one.errors, one.total_ms(50)) == (1, is_error, None if is_error else 1)  # fmt: skip
    for outcome in Outcome:
        failed = outcome in {Outcome.ERROR, Outcome.UPSTREAM_FAILED, Outcome.INTERRUPTED}
        assert paced(charged({}, outcome=outcome)).errors == failed


def test_tokens_a_second_are_of_streams_after_their_first_byte() -> None:
    lines = (
        Line("output_text", 50, "p", 1, 1), Line("output_reasoning", 10, "p", 1, 1), Line("input_text", 900, "p", 1, 1),
        Line("web_search_requests", 900, "p", 1, 1), Line("images_out", 900, "p", 1, 1), Line("of the future", 900, "p", 1, 1),
    )  # fmt: skip

    def rate_of(**changes: Any) -> int | None:
        fields: dict[str, Any] = {
            "lines": lines, "stream": True, "first_byte_ms": 100, "total_ms": 700,
        }  # fmt: skip
        return paced(charged({}, **(fields | changes))).tokens_per_second(50)

    assert rate_of() == 60 * 1000 // 600
    assert rate_of(first_byte_ms=None) == 60 * 1000 // 700
    assert rate_of(first_byte_ms=699) == 60_000
    assert rate_of(stream=False) is None
    assert rate_of(first_byte_ms=700) is None
    assert rate_of(total_ms=None) is None
    assert rate_of(total_ms=None, first_byte_ms=None) is None
    assert rate_of(total_ms=1, first_byte_ms=None) == 60_000
    assert rate_of(lines=()) == 0
    unknown = paced(charged({}))
    assert (unknown.first_byte_ms(50), unknown.total_ms(50)) == (None, None)


def test_each_percentile_is_one_of_the_values() -> None:
    assert [percentile([30, 10, 20], percent) for percent in (1, 33, 34, 66, 67, 100)] == [10, 10, 20, 20, 30, 30]  # fmt: skip
    assert percentile([], 50) is None


def test_a_target_is_where_and_when_it_is_asked_about() -> None:
    plain = Target("cloud", "m", "geo", geo="eu", region="paris", tier="batch")
    assert plain.circumstances(7) == Circumstances(
        "cloud", "m", "geo", 7, geo="eu", region="paris", tier="batch"
    )
    assert plain.circumstances(7, 9).context_tokens == 9
    assert msgspec.structs.replace(plain, at_us=0).circumstances(7).at_us == 0


def test_what_was_paid_is_summed_beside_the_list_and_tokens_by_direction() -> None:
    lines = (
        Line("input_text", 10, "p", 40 * 10**6, 30 * 10**6), Line("output_text", 5, "p", 80 * 10**6, 70 * 10**6),
        Line("cache_read_text", 4, "p", 10**6, 10**6),
    )  # fmt: skip
    (found,) = folded(charged({}, lines=lines)).sources.values()
    assert (found.was_pico, found.was_net_pico) == (121 * 10**6, 101 * 10**6)
    assert (found.rows, found.input_tokens, found.output_tokens) == (1, 14, 5)
    unknown_net = (Line("input_text", 10, "p", 40 * 10**6, None),)
    (found,) = folded(charged({}, lines=unknown_net)).sources.values()
    assert (found.was_pico, found.was_net_pico, found.rows) == (40 * 10**6, 0, 1)
    (nothing,) = folded(charged({}, lines=())).sources.values()
    assert (nothing.rows, nothing.pace.requests, nothing.left_out) == (0, 1, {})


def test_a_row_without_a_model_is_nobodys_source() -> None:
    assert folded(charged({"input_text": 1}, None)).sources == {}


def test_a_batch_is_a_sum_whose_prompts_nobody_knows() -> None:
    rows = [charged({"input_text": 5000}, "cheap", tier=tier) for tier in ("standard", "batch")]
    standard, batch = (next(iter(folded(one, to="dear").sources.values())) for one in rows)
    assert (standard.is_pico, batch.is_pico) == (5000 * 8 * 10**6, 5000 * 4 * 10**6)


def test_a_long_prompt_is_one_with_its_cached_part_and_without_its_answer() -> None:
    def there(**counts: int) -> int:
        lines = tuple(Line(unit, count, "p", 1, 1) for unit, count in counts.items())
        (found,) = folded(charged({}, "cheap", lines=lines), to="dear").sources.values()
        return found.is_pico // 10**5

    assert there(input_text=600, cache_read_text=400) == 600 * 40 + 400 * 4
    assert there(input_text=600, cache_read_text=401) == 600 * 80 + 401 * 8
    assert there(input_text=1000, output_text=5000) == 1000 * 40 + 5000 * 160


def test_several_lines_that_are_charged_as_one_unit_are_one_quantity() -> None:
    lines = tuple(
        Line(unit, 10, "p", 1, 1) for unit in ("input_text", "input_tool", "cache_read_image")
    )
    (found,) = folded(charged({}, lines=lines)).sources.values()
    assert found.is_pico == 30 * 10**6
    assert found.charged_as == {
        ("input_tool", "input_text"): 10, ("cache_read_image", "input_text"): 10,
    }  # fmt: skip
    (lost,) = folded(charged({}, lines=(*lines, Line("of the future", 1, "p", 1, 1)))).sources.values()  # fmt: skip
    assert lost.left_out == {"there": 1}


def test_a_correction_of_both_signs_is_charged_each_by_itself() -> None:
    lines = (Line("input_text", -900, "p", -3_600, -3_600), Line("output_text", 50, "p", 800, 800))
    (found,) = folded(charged({}, lines=lines)).sources.values()
    assert found.is_pico == 10**6 * (50 * 2 - 900)
    assert found.was_pico == -2_800
    (gone,) = folded(charged({}, lines=lines), to="deaf").sources.values()
    assert (gone.left_out, gone.is_pico, gone.was_pico) == ({"there": 1}, 0, 0)


def test_what_is_not_repriced_and_not_the_other_model_is_not_looked_at() -> None:
    made = WhatIf(BOOK, Target("cloud", "cheap", "global"))
    made.add(charged({"input_text": 1}), reprice=False)
    made.add(charged({"input_text": 1}, "cheap", provider="other", total_ms=5), reprice=False)
    assert (made.sources, made.target_pace.requests) == ({}, 0)
    made.add(charged({"input_text": 1}, "cheap", total_ms=5))
    assert set(made.sources) == {Source("cloud", "cheap")}
    assert (made.target_pace.requests, made.sources[Source("cloud", "cheap")].pace.total_ms(50)) == (1, 5)  # fmt: skip


def test_of_a_row_without_a_price_nothing_is_said_to_be_charged_there() -> None:
    lines = (Line("cache_read_text", 9, None, None, None),)
    (found,) = folded(charged({}, lines=lines)).sources.values()
    assert (found.left_out, found.charged_as) == ({"was": 1}, {})


def test_capacity_that_is_paid_for_already_is_no_price_there() -> None:
    made = WhatIf(BOOK, Target("cloud", "cheap", "provisioned"))
    made.add(charged({"input_text": 10}))
    (found,) = made.sources.values()
    assert (found.left_out, found.is_pico) == ({"there": 1}, 0)


def test_a_correction_of_money_alone_costs_nothing_there() -> None:
    (found,) = folded(charged({}, lines=(Line("input_text", 0, "p", 5, 5),))).sources.values()
    assert (found.was_pico, found.is_pico, found.left_out) == (5, 0, {})
