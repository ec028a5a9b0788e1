"""The bytes that are hashed: the same for ever, whatever is added to a row later."""

from hashlib import sha256
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from gateway.ledger.digest import (
    COLUMNS,
    GENESIS,
    ID_BYTES,
    VERSION,
    canonical,
    canonical_values,
    joined_ids,
    link_digest,
    rows_digest,
    split_ids,
)
from gateway.ledger.entry import Entry, Line
from tests.unit.ledger_rows import PLAIN

ROW = msgspec.structs.replace(
    PLAIN,
    id=UUID(int=2**127 + 2),
    request_id=UUID(int=7),
    occurred_us=1_795_392_000_000_000,
    booked_us=1_795_392_000_000_001,
    team="tëam",
    lines=(
        Line("output_text", 80, "p-2", 3, None),
        Line("input_text", 2**53 + 1, "p-1", 5, 5, model="other"),
    ),
    flags=("a", "b"),
    tags=("env=test",),
    catalog="0123456789abcdef",
)
FIRST = (
    b'[1,"80000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000007","usage",null,'
    b'1795392000000000,1795392000000001,"2026-11-23",202611,"org-1","t\xc3\xabam","user-0001",null,null,'
    b'"key-1","cloud","chat",null,"cloud-eu",null,null,null,null,null,null,"standard",200,false,'
    b'"complete","reported",null,null,"unpriced",null,null,null,null,null,["a","b"],null,null,null,null,'
    b'null,null,1,["env=test"],[["input_text","main","other","p-1",9007199254740993,5,5],'
    b'["output_text","main",null,"p-2",80,3,null]]]'
)
SECOND = b"[2," + FIRST[3:].replace(b'["env=test"],[[', b'["env=test"],"0123456789abcdef",null,[[')


def test_the_bytes_of_a_version_never_change() -> None:
    assert canonical(ROW, 1) == FIRST
    assert canonical(ROW, 2) == SECOND
    assert rows_digest([ROW]) == sha256(SECOND).digest()


def test_every_version_names_its_columns_and_lines_come_last() -> None:
    fields = set(Entry.__struct_fields__) - {"lines"}
    newest = COLUMNS[max(COLUMNS)]
    assert set(newest) == fields
    assert len(newest) == len(set(newest))
    with pytest.raises(KeyError):
        canonical(ROW, max(COLUMNS) + 1)


@settings(max_examples=60)
@given(st.permutations(range(4)))
def test_the_order_of_the_lines_does_not_matter(order: list[int]) -> None:
    lines = [
        Line("input_text", 1, "p", 1, 1),
        Line("input_text", 1, None, None, None),
        Line("input_text", 1, "p", 1, 1, model="m"),
        Line("output_text", 9, "p", 1, 1),
    ]
    shuffled = tuple([lines[at] for at in order])
    one, other = (msgspec.structs.replace(ROW, lines=one) for one in (tuple(lines), shuffled))
    assert canonical(one) == canonical(other)


LINES = st.builds(
    Line, st.sampled_from(["input_text", "output_text", "input_audio"]), st.integers(0, 2),
    st.sampled_from([None, "None", "p"]), st.sampled_from([None, 0, 1]), st.sampled_from([None, 0, 1]),
    role=st.sampled_from(["main", "advisor"]), model=st.sampled_from([None, "None", "m"]),
)  # fmt: skip


@settings(max_examples=80)
@given(
    st.lists(LINES, max_size=6).flatmap(
        lambda drawn: st.tuples(st.just(drawn), st.permutations(drawn))
    )
)
@example(([Line("input_text", 1, "p", 1, 1), Line("input_text", 1, "p", 1, 2, model="m")],) * 2)
@example(([Line("input_text", 1, None, 1, 1), Line("input_text", 1, "None", 1, 1)],) * 2)
def test_rows_are_equal_just_where_their_lines_are_whatever_the_order(
    drawn: tuple[list[Line], list[Line]],
) -> None:
    lines, shuffled = drawn
    one, other = (
        canonical(msgspec.structs.replace(ROW, lines=tuple(each)))
        for each in (lines[::-1], shuffled)
    )
    assert one == other
    if lines:
        more = msgspec.structs.replace(lines[0], quantity=lines[0].quantity + 3)
        assert canonical(msgspec.structs.replace(ROW, lines=(more, *lines[1:]))) != one


def test_the_version_and_the_form_of_ids_are_part_of_what_is_kept() -> None:
    assert (VERSION, max(COLUMNS), ID_BYTES, GENESIS) == (2, 2, 16, b"")
    assert canonical_values(("a", 1), ROW.lines[:1], 7) == (
        b'[7,"a",1,[["output_text","main",null,"p-2",80,3,null]]]'
    )


@pytest.mark.parametrize("name", sorted(set(Entry.__struct_fields__) - {"lines"}))
def test_no_column_can_change_unseen(name: str) -> None:
    value = getattr(ROW, name)
    changed = {str: f"{value}x", int: 9, tuple: ("x",), bool: True, UUID: UUID(int=9)}
    other = changed.get(type(value), "x")
    assert canonical(msgspec.structs.replace(ROW, **{name: other})) != canonical(ROW)


def test_a_link_covers_the_one_before_it() -> None:
    rows = rows_digest([ROW])
    first = link_digest(GENESIS, rows)
    assert first == sha256(rows).digest()
    assert link_digest(first, rows) == sha256(first + rows).digest() != first


def test_ids_are_joined_and_split() -> None:
    assert split_ids(joined_ids([ROW, ROW])) == [ROW.id, ROW.id]
    with pytest.raises(ValueError, match="whole number"):
        split_ids(b"short")


@settings(max_examples=30)
@given(st.lists(st.uuids(), max_size=5))
def test_ids_come_out_as_they_went_in_and_in_their_order(ids: list[UUID]) -> None:
    rows = [msgspec.structs.replace(ROW, id=one) for one in ids]
    assert joined_ids(rows) == b"".join(one.bytes for one in ids)
    assert split_ids(joined_ids(rows)) == ids
    for cut in (1, 15):
        with pytest.raises(ValueError, match="whole number"):
            split_ids(joined_ids(rows) + b"x" * cut)


def test_a_digest_of_rows_is_one_per_row_in_the_order_given() -> None:
    other = msgspec.structs.replace(ROW, team="other")
    assert rows_digest([ROW, other]) == rows_digest([ROW]) + rows_digest([other])
    assert rows_digest([]) == b""
