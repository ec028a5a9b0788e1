"""The drift watch: a change nobody announced is seen, a steady bias is not a change."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, strategies as st

from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.reporting.drift import MILLION, RECENT, SIGNALS, Drift, Watch, _percent


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


def test_alarms_begin_beyond_five_percent_to_the_part_per_million() -> None:
    made = watch(row())
    made.compared = 2 * RECENT
    for off, is_told in ((50_000, False), (50_001, True)):
        for sign in (1, -1):
            made.counted = made.reported = made._recent_counted = MILLION
            made._recent_reported = MILLION + sign * off
            assert made.drift_ppm() == sign * off
            assert signals(made) == (["ratio_drift"] if is_told else [])
    assert next(made.alarms()) == (
        "ratio_drift", RECENT, "recent answers report -5.0 % against what was counted before",
        "a new tokenizer, a hidden preamble or a new bill: compare usage_raw of old and new rows",
    )  # fmt: skip


def test_the_recent_ratio_moves_by_a_hundredth_of_each_answer() -> None:
    made = watch(row(1000, 1000))
    assert made.recent_ppm() == MILLION
    made.add(row(1000, 2000))
    # 1000 and 990 + 2000, of a hundredth each: the newest weighs a hundredth more than the one before.
    assert made.recent_ppm() == pytest.approx((990 + 2000) * MILLION / (990 + 1000), abs=2)
    assert (made.ratio_ppm(), made.compared) == (1_500_000, 2)


def test_nothing_that_was_not_counted_or_not_reported_is_compared() -> None:
    assert watch(row(0, 1000)).compared == 0
    silent = row(1000, 0, lines=())
    assert (watch(silent).compared, watch(silent).ratio_ppm(), watch(silent).recent_ppm()) == (0, None, None)  # fmt: skip
    assert watch(row(1, 1, lines=(Line("input_text", 1, "p", 1, 1),))).compared == 1


def test_a_miss_of_an_exact_count_is_of_either_side_and_an_estimate_has_none() -> None:
    for reported, off in ((1_000, 0), (1_003, 0), (1_021, 1), (979, 1), (981, 0), (980, 1)):
        made = watch(row(1000, reported, count_confidence="exact"))
        assert (made.exact, made.exact_off) == (1, off), reported
    for reported, off in ((7, 0), (13, 0), (14, 1), (6, 1)):
        assert watch(row(10, reported, count_confidence="exact")).exact_off == off, reported
    for confidence in ("estimate", "formula", None):
        assert watch(row(1000, 9000, count_confidence=confidence)).exact == 0


def test_misses_are_told_from_fifty_exact_counts_and_beyond_five_in_a_hundred_on() -> None:
    def told(exact: int, off: int) -> list[str]:
        good = [row(1000, 1000, count_confidence="exact")] * (exact - off)
        return [one.found for one in watch(*good, *[row(1000, 1100, count_confidence="exact")] * off).alarms()]  # fmt: skip

    assert told(100, 5) == []
    assert told(100, 6) == ["6 of 100 exact counts are off by more than 2 %"]
    assert told(49, 9) == []
    (said,) = watch(*[row(1000, 1100, count_confidence="exact")] * 50).alarms()
    assert said == ("exact_off", 50, "50 of 50 exact counts are off by more than 2 %", "the provider counts in a new way")  # fmt: skip


def test_silent_answers_are_counted_and_said() -> None:
    silent = row(output=0, counted_output=1)
    (alarm,) = watch(silent, silent, row(output=1, counted_output=5), row(output=0, counted_output=None)).alarms()  # fmt: skip
    assert alarm == (
        "silent_output", 2, "2 answers have text and report no output", "they are charged as reported: ask the provider",
    )  # fmt: skip
    (flagged,) = watch(row(flags=("unbalanced",)), row(), row()).alarms()
    assert flagged == (
        "unbalanced", 1, "classes do not sum to the provider's total: 33.3 % of rows",
        "the provider reports something new: compare usage_raw with lines",
    )  # fmt: skip
    assert [one.signal for one in watch(row(flags=tuple(SIGNALS)), silent).alarms()] == ["silent_output", *SIGNALS]  # fmt: skip


def test_a_correction_is_no_row_and_a_flag_nobody_watches_no_signal() -> None:
    made = watch(row(kind=EntryKind.REPRICE), row(flags=("stream", "failed_over")), row(outcome=Outcome.ERROR, flags=("unbalanced",)))  # fmt: skip
    assert (made.rows, made.compared, dict(made.flagged)) == (2, 1, {"unbalanced": 1})


def test_of_a_model_that_reported_nothing_at_all_no_drift_is_told() -> None:
    made = watch()
    made.compared, made.counted, made.reported = 2 * RECENT, 10**9, 1
    made._recent_counted = made._recent_reported = 5
    assert (made.ratio_ppm(), made.drift_ppm()) == (0, None)


def test_small_counts_are_compared_as_exactly_as_large_ones() -> None:
    one = watch(row(1, 1, lines=(Line("input_text", 1, "p", 1, 1),)))
    assert one.recent_ppm() == MILLION
    one._recent_counted = one._recent_reported = 1
    assert one.recent_ppm() == MILLION
    one.compared, one._recent_counted = 2 * RECENT, 0
    assert (one.recent_ppm(), one.drift_ppm()) == (None, None)


def test_two_percent_are_of_what_was_reported_to_the_token() -> None:
    assert watch(row(4_900, 5_000, count_confidence="exact")).exact_off == 0
    assert watch(row(4_899, 5_000, count_confidence="exact")).exact_off == 1
    made = watch()
    made.exact, made.exact_off = 2_000, 100
    assert signals(made) == []
    made.exact_off = 101
    assert signals(made) == ["exact_off"]


def test_parts_per_million_are_said_as_tenths_of_a_percent() -> None:
    said = [_percent(ppm) for ppm in (-999, -1, 0, 1, 999, 1_000, 999_000)]
    assert said == ["-0.0 %", "-0.0 %", "+0.0 %", "+0.0 %", "+0.0 %", "+0.1 %", "+99.9 %"]
    assert _percent(-1_000, signed=False) == "0.1 %"
