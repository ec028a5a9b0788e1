"""Which entries can be booked."""

import msgspec
import pytest

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.validity import INT64_MAX, problem, total
from tests.unit.ledger_rows import PLAIN

GOOD = msgspec.structs.replace(
    PLAIN,
    id=new_id(),
    request_id=new_id(),
    lines=(Line("input_text", 10, "p", 30, 20), Line("output_text", 1, "q", 4, 4)),
    list_pico=34,
    net_pico=24,
    price_status="priced",
)


def with_line(line: Line, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "lines": (line,),
        "list_pico": line.list_pico,
        "net_pico": line.net_pico,
    }
    return msgspec.structs.replace(GOOD, **(fields | changes))


@pytest.mark.parametrize(
    "entry",
    [
        GOOD,
        with_line(Line("input_text", 10, None, None, None)),
        with_line(Line("input_text", 0, "p", 0, 0)),
        with_line(Line("input_text", INT64_MAX, "p", INT64_MAX, INT64_MAX)),
        with_line(Line("input_text", -1, "p", -1, -1), kind=EntryKind.REVERSAL, ref_id=new_id()),
        msgspec.structs.replace(GOOD, lines=(), list_pico=0, net_pico=0),
        msgspec.structs.replace(GOOD, lines=(), list_pico=None, net_pico=None),
    ],
)
def test_a_sound_entry_has_no_problem(entry: Entry) -> None:
    assert problem(entry) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (with_line(Line("moonbeams", 1, None, None, None)), "not registered"),
        (with_line(Line("request", 1, None, None, None)), "not registered"),
        (with_line(Line("input_text", -1, "p", 1, 1)), "negative"),
        (with_line(Line("input_text", INT64_MAX + 1, "p", 1, 1)), "64 bits"),
        (with_line(Line("input_text", 1, "p", INT64_MAX + 1, 1)), "64 bits"),
        (with_line(Line("input_text", 1, "p", 1, INT64_MAX + 1)), "64 bits"),
        (msgspec.structs.replace(GOOD, list_pico=35), "list total 35"),
        (msgspec.structs.replace(GOOD, net_pico=None), "net total None"),
        (msgspec.structs.replace(GOOD, lines=()), "has no line"),
        (msgspec.structs.replace(GOOD, lines=(), list_pico=0), "has no line"),
        (msgspec.structs.replace(GOOD, list_pico=INT64_MAX + 1), "64 bits"),
        (msgspec.structs.replace(GOOD, kind=EntryKind.REPRICE), "ref_id"),
        (with_line(Line("input_text", 1, None, None, None), net_pico=0), "net total 0"),
    ],
)
def test_an_unsound_entry_says_why(entry: Entry, words: str) -> None:
    assert words in str(problem(entry))


def test_an_amount_is_bounded_by_the_column_it_is_written_to() -> None:
    assert INT64_MAX == 9_223_372_036_854_775_807


def test_a_total_with_an_unknown_part_is_unknown() -> None:
    assert total([]) == 0
    assert total([1, 2]) == 3
    assert total([1, None]) is None


@pytest.mark.parametrize("kind", [EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED])
def test_what_corrects_nothing_names_no_entry_and_has_no_negative_quantity(kind: EntryKind) -> None:
    assert problem(msgspec.structs.replace(GOOD, kind=kind)) is None
    negative = with_line(Line("input_text", -1, "p", -1, -1), kind=kind, ref_id=new_id())
    assert "negative" in str(problem(negative))
