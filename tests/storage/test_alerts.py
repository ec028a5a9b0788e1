"""AT-E6: an alert is raised exactly once per window and counter, however many workers and replicas look."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.jobs.alert import Alerter
from gateway.ledger.entry import Entry
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observe import Telemetry

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
Told = tuple[str, str, str, int]


def budget(**changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": "", "name": "b", "scope": Scope(), "measure": "requests", "limit": 10, "window": "day",
        "alerts": (50, 80, 100), "hard": False,
    }  # fmt: skip
    return Budget(**(fields | changes))


class Heard:
    """An alarm that remembers."""

    def __init__(self) -> None:
        self.alerts: list[tuple[Budget, Alert]] = []

    def alerted(self, budget: Budget, alert: Alert) -> None:
        self.alerts.append((budget, alert))

    @property
    def told(self) -> list[Told]:
        return [(one.name, alert.key.subject, alert.kind, alert.percent) for one, alert in self.alerts]  # fmt: skip


@pytest.fixture
def store(database: Database, clock: Any) -> BudgetStore:
    return BudgetStore(database, clock)


async def test_an_alert_is_raised_once_however_often_one_looks(
    store: BudgetStore, ledger: Ledger, entry: Make, observer: Any
) -> None:
    made = await store.put(budget(), "owner-1")
    heard = Heard()
    alerter = Alerter(store, heard, observer)
    counts = []
    for _ in range(12):
        await ledger.append([entry()])
        counts.append(await alerter.look())
    assert counts == [0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0]
    assert heard.told == [("b", "", "actual", percent) for percent in (50, 80, 100)]
    restarted = Alerter(store, heard, observer)
    assert await restarted.look() == 0
    kept = await store.alerts(made.id)
    assert kept == [alert for _, alert in heard.alerts]
    assert [alert.used for alert in kept] == [5, 8, 10]


@pytest.mark.parametrize("hard", [True, False])
async def test_racing_workers_and_replicas_raise_each_alert_once(
    *, url: str, database: Database, clock: Any, entry: Make, observer: Any, hard: bool
) -> None:
    """Four replicas of two workers, four budgets, one of them per user, while rows are booked."""
    replicas = [database, *(Database(url) for _ in range(3))]
    stores = [BudgetStore(database, clock) for database in replicas]
    shapes: tuple[dict[str, Any], ...] = (
        {"name": "all"},
        {"name": "users", "each": "user", "limit": 5},
        {"name": "team", "scope": Scope(team="team-1"), "forecast_alerts": (100, 200)},
        {"name": "month", "window": "month", "alerts": (), "forecast_alerts": (100, 200, 300)},
    )
    for shape in shapes:
        await stores[0].put(budget(hard=hard, **shape), "owner-1")
    clock.us += 12 * HOUR_US  # half of the day is over
    heard = Heard()
    alerters = [Alerter(store, heard, observer) for store in stores for _ in range(2)]

    async def book(database: Database) -> None:
        books = Ledger(database)
        for n in range(5):
            await books.append([entry(user=f"user-{n:04}", occurred_us=clock.us)])

    async def look(alerter: Alerter) -> None:
        for _ in range(6):
            await alerter.look()

    await asyncio.gather(*map(look, alerters), *map(book, replicas))
    for alerter in alerters:
        await alerter.look()
    twice = {told: count for told, count in Counter(heard.told).items() if count > 1}
    assert twice == {}
    expected = {("all", "", "actual", percent) for percent in (50, 80, 100)}
    expected |= {("users", f"user-{n:04}", "actual", percent) for n in range(5) for percent in (50, 80)}  # fmt: skip
    expected |= {("team", "", "actual", percent) for percent in (50, 80, 100)}
    told = set(heard.told)
    assert {one for one in told if one[2] == "actual"} == expected
    rows = [alert for one in await stores[0].list() for alert in await stores[0].alerts(one.id)]
    assert sorted(rows, key=lambda one: one.name) == sorted(
        (alert for _, alert in heard.alerts), key=lambda one: one.name
    )
    for replica in replicas[1:]:
        await replica.close()


async def test_a_new_window_alerts_anew_and_late_rows_alert_for_their_own(
    store: BudgetStore, ledger: Ledger, entry: Make, observer: Any, clock: Any
) -> None:
    await store.put(budget(alerts=(100,), limit=2), "owner-1")
    await store.put(budget(name="late", alerts=(100,), limit=3), "owner-1")
    heard = Heard()
    alerter = Alerter(store, heard, observer)
    yesterday = clock.us
    await ledger.append([entry(), entry()])
    assert await alerter.look() == 1
    clock.us += DAY_US + HOUR_US // 2
    assert await alerter.look() == 0
    await ledger.append([entry(occurred_us=clock.us) for _ in range(2)])
    assert await alerter.look() == 1
    assert [alert.key.window_us - yesterday for _, alert in heard.alerts] == [0, DAY_US]
    # A row of the window before that comes in within the first hour after it.
    await ledger.append([entry(occurred_us=yesterday + HOUR_US)])
    assert await alerter.look() == 1
    assert (heard.told[-1][0], heard.alerts[-1][1].key.window_us) == ("late", yesterday)


async def test_a_forecast_alerts_once_and_a_raise_moves_the_limit(
    store: BudgetStore, ledger: Ledger, entry: Make, observer: Any, clock: Any
) -> None:
    made = await store.put(budget(alerts=(), forecast_alerts=(100,), limit=4), "owner-1")
    heard = Heard()
    alerter = Alerter(store, heard, observer)
    await ledger.append([entry(), entry()])
    clock.us += HOUR_US
    assert await alerter.look() == 0  # too early to tell
    clock.us += 11 * HOUR_US
    await store.put(msgspec.structs.replace(made, limit=5), "owner-1")
    assert await alerter.look() == 0  # at this pace four of five
    await store.put(made, "owner-1")
    assert [await alerter.look(), await alerter.look()] == [1, 0]
    assert heard.told == [("b", "", "forecast", 100)]


async def test_a_database_that_is_away_costs_no_alert(
    store: BudgetStore, ledger: Ledger, entry: Make, observer: Any
) -> None:
    await store.put(budget(), "owner-1")
    await ledger.append([entry() for _ in range(5)])
    heard = Heard()

    class Away:
        """Its store answers nothing once, after it was asked."""

        def __init__(self) -> None:
            self.failures = 1

        async def earning(self) -> Any:
            return await store.earning()

        async def alert(self, alerts: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise TimeoutError
            return await store.alert(alerts)

    alerter = Alerter(Away(), heard, observer)
    with pytest.raises(TimeoutError):
        await alerter.look()
    assert await alerter.look() == 1
    assert heard.told == [("b", "", "actual", 50)]


async def test_an_alert_is_a_log_line_and_a_figure(
    store: BudgetStore, ledger: Ledger, entry: Make, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one = budget(measure="usd_net", limit=410_400, alerts=(100,))
    await store.put(one, "owner-1")
    await ledger.append([entry(), entry()])
    metrics = Metrics()
    telemetry = Telemetry(metrics, clock)
    with caplog.at_level("INFO", "weighbridge"):
        assert await Alerter(store, telemetry, telemetry).look() == 1
    (line,) = map(msgspec.json.decode, caplog.messages)
    assert line | {"at": ""} == {
        "at": "", "event": "budget_alert", "budget": "b", "subject": "", "kind": "actual", "percent": "100",
        "used": "0.0004104", "limit": "0.0004104",
    }  # fmt: skip
    assert 'weighbridge_budget_alerts_total{kind="actual"} 1' in metrics.render()
