"""What the outlook is folded from: the rollup by any of its dimensions, and latencies from the rows.

To add a dimension to group by: a column of the rollup in ``DIMENSIONS``.
"""

import sqlalchemy as sa

from gateway.ledger.entry import FAILED_OVER
from gateway.storage.engine import Database
from gateway.storage.tables import LEDGER, MONTHLY


async def organisations(database: Database) -> list[str]:
    """Whose rows the ledger holds."""
    async with database.read() as connection:
        query = sa.select(MONTHLY.c.org).distinct().order_by(MONTHLY.c.org)
        return list((await connection.execute(query)).scalars())


async def retried(database: Database, period: int) -> dict[tuple[str, str], int]:
    """Provider and model → attempts that failed and were sent again."""
    c = LEDGER.c
    flagged = sa.cast(c.flags, sa.Text).like(f"%{FAILED_OVER}%")
    query = sa.select(c.provider, sa.func.coalesce(c.model, ""), sa.func.count())
    query = query.where(c.period == period, flagged).group_by(c.provider, c.model)
    async with database.read() as connection:
        rows = await connection.execute(query)
        return {(provider, model): int(count) for provider, model, count in rows}
