"""Re-ratings, rates of currencies, fixed costs: appended, never edited. Rules as in storage/tables.py."""

from typing import Final

import sqlalchemy as sa

from gateway.storage.tables import BIGINT, JSON_TEXT, METADATA, SUM, Id


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _whole(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, BIGINT, nullable=null)


# Who re-rated which rows by which book; ``list_pico``, ``net_pico``: what that changed in sum.
RERATE: Final = sa.Table(
    "price_rerate",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    _whole("at_us"),
    _text("author"),
    _text("reason"),
    _whole("since_us", null=True),
    _whole("until_us", null=True),
    _text("catalog"),
    _whole("read"),
    _whole("repriced"),
    sa.Column("list_pico", SUM, nullable=False),
    sa.Column("net_pico", SUM, nullable=False),
    sqlite_strict=True,
)

# The newest of a (period, currency) holds, until the period is closed. ``rate``: units of it for one USD.
FX: Final = sa.Table(
    "fx_rate",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    sa.Column("period", sa.Integer(), nullable=False),
    _text("currency"),
    _text("rate"),
    _text("source"),
    _text("author"),
    _whole("at_us"),
    sa.Index(None, "period", "currency"),
    sqlite_strict=True,
)

# ``removes``: the cost that this row takes back; it has no meaning of its own then.
FIXED_COST: Final = sa.Table(
    "fixed_cost",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    _text("name"),
    _text("kind"),
    sa.Column("first_period", sa.Integer(), nullable=False),
    sa.Column("last_period", sa.Integer(), nullable=True),
    _text("amount"),
    _text("currency"),
    sa.Column("pool", JSON_TEXT, nullable=False),
    _text("rule"),
    _whole("capacity", null=True),
    sa.Column("shares", JSON_TEXT, nullable=False),
    _text("source"),
    _text("author"),
    _whole("at_us"),
    sa.Column("removes", Id(), nullable=True),
    sa.Index(None, "first_period"),
    sqlite_strict=True,
)

# Whose the seats of a cost are; ``seat``: who sits on it, as the vendor's list names him.
SEAT: Final = sa.Table(
    "fixed_cost_seat",
    METADATA,
    sa.Column("cost", Id(), primary_key=True),
    sa.Column("seat", sa.Text(), primary_key=True),
    _text("team"),
    sqlite_strict=True,
)
