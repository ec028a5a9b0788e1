"""Migrations: from any process, on both databases, to exactly the schema of tables.py."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.kernel.errors import ConfigurationError
from gateway.storage import migrate
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions

ROOT = Path(__file__).parents[2]
HEAD = "0014"


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


def _url(database: Database) -> str:
    url: sa.URL = database.engine.url
    return url.render_as_string(hide_password=False)
