"""The adjustment: deltas that turn an estimate into the truth, line by line and price by price."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import adjustment_id, new_id
from gateway.ledger.adjust import ESTIMATES, adjustment, together
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import ADJUSTS_REQUEST, ADJUSTS_UNPRICED
from gateway.ledger.validity import total
from tests.unit.ledger_rows import PLAIN

TRUTH = msgspec.structs.replace(
    PLAIN,
    id=new_id(),
    request_id=new_id(),
    occurred_us=5,
    booked_us=9,
    day="2026-12-01",
    period=202612,
    model="model-a",
    price_status="priced",
    settles="batch-1",
    flags=("spilled_over",),
)


def entry(*lines: Line, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "lines": lines,
        "list_pico": total([line.list_pico for line in lines]),
        "net_pico": total([line.net_pico for line in lines]),
    }
    return msgspec.structs.replace(TRUTH, **(fields | changes))


def estimated(*lines: Line, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "kind": EntryKind.INTERRUPTED, "day": "2026-11-30", "period": 202611,
        "outcome": Outcome.INTERRUPTED, "status": 0, "settles": None, "flags": (),
    }  # fmt: skip
    return entry(*lines, **(fields | changes))


def line(unit: str, quantity: int, pico: int | None, **changes: object) -> Line:
    price = None if pico is None else f"price of {unit}"
    made = Line(unit, quantity, price, pico, None if pico is None else pico - 1)
    return msgspec.structs.replace(made, **changes)


def test_the_deltas_of_one_price_are_merged_and_all_others_stand_alone() -> None:
    truth = entry(line("input_text", 10, 30), line("output_text", 4, 40), line("images_out", 1, 9))
    estimate = estimated(line("input_text", 12, 36), line("output_text", 3, 33, price_id="older"))
    assert adjustment(estimate, truth).lines == (
        Line("input_text", -2, "price of input_text", -6, -6),
        Line("output_text", 4, "price of output_text", 40, 39),
        Line("images_out", 1, "price of images_out", 9, 8),
        Line("output_text", -3, "older", -33, -32),
    )


def test_roles_and_models_are_kept_apart() -> None:
    parts = [
        line("input_text", 1, 5),
        line("input_text", 2, 5, role="guardrail"),
        line("input_text", 3, 5, model="model-b"),
    ]
    made = adjustment(estimated(), entry(*parts))
    assert made.lines == tuple(parts)
    assert adjustment(estimated(*parts), entry(*parts)).lines == ()


def test_an_estimate_of_another_model_is_taken_back_under_that_model() -> None:
    truth = entry(line("input_text", 1, 5))
    named = adjustment(estimated(line("input_text", 1, 5), model="model-b"), truth)
    assert [(item.model, item.quantity) for item in named.lines] == [(None, 1), ("model-b", -1)]
    nobodys = adjustment(estimated(line("input_text", 1, 5), model=None), truth)
    assert [(item.model, item.quantity) for item in nobodys.lines] == [(None, 1), ("", -1)]
    own = line("input_text", 1, 5, model="model-c")
    kept = adjustment(estimated(own, model="model-b"), truth)
    assert [(item.model, item.quantity) for item in kept.lines] == [(None, 1), ("model-c", -1)]


def test_what_comes_to_nothing_has_no_line_and_what_changes_anything_has() -> None:
    truth = entry(line("input_text", 5, 10), line("output_text", 1, None))
    assert adjustment(estimated(*truth.lines), truth).lines == ()
    for change in ({"quantity": 4}, {"list_pico": 9}, {"net_pico": 8}):
        other = msgspec.structs.replace(truth.lines[0], **change)
        (delta,) = adjustment(estimated(other, truth.lines[1]), truth).lines
        assert sum((abs(delta.quantity), abs(delta.list_pico or 0), abs(delta.net_pico or 0))) == 1


def test_an_unknown_amount_stays_unknown_in_each_column_by_itself() -> None:
    truth = entry(line("input_text", 5, None, net_pico=0))
    estimate = estimated(line("input_text", 3, None, net_pico=0))
    (delta,) = adjustment(estimate, truth).lines
    assert delta == Line("input_text", 2, None, None, 0)
    (mirrored,) = adjustment(
        estimated(line("input_text", 3, None, list_pico=2)),
        entry(line("input_text", 5, None, list_pico=2)),
    ).lines
    assert mirrored == Line("input_text", 2, None, 0, None)


@pytest.mark.parametrize("unknown", [{"net_pico": None}, {"list_pico": None}])
def test_an_unknown_amount_is_not_lost_where_the_quantities_cancel(
    unknown: dict[str, None],
) -> None:
    known = line(
        "input_text", 1, 1, price_id=None
    )  # paid-for capacity: net is 0, without a price row
    open_ = msgspec.structs.replace(known, **unknown)
    others = (line("output_text", 1, 2),)
    for truth, estimate in ((known, open_), (open_, known)):
        made = adjustment(estimated(estimate, *others), entry(truth, *others))
        assert [item.quantity for item in made.lines] == [1, -1]
        assert (made.list_pico is None, made.net_pico is None) == (
            open_.list_pico is None, open_.net_pico is None,
        )  # fmt: skip


def test_the_adjustment_says_whose_it_is_and_lies_in_the_estimates_day() -> None:
    truth, estimate = entry(line("input_text", 1, 5)), estimated(line("input_text", 2, 9))
    made = adjustment(estimate, truth)
    assert made == msgspec.structs.replace(
        truth,
        id=adjustment_id(truth.id),
        kind=EntryKind.ADJUSTMENT,
        ref_id=truth.id,
        day="2026-11-30",
        period=202611,
        lines=(Line("input_text", -1, "price of input_text", -4, -4),),
        list_pico=-4,
        net_pico=-4,
        settles=None,
    )


def test_a_row_and_its_corrections_stand_as_what_they_come_to() -> None:
    row = entry(line("input_text", 5, 50), line("output_text", 2, 20), booked_us=1)
    later = entry(Line("input_text", 5, "newer", 70, 69), booked_us=3)
    sooner = entry(Line("input_text", -5, "price of input_text", -50, -49), booked_us=2)
    stands = together(row, [later, sooner])
    assert stands.lines == (line("output_text", 2, 20), Line("input_text", 5, "newer", 70, 69))
    assert msgspec.structs.replace(stands, lines=row.lines) == row
    assert together(row, []) == row


def test_a_corrected_row_is_of_the_model_of_the_last_word_and_older_lines_name_theirs() -> None:
    row = entry(line("input_text", 5, 50), line("output_text", 2, 20), booked_us=1)
    second = entry(line("input_text", -5, -50), line("a", 1, 1), model="model-b", booked_us=2)
    third = entry(line("input_text", 7, 70), model="model-c", booked_us=3)
    stands = together(row, [third, second])
    assert stands.model == "model-c"
    assert [(one.unit, one.model, one.quantity) for one in stands.lines] == [
        ("input_text", "model-a", 5), ("output_text", "model-a", 2), ("input_text", "model-b", -5),
        ("a", "model-b", 1), ("input_text", None, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "taken_back"), [("priced", False), ("unpriced", True)])
def test_an_estimate_without_a_price_is_taken_back_by_a_flag(
    status: str,
    taken_back: bool,  # noqa: FBT001 - a column of the table
) -> None:
    made = adjustment(estimated(price_status=status), entry())
    assert made.flags == ("spilled_over", *((ADJUSTS_UNPRICED,) if taken_back else ()))


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["input_text", "output_text"]), st.integers(0, 9)), max_size=4),
    st.lists(st.tuples(st.sampled_from(["input_text", "output_text"]), st.integers(0, 9)), max_size=4),
)  # fmt: skip
def test_the_other_way_round_the_deltas_are_negated(
    one: list[tuple[str, int]], two: list[tuple[str, int]]
) -> None:
    first = [line(unit, count, 3 * count + 1) for unit, count in one]
    second = [line(unit, count, 3 * count + 1) for unit, count in two]

    def deltas(estimate: list[Line], truth: list[Line]) -> list[tuple[str, int, int, int]]:
        made = adjustment(estimated(*estimate), entry(*truth)).lines
        return sorted((d.unit, d.quantity, d.list_pico or 0, d.net_pico or 0) for d in made)

    forth, back = deltas(first, second), deltas(second, first)
    assert sorted((unit, -n, -pico, -net) for unit, n, pico, net in forth) == back


def test_estimates_are_what_a_dead_worker_leaves() -> None:
    assert {EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED} == ESTIMATES


def test_a_request_that_went_on_elsewhere_is_taken_back_unless_its_estimate_knew() -> None:
    went_on = entry(flags=(FAILED_OVER,))
    unpriced = estimated(price_status="unpriced")
    for estimate, true, flags in (
        (estimated(), went_on, (FAILED_OVER, ADJUSTS_REQUEST)),
        (unpriced, went_on, (FAILED_OVER, ADJUSTS_UNPRICED, ADJUSTS_REQUEST)),
        (estimated(flags=(FAILED_OVER,)), went_on, (FAILED_OVER,)),
        (estimated(), entry(flags=()), ()),
    ):
        assert adjustment(estimate, true).flags == flags
