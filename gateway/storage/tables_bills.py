"""The table of reconciliation: what people confirmed. Rules as in storage/tables.py."""

from typing import Final

import sqlalchemy as sa

from gateway.storage.tables import BIGINT, METADATA, Id

# Appended, never edited: the newest of a (kind, subject) holds.
CONFIRMATION: Final = sa.Table(
    "bill_confirmation",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=False),
    sa.Column("value", sa.Text(), nullable=False),
    sa.Column("author", sa.Text(), nullable=False),
    sa.Column("at_us", BIGINT, nullable=False),
    sa.Index(None, "kind", "subject"),
    sqlite_strict=True,
)
