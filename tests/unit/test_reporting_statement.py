"""The statement's laws: nothing is lost between cost centres, and every column of cents sums to its total."""

from hypothesis import given, strategies as st

from gateway.kernel.money import round_cents
from gateway.reporting.organisation import Assignment, Organisation
from gateway.reporting.page import page
from gateway.reporting.statement import Ledgered, Posting
from gateway.reporting.tabular import as_csv, records

MOVED = Organisation(
    {},
    (
        Assignment("voice", "4100", until_day="2026-10-15"),
        Assignment("voice", "5200", "2026-10-15"),
        Assignment("care", "4100"),
    ),
)
DAYS = [first for first, _ in MOVED.spans()]
AMOUNTS = st.integers(0, 10**13)


@st.composite
def a_posting(draw: st.DrawFn) -> Posting:
    kind = draw(st.sampled_from(["usage", "usage", "adjustment"]))
    listed = draw(AMOUNTS)
    net = listed - draw(st.integers(0, listed)) if kind == "usage" else -draw(st.integers(0, 10**9))
    unit = draw(st.sampled_from(["input_text", "cache_read_text", "output_text"]))
    team = draw(st.sampled_from(["voice", "care", "lab"]))
    user = f"user-{draw(st.integers(1, 30)):04}"
    day = draw(st.sampled_from(DAYS))
    late = draw(st.booleans())
    names = (draw(st.sampled_from(["a", "b"])), "p", draw(st.sampled_from(["m", "n"])))
    return Posting(day, late, team, user, *names, unit, kind, 5, 0, listed, net)


@given(st.lists(a_posting(), max_size=40), st.booleans())
def test_every_column_of_cents_sums_to_its_total_and_nothing_is_lost(
    postings: list[Posting],
    share: bool,  # noqa: FBT001  # drawn by Hypothesis
) -> None:
    ledgered = Ledgered(202610, postings, MOVED, share_unallocated=share)
    summary = ledgered.summary()
    assert summary.cents == round_cents(sum(one.net_pico for one in postings))
    assert sum(one.cents for one in summary.shares) == summary.cents
    for code in ledgered.codes:
        made = ledgered.statement(code, counted=0)
        assert sum(line.cents for line in made.lines) == made.cents
        assert sum(use.cents for use in made.uses) == made.metered_cents
        people = sum(use.cents for use in made.people) + made.others_use.cents
        assert people == made.metered_cents


def test_a_move_in_the_middle_of_a_month_splits_it() -> None:
    assert MOVED.centre_of("voice", "2026-10-14") == "4100"
    assert MOVED.centre_of("voice", "2026-10-15") == "5200"
    assert MOVED.centre_of("lab", "2026-10-15") == ""


def test_names_are_texts_in_every_form() -> None:
    hostile = Posting(
        "0000-00-00",
        False,  # noqa: FBT003  # not late
        "care",
        "=1+1",
        "<b>@x",
        "p",
        "m",
        "input_text",
        "usage",
        5,
        0,
        10**12,
        10**12,
    )
    made = Ledgered(202610, [hostile], MOVED).statement("4100", counted=0)
    assert ",'=1+1," in as_csv(records(made))
    assert "<b>@x" not in page(made)
    assert "&lt;b&gt;@x" in page(made)
