"""What has no price: counted by what would cure it, and gone once a correction has priced it."""

from collections.abc import Iterable
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.missing import Gaps, Missed, Wanted
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.row import Row
from tests.unit.ledger_rows import PLAIN

ROW = msgspec.structs.replace(
    PLAIN,
    id=UUID(int=2**127 + 2),
    request_id=UUID(int=7),
    occurred_us=1_000,
    booked_us=2_000,
    model="model-a",
    scope="global",
    lines=(Line("input_text", 80, None, None, None), Line("output_text", 5, "p", 7, 7)),
    price_status="partial",
)
INPUT = Wanted("cloud", "model-a", "global", "", "", "standard", "input_text")


PRICES = Book.compile(
    [
        Row(
            terms=("cloud", "model-a", "global", "", "", tier),
            unit=unit,
            context_gt=above,
            pico=above + 1,
            source="s",
            evidence="manual",
        )
        for unit, above in (("input_text", 0), ("output_text", 0), ("input_text", 200_000))
        for tier in ("standard", "batch")
    ]
)


def gaps(rows: Iterable[Entry], *corrections: Entry) -> Gaps:
    found = Gaps(PRICES)
    for row in rows:
        found.add(row, corrections)
    return found


def replaced(**changes: object) -> Entry:
    return msgspec.structs.replace(ROW, **changes)


def test_what_is_billed_beside_the_model_is_missing_under_its_own_name() -> None:
    line = Line("code_interpreter_sessions", 2, None, None, None, "hosted_tool")
    (found,) = gaps([replaced(lines=(line,), tier="priority")]).found()
    assert found[0] == Wanted(
        "cloud", "hosted-tools", "global", "", "", "standard", "code_interpreter_sessions"
    )


@given(st.lists(st.integers(1, 1000), max_size=9))
def test_lines_without_a_price_are_counted_and_summed(quantities: list[int]) -> None:
    rows = [replaced(lines=(Line("input_text", n, None, None, None),)) for n in quantities]
    found = gaps(rows).found()
    assert [(w, m.lines, m.quantity) for w, m in found] == [
        (INPUT, len(quantities), sum(quantities))
    ] * bool(quantities)


def test_priced_lines_are_not_missing_and_each_cure_is_its_own_line() -> None:
    other = replaced(tier="batch", occurred_us=500, price_status="ambiguous")
    found = dict(gaps([ROW, other]).found())
    assert set(found) == {INPUT, msgspec.structs.replace(INPUT, tier="batch")}
    assert (found[INPUT].first_us, found[INPUT].is_ambiguous) == (1_000, False)
    assert found[msgspec.structs.replace(INPUT, tier="batch")].is_ambiguous


def test_every_circumstance_of_a_price_is_named_and_what_is_not_known_is_empty() -> None:
    asked = replaced(geo="eu", region="paris", tier="flex")
    ((wanted, missed),) = gaps([asked]).found()
    assert wanted == Wanted("cloud", "model-a", "global", "eu", "paris", "flex", "input_text")
    assert (missed.lines, missed.quantity, missed.first_us, missed.last_us) == (1, 80, 1_000, 1_000)
    ((bare, _),) = gaps([replaced(scope=None)]).found()
    assert bare == Wanted("cloud", "model-a", "", "", "", "standard", "input_text")


def test_a_missing_price_is_looked_for_under_what_it_is_missing_under() -> None:
    whole = Wanted("cloud", "model-a", "global", "eu", "paris", "flex", "input_text")
    assert whole.circumstances(PRICES, 7) == Circumstances(
        provider="cloud", model="model-a", scope="global", at_us=7, geo="eu", region="paris",
        tier="flex",
    )  # fmt: skip
    bare = Wanted("cloud", "", "", "", "", "standard", "input_text").circumstances(PRICES, 7)
    assert (bare.model, bare.scope, bare.geo, bare.region) == (None, None, None, None)

    def model(name: str) -> str | None:
        return msgspec.structs.replace(whole, model=name).circumstances(PRICES, 7).model

    assert [model(name) for name in ("model-a-2026-10-01", "nobodys")] == ["model-a", "nobodys"]


def test_a_corrected_line_of_another_model_is_missing_by_the_prompt_of_its_own_part() -> None:
    def line(unit: str, quantity: int, pico: int | None) -> Line:
        return Line(unit, quantity, None if pico is None else "p", pico, pico, model="model-a")

    row = replaced(model="other", lines=(line("input_text", 300_000, 7), line("output_text", 5, 7)))
    gone = replaced(
        id=UUID(int=2**127 + 3), kind=EntryKind.REPRICE, ref_id=row.id, model="other",
        lines=(line("output_text", 5, None), line("output_text", -5, -7)),
    )  # fmt: skip
    (found,) = gaps([row], gone).found()
    assert (found[0].model, found[0].unit, found[0].context_gt) == (
        "model-a", "output_text", 200_000,
    )  # fmt: skip


def test_the_first_and_the_last_time_are_told_in_whatever_order_rows_come() -> None:
    moments = (700, 900, 100, 300)
    rows = [replaced(occurred_us=at_us) for at_us in moments]
    ((_, missed),) = gaps(rows).found()
    assert (missed.first_us, missed.last_us, missed.lines) == (100, 900, 4)


def test_the_most_frequent_comes_first_however_large() -> None:
    rare = replaced(model="a", lines=(Line("input_text", 9_999, None, None, None),))
    found = gaps([rare, replaced(model="b"), replaced(model="c"), replaced(model="c")]).found()
    assert [wanted.model for wanted, _ in found] == ["c", "a", "b"]


def test_one_ambiguous_row_among_others_is_told_in_whatever_order() -> None:
    plain, unclear = ROW, replaced(price_status="ambiguous")
    for rows in ([plain, unclear], [unclear, plain], [unclear, unclear]):
        ((_, missed),) = gaps(rows).found()
        assert missed.is_ambiguous


def test_one_token_is_missing_and_none_is_not() -> None:
    rows = [replaced(lines=(Line("input_text", n, None, None, None),)) for n in (0, 1, 5, -1)]
    assert [(m.lines, m.quantity) for _, m in gaps(rows).found()] == [(2, 6)]


def test_nothing_missed_is_nothing_and_a_row_with_lines_is_not_unknown() -> None:
    assert Missed() == Missed(0, 0, is_ambiguous=False, first_us=0, last_us=0)
    assert gaps([ROW]).unknown == 0


def test_a_line_of_another_model_is_missing_under_that_models_name() -> None:
    lines = (Line("input_text", 1, None, None, None, model="other"), Line("input_text", 2, None, None, None, model=""))  # fmt: skip
    assert {w.model for w, _ in gaps([replaced(lines=lines)]).found()} == {"other", ""}
    named = replaced(model=None, served_model="served", deployment="mine")
    assert [w.model for w, _ in gaps([named]).found()] == ["served"]
    nameless = replaced(model=None)
    assert [w.model for w, _ in gaps([nameless]).found()] == [""]


def test_a_correction_that_prices_it_takes_it_back() -> None:
    estimate = replaced(kind=EntryKind.INTERRUPTED)
    true = replaced(lines=(Line("input_text", 80, "p", 9, 9),), price_status="priced")
    assert gaps([estimate], adjustment(estimate, true)).found() == []


def test_a_model_nobody_knows_goes_by_the_name_it_was_called() -> None:
    unknown = replaced(model=None, deployment="as-the-client-wrote")
    assert [w.model for w, _ in gaps([unknown]).found()] == ["as-the-client-wrote"]


def test_rows_that_tell_no_usage_are_counted_apart() -> None:
    silent = gaps([replaced(lines=(), price_status="unpriced")])
    assert (silent.found(), silent.unknown) == ([], 1)


@pytest.mark.parametrize(
    ("tier", "prompt", "cached", "above"),
    [
        ("standard", 200_000, 0, 0),
        ("standard", 200_001, 0, 200_000),
        ("standard", 100_001, 100_000, 200_000),  # cached tokens make a prompt long
        ("batch", 900_000, 0, 0),  # a sum over many requests is nobody's prompt
    ],
)
def test_what_a_long_prompt_lacks_is_missing_above_its_threshold(
    tier: str, prompt: int, cached: int, above: int
) -> None:
    used = [Line("input_text", prompt, "p", 1, 1), Line("output_text", 5, None, None, None)]
    cache = [Line("cache_read_text", cached, "p", 1, 1)] if cached else []
    found = gaps([replaced(lines=(*cache, *used), tier=tier)]).found()
    assert [(w.unit, w.context_gt, m.quantity) for w, m in found] == [("output_text", above, 5)]


def test_each_part_of_a_row_has_its_own_prompt_and_what_is_counted_has_none() -> None:
    short, long = (Line("input_text", n, "p", 1, 1) for n in (10, 300_000))
    output, search = (
        Line(unit, 2, None, None, None) for unit in ("output_text", "web_search_requests")
    )
    row = replaced(lines=(short, output, long, output, search))
    assert [(w.unit, w.context_gt, m.lines) for w, m in gaps([row]).found()] == [
        ("output_text", 0, 1), ("output_text", 200_000, 1), ("web_search_requests", 0, 1),
    ]  # fmt: skip


def test_a_price_that_a_correction_took_away_is_missing_by_the_prompt_of_its_row() -> None:
    row = replaced(
        lines=(Line("input_text", 300_000, "p", 7, 7), Line("output_text", 5, "p", 7, 7)),
        price_status="priced",
    )
    gone = replaced(
        id=UUID(int=2**127 + 3),
        kind=EntryKind.REPRICE,
        ref_id=row.id,
        lines=(Line("output_text", 5, None, None, None), Line("output_text", -5, "p", -7, -7)),
    )
    (found,) = gaps([row], gone).found()
    assert (found[0].unit, found[0].context_gt, found[1].quantity) == ("output_text", 200_000, 5)
    assert gaps([row]).found() == []


def test_a_silent_row_that_was_corrected_is_known() -> None:
    silent = replaced(kind=EntryKind.INTERRUPTED, lines=(), price_status="unpriced")
    true = replaced(lines=(Line("input_text", 80, "p", 9, 9),), price_status="priced")
    assert gaps([silent], adjustment(silent, true)).unknown == 0
