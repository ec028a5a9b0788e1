"""Re-ratings with their authors; monthly rates of currencies; what is paid beside the calls."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SUM = sa.Numeric(38, 0).with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
UUID = sa.LargeBinary(16).with_variant(postgresql.UUID(as_uuid=True), "postgresql")
TABLES = ("price_rerate", "fx_rate", "fixed_cost", "fixed_cost_seat")
REFUSED = "refused: rows are appended, a correction is a further row"


def column(name: str, kind: object, *, null: bool = False) -> sa.Column:
    return sa.Column(name, kind, nullable=null)


def upgrade() -> None:
    op.create_table(
        "price_rerate",
        sa.Column("id", UUID, primary_key=True),
        column("at_us", BIGINT),
        column("author", sa.Text()),
        column("reason", sa.Text()),
        column("since_us", BIGINT, null=True),
        column("until_us", BIGINT, null=True),
        column("catalog", sa.Text()),
        column("read", BIGINT),
        column("repriced", BIGINT),
        column("list_pico", SUM),
        column("net_pico", SUM),
        sqlite_strict=True,
    )
    op.create_table(
        "fx_rate",
        sa.Column("id", UUID, primary_key=True),
        column("period", sa.Integer()),
        column("currency", sa.Text()),
        column("rate", sa.Text()),
        column("source", sa.Text()),
        column("author", sa.Text()),
        column("at_us", BIGINT),
        sqlite_strict=True,
    )
    op.create_index("ix_fx_rate_period_currency", "fx_rate", ["period", "currency"])
    op.create_table(
        "fixed_cost",
        sa.Column("id", UUID, primary_key=True),
        column("name", sa.Text()),
        column("kind", sa.Text()),
        column("first_period", sa.Integer()),
        column("last_period", sa.Integer(), null=True),
        column("amount", sa.Text()),
        column("currency", sa.Text()),
        column("pool", JSON_TEXT),
        column("rule", sa.Text()),
        column("capacity", BIGINT, null=True),
        column("shares", JSON_TEXT),
        column("source", sa.Text()),
        column("author", sa.Text()),
        column("at_us", BIGINT),
        column("removes", UUID, null=True),
        sqlite_strict=True,
    )
    op.create_index("ix_fixed_cost_first_period", "fixed_cost", ["first_period"])
    op.create_table(
        "fixed_cost_seat",
        sa.Column("cost", UUID, primary_key=True),
        sa.Column("seat", sa.Text(), primary_key=True),
        column("team", sa.Text()),
        sqlite_strict=True,
    )
    for table in TABLES:
        _append_only(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _append_only(table: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION append_only()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )
