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

# How far each month's close is; a month that is not in here is open.
PERIOD: Final = sa.Table(
    "period_close",
    METADATA,
    sa.Column("period", sa.Integer(), primary_key=True, autoincrement=False),
    _text("state"),
    sa.Column("revision", sa.Integer(), nullable=False),
    sa.Column("is_kept", BOOLEAN, nullable=False),  # whether the revision's documents are all there
    sqlite_strict=True,
)

# Every step of a close, with its author and its proof: appended, never edited.
PERIOD_CHANGE: Final = sa.Table(
    "period_change",
    METADATA,
    sa.Column("period", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("at_us", BIGINT, nullable=False),
    _text("author"),
    _text("state"),
    _text("note"),
    _text("journal"),
    sa.Column("sealed", JSON_TEXT, nullable=False),
    sa.Column("signature", sa.LargeBinary(), nullable=False),
    sqlite_strict=True,
)

# The statements as they were at each step, to the byte: appended, never edited.
PERIOD_DOCUMENT: Final = sa.Table(
    "period_document",
    METADATA,
    sa.Column("period", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("document", sa.LargeBinary(), nullable=False),
    sqlite_strict=True,
)
