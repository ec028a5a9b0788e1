"""The application role on Postgres: what the gateway may do to the tables, and nothing beside it.

History is appended and read: no UPDATE, DELETE or TRUNCATE, on no partition either: those are made by the
owner and granted to nobody, but that the one which catches what fits none may be counted. A new table needs
a line here.
"""

from typing import Final

import sqlalchemy as sa

from gateway.kernel.errors import ConfigurationError
from gateway.storage.engine import Database
from gateway.storage.partitions import CATCH_ALL

_APPENDED: Final = "SELECT, INSERT"
_EDITED: Final = "SELECT, INSERT, UPDATE"
_KEPT: Final = "SELECT, INSERT, UPDATE, DELETE"
GRANTS: Final = {
    "usage_ledger": _APPENDED,
    "usage_settled": _APPENDED,
    "usage_quarantine": _APPENDED,
    "ledger_chain": _APPENDED,
    "quota_change": _APPENDED,
    "price_rate": f"{_APPENDED}, UPDATE (valid_to_us)",
    "price_import": _APPENDED,
    "price_rerate": _APPENDED,
    "fx_rate": _APPENDED,
    "fixed_cost": _APPENDED,
    "fixed_cost_seat": _APPENDED,
    "usage_daily": _KEPT,
    "usage_monthly": _KEPT,
    "gateway_key": _EDITED,
    "directory_version": _EDITED,
    "quota_budget": _KEPT,
    "quota_counter": _KEPT,
    "quota_hold": _KEPT,
    "quota_alert": _KEPT,
    "resource_owner": _KEPT,
    "deferred_work": _KEPT,
    "org_cost_centre": _KEPT,
    "org_assignment": _KEPT,
    "org_person": _KEPT,
    "org_change": _APPENDED,
    "bill_confirmation": _APPENDED,
    "period_close": _EDITED,
    "period_change": _APPENDED,
    "period_document": _APPENDED,
    "usage_lines": "SELECT",
    "alembic_version": "SELECT",
}


async def grant(database: Database, role: str) -> None:
    """Give a role exactly what the gateway needs, and take what it had beside it; repeat after a migration.

    The ledger's partitions are there already (Partitions.ensure). Raises ConfigurationError on SQLite and on a role that does not exist.
    """
    if not database.is_postgres:
        raise ConfigurationError(("--role: SQLite knows no roles; it is for Postgres",))
    async with database.write() as connection:
        known = sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role")
        if await connection.scalar(known, {"role": role}) is None:
            problem = f'--role: the server knows no role {role!r}; make it with CREATE ROLE "{role}" LOGIN'
            raise ConfigurationError((problem,))
        named = connection.dialect.identifier_preparer.quote(role)
        await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {named}")
        await connection.exec_driver_sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {named}")
        for table, rights in GRANTS.items():
            await connection.exec_driver_sql(f"GRANT {rights} ON {table} TO {named}")
        await connection.exec_driver_sql(f"GRANT SELECT ON {CATCH_ALL} TO {named}")
