"""The drift watch: a change nobody announced is seen, a steady bias is not a change."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, strategies as st

from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.reporting.drift import MILLION, RECENT, SIGNALS, Drift, Watch


def row(counted: int = 1000, reported: int = 1000, output: int = 10, **changes: Any) -> Entry:
    lines = (
        Line("input_text", reported - reported // 4, "p", 1, 1),
        Line("cache_read_text", reported // 4, "p", 1, 1),
        Line("output_text", output, "p", 1, 1),
        Line("input_text", 5000, "p", 1, 1, role="tool"),
        Line("web_search_requests", 3, "p", 1, 1),
    )
    fields: dict[str, Any] = {
        "id": uuid4(), "request_id": uuid4(), "occurred_us": 1, "booked_us": 1, "day": "2026-11-18",
        "period": 202611, "org": "o", "team": "t", "user": "user-0001", "key_id": "k", "provider": "cloud",
        "operation": "chat", "upstream": "u", "model": "m", "status": 200, "outcome": Outcome.COMPLETE,
        "provenance": "reported", "lines": lines, "counted_input": counted, "counted_output": output,
        "count_confidence": "estimate",
    }  # fmt: skip
    return Entry(**(fields | changes))


def watch(*rows: Entry) -> Watch:
    made = Watch()
    for entry in rows:
        made.add(entry)
    return made


def signals(made: Watch) -> list[str]:
    return [alarm.signal for alarm in made.alarms()]


def test_only_the_calls_own_tokens_are_compared() -> None:
    made = watch(row(1000, 1200))
    assert (made.counted, made.reported, made.ratio_ppm()) == (1000, 1200, 1_200_000)


def test_a_steady_bias_is_a_ratio_and_no_drift() -> None:
    made = watch(*(row(1000, 1300) for _ in range(1000)))
    assert made.recent_ppm() == pytest.approx(1_300_000, abs=50)
    assert signals(made) == []


def test_a_change_is_seen_within_its_first_couple_of_hundred_answers() -> None:
    before = [row(1000, 1000) for _ in range(2000)]
    after = [row(1000, 1150) for _ in range(RECENT)]
    (alarm,) = watch(*before, *after).alarms()
    assert (alarm.signal, alarm.found.split()[3]) == ("ratio_drift", "+11.4")
    assert signals(watch(*before, *after[:20])) == []


def test_below_four_hundred_answers_nobody_speaks_of_drift() -> None:
    few = [row(1000, 1000) for _ in range(200)] + [row(1000, 3000) for _ in range(199)]
    assert watch(*few).drift_ppm() is None
    assert watch(*few, row(1000, 3000)).drift_ppm() is not None


def test_long_prompts_weigh_more_than_short_ones() -> None:
    assert watch(row(10, 20), row(1_000_000, 1_000_000)).ratio_ppm() == 1_000_009


def test_exact_counts_may_miss_by_three_tokens_or_two_percent_and_a_few_by_more() -> None:
    fine = [row(1000, 1020, count_confidence="exact") for _ in range(95)]
    small = [row(10, 13, count_confidence="exact")]
    missed = [row(1000, 1030, count_confidence="exact") for _ in range(5)]
    assert watch(*fine, *small, *missed).exact_off == 5
    assert signals(watch(*fine, *small, *missed)) == []
    assert signals(watch(*fine, *missed, *missed)) == ["exact_off"]
    assert signals(watch(*(row(1000, 9000, count_confidence="exact") for _ in range(49)))) == []


def test_an_answer_with_text_that_reports_no_output_is_told() -> None:
    assert signals(watch(row(output=0, counted_output=12))) == ["silent_output"]
    assert signals(watch(row(output=0, counted_output=0))) == []


@pytest.mark.parametrize("flag", SIGNALS)
def test_every_flag_that_a_bill_may_not_fit_is_a_signal_with_its_cure(flag: str) -> None:
    (alarm,) = watch(row(), row(), row(flags=(flag, "stream"))).alarms()
    assert (alarm.signal, alarm.rows) == (flag, 1)
    assert alarm.found.endswith("33.3 % of rows")
    assert alarm.cure


def test_what_was_not_reported_or_not_finished_or_is_a_correction_is_not_compared() -> None:
    made = watch(
        row(provenance="counted"),
        row(outcome=Outcome.CLIENT_LEFT),
        row(kind=EntryKind.ADJUSTMENT, flags=("unbalanced",)),
        row(counted_input=None),
    )
    assert (made.rows, made.compared, made.ratio_ppm(), signals(made)) == (3, 0, None, [])


def test_models_are_watched_apart_and_one_without_a_model_under_its_wire_name() -> None:
    drift = Drift()
    drift.add(row())
    drift.add(row(model=None, deployment="my-gpt"))
    drift.add(row(model=None))
    assert set(drift.watches) == {("cloud", "m"), ("cloud", "my-gpt"), ("cloud", "?")}


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=60))
def test_the_recent_ratio_lies_between_the_least_and_the_greatest(
    pairs: list[tuple[int, int]],
) -> None:
    made = watch(*(row(counted, reported) for counted, reported in pairs))
    ratios = [reported * MILLION / counted for counted, reported in pairs]
    recent = made.recent_ppm()
    assert recent is not None
    assert min(ratios) * 0.999 - 2 <= recent <= max(ratios) * 1.001 + 2
