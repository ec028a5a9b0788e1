"""The spool's records: whole or not there."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry
from gateway.storage.rows import decode, encode
from gateway.storage.segment import HEADER_BYTES, Kind, damaged_bytes, packed, packed_void, records


def written(entry: Callable[..., Entry]) -> list[bytes]:
    one, two = entry(), entry(lines=(), list_pico=0, net_pico=0, usage_raw="\x00ü")
    return [
        packed(Kind.INTENT, one),
        packed(Kind.SETTLE, one),
        packed_void(new_id()),
        packed(2, two),
    ]


def test_an_entry_survives_its_encoding(entry: Callable[..., Entry]) -> None:
    one = entry(usage_raw="\x00ü", ref_id=new_id())
    assert decode(encode(one)) == one
    with pytest.raises(msgspec.DecodeError):
        decode(b'{"id": 1}')


def test_a_cut_at_any_byte_leaves_exactly_the_whole_records_before_it(
    entry: Callable[..., Entry],
) -> None:
    parts = written(entry)
    blob = b"".join(parts)
    ends = [len(b"".join(parts[: n + 1])) for n in range(len(parts))]
    whole = list(records(blob))
    assert [record.end for record in whole] == ends
    for cut in range(len(blob)):
        kept = sum(end <= cut for end in ends)
        assert list(records(blob[:cut])) == whole[:kept]


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_damaged_record_costs_only_itself(at: int, flip: int, parts: list[bytes]) -> None:
    blob = bytearray(b"".join(parts))
    at %= len(blob)
    blob[at] ^= flip
    hit = next(n for n in range(len(parts)) if at < len(b"".join(parts[: n + 1])))
    others = [part for n, part in enumerate(parts) if n != hit]
    expected = [record.entry_id for record in records(b"".join(others))]
    assert [record.entry_id for record in records(bytes(blob))] == expected
    assert damaged_bytes(bytes(blob)) == len(parts[hit])


@settings(max_examples=100, deadline=None)
@given(zeros=st.lists(st.integers(0, 5000), min_size=5, max_size=5))
def test_zeros_between_and_behind_records_are_passed_over(
    zeros: list[int], parts: list[bytes]
) -> None:
    """Between them they are pages a power cut took, behind them they were laid ahead: only those are no damage."""
    gaps = [b"\0" * size for size in zeros]
    blob = gaps[0] + b"".join(part + gap for part, gap in zip(parts, gaps[1:], strict=True))
    expected = [record.text for record in records(b"".join(parts))]
    assert [record.text for record in records(blob)] == expected
    assert damaged_bytes(blob) == sum(zeros[:-1])


@pytest.mark.parametrize("length", [4_096, 65_536, 131_072])
def test_a_record_whose_length_begins_with_zeros_is_found_behind_zeros(
    length: int, entry: Callable[..., Entry]
) -> None:
    short = len(packed(Kind.SETTLE, entry(usage_raw=""))) - HEADER_BYTES
    record = packed(Kind.SETTLE, entry(usage_raw="x" * (length - short)))
    assert record[0] == 0
    assert len(list(records(b"\0" * 777 + record + b"\0" * 300))) == 1


@pytest.fixture(scope="module")
def parts(request: pytest.FixtureRequest) -> list[bytes]:
    made = request.getfixturevalue("make")
    return written(made)
