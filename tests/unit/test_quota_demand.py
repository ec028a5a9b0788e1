"""What a request holds of which budgets, and what its row then used of them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, strategies as st

from gateway.kernel.clock import epoch_us
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.quota.amount import Estimate
from gateway.quota.budget import Budget, Raise, Scope, Subject
from gateway.quota.demand import demand, limit_at, line_of, used
from gateway.quota.hold import Carry, CounterKey, Rate

SUBJECT = Subject(org="o", team="t", user="user-0001", key="k")


def us(text: str) -> int:
    return epoch_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


NOW_US = us("2026-11-23")
MONTH_US, BEFORE_US = us("2026-11-01"), us("2026-10-01")
DEAR = Estimate(list_pico=5_000, net_pico=4_000, input_tokens=10, output_tokens=20)


def budget(name: str = "b", **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": name, "name": name, "scope": Scope(), "measure": "tokens", "limit": 1_000,
        "window": "month",
    }  # fmt: skip
    return Budget(**(fields | changes))


def raised(amount: int, from_us: int, to_us: int) -> Raise:
    return Raise(amount, from_us, to_us, "a reason", "owner-4100")


def asked(*budgets: Budget, estimate: Estimate = DEAR) -> dict[str, int]:
    lines = demand(budgets, SUBJECT, estimate, NOW_US)
    return {line.key.budget: line.amount for line in lines}


def test_every_budget_that_refuses_is_held_by_its_own_measure() -> None:
    assert asked(
        budget("tokens"),
        budget("list", measure="usd_list"),
        budget("net", measure="usd_net"),
        budget("shadow", shadow=True),
        budget("soft", hard=False),
    ) == {"tokens": 30, "list": 5, "net": 4, "shadow": 30}


def test_what_costs_nothing_passes_money_budgets_that_let_it_and_no_others() -> None:
    free = Estimate(list_pico=0, net_pico=None)
    assert asked(
        budget("passes", measure="usd_net"),
        budget("unpriced", measure="usd_list"),
        budget("strict", measure="usd_net", zero_priced=False),
        budget("tokens"),
        estimate=free,
    ) == {"strict": 0, "tokens": 0}


def test_the_most_specific_counter_is_first_and_the_organisations_last() -> None:
    scopes = {
        "org": Scope(org="o"), "team": Scope(team="t"), "user": Scope(user="user-0001"),
        "b-team": Scope(team="t"), "key": Scope(key="k"),
    }  # fmt: skip
    made = demand(
        [budget(name, scope=scope) for name, scope in scopes.items()], SUBJECT, DEAR, NOW_US
    )
    assert [line.key.budget for line in made] == ["key", "user", "b-team", "team", "org"]
    assert [line.rank for line in made] == [0, 1, 5, 5, 6]


def test_a_split_budget_is_held_on_the_counter_of_who_asks() -> None:
    (line,) = demand([budget(each="user")], SUBJECT, DEAR, NOW_US)
    assert line.key == CounterKey("b", "user-0001", MONTH_US)
    (line,) = demand([budget(each="app")], SUBJECT, DEAR, NOW_US)
    assert line.key == CounterKey("b", "", MONTH_US)


def test_a_raise_counts_from_its_first_moment_up_to_its_last() -> None:
    one = budget(raises=(raised(50, 100, 200), raised(7, 150, 160)))
    assert [limit_at(one, at) for at in (99, 100, 149, 150, 160, 199, 200)] == [
        1_000, 1_050, 1_050, 1_057, 1_050, 1_050, 1_000,
    ]  # fmt: skip


def test_a_calendar_line_has_its_limit_and_no_rate() -> None:
    line = line_of(budget(raises=(raised(50, 0, NOW_US + 1),)), "", 5, NOW_US)
    assert (line.amount, line.limit, line.rate, line.carry) == (5, 1_050, None, None)
    assert line.enforce
    assert not line_of(budget(shadow=True), "", 5, NOW_US).enforce


def test_a_rolling_line_has_a_rate_and_a_burst_and_neither_is_ever_nothing() -> None:
    minute = budget(window="minute", limit=60, burst_percent=25)
    line = line_of(minute, "", 5, NOW_US)
    assert (line.key, line.rate) == (CounterKey("b", "", 0), Rate(60, 15))
    for limit, percent, rate in ((3, 20, Rate(3, 1)), (0, 20, Rate(1, 1)), (10, 100, Rate(10, 10))):
        changed = msgspec.structs.replace(minute, limit=limit, burst_percent=percent)
        assert line_of(changed, "", 5, NOW_US).rate == rate


def carried(one: Budget) -> Carry | None:
    return line_of(one, "", 5, NOW_US).carry


def test_what_may_come_over_is_a_share_of_the_limit_that_the_window_before_ended_with() -> None:
    one = budget(carry_over_percent=25)
    assert carried(one) == Carry(BEFORE_US, 1_000, 250)
    until_the_end = msgspec.structs.replace(one, raises=(raised(100, 0, MONTH_US),))
    assert carried(until_the_end) == Carry(BEFORE_US, 1_100, 275)
    too_short = msgspec.structs.replace(one, raises=(raised(100, 0, MONTH_US - 1),))
    assert carried(too_short) == Carry(BEFORE_US, 1_000, 250)


def test_nothing_comes_over_from_before_a_budget_began_nor_where_a_window_never_ends() -> None:
    assert carried(budget(carry_over_percent=25, created_us=MONTH_US)) is None
    assert carried(budget(carry_over_percent=25, created_us=MONTH_US - 1)) is not None
    assert carried(budget(carry_over_percent=25, window="always")) is None
    assert carried(budget(carry_over_percent=0)) is None


ROW = Entry(
    id=new_id(), request_id=new_id(), occurred_us=5, booked_us=9, day="2026-11-30", period=202611,
    org="o", team="t", user="user-0001", key_id="k", provider="cloud", operation="chat",
    upstream="u", status=200, outcome=Outcome.COMPLETE, provenance="reported",
    lines=(Line("input_text", 12, "p", 3_000, 2_500),), list_pico=3_000, net_pico=2_500,
)  # fmt: skip


def test_a_row_used_of_each_counter_that_was_held_what_it_posts_there() -> None:
    budgets = (budget("net", measure="usd_net"), budget("tokens"), budget("other"))
    lines = demand(budgets[:2], SUBJECT, DEAR, NOW_US)
    assert used(lines, budgets, ROW) == {
        CounterKey("net", "", MONTH_US): 3, CounterKey("tokens", "", MONTH_US): 12,
    }  # fmt: skip


@given(st.integers(-(10**9), 10**9))
def test_no_hold_is_settled_below_nothing(quantity: int) -> None:
    one = msgspec.structs.replace(
        ROW, kind=EntryKind.ADJUSTMENT, lines=(Line("input_text", quantity, "p", 0, 0),)
    )
    lines = demand([budget()], SUBJECT, DEAR, NOW_US)
    assert used(lines, [budget()], one) == {lines[0].key: max(0, quantity)}
