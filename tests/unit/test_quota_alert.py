"""Alerts of one counter: when they are due, and that looking only where one may be due misses none."""

from typing import Any

from hypothesis import given, strategies as st

from gateway.kernel.clock import epoch_us, instant
from gateway.quota.alert import Alert, due, least_posted
from gateway.quota.budget import Budget, Scope
from gateway.quota.counters import Counter
from gateway.quota.hold import CounterKey
from gateway.quota.standing import Standing, standing
from gateway.quota.window import window_of

NOW_US = 1_795_392_000_000_000  # 2026-11-23T00:00:00Z
DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24


def budget(**changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": "b", "name": "b", "scope": Scope(), "measure": "usd_net", "limit": 1000, "window": "month",
        "alerts": (50, 80, 100), "forecast_alerts": (100,),
    }  # fmt: skip
    return Budget(**(fields | changes))


def at(one: Budget, posted: int, at_us: int = NOW_US, pending: int = 0) -> Standing:
    key = CounterKey(one.id, "", window_of(one, at_us).start_us)
    return standing(one, "", at_us, {key: Counter(posted, pending)})


def told(one: Standing) -> list[tuple[str, int]]:
    return [(alert.kind, alert.percent) for alert in due(one)]


def test_an_alert_is_due_from_its_percentage_on() -> None:
    soft = budget(hard=False, forecast_alerts=())
    assert told(at(soft, 499)) == []
    assert told(at(soft, 500)) == [("actual", 50)]
    assert told(at(soft, 999)) == [("actual", 50), ("actual", 80)]
    assert told(at(soft, 1000)) == [("actual", 50), ("actual", 80), ("actual", 100)]


def test_the_last_percent_of_a_hard_budget_is_the_whole_of_it() -> None:
    hard = budget(forecast_alerts=())
    assert told(at(hard, 990))[-1] == ("actual", 80)
    assert told(at(hard, 991))[-1] == ("actual", 100)
    assert told(at(budget(shadow=True, forecast_alerts=()), 999))[-1] == ("actual", 80)


def test_a_forecast_alert_is_due_while_the_limit_is_still_ahead() -> None:
    one = budget(alerts=())  # 22 of 30 days are over
    assert told(at(one, 733)) == []
    assert told(at(one, 734)) == [("forecast", 100)]
    assert told(at(one, 999)) == [("forecast", 100)]
    assert told(at(one, 1000)) == []
    early = epoch_us(instant(NOW_US).replace(day=6))
    assert told(at(one, 999, early)) == []


def test_what_is_held_alone_alerts_nobody() -> None:
    assert told(at(budget(), 0, pending=1000)) == []


def test_a_budget_of_nothing_has_no_percentages() -> None:
    assert told(at(budget(limit=0), 5)) == []
    assert least_posted(budget(limit=0), window_of(budget(), NOW_US), NOW_US) is None


def test_the_least_posted_is_that_of_the_first_alert() -> None:
    def least(**changes: Any) -> int | None:
        one = budget(**changes)
        return least_posted(one, window_of(one, NOW_US), NOW_US)

    assert least(alerts=(80, 50), forecast_alerts=()) == 500
    assert least(alerts=(100,), forecast_alerts=()) == 991
    assert least(alerts=(100,), forecast_alerts=(), hard=False) == 1000
    assert least(alerts=(), forecast_alerts=(100,)) == 734
    assert least(alerts=(), forecast_alerts=(55,), limit=1001) == 405  # 551 at the end
    assert least(alerts=(80,), forecast_alerts=(100,)) == 734
    assert least(alerts=(), forecast_alerts=()) is None


def test_an_alert_says_of_which_counter_it_is_and_what_was_used_then() -> None:
    one = budget(alerts=(50,), forecast_alerts=())
    (alert,) = due(at(one, 600, pending=100))
    key = CounterKey("b", "", window_of(one, NOW_US).start_us)
    assert alert == Alert(key=key, kind="actual", percent=50, at_us=NOW_US, used=600)
    assert alert.name == (key, "actual", 50)


percents = st.lists(st.integers(1, 1000), max_size=4, unique=True).map(tuple)


@given(
    st.integers(0, 10**13), st.integers(1, 10**12), percents, percents, st.booleans(), st.integers(0, 30 * 24),
)  # fmt: skip
def test_looking_only_at_counters_where_an_alert_may_be_due_misses_none(
    posted: int,
    limit: int,
    alerts: tuple[int, ...],
    ahead: tuple[int, ...],
    hard: bool,  # noqa: FBT001
    hours: int,
) -> None:
    one = budget(limit=limit, alerts=alerts, forecast_alerts=ahead, hard=hard)
    at_us = epoch_us(instant(NOW_US).replace(day=1)) + hours * HOUR_US
    least = least_posted(one, window_of(one, at_us), at_us)
    if told(at(one, posted, at_us)):
        assert least is not None
        assert posted >= least


def test_how_worried_to_be_is_said_in_words() -> None:
    quiet = budget(window="day")  # at its first moment: no forecast
    levels = [at(quiet, posted, pending=10).level for posted in (0, 780, 790, 990, 991)]
    assert levels == ["on track", "on track", "near", "spent", "over"]
    assert at(budget(), 750).level == "at risk"
