"""What clients asked for where the price book has no such model: the rollup keeps its names only, the rows keep theirs.

Read by the index of the few rows without a total (``ix_usage_ledger_partly``), among which these are.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.statement import Row, Statement
from gateway.storage.tables import LEDGER

NAMES_MAX: Final = 20  # of a line of a statement
_ROWS_MAX: Final = 20_000  # names are chosen by clients: the most frequent


async def with_names(
    connection: AsyncConnection, made: Statement, wanted: Sequence[sa.ColumnElement[bool]]
) -> Statement:
    """The statement, with ``asked`` on the lines that have no model; ``wanted``: conditions on LEDGER."""
    if all(row.model for row in made.rows):
        return made
    c = LEDGER.c
    times = sa.func.count()
    query = (
        sa.select(c.team, c.user, c.deployment)
        .where(c.net_pico.is_(None), c.model.is_(None), c.deployment.is_not(None), *wanted)
        .group_by(c.team, c.user, c.deployment)
        .order_by(times.desc(), c.deployment)
        .limit(_ROWS_MAX)
    )
    names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for team, user, name in await connection.execute(query):
        names[team, user].append(name)
    return msgspec.structs.replace(made, rows=tuple(_named(row, names) for row in made.rows))


def _named(row: Row, names: dict[tuple[str, str], list[str]]) -> Row:
    found: list[Any] = [] if row.model else names.get((row.team, row.user), [])
    return msgspec.structs.replace(row, asked=tuple(found[:NAMES_MAX])) if found else row
