"""Ids: time-ordered UUIDv7 with a twin for the adjustment."""

from uuid import UUID

from hypothesis import given, settings, strategies as st

from gateway.kernel.clock import SystemClock
from gateway.kernel.ids import adjustment_id, minted_us, new_id


def test_an_id_is_a_uuid7_whose_twin_is_free() -> None:
    for _ in range(200):
        minted = new_id()
        assert minted.version == 7
        assert minted.variant == "specified in RFC 4122"
        assert minted.int & 1 == 0


def test_ids_do_not_repeat_and_are_ordered_in_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    moments = [minted_us(minted) for minted in ids]
    assert moments == sorted(moments)


def test_an_id_tells_when_it_was_minted_to_the_millisecond() -> None:
    clock = SystemClock()
    before = clock.wall_us()
    minted = minted_us(new_id())
    after = clock.wall_us()
    assert minted % 1000 == 0
    # The generator may run a little ahead of the clock to keep its order within a millisecond.
    assert before - 1000 <= minted <= after + 10_000


@settings(max_examples=100)
@given(st.uuids())
def test_an_adjustment_has_one_id_and_it_is_not_the_entrys(entry: UUID) -> None:
    twin = adjustment_id(entry)
    assert twin != entry
    assert adjustment_id(twin) == entry
    assert minted_us(twin) == minted_us(entry)


def test_the_time_of_a_known_id() -> None:
    assert minted_us(UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398e")) == 1_645_557_742_000_000
