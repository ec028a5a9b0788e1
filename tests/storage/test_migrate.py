"""Migrations: from any process, on both databases, to exactly the schema of tables.py."""

import asyncio
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from gateway.kernel.errors import ConfigurationError
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line
from gateway.storage import migrate
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions
from gateway.storage.rows import FIELDS, values
from gateway.storage.tables import LEDGER
from gateway.storage.verifying import Verification
from tests.storage.conftest import make_entry, on_server

ROOT = Path(__file__).parents[2]
HEAD = "0015"
_LATER = frozenset({"attempt", "tags", "catalog", "contract"})  # columns that 0001 did not have
_LINES = (
    Line("output_text", 80, "p-output", 48_000_000, None),
    Line("input_text", 1200, None, 180_000_000, 162_000_000, "advisor", "model-b"),
)


def test_up_down_up_ends_at_the_head_without_a_trace_of_the_way(empty_url: str) -> None:
    assert migrate.revision_of(empty_url) is None
    migrate.upgrade(empty_url)
    migrate.downgrade(empty_url, "base")
    assert migrate.revision_of(empty_url) is None
    migrate.upgrade(empty_url)
    migrate.upgrade(empty_url)
    assert migrate.revision_of(empty_url) == HEAD


def test_migrations_and_tables_agree(url: str) -> None:
    assert migrate.drift(url) == []


@pytest.mark.anyio
async def test_drift_is_seen(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("DROP INDEX ix_usage_daily_period_team")
        await connection.exec_driver_sql("ALTER TABLE gateway_key ADD COLUMN surplus TEXT")
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(migrate.drift, _url(database)).result()
    assert {change[0] for change in found} == {"add_index", "remove_column"}


@pytest.mark.anyio
async def test_partitions_are_no_drift(database: Database) -> None:
    await Partitions(database).ensure(1_900_000_000_000_000)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(migrate.drift, _url(database)).result() == []


def test_eight_processes_at_once_all_succeed(empty_url: str) -> None:
    # Processes of their own: a fork of this one would inherit locks that threads of other tests hold.
    program = "import sys; from gateway.storage import migrate; migrate.upgrade(sys.argv[1])"
    command = [sys.executable, "-c", program, empty_url]
    children = [subprocess.Popen(command) for _ in range(8)]
    assert [child.wait(100) for child in children] == [0] * 8
    assert migrate.revision_of(empty_url) == HEAD


@pytest.mark.parametrize("dialect", ["postgres"], indirect=True)
def test_a_migration_has_the_time_it_takes_and_waits_for_another_as_long(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(empty_url, "0014")
    slow = "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); END $$"
    for statement in (slow, "CREATE EVENT TRIGGER slow ON ddl_command_start EXECUTE FUNCTION slow()"):  # fmt: skip
        on_server(empty_url, statement)
    # As every statement of a gateway is bounded; bound when the module was read.
    bounds = Database.__init__.__kwdefaults__
    assert bounds is not None
    monkeypatch.setitem(bounds, "command_s", 1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(migrate.downgrade, empty_url, "0013")
        second = threads.submit(migrate.upgrade, empty_url, "0014")
        first.result(60)
        second.result(60)
    assert migrate.revision_of(empty_url) in {"0013", "0014"}


def test_the_revisions_are_found_in_a_wheel_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert migrate.folder() == ROOT / "migrations"
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    monkeypatch.setattr(migrate, "_WHEEL", tmp_path / "migrations")
    assert migrate.folder() == tmp_path / "migrations"
    migrate.upgrade(f"sqlite:///{tmp_path}/new folder/100%.db")
    assert (tmp_path / "new folder" / "100%.db").is_file()


@pytest.mark.anyio
async def test_an_unmigrated_database_names_the_cure(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises(StoreUnavailable, match="weighbridge migrate"):
        await Ledger(database).quarantined()
    await database.close()


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "no url"])
def test_a_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.url"):
        Database(url)


@pytest.mark.anyio
async def test_a_database_that_is_away_is_unavailable() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await Ledger(database).quarantined()
    await database.close()


def _minted(ms: int, at: int = 0) -> UUID:
    return UUID(int=(ms << 80) + (7 << 76) + (2 << 62) + 2 * at)


def _old_rows(url: str, count: int) -> None:
    """Rows as a ledger of 0001 has them: in no link, since there was no chain."""
    made = [
        make_entry(
            id=_minted(1_793_491_200_000, at),
            flags=("unbalanced", "partial") if at % 3 else (),
            lines=_LINES if at % 2 else (*_LINES, *_LINES),
            ref_id=new_id() if at % 5 == 0 else None,
            usage_raw='{"text":"\u00fc\t\\"}' if at % 2 else None,
        )
        for at in range(count)
    ]
    names = [column.name for column in LEDGER.columns if column.name not in _LATER]

    async def run() -> None:
        database = Database(url)
        async with database.write() as connection:
            if database.is_postgres:
                await connection.exec_driver_sql(
                    "CREATE TABLE IF NOT EXISTS usage_ledger_default PARTITION OF usage_ledger DEFAULT"
                )
            table = sa.table(
                "usage_ledger", *(sa.column(name, LEDGER.c[name].type) for name in names)
            )
            rows = [dict(zip(FIELDS, values(one), strict=True)) for one in made]
            kept = [{name: row[name] for name in names} for row in rows]
            await connection.execute(sa.insert(table), kept)
        await database.close()

    asyncio.run(run())


def _verified(url: str, *more: Entry) -> Verification:
    """What verify says of the rows and their chain; ``more``: rows that are booked first."""

    async def run() -> Verification:
        database = Database(url)
        ledger = Ledger(database)
        await ledger.append(more)
        found = await ledger.verify()
        await database.close()
        return found

    return asyncio.run(run())


def test_rows_of_before_the_chain_are_linked_and_proved(empty_url: str) -> None:
    migrate.upgrade(empty_url, "0001")
    _old_rows(empty_url, 1100)
    migrate.upgrade(empty_url)
    found = _verified(empty_url)
    assert (found.chain, found.links, found.entries) == ((), 2, 1100)
    found = _verified(empty_url, make_entry())
    assert (found.chain, found.links) == ((), 3)


def test_rows_of_before_a_chain_that_has_begun_are_linked_behind_it_and_a_forged_row_is_not(
    empty_url: str,
) -> None:
    migrate.upgrade(empty_url, "0001")
    _old_rows(empty_url, 30)
    migrate.upgrade(empty_url, "0014")
    assert len(_verified(empty_url, make_entry(), make_entry()).chain) == 30
    migrate.upgrade(empty_url)
    found = _verified(empty_url)
    assert (found.chain, found.links, found.entries) == ((), 2, 32)
    migrate.downgrade(empty_url, "0014")
    forged = make_entry(id=_minted(1_900_000_000_000))
    _put_in(empty_url, forged)
    migrate.upgrade(empty_url)
    assert _verified(empty_url).chain == (f"row {forged.id} of 2026-11 is in no link",)


def _put_in(url: str, entry: Entry) -> None:
    """A row behind the ledger's back."""

    async def run() -> None:
        database = Database(url)
        async with database.write() as connection:
            row = dict(zip(FIELDS, values(entry), strict=True))
            await connection.execute(sa.insert(LEDGER), row)
        await database.close()

    asyncio.run(run())


def _url(database: Database) -> str:
    url: sa.URL = database.engine.url
    return url.render_as_string(hide_password=False)
