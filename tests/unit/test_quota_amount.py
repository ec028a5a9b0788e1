"""What counts towards a budget: of booked rows as of requests still to be sent, in the measure's own units."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.ids import adjustment_id, new_id
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import ADJUSTS_REQUEST
from gateway.quota.amount import Estimate, amount, bounded
from gateway.quota.budget import MEASURES, Budget, Scope


def budget(measure: str) -> Budget:
    return Budget(id="b", name="b", scope=Scope(), measure=measure, limit=1, window="month")


def line(unit: str, quantity: int) -> Line:
    return Line(unit, quantity, None, None, None)


def row(*lines: Line, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": new_id(), "request_id": new_id(), "occurred_us": 5, "booked_us": 9, "day": "2026-12-01",
        "period": 202612, "org": "o", "team": "t", "user": "user-0001", "key_id": "k",
        "provider": "cloud", "operation": "chat", "upstream": "u", "status": 200,
        "outcome": Outcome.COMPLETE, "provenance": "reported", "lines": lines,
    }  # fmt: skip
    return Entry(**(fields | changes))


ALL = (
    line("input_text", 1),
    line("cache_read_text", 20),
    line("output_text", 300),
    line("output_reasoning", 4_000),
    line("web_search_requests", 50_000),
    line("audio_seconds", 600_000),
    line("a_unit_of_tomorrow", 7_000_000),
)


def test_a_row_counts_by_the_measure_of_the_budget() -> None:
    one = row(*ALL, list_pico=5_001, net_pico=2_000)
    assert {measure: amount(budget(measure), one) for measure in MEASURES} == {
        "usd_list": 6,
        "usd_net": 2,
        "tokens": 4_321,
        "input_tokens": 21,
        "output_tokens": 4_300,
        "requests": 1,
        "concurrent": 0,
    }


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("web_search_requests", 50_000),
        ("output_text", 300),
        ("a_unit_of_tomorrow", 7_000_000),
        ("input", 0),
    ],
)
def test_a_budget_over_one_unit_counts_that_unit_alone(unit: str, expected: int) -> None:
    assert amount(budget(f"unit:{unit}"), row(*ALL, list_pico=1, net_pico=1)) == expected


def test_money_is_rounded_up_to_the_nano_dollar_and_an_unpriced_row_posts_none() -> None:
    for measure, name in (("usd_list", "list_pico"), ("usd_net", "net_pico")):
        posted = [amount(budget(measure), row(**{name: pico})) for pico in (0, 1, 1_000, 1_001)]
        assert posted == [0, 1, 1, 2]
        assert amount(budget(measure), row()) == 0


def test_a_line_without_a_price_hides_none_of_the_others_from_a_budget() -> None:
    priced = Line("input_text", 10, "p", 4_000, 3_000)
    one = row(priced, line("web_search_requests", 3), price_status="partial")
    assert (one.list_pico, one.net_pico) == (None, None)
    assert [amount(budget(measure), one) for measure in ("usd_list", "usd_net")] == [4, 3]


def test_a_correction_posts_its_difference_and_is_no_further_request() -> None:
    first = new_id()
    fields = {"kind": EntryKind.ADJUSTMENT, "id": adjustment_id(first), "ref_id": first}
    one = row(line("output_text", -7), list_pico=-5_500, net_pico=-1, **fields)
    assert [amount(budget(measure), one) for measure in ("usd_list", "usd_net")] == [-5, 0]
    assert [amount(budget(measure), one) for measure in ("tokens", "output_tokens")] == [-7, -7]
    assert amount(budget("requests"), one) == 0


def test_a_request_is_counted_once_however_many_attempts_it_took() -> None:
    counted = {kind: amount(budget("requests"), row(kind=kind)) for kind in EntryKind}
    assert [kind for kind, count in counted.items() if count] == [
        EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED,
    ]  # fmt: skip
    assert set(counted.values()) == {0, 1}
    assert amount(budget("requests"), row(flags=("spilled_over", FAILED_OVER))) == 0
    assert amount(budget("requests"), row(flags=("spilled_over",))) == 1


def test_a_request_to_come_is_bounded_by_the_measure_of_the_budget() -> None:
    estimate = Estimate(5_001, 2_000, 21, 4_300, {"web_search_requests": 3})
    assert {measure: bounded(budget(measure), estimate) for measure in MEASURES} == {
        "usd_list": 6,
        "usd_net": 2,
        "tokens": 4_321,
        "input_tokens": 21,
        "output_tokens": 4_300,
        "requests": 1,
        "concurrent": 1,
    }
    assert bounded(budget("unit:web_search_requests"), estimate) == 3
    assert bounded(budget("unit:audio_seconds"), estimate) == 0


def test_a_request_without_a_price_is_bounded_by_no_money() -> None:
    assert [bounded(budget(measure), Estimate()) for measure in MEASURES] == [0, 0, 0, 0, 0, 1, 1]


@given(st.lists(st.sampled_from(ALL), max_size=8))
def test_input_and_output_tokens_are_the_tokens(lines: list[Line]) -> None:
    one = row(*lines)
    both = [amount(budget(measure), one) for measure in ("input_tokens", "output_tokens")]
    assert sum(both) == amount(budget("tokens"), one)


def test_a_request_whose_hold_ended_while_it_went_on_elsewhere_is_taken_back_once_that_is_known() -> (
    None
):
    left, went_on = row(kind=EntryKind.UNCONFIRMED), row(line("input_text", 3))
    known = row(
        line("input_text", 5),
        kind=EntryKind.ADJUSTMENT,
        ref_id=left.id,
        flags=(FAILED_OVER, ADJUSTS_REQUEST),
    )
    assert [amount(budget("requests"), one) for one in (left, went_on, known)] == [1, 1, -1]
    assert amount(budget("tokens"), known) == 5
