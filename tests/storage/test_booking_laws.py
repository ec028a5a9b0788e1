"""What booking has to stand: new units, ids that providers repeat, midnight, columns to come, and its own guards."""

import time
from collections.abc import Callable
from hashlib import sha256
from statistics import median
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from gateway.jobs.expire import Sweeper
from gateway.ledger import digest
from gateway.ledger.entry import Entry, Line
from gateway.ledger.period import day_bounds_us
from gateway.metering.units import UNITS, Unit
from gateway.quota.amount import Estimate
from gateway.quota.budget import Budget, Scope, Subject
from gateway.quota.demand import demand
from gateway.quota.hold import Hold
from gateway.storage import ledger as ledger_module
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.holds import Holds
from gateway.storage.ledger import Ledger
from gateway.storage.quota_batch import BatchedQuotas
from tests.storage.conftest import Hands, Recorder
from tests.storage.quota_laws import granted
from tests.storage.test_holds import quotas as quotas  # noqa: PLC0414 - a fixture of the suite's

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
DAY = "2026-11-23"


async def test_a_new_unit_is_an_entry_of_the_registry_and_no_ddl(
    database: Database,
    ledger: Ledger,
    entry: Make,
    observer: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = Unit("input_smell", is_token=True, direction="input", modality="text")
    monkeypatch.setitem(UNITS, new.name, new)
    lines = (Line(new.name, 7, "p", 70, 70),)
    amounts: dict[str, Any] = {"list_pico": 70, "net_pico": 70}
    unknown = entry(lines=(Line("input_taste", 7, "p", 70, 70),), **amounts)
    booking = Ledger(database, observer=observer)
    assert await booking.append([entry(lines=lines, **amounts), unknown, entry()]) == 2
    assert observer.names == ["ledger.quarantine"]
    assert await ledger.quarantined() == 1
    assert (await ledger.statement(202611)).total.units[new.name] == 7
    async with database.read() as connection:
        query = "SELECT quantity FROM usage_lines WHERE unit = 'input_smell'"
        assert list((await connection.exec_driver_sql(query)).scalars()) == [7]
    assert (await ledger.verify()).is_sound


@pytest.mark.parametrize("theirs", ["", "chatcmpl-1", None])
async def test_an_id_that_the_provider_repeats_is_no_key(
    ledger: Ledger, entry: Make, theirs: str | None
) -> None:
    calls = [entry(provider_request_id=theirs, client_call_id=theirs) for _ in range(20)]
    assert await ledger.append(calls[:10]) == 10
    assert await ledger.append(calls[10:]) == 10
    assert (await ledger.statement(202611)).total.requests == 20


async def test_rows_of_before_a_column_still_verify(
    database: Database, ledger: Ledger, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(entries: list[Entry]) -> bytes:
        hashed = [sha256(digest.canonical(one, digest.VERSION - 1)) for one in entries]
        return b"".join(one.digest() for one in hashed)

    with monkeypatch.context() as older:
        older.setattr(ledger_module, "rows_digest", as_before)
        await ledger.append([entry() for _ in range(5)])
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE usage_ledger ADD COLUMN surplus TEXT")
    await ledger.append([entry() for _ in range(5)])
    found = await ledger.verify()
    assert (found.is_sound, found.links) == (True, 2)


class Cut(Exception):
    """The process ends here."""


class Dying(Ledger):
    """Its transaction never comes to its commit."""

    async def _link(self, *given: Any) -> None:
        await super()._link(*given)
        raise Cut


@pytest.fixture
async def midnight(clock: Hands) -> int:
    """The clock a moment before midnight; when that is."""
    midnight_us = day_bounds_us(DAY)[1]
    clock.us = midnight_us - 500_000
    return midnight_us


async def test_a_crash_at_midnight_leaves_both_days_what_their_rows_are(
    database: Database,
    ledger: Ledger,
    quotas: BatchedQuotas,
    entry: Make,
    clock: Hands,
    midnight: int,
    observer: Recorder,
) -> None:
    budget = Budget(id="day", name="day", scope=Scope(), measure="requests", limit=9, window="day")
    store = BudgetStore(database, clock)
    await store.put(budget, "owner-1")
    await store.refresh()

    async def begun() -> Entry:
        day = DAY if clock.us < midnight else "2026-11-24"
        made = entry(occurred_us=clock.us, booked_us=clock.us, day=day)
        subject = Subject("org-1", made.team, made.user, made.key_id)
        lines = demand(store.over(subject), subject, Estimate(), made.occurred_us)
        text = msgspec.json.encode(made)
        hold = Hold(made.request_id, lines, clock.us + 60_000_000, text, store.version)
        granted(await quotas.reserve(hold))
        return made

    before = [await begun() for _ in range(4)]
    with pytest.raises(Cut):
        await Dying(database, clock=clock).append(before[:3])
    clock.us = midnight
    after = [await begun() for _ in range(2)]
    with pytest.raises(Cut):
        await Dying(database, clock=clock).append([*before[:3], *after])
    # Another process finds the journal; of the fourth it finds nothing, so its hold has to expire.
    await ledger.append([*before[:3], *after])
    clock.us += 120_000_000
    assert await Sweeper(Holds(database, ledger), ledger, clock, observer).sweep() == 1
    counters = {one.key.window_us: one for one in await store.counters()}
    assert {us: (one.posted, one.pending) for us, one in counters.items()} == {
        day_bounds_us(DAY)[0]: (4, 0),
        midnight: (2, 0),
    }
    found = await ledger.verify()
    assert (found.is_sound, found.entries) == (True, 6)


@pytest.mark.bench
async def test_the_guards_of_the_ledger_cost_next_to_nothing(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    """Paired batches with and without the triggers that keep rows as they are: at most 5 % apart."""
    guards = await _guards(database)
    assert guards
    off, on = _switches(database, guards)
    ratios = []
    for _ in range(15):
        batches = [[entry() for _ in range(500)] for _ in range(2)]
        await off()
        bare = await _seconds(ledger, batches[0])
        await on()
        guarded = await _seconds(ledger, batches[1])
        ratios.append(bare / guarded)
    assert median(ratios) >= 0.95, ratios


async def _seconds(ledger: Ledger, batch: list[Entry]) -> float:
    began = time.perf_counter()
    await ledger.append(batch)
    return time.perf_counter() - began


async def _guards(database: Database) -> dict[str, str]:
    """The triggers on the ledger: name → how it is made (SQLite)."""
    query = (
        "SELECT DISTINCT tgname, '' FROM pg_trigger WHERE tgrelid = 'usage_ledger'::regclass AND NOT tgisinternal"
        if database.is_postgres
        else "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'usage_ledger'"
    )
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(query)
        return {str(name): str(made) for name, made in map(tuple, rows)}


def _switches(database: Database, guards: dict[str, str]) -> tuple[Any, Any]:
    async def run(statements: list[str]) -> None:
        async with database.write() as connection:
            for statement in statements:
                await connection.execute(sa.text(statement))

    if database.is_postgres:
        off = ["ALTER TABLE usage_ledger DISABLE TRIGGER USER"]
        on = ["ALTER TABLE usage_ledger ENABLE TRIGGER USER"]
    else:
        off = [f"DROP TRIGGER {name}" for name in guards]
        on = list(guards.values())
    return (lambda: run(off)), (lambda: run(on))
