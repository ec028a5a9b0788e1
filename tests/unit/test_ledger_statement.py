"""Rollup, adjustment and statement: one arithmetic, whose sums tie whatever happened in between."""

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import adjustment_id, new_id
from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import Cell, Sums, merge, roll
from gateway.ledger.statement import Partly, Posting, Row, Statement, fold
from gateway.ledger.validity import problem, total

AMOUNTS = st.one_of(st.none(), st.integers(0, 10**15))


@st.composite
def some_lines(draw: st.DrawFn) -> tuple[Line, ...]:
    units = st.sampled_from(["input_text", "cache_read_text", "output_text"])
    models = st.sampled_from([None, "model-c"])
    made = []
    for unit in draw(st.lists(units, max_size=3, unique=True)):
        amount = draw(AMOUNTS)
        price = None if amount is None else f"price-{draw(st.integers(1, 2))}"
        made.append(
            Line(unit, draw(st.integers(0, 10**6)), price, amount, amount, "main", draw(models))
        )
    return tuple(made)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    lines = draw(some_lines())
    amount = total([line.list_pico for line in lines])
    return Entry(
        id=new_id(),
        request_id=new_id(),
        kind=draw(st.sampled_from([EntryKind.USAGE, EntryKind.INTERRUPTED])),
        occurred_us=0,
        booked_us=0,
        day=draw(st.sampled_from(["2026-11-22", "2026-11-23"])),
        period=202611,
        org="org-1",
        team=draw(st.sampled_from(["team-1", "team-2"])),
        user=draw(st.sampled_from(["user-0001", "user-0002"])),
        app=draw(st.sampled_from([None, "app-1"])),
        key_id="key-1",
        provider="cloud",
        operation="chat",
        upstream="cloud-eu",
        model=draw(st.sampled_from([None, "model-a", "model-b"])),
        status=200,
        outcome=Outcome.COMPLETE,
        provenance="reported",
        lines=lines,
        list_pico=amount,
        net_pico=amount,
        price_status="partial" if amount is None else "priced",
    )


def _model(entry: Entry, line: Line) -> str:
    return (entry.model or "") if line.model is None else line.model


def statement(booked: Sequence[Entry]) -> Statement:
    """Fold the rollup, as the database's grouping would."""
    sums: dict[tuple[str, str, str, str, str], Sums] = {}
    for cell, added in roll(booked).items():
        known = sums.setdefault((cell.team, cell.user, cell.model, cell.unit, cell.kind), Sums())
        known.quantity += added.quantity
        known.unpriced += added.unpriced
        known.list_pico += added.list_pico
        known.net_pico += added.net_pico
    postings = [Posting(*key, *msgspec.structs.astuple(value)) for key, value in sums.items()]
    partly = [
        Partly(entry.team, entry.user, _model(entry, line), line.net_pico)
        for entry in booked
        if entry.net_pico is None
        for line in entry.lines
        if line.net_pico is not None
    ]
    return fold(postings, partly)


@settings(max_examples=100)
@given(booked=st.lists(entries(), max_size=6), cut=st.integers(0, 6))
def test_a_rollup_of_parts_is_the_rollup_of_the_whole(booked: list[Entry], cut: int) -> None:
    whole = roll(booked)
    parts = roll(booked[:cut])
    merge(parts, roll(booked[cut:]))
    assert parts == whole
    requests = sum(sums.quantity for cell, sums in whole.items() if cell.unit == "request")
    assert requests == len(booked)


@settings(max_examples=100)
@given(booked=st.lists(entries(), max_size=6))
def test_the_totals_of_a_statement_tie(booked: list[Entry]) -> None:
    made = statement(booked)
    for level in (made.rows, made.teams):
        assert sum(row.requests for row in level) == made.total.requests == len(booked)
        assert sum(row.net_pico or 0 for row in level) == (made.total.net_pico or 0)
        assert sum(row.list_pico or 0 for row in level) == (made.total.list_pico or 0)
        assert sum(row.unpriced for row in level) == made.total.unpriced
        for unit, quantity in made.total.units.items():
            assert sum(row.units.get(unit, 0) for row in level) == quantity
    # What is of rows without a total stands apart: the rest is the sum of the rows' own totals.
    assert sum(row.partly_pico for row in made.rows) == made.total.partly_pico
    assert (made.total.net_pico or 0) - made.total.partly_pico == sum(
        entry.net_pico or 0 for entry in booked
    )
    known = sum(line.net_pico or 0 for entry in booked for line in entry.lines)
    assert (made.total.net_pico or 0) == known
    keys = [(row.team, row.user, row.model) for row in made.rows]
    assert keys == sorted(set(keys))


@settings(max_examples=150)
@given(estimate=entries(), truth=entries())
def test_an_estimate_and_its_adjustment_are_the_truth(estimate: Entry, truth: Entry) -> None:
    same = {name: getattr(estimate, name) for name in ("id", "day", "team", "user", "app")}
    truth = msgspec.structs.replace(truth, kind=EntryKind.USAGE, **same)
    estimate = msgspec.structs.replace(estimate, kind=EntryKind.INTERRUPTED)
    made = adjustment(estimate, truth)
    assert (made.id, made.ref_id) == (adjustment_id(truth.id), truth.id)
    assert problem(made) is None
    assert _by_unit(roll([estimate, made])) == _by_unit(roll([truth]))
    both, alone = statement([estimate, made]).total, statement([truth]).total
    assert (both.requests, both.unpriced) == (alone.requests, alone.unpriced)
    assert both.units == alone.units
    assert (both.net_pico or 0) == (alone.net_pico or 0)


def _by_unit(cells: dict[Cell, Sums]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Sums by model and unit, the kinds together; cells that come to nothing left out."""
    sums: dict[tuple[str, str], Sums] = {}
    for cell, added in cells.items():
        if cell.unit != "request":
            merge_into = sums.setdefault((cell.model, cell.unit), Sums())
            merge_into.quantity += added.quantity
            merge_into.unpriced += added.unpriced
            merge_into.list_pico += added.list_pico
            merge_into.net_pico += added.net_pico
    tuples = {key: msgspec.structs.astuple(value) for key, value in sums.items()}
    return {key: value for key, value in tuples.items() if any(value)}


def test_what_has_no_price_is_unknown_and_not_zero() -> None:
    unpriced = Posting("team-1", "user-0001", "m", "request", "usage", 2, 2, 0, 0)
    tokens = Posting("team-1", "user-0001", "m", "input_text", "usage", 10, 10, 0, 0)
    assert fold([unpriced, tokens]).total == Row("", "", "", 2, {"input_text": 10}, None, None, 2)


def test_one_request_without_a_price_is_enough_to_be_unknown() -> None:
    unpriced = Posting("team-1", "user-0001", "m", "request", "usage", 1, 1, 0, 0)
    assert fold([unpriced]).total == Row("", "", "", 1, {}, None, None, 1)


def test_what_has_a_price_is_summed_beside_what_has_none() -> None:
    postings = [
        Posting("team-1", "user-0001", "m", "request", "usage", 3, 1, 0, 0),
        Posting("team-1", "user-0001", "m", "input_text", "usage", 10, 4, 70, 60),
        Posting("team-1", "user-0001", "m", "input_text", "adjustment", -2, 0, -14, -12),
        Posting("team-1", "user-0001", "m", "request", "adjustment", 1, 0, 0, 0),
        Posting("team-1", "user-0001", "m", "request", "interrupted", 1, 0, 0, 0),
    ]
    made = fold(postings)
    assert made.total == Row("", "", "", 4, {"input_text": 8}, 56, 48, 1)
    assert made.teams == (msgspec.structs.replace(made.total, team="team-1"),)
    assert made.rows == (msgspec.structs.replace(made.teams[0], user="user-0001", model="m"),)


def test_a_free_request_beside_an_unpriced_one_is_a_known_zero() -> None:
    requests = Posting("team-1", "user-0001", "m", "request", "usage", 2, 1, 0, 0)
    assert fold([requests]).total == Row("", "", "", 2, {}, 0, 0, 1)
    unpriced = Posting("team-1", "user-0001", "m", "request", "usage", 1, 1, 0, 0)
    free = Posting("team-1", "user-0001", "m", "input_text", "usage", 5, 0, 0, 0)
    assert fold([unpriced, free]).total == Row("", "", "", 1, {"input_text": 5}, 0, 0, 1)


def test_what_is_free_is_zero_and_not_unknown() -> None:
    free = Posting("team-1", "user-0001", "m", "request", "usage", 2, 0, 0, 0)
    assert fold([free]).total == Row("", "", "", 2, {}, 0, 0, 0)


def test_a_statement_of_nothing_is_empty() -> None:
    assert fold([]) == Statement((), (), Row("", "", "", 0, {}, 0, 0, 0))
