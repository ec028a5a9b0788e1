"""Whether anybody has a name, and all names there are of its kind: for filters in which a name is mistyped.

To add a kind: where its names stand, in ``_PLACES``.
"""

from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from gateway.storage.engine import Database
from gateway.storage.tables import KEY, MONTHLY
from gateway.storage.tables_reporting import ASSIGNMENT, COST_CENTRE


class Kind(StrEnum):
    """What a name is of, in the words of a sentence."""

    ORG = "org"
    TEAM = "team"
    USER = "user"
    MODEL = "model"
    COST_CENTRE = "cost centre"
    APP = "app"
    KEY = "key"


_Place = tuple[sa.ColumnElement[Any], tuple[sa.ColumnElement[bool], ...]]


def _assigned(kind: str) -> _Place:
    return ASSIGNMENT.c.subject, (ASSIGNMENT.c.kind == kind,)


_PLACES: Final[dict[Kind, tuple[_Place, ...]]] = {
    Kind.ORG: ((KEY.c.org, ()), (MONTHLY.c.org, ())),
    Kind.TEAM: ((KEY.c.team, ()), (MONTHLY.c.team, ()), _assigned("team")),
    Kind.USER: ((KEY.c.user, ()), (MONTHLY.c.user, ()), _assigned("user")),
    Kind.APP: ((KEY.c.app, ()), (MONTHLY.c.app, ()), _assigned("app")),
    Kind.MODEL: ((MONTHLY.c.model, ()),),
    Kind.COST_CENTRE: ((COST_CENTRE.c.code, ()), (KEY.c.cost_centre, ())),
    Kind.KEY: ((KEY.c.key_id, ()),),
}


async def is_known(database: Database, kind: Kind, name: str) -> bool:
    """Whether the name stands on a key, in the rollup or in the organisation. Raises StoreUnavailable."""
    async with database.read() as connection:
        for column, wanted in _PLACES[kind]:
            query = sa.select(sa.literal(1)).where(column == name, *wanted).limit(1)
            if await connection.scalar(query) is not None:
                return True
    return False


async def names(database: Database, kind: Kind) -> frozenset[str]:
    """Every name of a kind, wherever it stands. Raises StoreUnavailable."""
    found: set[str] = set()
    async with database.read() as connection:
        for column, wanted in _PLACES[kind]:
            query = sa.select(column).where(column.is_not(None), column != "", *wanted).distinct()
            found.update((await connection.execute(query)).scalars())
    return frozenset(found)
