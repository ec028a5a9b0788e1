"""Charge lines of the rows, summed by any columns: what the rollup is too coarse for (place, tier, price, upstream).

Asked once, at the close of a month: it reads every row of the period. To group by something further: its
name in ``ROW_KEYS`` or ``LINE_KEYS``.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.engine import Database
from gateway.storage.queries import whole

ROW_KEYS: Final = (
    "day", "team", "user", "app", "provider", "upstream", "deployment", "scope", "geo", "region", "tier",
    "kind", "provenance",
)  # fmt: skip
LINE_KEYS: Final = ("model", "unit", "price_id")
_SPLIT: Final = 10**9
_SUMS: Final = ("quantity", "unpriced", "list_pico", "net_pico")
_LINES: Final = {
    "postgresql": "CROSS JOIN LATERAL jsonb_to_recordset(e.lines) AS l("
    "unit text, quantity int8, price_id text, list_pico int8, net_pico int8, model text)",
    "sqlite": ", json_each(e.lines) AS l",
}


class Summed(msgspec.Struct, frozen=True):
    """One group: its key columns by name ('' where null), the rows in it and the sums of its lines.

    ``unpriced``: the part of the quantity without a price, which adds no amount. Amounts in pico-USD.
    """

    names: dict[str, str]
    rows: int
    quantity: int
    unpriced: int
    list_pico: int
    net_pico: int


async def summed(database: Database, period: int, keys: Sequence[str]) -> list[Summed]:
    """The period's charge lines by ``keys``. Raises KeyError on a key that is none."""
    unknown = [key for key in keys if key not in (*ROW_KEYS, *LINE_KEYS)]
    if unknown:
        raise KeyError(*unknown)
    async with database.read() as connection:
        rows = await connection.execute(_query(connection, keys), {"period": period})
        return [_summed(keys, tuple(row)) for row in rows]


def _query(connection: AsyncConnection, keys: Sequence[str]) -> sa.TextClause:
    dialect = connection.dialect.name
    columns = [f"coalesce({_column(dialect, key)}, '')" for key in keys]
    places = ", ".join(str(at) for at in range(1, len(keys) + 1))
    text = (
        f"SELECT {', '.join([*columns, 'count(*)', *_sums(dialect)])} "  # noqa: S608  # our own names
        f"FROM usage_ledger e {_LINES[dialect]} WHERE e.period = :period GROUP BY {places}"
    )
    return sa.text(text)


def _column(dialect: str, key: str) -> str:
    if key == "model":
        return f"coalesce({_of_line(dialect, 'model')}, e.model)"
    return _of_line(dialect, key) if key in LINE_KEYS else f'e."{key}"'


def _of_line(dialect: str, name: str) -> str:
    return f"l.{name}" if dialect == "postgresql" else f"json_extract(l.value, '$.{name}')"


def _sums(dialect: str) -> list[str]:
    """Each sum in two halves: SQLite's own overflows at 64 bits."""
    net, quantity = _of_line(dialect, "net_pico"), _of_line(dialect, "quantity")
    amounts = {
        "quantity": quantity,
        "unpriced": f"CASE WHEN {net} IS NULL THEN {quantity} ELSE 0 END",
        "list_pico": _of_line(dialect, "list_pico"),
        "net_pico": net,
    }
    if dialect == "postgresql":
        return [part for name in _SUMS for part in ("0", f"coalesce(sum({amounts[name]}), 0)")]
    return [
        f"coalesce(sum(({amounts[name]}) {operator} {_SPLIT}), 0)"
        for name in _SUMS
        for operator in ("/", "%")
    ]


def _summed(keys: Sequence[str], row: tuple[Any, ...]) -> Summed:
    at = len(keys)
    return Summed(dict(zip(keys, row[:at], strict=True)), int(row[at]), *whole(row[at + 1 :]))
