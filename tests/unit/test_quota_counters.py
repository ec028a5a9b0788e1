"""The reference engine, by cases worked by hand: every real engine is held to it, so it is held to these."""

from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.kernel.ids import new_id
from gateway.quota.counters import Counter, Counters
from gateway.quota.hold import (
    Balance,
    Carry,
    CounterKey,
    Exhausted,
    Granted,
    Hold,
    HoldLine,
    Rate,
    Stale,
)

SECOND_US = 1_000_000
NOW_US = 100 * SECOND_US
EVEN = Rate(per_minute=60, burst=10)  # one a second, ten at once
BEFORE = CounterKey("b", "", 1)


def line(budget: str, amount: int, limit: int = 0, window_us: int = 0, **changes: Any) -> HoldLine:
    return HoldLine(CounterKey(budget, "", window_us), amount, limit, **changes)


def hold(*lines: HoldLine, expires_us: int = NOW_US, version: int = 0) -> Hold:
    return Hold(new_id(), lines, expires_us, b"", version)


def reserved(books: Counters, *lines: HoldLine) -> Hold:
    made = hold(*lines)
    assert isinstance(books.reserve(made, NOW_US), Granted)
    return made


def counted(books: Counters) -> dict[str, tuple[int, int]]:
    """Budget → (posted, pending), of those that stand at something."""
    found = {key.budget: (one.posted, one.pending) for key, one in books.counters.items()}
    return {budget: sums for budget, sums in found.items() if any(sums)}


def refused(verdict: object) -> list[str]:
    assert isinstance(verdict, Exhausted), verdict
    return [balance.key.budget for balance in verdict.balances]


def test_a_hold_fits_up_to_its_limit_and_not_one_above() -> None:
    books = Counters()
    books.post({CounterKey("b", "", 0): 30}, ())
    reserved(books, line("b", 50, 100))
    assert refused(books.reserve(hold(line("b", 21, 100)), NOW_US)) == ["b"]
    verdict = books.reserve(hold(line("b", 20, 100)), NOW_US)
    assert verdict == Granted((Balance(CounterKey("b", "", 0), 30, 70, 100),))


def test_a_refusal_holds_nothing_and_names_only_what_is_short() -> None:
    books = Counters()
    asked = (line("wide", 5, 100), line("a", 5, 4), line("b", 5, 3))
    verdict = books.reserve(hold(*asked), NOW_US)
    assert verdict == Exhausted((Balance(asked[1].key, 0, 0, 4), Balance(asked[2].key, 0, 0, 3)))
    assert (counted(books), books.holds) == ({}, {})


def test_a_hold_of_nothing_needs_room_for_one() -> None:
    books = Counters()
    books.post({CounterKey("b", "", 0): 9}, ())
    reserved(books, line("b", 0, 10))
    assert refused(books.reserve(hold(line("b", 0, 9)), NOW_US)) == ["b"]


def test_a_shadow_line_is_counted_and_told_but_refuses_nothing() -> None:
    books = Counters()
    shadow, hard = line("s", 5, 4, enforce=False), line("h", 5, 5)
    verdict = books.reserve(hold(shadow, hard), NOW_US)
    assert isinstance(verdict, Granted)
    assert verdict.exceeded == (shadow.key,)
    assert counted(books) == {"s": (0, 5), "h": (0, 5)}
    # Refused by another line, it is not among those that are short.
    assert refused(books.reserve(hold(shadow, hard), NOW_US)) == ["h"]


def test_the_same_request_holds_once_and_hears_of_what_it_holds() -> None:
    books = Counters()
    first = reserved(books, line("b", 5, 6))
    again = msgspec.structs.replace(first, lines=(line("b", 1, 6),))
    assert books.reserve(again, NOW_US) == Granted((Balance(first.lines[0].key, 0, 5, 6),))
    assert counted(books) == {"b": (0, 5)}


def test_a_hold_of_budgets_that_were_edited_since_is_stale() -> None:
    books = Counters()
    books.version = 3
    assert books.reserve(hold(line("b", 5, 6), version=2), NOW_US) == Stale(3)
    assert counted(books) == {}
    for version in (3, 4):
        assert isinstance(books.reserve(hold(line("b", 1, 6), version=version), NOW_US), Granted)


def test_what_the_window_before_left_unspent_comes_over_up_to_its_most() -> None:
    carry = Carry(window_us=1, limit=50, most=20)
    cases = {0: 120, 30: 120, 31: 119, 49: 101, 50: 100, 60: 100}  # posted before → limit now
    for before, limit in cases.items():
        books = Counters()
        books.post({BEFORE: before}, ())
        wanted = line("b", limit + 1, 100, 2, carry=carry)
        verdict = books.reserve(hold(wanted), NOW_US)
        assert verdict == Exhausted((Balance(wanted.key, 0, 0, limit),))
        fits = msgspec.structs.replace(wanted, amount=limit)
        assert isinstance(books.reserve(hold(fits), NOW_US), Granted)


def test_the_window_before_is_of_the_same_subject() -> None:
    books = Counters()
    books.post({BEFORE: 50}, ())
    other = HoldLine(CounterKey("b", "user-0001", 2), 0, 100, carry=Carry(1, 50, 20))
    assert books.balances((other,), NOW_US)[0].limit == 120


def test_settling_fixes_a_hold_to_what_was_used_and_frees_what_is_not_named() -> None:
    books = Counters()
    made = reserved(books, line("a", 50, 100), line("b", 50, 100))
    books.settle(made.request_id, {made.lines[0].key: 70})
    assert counted(books) == {"a": (0, 70)}
    books.settle(made.request_id, {made.lines[0].key: 70})
    assert counted(books) == {"a": (0, 70)}
    books.post({made.lines[0].key: 70}, (made.request_id,))
    assert (counted(books), books.holds) == ({"a": (70, 0)}, {})


def test_voiding_frees_all_and_forgets_the_hold() -> None:
    books = Counters()
    made = reserved(books, line("a", 50, 100), line("r", 4, rate=EVEN))
    books.void(made.request_id)
    assert (counted(books), books.holds) == ({}, {})
    assert books.balances(made.lines, NOW_US)[1].pending == 0


def test_requests_nobody_knows_are_no_fault() -> None:
    books, unknown = Counters(), new_id()
    books.settle(unknown, {BEFORE: 5})
    books.void(unknown)
    books.extend([unknown], NOW_US)
    books.post({}, [unknown])
    assert books.grow(unknown, [line("b", 5, 10)], NOW_US) == Granted(())
    assert (books.counters, books.holds) == ({}, {})


def test_growing_raises_the_lines_that_are_held_to_their_new_amounts() -> None:
    books = Counters()
    made = reserved(books, line("a", 5, 20), line("b", 5, 20), line("c", 5, 20))
    more = (line("a", 8, 20), line("b", 3, 20), line("new", 9, 20))
    verdict = books.grow(made.request_id, more, NOW_US)
    assert counted(books) == {"a": (0, 8), "b": (0, 5), "c": (0, 5)}
    assert isinstance(verdict, Granted)
    assert [(one.key.budget, one.pending) for one in verdict.balances] == [
        ("a", 8), ("b", 5), ("new", 0),
    ]  # fmt: skip
    held = {one.key.budget: one.amount for one in books.holds[made.request_id].lines}
    assert held == {"a": 8, "b": 5, "c": 5}
    books.void(made.request_id)
    assert counted(books) == {}


def test_growing_to_what_is_held_already_asks_for_nothing() -> None:
    books = Counters()
    made = reserved(books, line("a", 20, 20))
    assert isinstance(books.grow(made.request_id, [line("a", 20, 20)], NOW_US), Granted)
    assert counted(books) == {"a": (0, 20)}


def test_growing_is_all_or_nothing_and_asks_only_for_the_difference() -> None:
    books = Counters()
    made = reserved(books, line("a", 5, 20), line("b", 15, 20))
    verdict = books.grow(made.request_id, [line("a", 6, 20), line("b", 21, 20)], NOW_US)
    assert verdict == Exhausted((Balance(made.lines[1].key, 0, 15, 20),))
    assert counted(books) == {"a": (0, 5), "b": (0, 15)}
    assert isinstance(books.grow(made.request_id, [line("b", 20, 20)], NOW_US), Granted)
    shadow = line("b", 25, 20, enforce=False)
    verdict = books.grow(made.request_id, [shadow], NOW_US)
    assert isinstance(verdict, Granted)
    assert verdict.exceeded == (shadow.key,)
    assert counted(books) == {"a": (0, 5), "b": (0, 25)}


def test_a_rolling_line_takes_of_the_minute_and_tells_how_long_to_wait() -> None:
    books = Counters()
    made = reserved(books, line("r", 10, rate=EVEN))
    assert books.counters[made.lines[0].key].tat_us == NOW_US + 10 * SECOND_US
    verdict = books.reserve(hold(line("r", 3, rate=EVEN)), NOW_US)
    assert verdict == Exhausted((Balance(made.lines[0].key, 0, 10, 10, 3 * SECOND_US),))
    later_us = NOW_US + 3 * SECOND_US
    # Granted, nobody waits; a rate's own limit is its burst and nothing of it is ever posted.
    assert books.reserve(hold(line("r", 3, rate=EVEN)), later_us) == Granted(
        (Balance(made.lines[0].key, 0, 10, 10, 0),)
    )
    assert books.balances(made.lines, later_us + 4 * SECOND_US)[0].pending == 6


def test_a_rolling_line_is_refunded_what_it_did_not_use() -> None:
    books = Counters()
    made = reserved(books, line("r", 10, rate=EVEN))
    key = made.lines[0].key
    books.grow(made.request_id, [line("r", 10, rate=EVEN)], NOW_US)
    books.settle(made.request_id, {key: 4})
    assert books.counters[key] == Counter(0, 0, NOW_US + 4 * SECOND_US)
    books.post({}, (made.request_id,))
    assert books.counters[key] == Counter(0, 0, NOW_US + 4 * SECOND_US)


def test_a_refusal_to_grow_tells_how_long_to_wait() -> None:
    books = Counters()
    made = reserved(books, line("r", 8, rate=EVEN))
    verdict = books.grow(made.request_id, [line("r", 12, rate=EVEN)], NOW_US)
    assert verdict == Exhausted((Balance(made.lines[0].key, 0, 8, 10, 2 * SECOND_US),))


def test_at_first_everything_is_at_nothing() -> None:
    assert Counter() == Counter(posted=0, pending=0, tat_us=0)
    assert Counters().version == 0


def test_a_shadow_rate_is_taken_beyond_its_burst() -> None:
    books = Counters()
    reserved(books, line("r", 10, rate=EVEN))
    verdict = books.reserve(hold(line("r", 5, rate=EVEN, enforce=False)), NOW_US)
    assert isinstance(verdict, Granted)
    assert verdict.exceeded == (CounterKey("r", "", 0),)
    assert books.counters[CounterKey("r", "", 0)].tat_us == NOW_US + 15 * SECOND_US


def test_a_hold_is_kept_until_the_latest_it_was_extended_to() -> None:
    books = Counters()
    made, other = reserved(books, line("b", 1, 10)), reserved(books, line("b", 1, 10))
    assert books.expired(NOW_US - 1) == []
    assert books.expired(NOW_US) == [made, other]
    books.extend([made.request_id], NOW_US + 7)
    books.extend([made.request_id], NOW_US + 5)
    assert [one.request_id for one in books.expired(NOW_US + 6)] == [other.request_id]
    assert len(books.expired(NOW_US + 7)) == 2


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────

steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "grow", "settle", "void", "post"]),
        st.integers(0, 4),
        st.integers(0, 60),
        st.integers(0, 60),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(steps)
def test_pending_is_what_the_holds_are_of_and_no_grant_passes_the_limit(
    moves: list[tuple[str, int, int, int]],
) -> None:
    books, requests = Counters(), [new_id() for _ in range(5)]
    posted = {"a": 0, "b": 0}
    for name, at, one, other in moves:
        lines = (line("a", one, 100), line("b", other, 80))
        _move(books, requests[at], name, lines, posted)
        for wanted in lines:
            held = [part.amount for made in books.holds.values() for part in made.lines if part.key == wanted.key]  # fmt: skip
            counter = books.counters.get(wanted.key, Counter())
            assert (counter.pending, counter.posted) == (sum(held), posted[wanted.key.budget])


def _move(
    books: Counters, request: UUID, name: str, lines: tuple[HoldLine, ...], posted: dict[str, int]
) -> None:
    used = {wanted.key: wanted.amount for wanted in lines}
    if name == "reserve":
        is_new = request not in books.holds
        verdict = books.reserve(Hold(request, lines, NOW_US, b"", 0), NOW_US)
        assert isinstance(verdict, Granted) == (request in books.holds)
        if isinstance(verdict, Granted) and is_new:
            assert all(one.posted + one.pending <= one.limit for one in verdict.balances)
    elif name == "grow":
        books.grow(request, lines, NOW_US)
    elif name == "settle":
        books.settle(request, used)
    elif name == "void":
        books.void(request)
    elif request in books.holds:
        books.post(used, [request])
        for key, added in used.items():
            posted[key.budget] += added
