"""The parts of a booked row: found again from its lines, with the truth of an adjustment where there is one."""

import msgspec
from hypothesis import given, strategies as st

from gateway.kernel.ids import new_id
from gateway.ledger.adjust import adjustment
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.parts import components, facts_of, parts_of, proved
from gateway.metering.usage import Component
from gateway.pricing.rate import context_tokens

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

EDGE = 100  # prompts beyond it are charged at another tier, named by it


def booked(unit: str, quantity: int, tier: int | None, role: str = "main") -> Line:
    """A line charged at a context tier; None: by a price whose id does not tell it."""
    price_id = (
        "hashed~ab12" if tier is None else f"cloud/m/global/-/-/standard/{unit}/{tier}@2026-01-01"
    )
    return Line(unit, quantity, price_id, None, None, role, None)


def tier_at(part: Component) -> int:
    return EDGE if context_tokens(part.counts) > EDGE else 0


def is_proved(*lines: Line, flags: tuple[str, ...] = ()) -> bool:
    one = row(*lines, flags=flags)
    return proved(one, one, tier_at)


def test_the_call_itself_is_one_part_at_whatever_tier_it_was_booked_unless_its_row_says_otherwise() -> (
    None
):
    for tier in (0, EDGE, None, 7):
        lines = booked("input_text", 900, tier), booked("output_text", 5, tier)
        assert is_proved(*lines) is True
        assert is_proved(*lines, flags=("unbalanced",)) is True
        assert is_proved(*lines, flags=("several_parts",)) is (tier == EDGE)


def test_another_role_or_model_may_have_been_several_parts_whatever_its_lines_look_like() -> None:
    for tier in (0, EDGE, None, 7):
        lines = booked("input_text", 900, tier, "step"), booked("output_text", 5, tier, "step")
        assert is_proved(*lines) is (tier == EDGE)
        named = [msgspec.structs.replace(one, role="main", model="m") for one in lines]
        assert is_proved(*named) is (tier == EDGE)


def test_a_line_of_no_known_price_proves_no_tier_not_even_the_first() -> None:
    unpriced = line("input_text", 900, "step")
    for step in (booked("input_text", 900, None, "step"), unpriced):
        one = row(step)
        assert proved(one, one, lambda part: int(context_tokens(part.counts) > 1)) is False
    # Beside what has a price, it does not make a call two parts.
    assert is_proved(booked("input_text", 900, EDGE), line("cache_write", 5)) is True
    assert is_proved(booked("input_text", 900, 7), line("cache_write", 5)) is True


def test_a_call_whose_unit_comes_twice_was_several_parts_though_its_row_does_not_say_so() -> None:
    lines = booked("input_text", 900, 7), booked("output_text", 5, 7)
    assert is_proved(*lines, *lines) is False


def test_what_is_counted_says_nothing_of_a_prompt() -> None:
    searches = booked("web_search_requests", 300, 0)
    assert is_proved(booked("input_text", 900, EDGE), searches) is True
    assert is_proved(booked("input_text", 900, EDGE), searches, booked("input_text", 800, EDGE)) is True  # fmt: skip
    assert is_proved(booked("input_text", 60, 0), searches, booked("input_text", 50, 0)) is True
    assert is_proved(booked("input_text", 900, 7), searches) is True


def test_parts_that_are_short_together_need_no_boundary() -> None:
    assert is_proved(booked("input_text", 60, EDGE), booked("input_text", 40, 0)) is True


def test_parts_between_repeated_units_are_no_longer_than_what_lies_between() -> None:
    """Whoever knows at which thresholds they were booked: the lines alone prove it."""
    for tier in (0, None):
        two = booked("input_text", 60, tier), booked("output_text", 7, tier)
        assert is_proved(*two, *two) is True
    for tier in (0, EDGE, None):
        long = booked("input_text", 900, tier), booked("output_text", 7, tier)
        # Unless all was booked beyond the threshold, the output may have been a part without any prompt.
        assert is_proved(*long, *long) is (tier == EDGE)


def test_a_part_that_may_have_been_longer_than_it_is_found_is_not_guessed_at() -> None:
    lines = (
        booked("input_text", 1, 0, "step"), booked("output_text", 1, 0, "step"), booked("cache_read_text", 60, 0, "step"),
        booked("input_text", 50, 0, "step"), booked("output_text", 1, 0, "step"),
    )  # fmt: skip
    assert [tier_at(part) for part in parts_of(lines)] == [0, 0]
    assert is_proved(*lines) is False
    assert is_proved(booked("input_text", 1, 0, "step"), booked("cache_read_text", 60, 0, "step"), booked("input_text", 50, 0, "step")) is False  # fmt: skip
    # Another part was booked beyond a threshold: at it what was booked below ends.
    known = booked("input_text", 900, EDGE, "step")
    assert is_proved(*lines, known) is True
    assert is_proved(*lines, booked("input_text", 900, EDGE + 1, "step")) is False
    assert is_proved(*lines, booked("input_text", 900, EDGE)) is False


def test_a_part_reaches_no_further_than_to_where_its_unit_comes_again() -> None:
    one = row(booked("input_text", 900, 3 * EDGE), booked("input_text", 150, EDGE))
    assert proved(one, one, lambda part: min(2, context_tokens(part.counts) // EDGE) * EDGE) is True


def test_one_part_booked_at_two_tiers_was_two() -> None:
    assert is_proved(booked("input_text", 900, EDGE), booked("output_text", 5, 0)) is False


def test_each_role_is_judged_by_its_own_parts() -> None:
    step = booked("input_text", 900, EDGE, "step"), booked("output_text", 1, EDGE, "step")
    assert is_proved(booked("input_text", 60, 0), *step) is True
    unknown = booked("input_text", 900, 0, "step"), booked("output_text", 1, 0, "step")
    assert is_proved(*unknown, booked("input_text", 60, 0)) is False
    assert is_proved(booked("input_text", 60, 0), *unknown) is False


def adjusted(*lines: Line, flags: tuple[str, ...] = (), estimate: tuple[Line, ...] = ()) -> bool:
    """What an adjustment with these lines proves of an estimate."""
    was = row(*estimate, kind=EntryKind.INTERRUPTED)
    return proved(row(*lines, kind=EntryKind.ADJUSTMENT, flags=flags), was, tier_at)


def test_the_truth_of_an_adjustment_is_one_part_where_every_unit_has_one_price() -> None:
    for tier in (0, EDGE, None, 7):
        lines = booked("input_text", 900, tier), booked("output_text", 5, tier)
        assert adjusted(*lines) is True
        assert adjusted(*lines, flags=("several_parts",)) is (tier == EDGE)
        step = [msgspec.structs.replace(one, role="step") for one in lines]
        assert adjusted(*step) is (tier == EDGE)
    # Another role's use is no part of it.
    short = booked("input_text", 60, 0), booked("output_text", 5, 0)
    assert adjusted(*short, booked("cache_read_text", 60, 0, "step"), flags=("several_parts",)) is True  # fmt: skip
    long = booked("input_text", 900, EDGE), booked("output_text", 5, EDGE)
    assert adjusted(*long, booked("cache_read_text", 60, 0, "step"), flags=("several_parts",)) is True  # fmt: skip
    # What is taken back, and nothing at all, are no use.
    before = (booked("input_text", 5, 0),)
    taken, used = booked("input_text", -5, 0), booked("input_text", 900, EDGE)
    assert adjusted(taken, used, estimate=before) is True
    assert adjusted(booked("input_text", 0, 0), used) is True


def test_sums_of_an_adjustment_bound_no_part_but_all_together() -> None:
    assert adjusted(booked("input_text", 60, 0), flags=("several_parts",)) is True
    # Two of 60 at one price are one line of 120, and each is short; nothing says so.
    assert adjusted(booked("input_text", 120, 0), flags=("several_parts",)) is False
    assert adjusted(booked("input_text", 1, 0), booked("input_text", 1, EDGE)) is True
    assert adjusted(booked("input_text", 1, 0), booked("input_text", 900, EDGE)) is False
    assert adjusted(booked("output_text", 7, 0), booked("input_text", 1, 0), booked("input_text", 900, EDGE)) is False  # fmt: skip


def test_what_one_role_used_stands_together_in_the_sums_of_an_adjustment() -> None:
    """Its estimate had a role between: the prompt of the call is all of it nevertheless."""
    estimate = row(
        booked("input_text", 60, 0),
        booked("content_policy_units", 1, 0, "guardrail"),
        kind=EntryKind.INTERRUPTED,
    )
    truth = row(
        booked("input_text", 60, 0),
        booked("cache_read_text", 90, 0),
        booked("content_policy_units", 1, 0, "guardrail"),
    )
    found = components(adjustment(estimate, truth), estimate)
    assert told(found) == [
        ("guardrail", {"content_policy_units": 1}, None),
        ("main", {"input_text": 60, "cache_read_text": 90}, None),
    ]


def test_an_adjustment_is_judged_by_the_truth_and_not_by_what_was_estimated() -> None:
    estimate = row(booked("input_text", 900, 0), kind=EntryKind.INTERRUPTED, model="model-b")
    truth = row(
        booked("input_text", 30, 0), booked("input_text", 20, EDGE), booked("output_text", 5, 0)
    )
    made = adjustment(estimate, truth)
    assert proved(made, estimate, tier_at) is True
    whole = row(booked("input_text", 900, 7), booked("output_text", 5, 7))
    assert proved(adjustment(estimate, whole), estimate, tier_at) is True
    longer = row(
        booked("input_text", 130, 0), booked("output_text", 5, 0), flags=("several_parts",)
    )
    assert proved(adjustment(estimate, longer), estimate, tier_at) is False
