"""A breaker's laws, over every order of requests, answers and pauses."""

from collections.abc import Hashable

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.exchange import breaker as breakers
from gateway.exchange.breaker import NS_PER_SECOND, Bounds, Breaker, Breakers, State

BOUNDS = Bounds(failures=3, percent=50, probe_ns=5 * NS_PER_SECOND)


class BreakerLaws(RuleBasedStateMachine):
    """One breaker under requests that are answered in any order; what it lets through is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(BOUNDS)
        self.now_ns = 1_000 * NS_PER_SECOND
        self.probes_ns: list[int] = []
        self.in_a_row = 0
        self.waiting: list[int] = []  # when they were begun
        self.since_ns = 0  # the first probe since it opened

    @rule(ms=st.integers(0, 12_000))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * 1_000_000

    @rule()
    def a_request_asks(self) -> None:
        before = self.breaker.state
        admitted = self.breaker.admits(self.now_ns)
        if before is State.CLOSED:
            assert admitted
        elif admitted:
            assert self.breaker.state is State.HALF_OPEN
            self.probes_ns.append(self.now_ns)
            if before is State.OPEN:
                self.since_ns = self.now_ns
        else:
            assert self.breaker.state is before
        self.waiting += [self.now_ns] * admitted

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_is_answered(self, data: st.DataObject) -> None:
        begun_ns = self.taken(data)
        before = self.breaker.state
        self.breaker.succeeded(self.now_ns, begun_ns)
        self.in_a_row = 0
        # What was sent before it opened does not close it: only a probe, or later, does.
        is_probe = before is State.HALF_OPEN and begun_ns >= self.since_ns
        expected = State.CLOSED if is_probe else before
        assert self.breaker.state is expected
        if expected is State.CLOSED:
            self.probes_ns.clear()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_fails(self, data: st.DataObject) -> None:
        begun_ns = self.taken(data)
        before = self.breaker.state
        self.breaker.failed(self.now_ns, begun_ns)
        assert self.breaker.failed_ns == self.now_ns
        self.in_a_row += 1
        if before is State.HALF_OPEN:
            expected = State.OPEN if begun_ns >= self.since_ns else before
            assert self.breaker.state is expected
        elif before is State.OPEN or self.in_a_row >= BOUNDS.failures:
            assert self.breaker.state is State.OPEN
        if self.breaker.state is State.OPEN:
            self.in_a_row = 0
            if before is State.CLOSED:
                self.probes_ns = [self.now_ns]

    def taken(self, data: st.DataObject) -> int:
        return self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))

    @invariant()
    def probes_are_a_pause_apart(self) -> None:
        pairs = zip(self.probes_ns, self.probes_ns[1:], strict=False)
        assert all(later - earlier >= BOUNDS.probe_ns for earlier, later in pairs)


TestBreakerLaws = BreakerLaws.TestCase
TestBreakerLaws.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def opened(breaker: Breaker, now_ns: int) -> None:
    for _ in range(BOUNDS.failures):
        breaker.failed(now_ns, now_ns)
    assert breaker.state is State.OPEN


@given(successes=st.integers(0, 40), failures=st.integers(0, 40))
def test_the_rate_opens_it_at_its_share_of_enough_requests(successes: int, failures: int) -> None:
    breaker = Breaker(Bounds(failures=1_000, percent=50))
    for _ in range(successes):
        breaker.succeeded(0, 0)
    for _ in range(failures):
        breaker.failed(0, 0)
    # It is looked at with each failure, so the share counts as of some failure on the way.
    reached = any(
        successes + n >= breakers.RATE_REQUESTS_MIN and 2 * n >= successes + n
        for n in range(1, failures + 1)
    )
    assert (breaker.state is State.OPEN) is reached


def test_what_is_long_ago_opens_nothing() -> None:
    breaker = Breaker(Bounds(failures=1_000, percent=50))
    for _ in range(breakers.RATE_REQUESTS_MIN - 1):
        breaker.failed(0, 0)
    breaker.failed(breakers.RATE_SECONDS * NS_PER_SECOND, 0)
    assert breaker.state is State.CLOSED


def test_a_probe_that_is_never_answered_does_not_stop_the_next() -> None:
    breaker = Breaker(BOUNDS)
    opened(breaker, 0)
    pause = BOUNDS.probe_ns
    assert [breaker.admits(at) for at in (pause - 1, pause, pause + 1, 2 * pause)] == [
        False, True, False, True,
    ]  # fmt: skip


def test_what_was_begun_before_it_opened_neither_closes_nor_opens_it() -> None:
    breaker, pause = Breaker(BOUNDS), BOUNDS.probe_ns
    opened(breaker, 10)
    assert breaker.admits(10 + pause)
    breaker.succeeded(11 + pause, 9)
    breaker.failed(12 + pause, 9)
    assert breaker.state is State.HALF_OPEN
    assert breaker.admits(10 + 2 * pause)
    breaker.succeeded(11 + 2 * pause, 10 + pause)  # a slow place: the first probe, after the second
    assert breaker.state is State.CLOSED  # type: ignore[comparison-overlap]  # it has changed


def test_the_first_place_that_is_worth_it_is_chosen() -> None:
    known = Breakers(BOUNDS)
    assert known.choose(("a", "b"), 0) == 0
    for _ in range(BOUNDS.failures):
        known.failed("a", 0, 0)
    assert known.choose(("a", "b"), 1) == 1
    assert known.choose(("a", "b"), BOUNDS.probe_ns) == 0  # the probe
    assert known.choose(("a", "b"), BOUNDS.probe_ns) == 1
    known.succeeded("a", BOUNDS.probe_ns, BOUNDS.probe_ns)
    assert known.choose(("a", "b"), BOUNDS.probe_ns) == 0


@given(order=st.permutations(["a", "b", "c"]))
def test_where_all_are_open_the_one_that_failed_the_longest_ago_is_tried(order: list[str]) -> None:
    known = Breakers(BOUNDS)
    for at, place in enumerate(order):
        for _ in range(BOUNDS.failures):
            known.failed(place, at, at)
    assert ("a", "b", "c")[known.choose(("a", "b", "c"), 10)] == order[0]
    known.succeeded(order[0], 11, 10)
    assert dict(known.states())[order[0]] is State.CLOSED


def test_every_change_is_told_once() -> None:
    told: list[tuple[Hashable, State]] = []
    known = Breakers(BOUNDS, lambda place, state: told.append((place, state)))
    for _ in range(BOUNDS.failures + 2):
        known.failed("a", 0, 0)
    known.choose(("a", "b"), BOUNDS.probe_ns)
    known.failed("a", BOUNDS.probe_ns, BOUNDS.probe_ns)
    known.choose(("a", "b"), 2 * BOUNDS.probe_ns)
    known.succeeded("a", 2 * BOUNDS.probe_ns, 2 * BOUNDS.probe_ns)
    known.succeeded("a", 2 * BOUNDS.probe_ns, 2 * BOUNDS.probe_ns)
    assert [state for _, state in told] == [
        State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN, State.CLOSED,
    ]  # fmt: skip


def test_names_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "BREAKERS_MAX", 8)
    known = Breakers(BOUNDS)
    for _ in range(BOUNDS.failures):
        known.failed("away", 0, 0)
    for number in range(100):
        known.succeeded(number, 0, 0)
        assert len(list(known.states())) <= 8
    assert dict(known.states())["away"] is State.OPEN
