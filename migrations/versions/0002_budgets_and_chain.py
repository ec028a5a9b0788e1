"""Budgets, their counters, holds and alerts; the digest chain; tags and attempts; owners of stored resources."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
UUID = sa.LargeBinary(16).with_variant(postgresql.UUID(as_uuid=True), "postgresql")


def column(name: str, kind: object, *, null: bool = False) -> sa.Column:
    return sa.Column(name, kind, nullable=null)


def upgrade() -> None:
    tags = {"nullable": False, "server_default": "[]"}
    op.add_column(
        "usage_ledger", sa.Column("attempt", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column("usage_ledger", sa.Column("tags", JSON_TEXT, **tags))
    op.add_column("gateway_key", sa.Column("tags", JSON_TEXT, **tags))
    _create_chain()
    _create_budgets()
    _create_counters()
    _create_owners()
    _guard()


def downgrade() -> None:
    for table in (
        "resource_owner",
        "quota_alert",
        "quota_hold",
        "quota_counter",
        "quota_change",
        "quota_budget",
        "ledger_chain",
    ):
        op.drop_table(table)
    op.drop_column("gateway_key", "tags")
    op.drop_column("usage_ledger", "tags")
    op.drop_column("usage_ledger", "attempt")


def _create_chain() -> None:
    op.create_table(
        "ledger_chain",
        sa.Column("seq", BIGINT, primary_key=True, autoincrement=False),
        column("digest", sa.LargeBinary()),
        column("ids", sa.LargeBinary()),
        column("booked_us", BIGINT),
        sqlite_strict=True,
    )


def _create_budgets() -> None:
    op.create_table(
        "quota_budget",
        sa.Column("id", sa.Text(), primary_key=True),
        column("name", sa.Text()),
        column("document", JSON_TEXT),
        column("changed_us", BIGINT),
        sa.UniqueConstraint("name", name="uq_quota_budget_name"),
        sqlite_strict=True,
    )
    op.create_table(
        "quota_change",
        sa.Column("id", UUID, primary_key=True),
        column("budget", sa.Text()),
        column("at_us", BIGINT),
        column("author", sa.Text()),
        column("action", sa.Text()),
        column("document", JSON_TEXT),
        sqlite_strict=True,
    )


def _create_counters() -> None:
    op.create_table(
        "quota_counter",
        sa.Column("budget", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("window_us", BIGINT, primary_key=True, autoincrement=False),
        column("posted", BIGINT),
        column("pending", BIGINT),
        column("tat_us", BIGINT),
        column("version", BIGINT),
        postgresql_with={"fillfactor": 20},
        sqlite_strict=True,
    )
    if op.get_context().dialect.name == "postgresql":
        # Small and hot: dead versions are swept early, or every look-up walks over them.
        op.execute(
            "ALTER TABLE quota_counter SET (autovacuum_vacuum_scale_factor = 0, "
            "autovacuum_vacuum_threshold = 2000)"
        )
    op.create_table(
        "quota_hold",
        sa.Column("request_id", UUID, primary_key=True),
        column("lines", JSON_TEXT),
        column("expires_us", BIGINT),
        column("entry", sa.LargeBinary()),
        sqlite_strict=True,
    )
    op.create_index("ix_quota_hold_expires_us", "quota_hold", ["expires_us"])
    op.create_table(
        "quota_alert",
        sa.Column("budget", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("window_us", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("percent", sa.Integer(), primary_key=True, autoincrement=False),
        column("at_us", BIGINT),
        column("used", BIGINT),
        sqlite_strict=True,
    )


def _create_owners() -> None:
    op.create_table(
        "resource_owner",
        sa.Column("resource", sa.Text(), primary_key=True),
        column("org", sa.Text()),
        column("team", sa.Text()),
        column("key_id", sa.Text()),
        column("made_us", BIGINT),
        sqlite_strict=True,
    )


def _guard() -> None:
    """What is history is appended only, as the ledger is."""
    if op.get_context().dialect.name == "postgresql":
        for table in ("ledger_chain", "quota_change"):
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
    for table in ("ledger_chain", "quota_change"):
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
