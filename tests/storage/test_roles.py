"""The application role may append and read: history is refused to it by privilege, to the owner by trigger."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from gateway.kernel.errors import ConfigurationError
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused, StoreUnavailable
from gateway.storage.ledger import Ledger
from gateway.storage.rebuild import rebuild
from gateway.storage.roles import GRANTS, grant
from gateway.storage.tables import METADATA

pytestmark = pytest.mark.anyio
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


async def test_a_role_that_is_not_there_is_named(database: Database) -> None:
    if not database.is_postgres:
        return
    with pytest.raises(ConfigurationError, match="CREATE ROLE"):
        await grant(database, "nobody-at-all")
