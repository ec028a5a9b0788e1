"""A report is of one state of the ledger, however many questions it asks while rows flow in; on both engines."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway import shipped
from gateway.commands.focus import Bundle, bundle
from gateway.commands.statement.asked import Asked, gathered
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry, Line
from gateway.reporting.roster import imported, read_csv
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.organisation import OrganisationStore
from gateway.storage.tables import LEDGER

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
PERIOD, USD = 202411, 10**12
# Three spans of days, a team that moves twice: each is a question of its own.
ROSTER = """team,cost_centre,valid_from,valid_until
team-1,4100,,2024-11-11
team-1,4200,2024-11-11,2024-11-21
team-1,4300,2024-11-21,
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "c.toml"
    path.write_text(f'[storage]\nfolder = "{tmp_path / "var"}"\n', encoding="utf-8")
    return shipped.configured(path)


def rows(entry: Make, at: int) -> list[Entry]:
    """A dollar on each of three days: whole months only hold as many dollars of one day as of another."""
    line = Line("input_text", 1_200, "p", USD, USD)
    priced = {"lines": (line,), "list_pico": USD, "net_pico": USD, "provider": "azure"}
    return [entry(day=f"2024-11-{day}", period=PERIOD, user=f"user-{at:04}", **priced) for day in ("01", "15", "29")]  # fmt: skip


async def assigned(database: Database) -> None:
    roster = read_csv(ROSTER)
    store = OrganisationStore(database, SystemClock())
    await store.revise(lambda before: imported(before, roster), "test")


async def test_a_report_of_a_month_that_takes_rows_is_of_one_state_of_it(
    database: Database, ledger: Ledger, entry: Make, config: Config
) -> None:
    await assigned(database)
    await ledger.append(rows(entry, 0))
    done = asyncio.Event()

    async def flow() -> None:
        at = 1
        while not done.is_set():
            await ledger.append(rows(entry, at))
            at += 1

    async def report() -> list[Bundle]:
        found = []
        for _ in range(6):
            found.append(await bundle(database, config, PERIOD, ("1.4", "chargeback")))
            made = (await gathered(database, config, Asked(period=PERIOD))).summary()
            assert len({share.cents for share in made.shares}) == 1
            assert made.cents == made.requests * 100
        done.set()
        return found

    flowing = asyncio.create_task(flow())
    try:
        found = await report()
    finally:
        done.set()
        await flowing
    for made in found:
        assert made.faults() == []
        assert sum(one.net_pico for one in made.used) == sum(made.cents.values()) * 10**10
    assert len({sum(made.cents.values()) for made in found}) > 1  # rows did flow


async def test_a_moment_stays_what_it_was_and_is_never_written(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    count = sa.select(sa.func.count()).select_from(LEDGER)
    async with database.moment() as now:
        async with now.read() as connection:
            assert await connection.scalar(count) == 0
        await ledger.append(rows(entry, 0))
        async with now.read() as connection, now.snapshot() as same:
            assert await connection.scalar(count) == await same.scalar(count) == 0
        with pytest.raises(TypeError, match="a moment is not written"):
            async with now.write():
                pass
        assert now.is_postgres is database.is_postgres
    async with database.read() as connection:
        assert await connection.scalar(count) == 3
