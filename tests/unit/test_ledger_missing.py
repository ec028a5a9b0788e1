"""What has no price: counted by what would cure it, and gone once a correction has priced it."""

from uuid import UUID

import msgspec
from hypothesis import given, strategies as st

from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.missing import Wanted, gaps

ROW = Entry(
    id=UUID(int=2**127 + 2),
    request_id=UUID(int=7),
    occurred_us=1_000,
    booked_us=2_000,
    day="2026-11-23",
    period=202611,
    org="org-1",
    team="team-1",
    user="user-0001",
    key_id="key-1",
    provider="cloud",
    operation="chat",
    upstream="cloud-eu",
    model="model-a",
    scope="global",
    status=200,
    outcome=Outcome.COMPLETE,
    provenance="reported",
    lines=(Line("input_text", 80, None, None, None), Line("output_text", 5, "p", 7, 7)),
    price_status="partial",
)
INPUT = Wanted("cloud", "model-a", "global", "", "", "standard", "input_text")


def replaced(**changes: object) -> Entry:
    return msgspec.structs.replace(ROW, **changes)


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


def test_a_correction_that_prices_it_takes_it_back() -> None:
    estimate = replaced(kind=EntryKind.INTERRUPTED)
    true = replaced(lines=(Line("input_text", 80, "p", 9, 9),), price_status="priced")
    assert gaps([estimate, adjustment(estimate, true)]).found() == []


def test_a_model_nobody_knows_goes_by_the_name_it_was_called() -> None:
    unknown = replaced(model=None, deployment="as-the-client-wrote")
    assert [w.model for w, _ in gaps([unknown]).found()] == ["as-the-client-wrote"]


def test_rows_that_tell_no_usage_are_counted_apart() -> None:
    silent = gaps([replaced(lines=(), price_status="unpriced")])
    assert (silent.found(), silent.unknown) == ([], 1)
