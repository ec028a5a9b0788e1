"""What is charged of rows that have no total of their own: the priced lines beside one that has no price.

Such rows are few and have an index of their own, so that a statement can afford to look at their lines.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.statement import Partly

_SPLIT: Final = 10**9
_LINES: Final = {
    "postgresql": (
        "l.net_pico",
        "coalesce(l.model, e.model, '')",
        "CROSS JOIN LATERAL jsonb_to_recordset(e.lines) AS l(net_pico int8, model text)",
    ),
    "sqlite": (
        "json_extract(l.value, '$.net_pico')",
        "coalesce(json_extract(l.value, '$.model'), e.model, '')",
        ", json_each(e.lines) AS l",
    ),
}


async def partly_priced(
    connection: AsyncConnection,
    period: int | None,
    days: tuple[str | None, str | None],
    team: str | None,
) -> list[Partly]:
    """Of a period, or of the days [from, to), by team, user and model."""
    net, model, lines = _LINES[connection.dialect.name]
    wanted = {"period": ("=", period), "day": (">=", days[0]), "team": ("=", team)}
    conditions = [f"e.{name} {how} :{name}" for name, (how, asked) in wanted.items() if asked]
    values: dict[str, Any] = {name: asked for name, (_, asked) in wanted.items() if asked}
    if days[1] is not None:
        conditions.append("e.day < :until")
        values["until"] = days[1]
    where = " AND ".join(["e.net_pico IS NULL", f"{net} IS NOT NULL", *conditions])
    # In halves: SQLite's own sum overflows at 64 bits.
    sums = f"sum(({net}) / {_SPLIT}), sum(({net}) % {_SPLIT})"
    text = (
        f'SELECT e.team, e."user", {model}, {sums} '  # noqa: S608  # our own names
        f"FROM usage_ledger e {lines} WHERE {where} GROUP BY 1, 2, 3"
    )
    rows = await connection.execute(sa.text(text), values)
    return [
        Partly(team, user, model, int(high) * _SPLIT + int(low))
        for team, user, model, high, low in rows
    ]
