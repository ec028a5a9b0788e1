"""The parts of a booked row: found again from its lines, with the truth of an adjustment where there is one."""

import msgspec
from hypothesis import given, strategies as st

from gateway.kernel.ids import new_id
from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.parts import components, facts_of, parts_of, proved
from gateway.metering.usage import Component

ROW = Entry(
    id=new_id(), request_id=new_id(), occurred_us=5, booked_us=9, day="2026-11-30", period=202611,
    org="o", team="t", user="user-0001", key_id="k", provider="cloud", operation="chat",
    upstream="u", model="model-a", status=200, outcome=Outcome.COMPLETE, provenance="reported",
)  # fmt: skip


def line(unit: str, quantity: int, role: str = "main", model: str | None = None) -> Line:
    return Line(unit, quantity, None, None, None, role, model)


def correction(kind: EntryKind, booked_us: int) -> Entry:
    return msgspec.structs.replace(ROW, id=new_id(), kind=kind, booked_us=booked_us)


def row(*lines: Line, **changes: object) -> Entry:
    return msgspec.structs.replace(ROW, lines=lines, **changes)


def told(parts: list[Component]) -> list[tuple[str, dict[str, int], str | None]]:
    return [(part.role, dict(part.counts), part.model) for part in parts]


def test_a_part_ends_where_a_unit_comes_again_or_role_or_model_is_another() -> None:
    lines = [
        line("input_text", 1), line("output_text", 2), line("input_text", 3),
        line("output_text", 4, "step"), line("cache_read_text", 5, "step", "b"),
        line("input_text", 6, "step", "b"), line("output_text", 7, "step"),
    ]  # fmt: skip
    assert told(parts_of(lines)) == [
        ("main", {"input_text": 1, "output_text": 2}, None),
        ("main", {"input_text": 3}, None),
        ("step", {"output_text": 4}, None),
        ("step", {"cache_read_text": 5, "input_text": 6}, "b"),
        ("step", {"output_text": 7}, None),
    ]
    assert parts_of([]) == []


def test_a_line_under_no_model_at_all_is_of_a_part_without_one() -> None:
    both = [line("input_text", 1, model=""), line("output_text", 2)]
    assert told(parts_of(both)) == [("main", {"input_text": 1, "output_text": 2}, None)]


units = st.sampled_from(["input_text", "output_text", "cache_read_text"])
lines = st.builds(
    line,
    units,
    st.integers(0, 9),
    st.sampled_from(["main", "step"]),
    st.sampled_from([None, "b"]),
)


@given(st.lists(lines, max_size=8))
def test_the_lines_of_the_parts_are_the_lines_again(given_lines: list[Line]) -> None:
    flat = [
        line(unit, quantity, part.role, part.model)
        for part in parts_of(given_lines)
        for unit, quantity in part.counts.items()
    ]
    assert flat == given_lines


def test_the_facts_are_the_rows_until_an_adjustment_brings_the_truth() -> None:
    true, later = correction(EntryKind.ADJUSTMENT, 12), correction(EntryKind.ADJUSTMENT, 13)
    priced = correction(EntryKind.REPRICE, 11)
    assert facts_of(ROW, []) is ROW
    assert facts_of(ROW, [priced]) is ROW
    assert facts_of(ROW, [later, priced, true]) is true


def test_an_estimate_and_its_adjustment_are_the_parts_of_the_truth() -> None:
    estimate = row(line("input_text", 900), line("output_text", 5), kind=EntryKind.INTERRUPTED)
    truth = row(line("input_text", 1_000), line("output_text", 7, "step"))
    made = adjustment(estimate, truth)
    assert told(components(made, estimate)) == [
        ("main", {"input_text": 1_000}, None),
        ("step", {"output_text": 7}, None),
    ]
    assert told(components(estimate, estimate)) == [
        ("main", {"input_text": 900, "output_text": 5}, None)
    ]


def test_what_was_estimated_of_another_model_is_gone_and_the_truth_is_of_its_own() -> None:
    estimate = row(line("input_text", 900), model="model-b", kind=EntryKind.INTERRUPTED)
    made = adjustment(estimate, row(line("input_text", 900)))
    assert told(components(made, estimate)) == [("main", {"input_text": 900}, None)]


def test_units_that_come_several_times_are_summed_once_corrected() -> None:
    estimate = row(line("input_text", 1), line("input_text", 2), kind=EntryKind.INTERRUPTED)
    nothing = row(kind=EntryKind.ADJUSTMENT)
    assert told(components(nothing, estimate)) == [("main", {"input_text": 3}, None)]


# -- what the lines prove of context tiers ------------------------------------------------------------------------


def booked(unit: str, quantity: int, tier: int | None, role: str = "main") -> Line:
    """A line charged at a context tier; None: by a price whose id does not tell it."""
    price_id = (
        "hashed~ab12" if tier is None else f"cloud/m/global/-/-/standard/{unit}/{tier}@2026-01-01"
    )
    return Line(unit, quantity, price_id, None, None, role, None)


def tier_at(part: Component) -> int:
    """Prompts beyond 100 are charged at tier 1."""
    return int(part.counts.get("input_text", 0) > 100)


def test_one_part_proves_itself_at_whatever_tier_it_was_booked() -> None:
    for tier in (0, 1, None):
        one = row(booked("input_text", 900, tier), booked("output_text", 5, tier))
        assert proved(one, one, tier_at) is True


def test_what_is_counted_says_nothing_of_a_prompt() -> None:
    one = row(booked("input_text", 900, 2), booked("web_search_requests", 3, 0))
    assert proved(one, one, tier_at) is True
    two = row(
        booked("input_text", 900, 1),
        booked("web_search_requests", 3, 0),
        booked("input_text", 800, 1),
    )
    assert proved(two, two, tier_at) is True


def test_parts_that_are_short_together_need_no_boundary() -> None:
    both = row(booked("input_text", 60, 1), booked("input_text", 40, 0))
    assert proved(both, both, tier_at) is True


def test_parts_that_are_long_together_must_have_been_booked_as_they_are_charged_now() -> None:
    as_now = row(booked("input_text", 60, 0), booked("input_text", 900, 1))
    assert proved(as_now, as_now, tier_at) is True
    for first, second in ((1, 1), (0, 0), (0, None)):
        other = row(booked("input_text", 60, first), booked("input_text", 900, second))
        assert proved(other, other, tier_at) is False


def test_one_part_booked_at_two_tiers_was_two() -> None:
    mixed = row(booked("input_text", 900, 1), booked("output_text", 5, 0))
    assert proved(mixed, mixed, tier_at) is False


def test_each_role_is_judged_by_its_own_parts() -> None:
    steps = row(
        booked("input_text", 60, 0), booked("input_text", 900, 1, "step"), booked("output_text", 1, 1, "step")
    )  # fmt: skip
    assert proved(steps, steps, tier_at) is True


def adjusted(*lines: Line) -> bool:
    """What an adjustment with these lines proves of an estimate without any."""
    estimate = row(kind=EntryKind.INTERRUPTED)
    return proved(row(*lines, kind=EntryKind.ADJUSTMENT), estimate, tier_at)


def test_the_truth_of_an_adjustment_is_one_part_where_every_unit_has_one_price() -> None:
    assert adjusted(booked("input_text", 900, 1), booked("output_text", 5, 0)) is True
    # What is taken back, and nothing at all, are no use.
    assert adjusted(booked("input_text", -5, 0), booked("input_text", 900, 1)) is True
    assert adjusted(booked("input_text", 0, 0), booked("input_text", 900, 1)) is True


def test_several_prices_of_a_unit_are_several_parts_which_only_short_ones_may_be() -> None:
    assert adjusted(booked("input_text", 1, 0), booked("input_text", 1, 1)) is True
    assert adjusted(booked("input_text", 1, 0), booked("input_text", 900, 1)) is False
    assert (
        adjusted(
            booked("output_text", 7, 0), booked("input_text", 1, 0), booked("input_text", 900, 1)
        )
        is False
    )
    # One long part among short ones is enough.
    assert (
        adjusted(
            booked("input_text", 1, 0, "step"),
            booked("input_text", 900, 0),
            booked("input_text", 1, 1),
        )
        is False
    )


def test_an_adjustment_is_judged_by_the_truth_and_not_by_what_was_estimated() -> None:
    estimate = row(booked("input_text", 900, 0), kind=EntryKind.INTERRUPTED, model="model-b")
    truth = row(
        booked("input_text", 30, 0), booked("input_text", 20, 1), booked("output_text", 5, 0)
    )
    made = adjustment(estimate, truth)
    assert proved(made, estimate, tier_at) is (sum(map(tier_at, components(made, estimate))) == 0)
