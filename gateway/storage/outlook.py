"""What the outlook is folded from: the rollup by any of its dimensions, and speeds and hours from the rows.

To add a dimension to group by: a column of the rollup in ``DIMENSIONS``.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.ledger.entry import FAILED_OVER
from gateway.ledger.rollup import REQUEST
from gateway.reporting.outlook import Cell, Hour, Speed
from gateway.storage.engine import Database
from gateway.storage.queries import halves, whole
from gateway.storage.tables import DAILY, LEDGER, MONTHLY, ROLLUP_SUMS

DIMENSIONS: Final = ("day", "org", "team", "user", "app", "provider", "model", "unit")
_BUCKET_MS: Final = 10  # a percentile is told to the hundredth of a second
_OK, _TOO_MANY, _SERVERS = 400, 429, 500


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


async def cells(
    database: Database, first: str, until: str, keys: Sequence[str], teams: Sequence[str] = ()
) -> list[Cell]:
    """The rollup of the days [first, until) by ``keys``. Raises KeyError on a key that is none."""
    unknown = [key for key in keys if key not in DIMENSIONS]
    if unknown:
        raise KeyError(*unknown)
    columns = [DAILY.c[key] for key in keys]
    wanted = [DAILY.c.day >= first, DAILY.c.day < until]
    wanted += [DAILY.c.team.in_(teams)] if teams else []
    async with database.read() as connection:
        sums = [half for name in ROLLUP_SUMS for half in halves(DAILY.c[name], connection)]
        query = sa.select(*columns, *sums).where(*wanted).group_by(*columns)
        rows = (await connection.execute(query)).all()
    at = len(keys)
    return [Cell(dict(zip(keys, row[:at], strict=True)), *whole(row[at:])) for row in rows]


async def amounts(
    database: Database, first: str, until: str, keys: Sequence[str]
) -> list[tuple[tuple[str, ...], int]]:
    """What was charged on the days [first, until) by ``keys``, in pico-USD; one sum, so a fast look back."""
    columns = [DAILY.c[key] for key in keys]
    wanted = [DAILY.c.day >= first, DAILY.c.day < until, DAILY.c.unit != REQUEST]
    async with database.read() as connection:
        sums = [sa.func.coalesce(half, 0) for half in halves(DAILY.c.net_pico, connection)]
        query = sa.select(*columns, *sums).where(*wanted).group_by(*columns)
        rows = (await connection.execute(query)).all()
    at = len(keys)
    return [(tuple(row[:at]), whole(row[at:])[0]) for row in rows]


async def people(database: Database, first: str, until: str) -> int:
    """How many people sent anything on the days [first, until)."""
    wanted = [DAILY.c.day >= first, DAILY.c.day < until, DAILY.c.unit == REQUEST]
    query = sa.select(sa.func.count(sa.distinct(DAILY.c.user))).where(*wanted)
    async with database.read() as connection:
        return int(await connection.scalar(query) or 0)


async def speeds(database: Database, first_us: int, until_us: int) -> list[Speed]:
    """Attempts by provider and model: how many failed and how, streams by time to the first byte, pace."""
    c = LEDGER.c
    streamed = sa.and_(
        c.stream == sa.true() if database.is_postgres else c.stream == 1, c.status < _OK
    )
    bucket: sa.ColumnElement[Any] = sa.case((streamed, c.first_byte_ms / _BUCKET_MS), else_=-1)
    bucket = sa.cast(sa.func.floor(bucket) if database.is_postgres else bucket, sa.Integer)
    whole_stream = sa.and_(streamed, c.outcome == "complete", c.total_ms > c.first_byte_ms)
    keys: list[Any] = [c.provider, sa.func.coalesce(c.model, ""), bucket]
    query = sa.select(
        *keys,
        sa.func.count(),
        sa.func.sum(sa.case((c.status >= _OK, 1), else_=0)),
        sa.func.sum(sa.case((_is_down(), 1), else_=0)),
        sa.func.sum(sa.case((whole_stream, sa.func.coalesce(c.counted_output, 0)), else_=0)),
        sa.func.sum(sa.case((whole_stream, c.total_ms - c.first_byte_ms), else_=0)),
    ).where(c.occurred_us >= first_us, c.occurred_us < until_us, c.kind == "usage")
    async with database.read() as connection:
        rows = (await connection.execute(query.group_by(*keys))).all()
    return [
        Speed(row[0], row[1], int(row[2]) * _BUCKET_MS, *(int(part or 0) for part in row[3:]))
        for row in rows
    ]


def _is_down() -> sa.ColumnElement[bool]:
    """The provider could not serve it: overloaded, broken, or gone in the middle."""
    c = LEDGER.c
    broken = sa.or_(c.status == _TOO_MANY, c.status >= _SERVERS, c.status == 0)
    return sa.or_(broken, c.outcome == "upstream_failed")


async def hours(
    database: Database, bounds_us: tuple[int, int], team: str, app: str, model: str
) -> list[Hour]:
    """One day's rows of a team, application and model by key and half hour, dearest first."""
    c = LEDGER.c
    slot = (c.occurred_us - bounds_us[0]) / sa.literal(1_800_000_000, sa.BigInteger)
    slot = sa.cast(sa.func.floor(slot) if database.is_postgres else slot, sa.Integer)
    wanted = [c.occurred_us >= bounds_us[0], c.occurred_us < bounds_us[1], c.team == team]
    wanted += [sa.func.coalesce(c.app, "") == app, sa.func.coalesce(c.model, "") == model]
    net = sa.func.sum(sa.func.coalesce(c.net_pico, 0))
    query = sa.select(c.key_id, slot, sa.func.count(), net).where(*wanted).group_by(c.key_id, slot)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    found = [Hour(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows]
    return sorted(found, key=lambda one: (-one.pico, one.key_id, one.slot))
