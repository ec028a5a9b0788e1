"""How months are closed: their state, every step with its proof, the statements kept to the byte."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BOOLEAN = sa.Boolean().with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def number(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), primary_key=True, autoincrement=False)


def column(name: str, kind: object) -> sa.Column:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_index("ix_usage_ledger_period", "usage_ledger", ["period"], postgresql_using="brin")
    op.create_table(
        "period_close",
        number("period"),
        column("state", sa.Text()),
        column("revision", sa.Integer()),
        column("is_kept", BOOLEAN),
        sqlite_strict=True,
    )
    op.create_table(
        "period_change",
        number("period"),
        number("revision"),
        column("at_us", BIGINT),
        column("author", sa.Text()),
        column("state", sa.Text()),
        column("note", sa.Text()),
        column("journal", sa.Text()),
        column("sealed", JSON_TEXT),
        column("signature", sa.LargeBinary()),
        sqlite_strict=True,
    )
    op.create_table(
        "period_document",
        number("period"),
        number("revision"),
        sa.Column("name", sa.Text(), primary_key=True),
        column("document", sa.LargeBinary()),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO directory_version (name, version) VALUES ('periods', 0)")
    for table in ("period_change", "period_document"):
        _guard(table)


def downgrade() -> None:
    op.execute("DELETE FROM directory_version WHERE name = 'periods'")
    for table in ("period_document", "period_change", "period_close"):
        op.drop_table(table)
    op.drop_index("ix_usage_ledger_period", "usage_ledger")


def _guard(table: str) -> None:
    """What is history is appended only, as the ledger is."""
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
    refuse = "BEGIN SELECT RAISE(ABORT, 'refused: rows are appended, a correction is a further row'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
