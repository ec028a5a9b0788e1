"""The byte counts of one request: what is refused does not depend on how the bytes were cut."""

from hypothesis import given, settings, strategies as st

from gateway.edge.limits import Limits
from gateway.edge.tally import Tally

LIMITS = Limits()


def spent(cuts: list[int], count: int, check: str) -> int:
    """Give ``count`` bytes to a check in pieces of the cut sizes; the last status."""
    tally = Tally(LIMITS)
    status = 0
    while count > 0 and not status:
        piece = min(count, cuts[count % len(cuts)])
        status = getattr(tally, check)(piece)
        count -= piece
    return status


@settings(max_examples=50)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=5), st.integers(0, 130))
def test_blank_bytes_are_bounded_at_every_cut(cuts: list[int], count: int) -> None:
    assert spent(cuts, count, "blank") == (400 if count > LIMITS.blank_bytes_max else 0)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=5), st.integers(0, 70_000))
def test_an_unfinished_head_is_bounded_at_every_cut(cuts: list[int], count: int) -> None:
    assert spent(cuts, count, "head_read") == (431 if count > LIMITS.head_bytes_max else 0)


def test_a_chunked_body_may_cost_its_ratio_and_no_more() -> None:
    tally = Tally(LIMITS)
    tally.chunked = True
    body = 10_000
    tally.content(body)
    allowed = LIMITS.overhead_ratio_max * body + LIMITS.overhead_free_bytes
    assert tally.body_read(allowed) == 0
    tally.content(1)
    assert tally.body_read(17) == 400


def test_framing_without_content_is_bounded_however_large_the_body_was() -> None:
    tally = Tally(LIMITS)
    tally.chunked = True
    tally.content(1_000_000)
    assert tally.body_read(1_000_100) == 0
    statuses = [tally.body_read(1024) for _ in range(9)]
    assert statuses == [0] * 8 + [400]


def test_trailers_without_an_end_are_named_as_what_they_are() -> None:
    tally = Tally(LIMITS)
    tally.chunked = True
    tally.content(1_000_000)
    tally.body_read(1_000_100)
    tally.chunk()
    assert [tally.body_read(4096) for _ in range(3)] == [0, 0, 431]


def test_only_what_follows_the_head_counts_as_body() -> None:
    tally = Tally(LIMITS)
    tally.chunked = True
    tally.content(1)
    assert tally.first_read(b"x" * 30_000 + b"\r\n\r\n1\r\na\r\n") == 0


def test_a_body_with_a_length_has_no_framing_to_bound() -> None:
    tally = Tally(LIMITS)
    assert tally.body_read(10_000_000) == 0


def test_a_new_request_starts_from_nothing() -> None:
    tally = Tally(LIMITS)
    tally.blank(64)
    tally.trailer(b"x", b"y" * 4000)
    assert not tally.spare(LIMITS.linger_bytes_max + 1, LIMITS.linger_bytes_max)
    tally.reset()
    assert tally.blank(64) == 0
    assert tally.trailer(b"x", b"y" * 4000) == 0
    assert tally.spare(1, LIMITS.linger_bytes_max)
