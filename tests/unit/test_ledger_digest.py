"""The bytes that are hashed: the same for ever, whatever is added to a row later."""

from hashlib import sha256
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.ledger.digest import (
    COLUMNS,
    GENESIS,
    canonical,
    joined_ids,
    link_digest,
    rows_digest,
    split_ids,
)
from gateway.ledger.entry import Entry, Line, Outcome

ROW = Entry(
    id=UUID(int=2**127 + 2),
    request_id=UUID(int=7),
    occurred_us=1_795_392_000_000_000,
    booked_us=1_795_392_000_000_001,
    day="2026-11-23",
    period=202611,
    org="org-1",
    team="tëam",
    user="user-0001",
    key_id="key-1",
    provider="cloud",
    operation="chat",
    upstream="cloud-eu",
    status=200,
    outcome=Outcome.COMPLETE,
    provenance="reported",
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
