"""Revising budgets: all or nothing, usage kept whoever books meanwhile, and nobody's raise is lost."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from gateway.kernel.errors import BadRequest
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget, Raise, Scope
from gateway.quota.draft import Draft
from gateway.quota.plan import Edit, planned
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
replace = msgspec.structs.replace
DAY_US = 86_400_000_000
NET_NANO = 205_200
NANO = 10**9


def budget(name: str, **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": "", "name": name, "scope": Scope(), "measure": "usd_net", "limit": NANO, "window": "month",
    }  # fmt: skip
    return Budget(**(fields | changes))


@pytest.fixture
def store(database: Database, clock: Any) -> BudgetStore:
    return BudgetStore(database, clock)


def wanted(*budgets: Budget, prune: bool = False) -> Callable[[Sequence[Budget]], Sequence[Edit]]:
    drafts = [Draft(one, says_raises=False) for one in budgets]
    return lambda current: planned(current, drafts, prune=prune)


async def test_applying_twice_changes_nothing_not_even_the_version(store: BudgetStore) -> None:
    plan = wanted(budget("a"), budget("b", each="user"))
    assert [edit.action for edit in await store.revise(plan, "owner-1")] == ["add", "add"]
    await store.refresh()
    version, before = store.version, await store.list()
    assert await store.revise(plan, "owner-1") == []
    await store.refresh()
    assert (store.version, await store.list()) == (version, before)
    assert len(await store.history(before[0].id)) == 1


async def test_a_file_that_cannot_be_applied_whole_changes_nothing(store: BudgetStore) -> None:
    made = await store.put(budget("a"), "owner-1")
    other = await store.put(budget("z"), "owner-1")
    bad = [
        Edit(None, budget("b")),
        Edit(made, replace(made, limit=7)),
        Edit(other, replace(other, name="b")),
    ]
    with pytest.raises(BadRequest, match="choose another name"):
        await store.revise(lambda _: bad, "owner-1")
    assert await store.list() == [made, other]
    assert len(await store.history(made.id)) == 1


async def test_pruning_ends_what_is_not_wanted_and_keeps_its_history(store: BudgetStore) -> None:
    gone = await store.put(budget("gone"), "owner-1")
    kept = await store.put(budget("kept"), "owner-1")
    (edit,) = await store.revise(wanted(kept, prune=True), "owner-2", "apply")
    assert (edit.action, edit.before) == ("remove", gone)
    assert await store.list() == [kept]
    assert [one.action for one in await store.history(gone.id)] == ["set", "remove"]


async def test_a_revision_keeps_the_usage_and_gives_no_free_reset(
    store: BudgetStore, ledger: Ledger, entry: Make
) -> None:
    """AT-E5: limit, name and alerts leave the counters alone; a new definition is summed from the rows."""
    await store.revise(wanted(budget("a"), budget("t", scope=Scope(team="team-1"))), "owner-1")
    await ledger.append([entry(team=f"team-{n % 3}") for n in range(12)])
    edits: tuple[tuple[dict[str, Any], int], ...] = (
        ({"limit": 5}, 12 * NET_NANO),
        ({"alerts": (50,), "carry_over_percent": 10}, 12 * NET_NANO),
        ({"window": "day"}, 12 * NET_NANO),
        ({"measure": "requests"}, 12),
        ({"scope": Scope(team="team-2")}, 4 * NET_NANO),
    )
    for changes, expected in edits:
        await store.revise(wanted(budget("a", **changes)), "owner-1")
        (stand,) = await store.stand([await store.named("a")], 1)
        assert stand.fullest[0].posted == expected, changes
        verification = await ledger.verify()
        assert verification.is_sound, (changes, verification)
    (other,) = await store.stand([await store.named("t")], 1)
    assert other.fullest[0].posted == 4 * NET_NANO


async def test_revisions_that_race_with_each_other_and_with_flushes_lose_nothing(
    url: str, database: Database, entry: Make
) -> None:
    """Twenty raises by two administrators while rows are booked: all there, and posted equals the rows."""
    other = Database(url)
    stores = (BudgetStore(database), BudgetStore(other))
    await stores[0].put(budget("b"), "owner-1")

    async def grant(store: BudgetStore, author: str) -> None:
        for n in range(10):
            one = Raise(n + 1, 0, 2**60, f"r{n}", author)
            await store.revise(lambda current, one=one: _raised(current, one), author, "raise")  # type: ignore[misc]  # a default is no parameter

    async def reshape(store: BudgetStore) -> None:
        for each in ("user", "", "team", ""):
            await store.revise(lambda current, each=each: _split(current, each), "owner-3")  # type: ignore[misc]  # as above

    async def book(database: Database) -> None:
        ledger = Ledger(database)
        for n in range(15):
            await ledger.append([entry(user=f"user-{n % 4:04}") for _ in range(4)])

    await asyncio.gather(
        grant(stores[0], "owner-1"), grant(stores[1], "owner-2"), reshape(stores[1]), book(database), book(other),
    )  # fmt: skip
    found = await stores[0].named("b")
    assert sorted(one.amount for one in found.raises) == sorted([*range(1, 11)] * 2)
    verification = await Ledger(database).verify()
    assert verification.is_sound, verification
    await other.close()


def _raised(current: Sequence[Budget], one: Raise) -> Sequence[Edit]:
    (before,) = current
    return [Edit(before, replace(before, raises=(*before.raises, one)))]


def _split(current: Sequence[Budget], each: str) -> Sequence[Edit]:
    (before,) = current
    return [Edit(before, replace(before, each=each))]


async def test_a_stand_is_the_limit_with_raises_and_what_came_over(
    store: BudgetStore, ledger: Ledger, entry: Make, clock: Any
) -> None:
    now = clock.us
    clock.us -= 3 * DAY_US
    limit = 10 * NET_NANO
    made = await store.put(budget("d", window="day", limit=limit, carry_over_percent=50), "owner-1")
    clock.us = now
    raised = Raise(limit // 4, now, now + 1, "r", "owner-1")
    await store.put(replace(made, raises=(raised,)), "owner-1")
    await ledger.append([entry(), *(entry(occurred_us=now - DAY_US) for _ in range(7))])
    ((one,),) = [stand.fullest for stand in await store.stand([await store.named("d")], 3)]
    assert (one.posted, one.pending, one.raised) == (NET_NANO, 0, limit // 4)
    assert (
        one.carried == 3 * NET_NANO
    )  # of ten seven were used: three were left, five might have come
    assert one.limit == limit + one.raised + one.carried
    assert one.left == one.limit - NET_NANO


async def test_the_fullest_counters_of_a_split_budget_come_first(
    store: BudgetStore, ledger: Ledger, entry: Make
) -> None:
    made = await store.put(budget("u", each="user", measure="requests", limit=10), "owner-1")
    await ledger.append([entry(user=f"user-{n:04}") for n in range(6) for _ in range(n)])
    (stand,) = await store.stand([made], 2)
    assert [(one.value, one.posted) for one in stand.fullest] == [("user-0005", 5), ("user-0004", 4)]  # fmt: skip
    assert stand.counters == 5
