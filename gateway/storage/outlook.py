"""What the outlook is folded from: the rollup by any of its dimensions, and latencies from the rows.

To add a dimension to group by: a column of the rollup in ``DIMENSIONS``.
"""

import sqlalchemy as sa

from gateway.storage.engine import Database
from gateway.storage.tables import MONTHLY


async def organisations(database: Database) -> list[str]:
    """Whose rows the ledger holds."""
    async with database.read() as connection:
        query = sa.select(MONTHLY.c.org).distinct().order_by(MONTHLY.c.org)
        return list((await connection.execute(query)).scalars())
