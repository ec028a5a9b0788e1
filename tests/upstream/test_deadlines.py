"""Deadlines cross the request's extension unchanged, and httpx's own extension is understood."""

from dataclasses import asdict

import httpx
from hypothesis import given, strategies as st

from gateway.upstream.deadlines import NEVER, Deadlines, Limits

SECONDS = st.none() | st.floats(0.001, 1e6)


@given(st.builds(Deadlines, *[SECONDS] * 6))
def test_a_deadline_survives_the_extension(deadlines: Deadlines) -> None:
    read = asdict(Limits.of(deadlines.extension()))
    given_seconds = asdict(deadlines)
    assert read == {key: NEVER if value is None else value for key, value in given_seconds.items()}


def test_httpx_own_timeout_rules_the_head_by_its_read_limit() -> None:
    limits = Limits.of(httpx.Timeout(3.0, read=7.0).as_dict())
    assert (limits.connect_s, limits.idle_s, limits.head_s) == (3, 7, 7)
    assert limits.total_s == NEVER


@given(still_s=st.floats(0, 100), writing=st.booleans(), head=st.booleans())
def test_each_step_has_one_limit_and_its_own_error(
    *, still_s: float, writing: bool, head: bool
) -> None:
    limits = Limits.of({"write": 10, "head": 20, "read": 30})
    error = limits.overdue(still_s, writing=writing, head=head)
    limit_s = 10 if writing else 30 if head else 20
    assert (error is not None) == (still_s >= limit_s)
    if error is not None:
        assert isinstance(error, httpx.WriteTimeout if writing else httpx.ReadTimeout)
        assert str(limit_s) in str(error)
