"""The tables of reporting: the organisation, and how months were closed. Rules as in storage/tables.py."""

from typing import Final

import sqlalchemy as sa

from gateway.storage.tables import BIGINT, BOOLEAN, JSON_TEXT, METADATA, Id


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


COST_CENTRE: Final = sa.Table(
    "org_cost_centre",
    METADATA,
    sa.Column("code", sa.Text(), primary_key=True),
    _text("name"),
    _text("owner"),
    _text("gl_account"),
    _text("currency"),
    sa.Column("posts", BOOLEAN, nullable=False),
    sqlite_strict=True,
)

ASSIGNMENT: Final = sa.Table(
    "org_assignment",
    METADATA,
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("subject", sa.Text(), primary_key=True),
    sa.Column("from_day", sa.Text(), primary_key=True),
    sa.Column("until_day", sa.Text(), nullable=True),
    _text("centre"),
    sqlite_strict=True,
)

# The only table with personal data.
PEOPLE: Final = sa.Table(
    "org_person",
    METADATA,
    sa.Column("user", sa.Text(), primary_key=True),
    _text("name"),
    _text("email"),
    sqlite_strict=True,
)

# Who changed what of the organisation when: appended, never edited, without personal data.
ORG_CHANGE: Final = sa.Table(
    "org_change",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    sa.Column("at_us", BIGINT, nullable=False),
    _text("author"),
    _text("action"),
    _text("kind"),
    _text("name"),
    sa.Column("before", JSON_TEXT, nullable=False),
    sa.Column("after", JSON_TEXT, nullable=False),
    sqlite_strict=True,
)
