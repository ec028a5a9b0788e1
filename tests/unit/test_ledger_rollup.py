"""The rollup by law: every line and every request lands in one cell, and nothing is added that was not booked."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import new_id
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line
from gateway.ledger.rollup import (
    ADJUSTS_REQUEST,
    ADJUSTS_UNPRICED,
    Cell,
    Sums,
    by_month,
    merge,
    roll,
    unpriced_requests,
)
from tests.unit.ledger_rows import PLAIN

ENTRY = msgspec.structs.replace(
    PLAIN,
    id=new_id(),
    request_id=new_id(),
    app="app-1",
    model="model-a",
    price_status="priced",
)


def entry(*lines: Line, **changes: object) -> Entry:
    return msgspec.structs.replace(ENTRY, lines=lines, **changes)


def cell(unit: str, model: str = "model-a", app: str = "app-1", kind: str = "usage") -> Cell:
    """The cell of ``ENTRY`` under a unit."""
    return Cell(
        "2026-11-23", 202611, "org-1", "team-1", "user-0001", app, "cloud", model, unit, kind
    )


def test_an_entry_is_one_request_and_its_lines() -> None:
    booked = entry(Line("input_text", 10, "p", 30, 20), Line("output_text", 3, None, None, None))
    assert roll([booked]) == {
        cell("request"): Sums(1, 0, 0, 0),
        cell("input_text"): Sums(10, 0, 30, 20),
        cell("output_text"): Sums(3, 3, 0, 0),
    }


def test_an_attempt_that_another_one_followed_is_no_request_of_its_own() -> None:
    line = Line("input_text", 10, "p", 30, 20)
    assert roll([entry(line, flags=(FAILED_OVER,)), entry()]) == {
        cell("request"): Sums(1, 0, 0, 0),
        cell("input_text"): Sums(10, 0, 30, 20),
    }


def test_a_request_that_its_next_attempt_counts_is_taken_back_where_it_was_counted() -> None:
    left = entry(kind=EntryKind.UNCONFIRMED)
    known = entry(
        Line("input_text", 5, "p", 30, 20),
        kind=EntryKind.ADJUSTMENT,
        flags=(FAILED_OVER, ADJUSTS_REQUEST),
    )
    lines = cell("input_text", kind="adjustment")
    requests = cell("request", kind="unconfirmed")
    assert roll([left]) == {requests: Sums(1)}
    assert roll([left, known]) == {requests: Sums(0), lines: Sums(5, 0, 30, 20)}
    assert roll([known, known]) == {requests: Sums(-2), lines: Sums(10, 0, 60, 40)}
    nameless = msgspec.structs.replace(known, lines=(), model=None)
    assert roll([nameless]) == {cell("request", "", kind="unconfirmed"): Sums(-1)}


def test_a_cell_is_named_by_every_dimension_of_the_entry() -> None:
    (other,) = roll([entry(app=None, model=None, kind=EntryKind.INTERRUPTED)])
    assert other == cell("request", model="", app="", kind="interrupted")


def test_a_line_of_another_model_is_rolled_under_that_model() -> None:
    own = Line("input_text", 1, "p", 1, 1)
    other, nobodys = (msgspec.structs.replace(own, model=model) for model in ("model-b", ""))
    assert list(roll([entry(own, other, nobodys)])) == [
        cell("request"),
        cell("input_text"),
        cell("input_text", model="model-b"),
        cell("input_text", model=""),
    ]


@pytest.mark.parametrize(
    ("list_pico", "net_pico", "sums"),
    [
        (0, 0, Sums(7, 0, 0, 0)),
        (5, 0, Sums(7, 0, 5, 0)),
        (None, None, Sums(7, 7, 0, 0)),
        (None, 0, Sums(7, 7, 0, 0)),  # paid-for capacity without a list price
        (5, None, Sums(7, 7, 5, 0)),
    ],
)
def test_a_quantity_is_unpriced_where_any_of_its_amounts_is_unknown(
    list_pico: int | None, net_pico: int | None, sums: Sums
) -> None:
    booked = entry(Line("input_text", 7, None, list_pico, net_pico))
    assert roll([booked])[cell("input_text")] == sums


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)), max_size=5))
def test_entries_of_one_cell_add_up(lines: list[tuple[int, int, int]]) -> None:
    booked = [entry(Line("input_text", n, "p", pico, net)) for n, pico, net in lines]
    found = roll(booked)
    expected = Sums(
        sum(n for n, _, _ in lines), 0, sum(pico for _, pico, _ in lines), sum(net for *_, net in lines)
    )  # fmt: skip
    assert found.get(cell("input_text"), Sums()) == expected
    assert found.get(cell("request"), Sums()) == Sums(len(lines), 0, 0, 0)


def test_unknown_quantities_add_up_too() -> None:
    found = roll([entry(Line("input_text", n, None, None, None)) for n in (3, 4)])
    assert found[cell("input_text")] == Sums(7, 7, 0, 0)


def test_merging_adds_every_sum() -> None:
    into = {cell("input_text"): Sums(1, 2, 3, 4)}
    merge(into, {cell("input_text"): Sums(10, 20, 30, 40), cell("request"): Sums(1, 1, 0, 0)})
    assert into == {cell("input_text"): Sums(11, 22, 33, 44), cell("request"): Sums(1, 1, 0, 0)}


@pytest.mark.parametrize(
    ("status", "unpriced"),
    [
        ("priced", 0),
        ("zero_marginal", 0),
        ("free", 0),
        ("partial", 1),
        ("unpriced", 1),
        ("ambiguous", 1),
    ],
)
def test_a_request_is_unpriced_unless_it_has_a_full_price(status: str, unpriced: int) -> None:
    booked = entry(price_status=status)
    assert unpriced_requests(booked) == unpriced
    assert roll([booked])[cell("request")] == Sums(1, unpriced, 0, 0)


@pytest.mark.parametrize(
    ("status", "flags", "unpriced"),
    [
        ("priced", (), 0),
        ("partial", (), 1),
        ("priced", (ADJUSTS_UNPRICED,), -1),
        ("partial", (ADJUSTS_UNPRICED,), 0),
    ],
)
def test_an_adjustment_takes_its_estimates_missing_price_back(
    status: str, flags: tuple[str, ...], unpriced: int
) -> None:
    booked = entry(price_status=status, flags=flags)
    adjusted = msgspec.structs.replace(booked, kind=EntryKind.ADJUSTMENT, ref_id=new_id())
    assert unpriced_requests(adjusted) == unpriced
    assert unpriced_requests(booked) == int(
        status == "partial"
    )  # the flag speaks of adjustments only


def test_the_months_are_the_sums_of_their_days_whatever_their_period() -> None:
    line = Line("input_text", 7, "p", 70, 60)
    rows = [
        entry(line, day="2026-11-23", list_pico=70, net_pico=60),
        entry(line, day="2026-11-24", list_pico=70, net_pico=60),
        entry(line, day="2026-10-31", list_pico=70, net_pico=60),  # late: of the period 202611 too
    ]
    days = roll(rows)
    before = msgspec.json.encode(list(days.values()))
    months = by_month(days)
    of_november = msgspec.structs.replace(cell("input_text"), day="2026-11")
    of_october = msgspec.structs.replace(cell("input_text"), day="2026-10")
    assert months[of_november] == Sums(14, 0, 140, 120)
    assert months[of_october] == Sums(7, 0, 70, 60)
    assert {(one.day, one.period, one.unit) for one in months} == {
        (day, 202611, unit) for day in ("2026-10", "2026-11") for unit in ("input_text", "request")
    }
    assert msgspec.json.encode(list(days.values())) == before  # what is summed stays as it was


def test_only_what_replaces_a_rows_price_takes_an_unpriced_request_back() -> None:
    flagged = {
        kind: unpriced_requests(entry(kind=kind, flags=(ADJUSTS_UNPRICED,))) for kind in EntryKind
    }
    assert {kind for kind, count in flagged.items() if count == -1} == {
        EntryKind.ADJUSTMENT, EntryKind.REPRICE,
    }  # fmt: skip
    assert sum(flagged.values()) == -2
