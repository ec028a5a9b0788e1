"""Re-rating: what a row and its corrections say in sum is what the tariff says, however often and in which order."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import adjustment_id, family, new_id, reprice_id
from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.missing import Gaps
from gateway.ledger.parts import components
from gateway.ledger.reprice import PartsUnproved, Tariff, by_contract, circumstances_of, repriced
from gateway.ledger.rollup import roll
from gateway.ledger.validity import problem, total
from gateway.metering.usage import Component, are_several
from gateway.pricing.book import Book
from gateway.pricing.contract import Contract, Contracts, Term
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate_components
from gateway.pricing.row import Row
from tests.unit.ledger_rows import PLAIN

UNITS = ("input_text", "cache_read_text", "output_text")
NOW_US = 10**15


def row(unit: str, pico: int, **changes: object) -> Row:
    fields: dict[str, object] = {
        "terms": ("cloud", "model-a", "global", "", "", "standard"),
        "unit": unit,
        "pico": pico,
        "per": 1_000,
        "source": "s",
        "evidence": "manual",
    }
    return Row(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def book(prices: dict[str, int], *more: Row) -> Book:
    other = row("input_text", 1, terms=("cloud", "model-z", "global", "", "", "standard"))
    return Book.compile([*(row(unit, pico) for unit, pico in prices.items()), *more, other])


FULL = book({"input_text": 2_000, "cache_read_text": 500, "output_text": 9_001})
BLANK = msgspec.structs.replace(
    PLAIN,
    id=new_id(),
    request_id=new_id(),
    occurred_us=5,
    booked_us=9,
    day="2026-11-01",
    model="model-a",
    scope="global",
)


def booked(by: Tariff, parts: list[Component], **changes: object) -> Entry:
    """A row as the gateway books it."""
    blank = msgspec.structs.replace(BLANK, id=new_id(), **changes)
    from_book = rate_components(
        by.book, circumstances_of(blank, by), parts, by.contracts.of("org-1", "team-1", 5)
    )
    lines = tuple(
        Line(x.unit, x.quantity, x.price_id, x.list_pico, x.net_pico, x.role, x.model)
        for x in from_book.lines
    )
    return msgspec.structs.replace(
        blank,
        lines=lines,
        list_pico=from_book.list_pico,
        net_pico=from_book.net_pico,
        price_status=str(from_book.status),
        catalog=by.book.catalog,
    )


def sums(entries: list[Entry]) -> dict[tuple[str, str, str | None], tuple[int, int, int, int]]:
    """Unit → quantity, of it unpriced, list, net, over rows and corrections."""
    found: dict[tuple[str, str, str | None], list[int]] = {}
    for entry in entries:
        for line in entry.lines:
            cell = found.setdefault((line.unit, line.role, line.model), [0, 0, 0, 0])
            cell[0] += line.quantity
            cell[1] += line.quantity if line.list_pico is None else 0
            cell[2] += line.list_pico or 0
            cell[3] += line.net_pico or 0
    return {key: tuple(cell) for key, cell in found.items() if any(cell)}  # type: ignore[misc]


usages = st.dictionaries(st.sampled_from(UNITS), st.integers(1, 10**6), min_size=1)
parts = st.lists(
    st.builds(Component, st.sampled_from(["main", "step"]), usages), min_size=1, max_size=3
)
prices = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10**9))
discounts = st.integers(0, 10_000)
tariffs = st.builds(
    lambda figures, bp: Tariff(
        book(figures), Contracts([Contract(name="c", terms=(Term(discount_bp=bp),))])
    ),
    prices,
    discounts,
)


@settings(max_examples=200, deadline=None)
@given(
    parts,
    st.lists(tariffs, min_size=2, max_size=5),
    st.lists(st.integers(-3, 3), min_size=4, max_size=4),
)
def test_row_and_corrections_are_what_the_last_tariff_says_whatever_the_clock_shows(
    used: list[Component], history: list[Tariff], clock: list[int]
) -> None:
    first, *later = history
    base = booked(first, used)
    corrections: list[Entry] = []
    for now_us, tariff in zip((NOW_US + moved for moved in clock), later, strict=False):
        made = repriced(base, corrections, tariff, now_us)
        assert all(problem(one) is None for one in made)
        assert len({one.id for one in (*made, *corrections, base)}) == len(made) + len(corrections) + 1  # fmt: skip
        corrections += made
        assert repriced(base, corrections, tariff, now_us) == ()
        wanted = booked(tariff, components(base, base))
        assert sums([base, *corrections]) == sums([wanted])
        gaps = Gaps(tariff.book)
        gaps.add(base, corrections)
        left = {w.unit: m.quantity for w, m in gaps.found()}
        lacking: dict[str, int] = {}
        for line in wanted.lines:
            if line.list_pico is None:
                lacking[line.unit] = lacking.get(line.unit, 0) + line.quantity
        assert left == lacking
        requests = [
            s.unpriced for cell, s in roll([base, *corrections]).items() if cell.unit == "request"
        ]
        assert sum(requests) == int(wanted.price_status not in {"priced", "free"})


STEPS = ("truth", "rate")


@settings(max_examples=200, deadline=None)
@given(parts, parts, tariffs, st.lists(tariffs, min_size=1, max_size=3), st.lists(st.sampled_from(STEPS), max_size=3))  # fmt: skip
def test_whenever_the_truth_comes_the_unpriced_requests_are_what_the_last_word_says(
    estimated: list[Component],
    used: list[Component],
    first: Tariff,
    later: list[Tariff],
    steps: list[str],
) -> None:
    """An estimate, its truth and re-ratings by any books, in any order: one request, counted once or not at all."""
    estimate = msgspec.structs.replace(booked(first, estimated), kind=EntryKind.INTERRUPTED)
    true = msgspec.structs.replace(booked(first, used), id=estimate.id)
    entries, now_us, status = [estimate], NOW_US, estimate.price_status
    for at, step in enumerate((*steps, "rate")):
        tariff, now_us = later[at % len(later)], now_us + 1
        is_told = any(one.kind is EntryKind.ADJUSTMENT for one in entries)
        if step == "truth" and not is_told:
            late = msgspec.structs.replace(true, booked_us=now_us)
            entries.append(adjustment(estimate, late, entries[1:]))
            status = true.price_status
        elif step == "rate":
            made = repriced(estimate, entries[1:], tariff, now_us)
            entries += made
            facts = true if is_told else estimate
            status = booked(tariff, components(facts, facts)).price_status
        requests = [s.unpriced for c, s in roll(entries).items() if c.unit == "request"]
        assert sum(requests) == int(status not in {"priced", "free"})
    assert repriced(estimate, entries[1:], later[len(steps) % len(later)], now_us) == ()


def test_a_row_whose_next_attempt_counts_the_request_counts_nothing_when_it_is_charged_again() -> (
    None
):
    row = booked(Tariff(book({})), [Component("main", {"input_text": 5})], flags=("failed_over",))
    made = repriced(row, (), Tariff(book({"input_text": 7})), NOW_US)
    assert sum(s.unpriced for c, s in roll([row, *made]).items() if c.unit == "request") == 0
    assert repriced(row, made, Tariff(book({"input_text": 7})), NOW_US) == ()


def test_a_row_that_is_charged_right_gets_no_correction() -> None:
    tariff = Tariff(FULL)
    assert repriced(booked(tariff, [Component("main", {"input_text": 7})]), [], tariff, 1) == ()


def test_a_correction_is_booked_just_behind_the_last_word_where_the_clock_stepped_back() -> None:
    row_ = booked(Tariff(book({"input_text": 1})), [Component("main", {"input_text": 5})])
    (first,) = repriced(row_, [], Tariff(FULL), 3)
    assert first.booked_us == row_.booked_us + 1
    (second,) = repriced(row_, [first], Tariff(book({"input_text": 2})), first.booked_us)
    assert second.booked_us == first.booked_us + 1
    (third,) = repriced(row_, [first, second], Tariff(FULL), NOW_US)
    assert third.booked_us == NOW_US


def test_what_had_no_price_is_taken_back_apart_from_the_amounts() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 1_000, "output_text": 10})])
    amounts, back = repriced(base, [], Tariff(FULL), NOW_US)
    assert (amounts.list_pico, amounts.net_pico, amounts.price_status) == (2_090, 2_090, "priced")
    assert (back.list_pico, [line.quantity for line in back.lines]) == (None, [-1_000, -10])
    assert amounts.flags == ("adjusts_unpriced",)
    for one in (amounts, back):
        assert (one.kind, one.ref_id, one.day, one.period) == (
            EntryKind.REPRICE, base.id, base.day, base.period,
        )  # fmt: skip
        assert (one.booked_us, one.occurred_us, one.catalog) == (NOW_US, 5, FULL.catalog)
        assert one.usage_raw is None


def test_the_same_correction_has_the_same_id_and_another_tariffs_another() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 5})])
    once, again = (repriced(base, [], Tariff(FULL), now)[0].id for now in (1, 2))
    other = repriced(base, [], Tariff(book({"input_text": 3})), 1)[0].id
    assert once == again != other


def test_two_contracts_over_one_book_make_two_corrections() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 5})])
    ids = {
        repriced(base, [], Tariff(FULL, agreed), 1)[0].id
        for agreed in (
            Contracts(),
            Contracts([Contract(name="c", terms=(Term(discount_bp=5),))]),
            Contracts([Contract(name="c", terms=(Term(discount_bp=6),))]),
        )
    }
    assert len(ids) == 3


def test_the_contract_is_the_one_of_the_rows_organisation_and_team() -> None:
    base = booked(Tariff(FULL), [Component("main", {"input_text": 1_000})])
    terms = (Term(discount_bp=5_000),)
    ours = Contracts([Contract(name="c", org="org-1", team="team-1", until_us=6, terms=terms)])
    (made,) = repriced(base, [], Tariff(FULL, ours), NOW_US)
    assert (made.list_pico, made.net_pico) == (0, -1_000)
    for changes in ({"org": "team-1", "team": "org-1"}, {"occurred_us": 6}):
        other = msgspec.structs.replace(base, **changes)
        assert repriced(other, [], Tariff(FULL, ours), NOW_US) == ()


def test_a_price_that_is_gone_is_taken_back_and_its_lack_is_told() -> None:
    base = booked(Tariff(FULL), [Component("main", {"input_text": 1_000, "output_text": 10})])
    less = Tariff(book({"input_text": 2_000}))
    amounts, lack = repriced(base, [], less, NOW_US)
    assert (amounts.list_pico, amounts.flags) == (-90, ("partial",))
    assert (lack.list_pico, lack.flags, lack.price_status) == (None, (), "free")
    # Priced again, the first of them is what the row was last told to be.
    again = repriced(base, [amounts, lack], Tariff(FULL), NOW_US + 1)
    assert again[0].flags == ("adjusts_unpriced",)


def test_a_model_learnt_without_the_price_moves_the_unpriced_lines_in_one_correction() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 1_000})])
    unknown = msgspec.structs.replace(base, model=None, served_model="model-a-2026-10-01")
    (made,) = repriced(unknown, [], Tariff(book({"output_text": 1})), NOW_US)
    assert [(one.model, one.quantity) for one in made.lines] == [(None, 1_000), ("", -1_000)]
    assert (made.model, made.price_status) == ("model-a", "unpriced")


def test_a_row_says_under_what_it_is_priced() -> None:
    tariff = Tariff(FULL, spill={("", "cloud-eu"): "spilt"})
    one = msgspec.structs.replace(BLANK, geo="eu", region="paris", tier="batch")
    assert circumstances_of(one, tariff) == Circumstances(
        provider="cloud", model="model-a", scope="global", at_us=5, geo="eu", region="paris",
        tier="batch", provisioned=None, shadow_scope="spilt",
    )  # fmt: skip
    for changes, provisioned in (
        ({"price_status": "zero_marginal"}, True),
        ({"flags": ("spilled_over",)}, False),
        ({"price_status": "zero_marginal", "flags": ("spilled_over",)}, True),
    ):
        changed = msgspec.structs.replace(BLANK, **changes)
        assert circumstances_of(changed, tariff).provisioned is provisioned


def test_an_estimate_of_another_model_is_charged_by_the_truth_too() -> None:
    z = row("input_text", 700, terms=("cloud", "model-z", "global", "", "", "standard"))
    old = Tariff(Book.compile([row("input_text", 100), z]))
    estimate = booked(
        old, [Component("main", {"input_text": 900})], kind=EntryKind.INTERRUPTED, model="model-z"
    )
    truth = booked(old, [Component("main", {"input_text": 1_000})])
    adjusted = adjustment(estimate, msgspec.structs.replace(truth, id=estimate.id))
    (made,) = repriced(estimate, [adjusted], Tariff(FULL), NOW_US)
    assert [(one.unit, one.quantity, one.list_pico, one.model) for one in made.lines] == [
        ("input_text", 0, 1_900, None)
    ]


def test_a_row_that_told_nothing_is_charged_by_the_truth_that_came_later() -> None:
    old, new = Tariff(book({"input_text": 100})), Tariff(FULL)
    silent = msgspec.structs.replace(BLANK, kind=EntryKind.INTERRUPTED)
    truth = booked(old, [Component("main", {"input_text": 1_000})])
    adjusted = adjustment(silent, msgspec.structs.replace(truth, id=silent.id))
    (made,) = repriced(silent, [adjusted], new, NOW_US)
    assert (made.list_pico, made.net_pico) == (1_900, 1_900)
    assert repriced(silent, [adjusted, made], new, NOW_US + 1) == ()


def test_a_model_the_book_learns_later_is_found_by_its_names() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 1_000})])
    unknown = msgspec.structs.replace(base, model=None, served_model="model-a-2026-10-01")
    made = repriced(unknown, [], Tariff(FULL), NOW_US)
    assert {one.model for one in made} == {"model-a"}
    assert sum(one.list_pico or 0 for one in made) == 2_000


def test_an_estimate_with_its_truth_is_charged_by_the_truth() -> None:
    old, new = Tariff(book({"input_text": 100, "output_text": 100})), Tariff(FULL)
    estimate = booked(old, [Component("main", {"input_text": 900})], kind=EntryKind.INTERRUPTED)
    truth = booked(old, [Component("main", {"input_text": 1_000, "output_text": 50})])
    truth = msgspec.structs.replace(truth, id=estimate.id)
    adjusted = adjustment(estimate, truth)
    made = repriced(estimate, [adjusted], new, NOW_US)
    wanted = booked(new, [Component("main", {"input_text": 1_000, "output_text": 50})])
    assert sums([estimate, adjusted, *made]) == sums([wanted])


def test_capacity_already_paid_for_stays_free_with_its_new_shadow_and_overflow_is_charged() -> None:
    spill = {("mine", "cloud-eu"): "global", ("mine", "cloud-us"): "nowhere"}
    old, new = (Tariff(b, spill=spill) for b in (book({"input_text": 100}), FULL))
    part = [Component("main", {"input_text": 1_000})]
    paid = booked(old, part, scope="provisioned", deployment="mine")
    (made,) = repriced(paid, [], new, NOW_US)
    assert (paid.price_status, made.list_pico, made.net_pico) == ("zero_marginal", 1_900, 0)
    spilt = booked(old, part, scope="provisioned", deployment="mine", flags=("spilled_over",))
    (made,) = repriced(spilt, [], new, NOW_US)
    assert (spilt.price_status, made.net_pico) == ("priced", 1_900)
    # Another place of the same deployment has another scope behind it, and no price there.
    elsewhere = msgspec.structs.replace(paid, upstream="cloud-us")
    assert circumstances_of(elsewhere, new).shadow_scope == "nowhere"


def test_a_reversed_row_and_one_without_lines_are_left_alone() -> None:
    base = booked(Tariff(book({})), [Component("main", {"input_text": 5})])
    gone = msgspec.structs.replace(base, id=new_id(), kind=EntryKind.REVERSAL, ref_id=base.id)
    assert repriced(base, [gone], Tariff(FULL), 1) == ()
    assert repriced(msgspec.structs.replace(base, lines=()), [], Tariff(FULL), 1) == ()


@given(parts)
def test_the_parts_of_a_row_are_found_again(used: list[Component]) -> None:
    base = booked(Tariff(FULL), used)
    again = booked(Tariff(FULL), components(base, base))
    assert total([x.net_pico for x in again.lines]) == total([x.net_pico for x in base.lines])
    assert [(x.unit, x.quantity, x.role) for x in again.lines] == [
        (x.unit, x.quantity, x.role) for x in base.lines
    ]


@given(st.uuids(version=4), st.text(max_size=9))
def test_a_correction_lies_in_its_rows_family_and_is_never_the_adjustment(
    raw: UUID, version: str
) -> None:
    entry_id = UUID(int=raw.int & ~1)
    made = reprice_id(entry_id, version)
    assert family(made) == family(entry_id)
    assert made.int & 1
    assert made not in {entry_id, adjustment_id(entry_id)}


def test_deferred_work_is_charged_by_the_contract_of_whom_it_is_charged_to() -> None:
    agreed = Contracts([Contract(name="c", team="team-2", terms=(Term(discount_bp=5_000),))])
    tariff = Tariff(FULL, agreed)
    parts = [Component("main", {"input_text": 1_000})]
    asked = booked(Tariff(FULL), parts)
    assert by_contract(asked, parts, tariff) is asked
    theirs = by_contract(msgspec.structs.replace(asked, team="team-2"), parts, tariff)
    assert (theirs.list_pico, theirs.net_pico) == (2_000, 1_000)
    assert [line.net_pico for line in theirs.lines] == [1_000]
    assert theirs.contract is not None
    assert theirs.contract.startswith("c@")
    assert by_contract(theirs, parts, tariff) is theirs
    silent = msgspec.structs.replace(asked, team="team-2", lines=())
    assert by_contract(silent, [], tariff) is silent
    back = by_contract(msgspec.structs.replace(theirs, team="team-1"), parts, tariff)
    assert (back.net_pico, back.contract) == (2_000, None)
    assert problem(theirs) is None
    # The book may have been swapped since it was charged: then it is charged by the new one, and says so.
    later = Tariff(book({"input_text": 3_000}), agreed)
    dearer = by_contract(msgspec.structs.replace(asked, team="team-2"), parts, later)
    assert (dearer.list_pico, dearer.net_pico, dearer.catalog) == (3_000, 1_500, later.book.catalog)


LONG = 200_000
TIERED = book(
    {"input_text": 1_000, "cache_read_text": 100, "output_text": 5_000},
    *(row(unit, 2 * pico, context_gt=LONG) for unit, pico in (("input_text", 1_000), ("cache_read_text", 100), ("output_text", 5_000))),
)  # fmt: skip
DEARER = book(
    {"input_text": 1_001, "cache_read_text": 101, "output_text": 5_001},
    *(row(unit, 2 * pico, context_gt=LONG) for unit, pico in (("input_text", 1_001), ("cache_read_text", 101), ("output_text", 5_001))),
)  # fmt: skip
EDGES = (120_000, LONG)
contexts = st.dictionaries(
    st.sampled_from(UNITS), st.sampled_from([1_000, 30_000, 60_000, 90_000, 150_000, 250_000]), min_size=1
)  # fmt: skip
kinds = st.sampled_from([("main", None), ("step", None), ("step", "model-z"), ("main", "model-z")])
long_parts = st.lists(
    st.builds(lambda kind, counts: Component(kind[0], counts, kind[1]), kinds, contexts),
    min_size=1,
    max_size=4,
)


def tiered(figure: int, edges: list[int]) -> Tariff:
    """Both models at prices by prompt size, none of them equal to another."""
    terms = [row("input_text", 1).terms, row("input_text", 1, terms=("cloud", "model-z", "global", "", "", "standard")).terms]  # fmt: skip
    rows = [
        row(unit, figure * (place + 2) * (n + 3) * (m + 5), context_gt=edge, terms=term)
        for m, term in enumerate(terms)
        for place, edge in enumerate((0, *edges))
        for n, unit in enumerate(UNITS)
    ]
    return Tariff(Book.compile(rows))


tiered_tariffs = st.builds(
    tiered,
    st.sampled_from([1_000, 1_009]),
    st.sets(st.sampled_from(EDGES)).map(sorted),
)


def several(used: list[Component]) -> tuple[str, ...]:
    """The flags of a row that was charged in these parts."""
    return ("several_parts",) if are_several(tuple(used)) else ()


@settings(max_examples=600, deadline=None)
@given(long_parts, tiered_tariffs, tiered_tariffs)
def test_a_row_is_charged_as_it_would_be_booked_now_or_left_alone(
    used: list[Component], then: Tariff, now: Tariff
) -> None:
    base = booked(then, used, flags=several(used))
    try:
        made = repriced(base, [], now, NOW_US)
    except PartsUnproved:
        assert any(part.role != "main" or part.model for part in used) or several(used)
        return
    assert sums([base, *made]) == sums([booked(now, used)])


@settings(max_examples=600, deadline=None)
@given(long_parts, long_parts, tiered_tariffs, tiered_tariffs)
def test_an_estimate_with_its_truth_is_charged_as_the_truth_would_be_now_or_left_alone(
    guessed: list[Component], used: list[Component], then: Tariff, now: Tariff
) -> None:
    estimate = booked(then, guessed, kind=EntryKind.INTERRUPTED, flags=several(guessed))
    truth = booked(then, used, flags=several(used))
    adjusted = adjustment(estimate, msgspec.structs.replace(truth, id=estimate.id))
    try:
        made = repriced(estimate, [adjusted], now, NOW_US)
    except PartsUnproved:
        assert any(part.role != "main" or part.model for part in used) or several(used)
        return
    assert sums([estimate, adjusted, *made]) == sums([booked(now, used)])


@settings(max_examples=300, deadline=None)
@given(long_parts, tiered_tariffs)
def test_under_the_prices_it_was_booked_at_no_row_is_changed(
    used: list[Component], tariff: Tariff
) -> None:
    base = booked(tariff, used, flags=several(used))
    try:
        assert repriced(base, [], tariff, NOW_US) == ()
    except PartsUnproved:
        assert len(used) > 1 or used[0].role != "main" or used[0].model


def test_parts_that_run_into_each_other_are_not_guessed_at() -> None:
    # All of the second prompt is cached: the lines alone would make it a part of the first.
    used = [
        Component("step", {"input_text": 100_000, "output_text": 5}),
        Component("step", {"cache_read_text": 150_000, "output_text": 7}),
    ]
    base = booked(Tariff(TIERED), used)
    with pytest.raises(PartsUnproved, match=str(base.id)):
        repriced(base, [], Tariff(DEARER), NOW_US)
    short = [msgspec.structs.replace(part, counts={u: n // 2 for u, n in part.counts.items()}) for part in used]  # fmt: skip
    assert repriced(booked(Tariff(TIERED), short), [], Tariff(DEARER), NOW_US)
    flat = Tariff(book({"input_text": 1, "cache_read_text": 1, "output_text": 1}))
    assert repriced(base, [], flat, NOW_US)  # no price of this book depends on a prompt's size


def test_one_long_prompt_is_charged_again_by_tiers_it_was_not_booked_at() -> None:
    used = [Component("main", {"input_text": 250_000, "output_text": 5})]
    base = booked(Tariff(FULL), used)
    made = repriced(base, [], Tariff(TIERED), NOW_US)
    assert sums([base, *made]) == sums([booked(Tariff(TIERED), used)])


def test_what_was_booked_at_two_tiers_was_used_in_several_parts() -> None:
    used = [Component("main", {"input_text": 250_000}), Component("main", {"output_text": 5})]
    with pytest.raises(PartsUnproved):
        repriced(booked(Tariff(TIERED), used), [], Tariff(DEARER), NOW_US)
    estimate = booked(
        Tariff(FULL), [Component("main", {"input_text": 9})], kind=EntryKind.INTERRUPTED
    )
    several = [Component("main", {"input_text": n, "output_text": 5}) for n in (250_000, 100_000)]
    truth = msgspec.structs.replace(booked(Tariff(TIERED), several), id=estimate.id)
    adjusted = adjustment(estimate, truth)
    with pytest.raises(PartsUnproved):
        repriced(estimate, [adjusted], Tariff(DEARER), NOW_US)
