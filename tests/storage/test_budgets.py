"""Budgets: kept by name with every change; edits keep usage, exactly, while rows are booked."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from gateway.kernel.clock import Clock
from gateway.kernel.errors import BadRequest, NotFound
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget, Scope, Subject
from gateway.quota.subject import of_entry
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.ledger import Ledger
from gateway.storage.tables import ALERT

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
replace = msgspec.structs.replace
DAY_US = 86_400_000_000
NET_NANO = 205_200


def budget(name: str, **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": "",
        "name": name,
        "scope": Scope(),
        "measure": "usd_net",
        "limit": 10**12,
        "window": "month",
    }
    return Budget(**(fields | changes))


@pytest.fixture
def store(database: Database, clock: Clock) -> BudgetStore:
    return BudgetStore(database, clock)


async def posted(store: BudgetStore, one: Budget) -> dict[tuple[str, int], int]:
    return {
        (balance.key.subject, balance.key.window_us): balance.posted
        for balance in await store.counters([one.id])
        if balance.posted
    }


async def test_a_budget_is_read_back_listed_edited_and_removed(store: BudgetStore) -> None:
    made = await store.put(budget("b", scope=Scope(team="t"), alerts=(50, 80)), "owner-1", "set")
    other = await store.put(budget("a"), "owner-1")
    assert await store.list() == [other, made]
    assert await store.named("b") == made == await store.named(made.id)
    edited = await store.put(budget("b", limit=5), "owner-2", "raise")
    assert (edited.id, edited.created_us, edited.limit) == (made.id, made.created_us, 5)
    renamed = await store.put(replace(edited, name="c"), "owner-2")
    assert await store.list() == [other, renamed]
    with pytest.raises(BadRequest, match="choose another name"):
        await store.put(replace(edited, name="a"), "owner-2")
    await store.remove(made.id, "owner-3")
    assert await store.list() == [other]
    for gone in (store.named("c"), store.remove(made.id, "owner-3")):
        with pytest.raises(NotFound, match="budgets list"):
            await gone
    told = [
        (change.author, change.action, change.budget.name)
        for change in await store.history(made.id)
    ]
    assert told == [
        ("owner-1", "set", "b"),
        ("owner-2", "raise", "b"),
        ("owner-2", "set", "c"),
        ("owner-3", "remove", "c"),
    ]


async def test_the_history_of_budgets_is_never_changed(
    database: Database, store: BudgetStore
) -> None:
    await store.put(budget("b"), "owner-1")
    for statement in ("UPDATE quota_change SET author = 'x'", "DELETE FROM quota_change"):
        with pytest.raises(RowRefused):
            async with database.write() as connection:
                await connection.exec_driver_sql(statement)


async def test_the_snapshot_changes_with_every_change_and_only_then(
    database: Database, store: BudgetStore, entry: Make
) -> None:
    subject = of_entry(entry())
    assert (store.version, store.over(subject)) == (-1, ())
    assert [await store.refresh() for _ in range(2)] == [True, False]
    administrator = BudgetStore(database)
    made = await administrator.put(budget("b", scope=Scope(team="team-1")), "owner-1")
    assert store.over(subject) == ()
    assert await store.refresh()
    assert store.over(subject) == (made,) == store.over(subject)
    version = store.version
    await administrator.remove(made.id, "owner-1")
    assert await store.refresh()
    assert (store.over(subject), store.version > version) == ((), True)


async def test_what_covers_a_request_is_what_its_scope_says(store: BudgetStore) -> None:
    subject = Subject("o", "t", "u", "k", "cc", "a", "p", "gpt-4.1", ("env=test",))
    matching = (
        Scope(),
        Scope(team="t", user="u"),
        Scope(key="k", model="gpt-*"),
        Scope(cost_centre="cc"),
        Scope(provider="p", tag="env=test"),
        Scope(app="a", org="o"),
    )
    foreign = (Scope(team="x"), Scope(user="u", team="x"), Scope(model="o*"), Scope(tag="env"))
    made = [
        await store.put(budget(f"{at:02}", scope=scope), "owner-1")
        for at, scope in enumerate((*matching, *foreign))
    ]
    await store.refresh()
    assert {one.id for one in store.over(subject)} == {one.id for one in made[: len(matching)]}


async def test_a_new_budget_knows_what_was_used_before_it(
    store: BudgetStore, ledger: Ledger, entry: Make, clock: Any
) -> None:
    """This window and the one before; what lies earlier is no window's business."""
    days = (0, -1, -2, -1, 0, 1)
    for day in days:
        await ledger.append([entry(occurred_us=clock.us + day * DAY_US)])
    made = await store.put(budget("daily", window="day", measure="requests"), "owner-1")
    at = clock.us
    assert await posted(store, made) == {("", at): 2, ("", at - DAY_US): 2, ("", at + DAY_US): 1}
    # A late row of a window that is not kept is booked and posts nothing.
    await ledger.append([entry(occurred_us=at - 2 * DAY_US), entry(occurred_us=at - DAY_US)])
    assert (await posted(store, made))["", at - DAY_US] == 3
    assert (await ledger.verify()).is_sound


async def test_editing_a_budget_in_the_middle_of_its_window_keeps_the_usage(
    store: BudgetStore, ledger: Ledger, entry: Make
) -> None:
    made = await store.put(budget("b"), "owner-1")
    rows = [entry(user=f"user-{n % 2:04}", team=f"team-{n % 3}") for n in range(12)]
    await ledger.append(rows)
    (whole,) = (await posted(store, made)).items()
    assert whole[1] == 12 * NET_NANO
    edits: tuple[tuple[dict[str, Any], list[int]], ...] = (
        ({"limit": 7}, [12 * NET_NANO]),
        ({"measure": "requests"}, [12]),
        ({"measure": "requests", "each": "user"}, [6, 6]),
        ({"measure": "requests", "scope": Scope(team="team-1")}, [4]),
        ({"window": "day", "timezone": "Asia/Kathmandu"}, [12 * NET_NANO]),
        ({"measure": "tokens", "window": "minute"}, []),
        ({}, [12 * NET_NANO]),
    )
    for changes, expected in edits:
        edited = await store.put(budget("b", **changes), "owner-1")
        assert sorted((await posted(store, edited)).values()) == expected
        verification = await ledger.verify()
        assert verification.is_sound, (changes, verification)
    await ledger.append([entry()])
    assert list((await posted(store, made)).values()) == [13 * NET_NANO]


async def test_edits_that_race_with_flushes_lose_and_double_nothing(
    url: str, database: Database, entry: Make
) -> None:
    store, other = BudgetStore(database), Database(url)
    await store.put(budget("b"), "owner-1")
    ledgers = (Ledger(database), Ledger(other))
    shapes: tuple[dict[str, Any], ...] = (
        {"measure": "requests"},
        {"each": "user"},
        {"window": "day"},
        {"scope": Scope(team="team-1")},
        {},
    )

    async def edit() -> None:
        for changes in shapes * 3:
            await store.put(budget("b", **changes), "owner-1")

    async def book(ledger: Ledger) -> None:
        for n in range(25):
            await ledger.append([entry(user=f"user-{n % 4:04}") for _ in range(4)])

    await asyncio.gather(edit(), *(book(ledger) for ledger in ledgers))
    verification = await ledgers[0].verify()
    assert verification.is_sound, verification
    assert list((await posted(store, await store.named("b"))).values()) == [200 * NET_NANO]
    await other.close()


async def test_alerts_that_were_raised_are_told(database: Database, store: BudgetStore) -> None:
    made = await store.put(budget("b"), "owner-1")
    row = {"budget": made.id, "subject": "", "window_us": 7, "kind": "actual", "percent": 80}
    async with database.write() as connection:
        await connection.execute(sa.insert(ALERT), row | {"at_us": 9, "used": 81})
    (alert,) = await store.alerts(made.id)
    assert (alert.key.window_us, alert.kind, alert.percent, alert.used) == (7, "actual", 80, 81)
