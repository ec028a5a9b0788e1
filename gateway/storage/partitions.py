"""Monthly partitions of the ledger on Postgres, made ahead by the product itself (SQLite has none).

Bounds are UUIDv7 minted at the first instant of a month, UTC. To keep more months ready: MONTHS_AHEAD.
"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from gateway.ledger.period import day_and_period, next_period, period_start_us
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused

MONTHS_AHEAD: Final = 3
MONTHS_AHEAD_OF_ROLE: Final = 24  # for a role that makes no tables: the owner makes its months
_US_PER_MS: Final = 1000
_ADVISORY_KEY: Final = 0x5745_4947_4850
CATCH_ALL: Final = "usage_ledger_default"
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_EXISTS: Final = sa.text("SELECT to_regclass(:name) IS NOT NULL")
# TRUNCATE of a partition does not fire the parent's trigger.
_GUARD: Final = (
    "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name} "
    "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
)


class Partitions:
    """Keeps this month's and the next months' partitions, and the one that catches what fits none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, now_us: int, ahead: int = MONTHS_AHEAD) -> tuple[str, ...]:
        """Make what is missing up to ``ahead`` months after this one; the names made.

        Safe in every process at once. Raises StoreUnavailable.
        """
        if not self._database.is_postgres:
            return ()
        wanted = _wanted(now_us, ahead)
        return tuple([name for name, bounds in wanted if await self._make(name, bounds)])

    async def _make(self, name: str, bounds: str) -> bool:
        try:
            async with self._database.write() as connection:
                await connection.execute(_LOCK, {"key": _ADVISORY_KEY})
                if await connection.scalar(_EXISTS, {"name": name}):
                    return False
                table = f"CREATE TABLE {name} PARTITION OF usage_ledger {bounds}"
                await connection.exec_driver_sql(table)
                await connection.exec_driver_sql(_GUARD.format(name=name))
        except RowRefused:
            # Rows of that month already lie in the default partition: they stay there, see strays().
            return False
        return True

    async def strays(self) -> int:
        """Rows that no monthly partition took: anything above zero wants a person's look."""
        if not self._database.is_postgres:
            return 0
        async with self._database.read() as connection:
            count = await connection.scalar(sa.text(f"SELECT count(*) FROM {CATCH_ALL}"))  # noqa: S608 - a constant of ours
        return int(count or 0)


def first_id(period: int) -> UUID:
    """The smallest UUIDv7 (any version bits) minted in a month, UTC."""
    return UUID(int=(period_start_us(period) // _US_PER_MS) << 80)


def _wanted(now_us: int, ahead: int) -> Iterator[tuple[str, str]]:
    yield CATCH_ALL, "DEFAULT"
    _, period = day_and_period(now_us)
    for _ in range(ahead + 1):
        after = next_period(period)
        yield (
            f"usage_ledger_{period}",
            f"FOR VALUES FROM ('{first_id(period)}') TO ('{first_id(after)}')",
        )
        period = after
