"""Rates of currencies and fixed costs: appended with author and source; what is taken back stays to be seen."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import BadRequest, NotFound
from gateway.kernel.ids import new_id
from gateway.kernel.money import format_usd, parse_usd
from gateway.ledger.closing import FROZEN
from gateway.ledger.currency import Rate, checked, standing
from gateway.ledger.period import previous_period
from gateway.reporting.fixed import FixedCost
from gateway.storage.closing import standing_in, still
from gateway.storage.engine import Database
from gateway.storage.tables_costs import FIXED_COST, FX, SEAT

_TEXTS: Final = msgspec.json.Decoder(dict[str, str])
_WHOLES: Final = msgspec.json.Decoder(dict[str, int])
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_PER_SEAT: Final = "per_seat"  # kept beside the pool: a property of the amount, not a selector


class CostStore:
    """Rates and fixed costs. All raise StoreUnavailable."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    # Currencies

    async def set_rate(
        self, period: int, currency: str, rate: str, source: str, author: str
    ) -> Rate:
        """Set the rate of a month. Raises BadRequest on what is no rate, and once the month's close has frozen it."""
        pico = checked(currency, rate)
        async with self._database.write() as connection:
            await still(connection)
            state = (await standing_in(connection, period)).state
            if state in FROZEN:
                month = f"{period // 100}-{period % 100:02}"
                raise BadRequest(f"{month} is {state}: its rates are frozen")
            made = Rate(
                period=period,
                currency=currency,
                pico=pico,
                source=source,
                author=author,
                at_us=await self._behind(connection, FX.c.at_us),
            )
            row = msgspec.structs.asdict(made) | {"id": new_id(), "rate": format_usd(pico)}
            row.pop("pico")
            await connection.execute(sa.insert(FX), row)
        return made

    async def _behind(self, connection: AsyncConnection, column: sa.Column[int]) -> int:
        """Now, or an instant behind all that is kept where a clock stepped back since: the newest holds."""
        newest = await connection.scalar(sa.select(sa.func.max(column)))
        return max(self._clock.wall_us(), (newest or 0) + 1)

    async def rates(self) -> list[Rate]:
        """Every rate that was ever set, the oldest first."""
        async with self._database.read() as connection:
            rows = (
                await connection.execute(sa.select(FX).order_by(FX.c.at_us, FX.c.id))
            ).mappings()
            return [_rate(row) for row in rows]

    async def rate(self, period: int, currency: str) -> int | None:
        """Pico-units of a currency for one USD in a month; None where nobody set it."""
        found = standing(await self.rates()).get((period, currency))
        return None if found is None else found.pico

    # Fixed costs

    async def add(self, costs: Sequence[FixedCost], seats: Mapping[str, str] | None = None) -> None:
        """Keep costs, all or none; ``seats``: whose (team) each seat of the only one is.

        Raises BadRequest where a name has a cost in a month already, and where a month's close has frozen it.
        """
        async with self._database.write() as connection:
            await still(connection)  # of two who add a name one finds the other's
            for cost in costs:
                await _require_open(connection, cost.first)
            known = list(await _costs(connection))
            for cost in costs:
                clash = [one for one in known if one.name == cost.name and _meets(one, cost)]
                if clash:
                    raise BadRequest(f"{cost.name} has a cost in these months already: remove it first, or give another name")  # fmt: skip
                known.append(cost)
                await connection.execute(sa.insert(FIXED_COST), _row(cost))
            if seats:
                rows = [
                    {"cost": UUID(costs[0].id), "seat": seat, "team": team}
                    for seat, team in sorted(seats.items())
                ]
                await connection.execute(sa.insert(SEAT), rows)

    async def remove(self, name: str, first: int, author: str) -> list[FixedCost]:
        """End the costs of a name: they are none from a month on.

        Raises NotFound where none goes on till then, BadRequest where that month's close has frozen it.
        """
        async with self._database.write() as connection:
            await still(connection)
            await _require_open(connection, first)
            ended = [
                cost
                for cost in await _costs(connection)
                if cost.name == name and (cost.last is None or cost.last >= first)
            ]
            if not ended:
                raise NotFound(f"no cost {name!r} goes on till then: weighbridge fixed-costs list")
            for cost in ended:
                row = _row(cost) | {
                    "id": new_id(),
                    "removes": UUID(cost.id),
                    "first_period": first,
                    "author": author,
                    "at_us": self._clock.wall_us(),
                }
                await connection.execute(sa.insert(FIXED_COST), row)
        return ended

    async def costs(self) -> list[FixedCost]:
        """The costs as they stand, each ended where it was removed; those removed from their start are left out."""
        async with self._database.read() as connection:
            return await _costs(connection)

    async def seats(self, cost: FixedCost) -> dict[str, str]:
        """Seat → team."""
        query = sa.select(SEAT.c.seat, SEAT.c.team).where(SEAT.c.cost == UUID(cost.id))
        async with self._database.read() as connection:
            return {row.seat: row.team for row in await connection.execute(query)}


async def _require_open(connection: AsyncConnection, period: int) -> None:
    state = (await standing_in(connection, period)).state
    if state in FROZEN:
        raise BadRequest(f"{period // 100}-{period % 100:02} is {state}: its costs are frozen, begin with a later month")  # fmt: skip


async def _costs(connection: AsyncConnection) -> list[FixedCost]:
    query = sa.select(FIXED_COST).order_by(FIXED_COST.c.at_us, FIXED_COST.c.id)
    rows = (await connection.execute(query)).mappings().all()
    ends: dict[UUID, int] = {}
    for row in rows:
        if row["removes"] is not None:
            last = previous_period(row["first_period"])
            ends[row["removes"]] = min(last, ends.get(row["removes"], last))
    made = [_cost(row, ends.get(row["id"])) for row in rows if row["removes"] is None]
    return [cost for cost in made if cost.last is None or cost.last >= cost.first]


def _cost(row: sa.RowMapping, ended: int | None) -> FixedCost:
    lasts = [last for last in (row["last_period"], ended) if last is not None]
    pool = _TEXTS.decode(row["pool"])
    return FixedCost(
        id=str(row["id"]),
        name=row["name"],
        kind=row["kind"],
        first=row["first_period"],
        last=min(lasts, default=None),
        pico=parse_usd(row["amount"]),
        currency=row["currency"],
        per_seat=bool(pool.pop(_PER_SEAT, "")),
        pool=pool,
        rule=row["rule"],
        capacity=row["capacity"],
        shares=_WHOLES.decode(row["shares"]),
        source=row["source"],
        author=row["author"],
        at_us=row["at_us"],
    )


def _row(cost: FixedCost) -> dict[str, Any]:
    pool = {**cost.pool, **({_PER_SEAT: "yes"} if cost.per_seat else {})}
    return {
        "id": UUID(cost.id),
        "name": cost.name,
        "kind": cost.kind,
        "first_period": cost.first,
        "last_period": cost.last,
        "amount": format_usd(cost.pico),
        "currency": cost.currency,
        "pool": _ENCODER.encode(pool).decode(),
        "rule": cost.rule,
        "capacity": cost.capacity,
        "shares": _ENCODER.encode(cost.shares).decode(),
        "source": cost.source,
        "author": cost.author,
        "at_us": cost.at_us,
        "removes": None,
    }


def _meets(one: FixedCost, other: FixedCost) -> bool:
    """Whether two costs share a month."""
    after = one.last is not None and one.last < other.first
    before = other.last is not None and other.last < one.first
    return not (after or before)


def _rate(row: sa.RowMapping) -> Rate:
    return Rate(
        period=row["period"],
        currency=row["currency"],
        pico=parse_usd(row["rate"]),
        source=row["source"],
        author=row["author"],
        at_us=row["at_us"],
    )
