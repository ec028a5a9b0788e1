"""Rows by their keys, however many: one text for every number of them.

A driver keeps each text it has seen prepared, on both ends of each connection. Keys written out one by one are another
text for every number of keys, and a hundred of those, planned, are fifty megabytes in the server for each connection.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

_POSTGRES: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def among(
    connection: AsyncConnection,
    columns: Sequence[sa.Column[str] | sa.Column[int]],
    keys: Sequence[Sequence[str | int]],
) -> sa.ColumnElement[bool]:
    """Whether ``columns``, texts and integers of one table, are one of ``keys``; none where there are no keys."""
    ours = sa.tuple_(*columns) if len(columns) > 1 else columns[0]
    found: sa.TextClause
    if connection.dialect.name == "postgresql":
        kinds = [column.type.compile(dialect=_POSTGRES) for column in columns]
        arrays = [f"CAST(:among_{at} AS {kind}[])" for at, kind in enumerate(kinds)]
        lists = {f"among_{at}": [key[at] for key in keys] for at in range(len(columns))}
        found = sa.text(f"SELECT * FROM unnest({', '.join(arrays)})").bindparams(**lists)  # noqa: S608 - types only
    else:
        parts = [f"json_extract(value, '$[{at}]')" for at in range(len(columns))]
        told = msgspec.json.encode(keys).decode()
        found = sa.text(f"SELECT {', '.join(parts)} FROM json_each(:among)").bindparams(among=told)  # noqa: S608 - numbers only
    return ours.in_(found.columns(*[sa.column(column.name) for column in columns]))
