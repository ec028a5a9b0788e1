"""The application role may append and read: history is refused to it by privilege, to the owner by trigger."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import typer
from sqlalchemy.engine import make_url

from gateway.commands.doctor import doctor
from gateway.commands.migrate import migrate
from gateway.jobs.months import Keeper, StrayRows
from gateway.kernel.errors import ConfigurationError
from gateway.ledger.entry import Entry
from gateway.ledger.period import period_start_us
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused, StoreUnavailable
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import MONTHS_AHEAD_OF_ROLE, Partitions
from gateway.storage.rebuild import rebuild
from gateway.storage.roles import GRANTS, grant
from gateway.storage.tables import METADATA

pytestmark = pytest.mark.anyio
NOW_US = period_start_us(202611) + 1
STATEMENTS = ("UPDATE {table} SET \"user\" = 'somebody'", "DELETE FROM {table}", "TRUNCATE {table}")


@pytest.fixture
async def role(database: Database) -> AsyncIterator[str]:
    if not database.is_postgres:
        yield "nobody"
        return
    name = f"wb app {uuid4().hex[:8]}"
    async with database.write() as connection:
        await connection.exec_driver_sql(f'CREATE ROLE "{name}" LOGIN')
    yield name
    async with database.write() as connection:
        await connection.exec_driver_sql(f'DROP OWNED BY "{name}"')
        await connection.exec_driver_sql(f'DROP ROLE "{name}"')


async def partitions(database: Database) -> list[str]:
    async with database.read() as connection:
        found = await connection.exec_driver_sql(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'usage_ledger'::regclass ORDER BY 1"
        )
        return list(found.scalars())


def test_every_table_has_its_line() -> None:
    assert set(METADATA.tables) <= set(GRANTS)


async def test_history_is_refused_to_owner_and_role_on_parent_and_every_partition(
    database: Database, role: str, ledger: Ledger, entry: Callable[..., Entry]
) -> None:
    if not database.is_postgres:
        with pytest.raises(ConfigurationError, match="SQLite knows no roles"):
            await grant(database, role)
        return
    await ledger.append([entry()])
    await grant(database, role)
    await grant(database, role)
    url = make_url(str(database.engine.url)).set(username=role, drivername="postgresql")
    application = Database(url.render_as_string(hide_password=False))
    for table in ["usage_ledger", *await partitions(database)]:
        for statement in STATEMENTS:
            holds_rows = table in {"usage_ledger", "usage_ledger_202611"}
            if holds_rows or statement.startswith("TRUNCATE"):
                with pytest.raises(RowRefused):
                    async with database.write() as connection:
                        await connection.exec_driver_sql(statement.format(table=table))
            with pytest.raises(StoreUnavailable):
                async with application.write() as connection:
                    await connection.exec_driver_sql(statement.format(table=table))
    await application.close()


async def test_the_role_can_do_all_that_the_gateway_does(
    database: Database, role: str, entry: Callable[..., Entry]
) -> None:
    if database.is_postgres:
        await grant(database, role)
        url = make_url(str(database.engine.url)).set(username=role, drivername="postgresql")
        application = Database(url.render_as_string(hide_password=False))
    else:
        application = database
    budget = Budget(
        id="b", name="b", scope=Scope(), measure="requests", limit=9, window="month", each="user"
    )
    store, ledger = BudgetStore(application), Ledger(application)
    await store.put(budget, "owner-1")
    assert await ledger.append([entry(), entry(settles="batch-1")]) == 2
    assert (await ledger.verify()).is_sound
    await rebuild(application)
    await store.remove("b", "owner-1")
    await application.close()


@pytest.fixture
async def application(database: Database, role: str) -> AsyncIterator[Database]:
    """The database as the gateway of such a role sees it, after ``weighbridge migrate --role``."""
    if not database.is_postgres:
        yield database
        return
    await Partitions(database).ensure(NOW_US, MONTHS_AHEAD_OF_ROLE)
    await grant(database, role)
    url = make_url(str(database.engine.url)).set(username=role, drivername="postgresql")
    application = Database(url.render_as_string(hide_password=False))
    yield application
    await application.close()


async def test_a_gateway_of_that_role_keeps_its_months_and_reports_what_none_of_them_took(
    application: Database, entry: Callable[..., Entry], observer: Any, clock: Any
) -> None:
    keeper = Keeper(Partitions(application), clock, observer)
    await keeper.keep()
    clock.us = period_start_us(202808)  # MONTHS_AHEAD before the last that its owner made
    await keeper.keep()
    assert observer.failures == []
    await Ledger(application).append([entry(id=UUID(int=2**124))])
    await keeper.keep()
    strays = [StrayRows] if application.is_postgres else []
    assert [type(error) for _, error in observer.failures] == strays
    clock.us = period_start_us(202809)
    if application.is_postgres:
        with pytest.raises(StoreUnavailable, match="migrate --role NAME` as the owner"):
            await keeper.keep()


async def test_after_migrate_the_doctor_of_that_role_finds_nothing(
    database: Database, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not database.is_postgres:
        return
    owner = make_url(str(database.engine.url)).set(drivername="postgresql")
    for name, url in (("owner", owner), ("role", owner.set(username=role))):
        text = url.render_as_string(hide_password=False)
        storage = f'[storage]\nfolder = "{tmp_path}"\nurl = "{text}"\n'
        (tmp_path / name).write_text(storage)
    await asyncio.to_thread(migrate, role=role, config=tmp_path / "owner", json=True)
    capsys.readouterr()
    with suppress(typer.Exit):  # no upstreams are configured here
        await asyncio.to_thread(doctor, config=tmp_path / "role", json=True)
    found = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    said = [one for one in found if one["check"] == "database"]
    assert [one["state"] for one in said] == ["ok"], said


async def test_a_role_that_is_not_there_is_named(database: Database) -> None:
    if not database.is_postgres:
        return
    with pytest.raises(ConfigurationError, match="CREATE ROLE"):
        await grant(database, "nobody-at-all")
