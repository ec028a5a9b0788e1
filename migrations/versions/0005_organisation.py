"""The organisation: cost centres, dated assignments, people, and the history of their changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BOOLEAN = sa.Boolean().with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
UUID = sa.LargeBinary(16).with_variant(postgresql.UUID(as_uuid=True), "postgresql")


def text(name: str, *, null: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=null)


def key(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), primary_key=True)


def upgrade() -> None:
    op.create_table(
        "org_cost_centre",
        key("code"),
        text("name"),
        text("owner"),
        text("gl_account"),
        text("currency"),
        sa.Column("posts", BOOLEAN, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "org_assignment",
        key("kind"),
        key("subject"),
        key("from_day"),
        text("until_day", null=True),
        text("centre"),
        sqlite_strict=True,
    )
    op.create_table("org_person", key("user"), text("name"), text("email"), sqlite_strict=True)
    op.create_table(
        "org_change",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("at_us", BIGINT, nullable=False),
        text("author"),
        text("action"),
        text("kind"),
        text("name"),
        sa.Column("before", JSON_TEXT, nullable=False),
        sa.Column("after", JSON_TEXT, nullable=False),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO directory_version (name, version) VALUES ('organisation', 0)")
    _guard("org_change")


def downgrade() -> None:
    op.execute("DELETE FROM directory_version WHERE name = 'organisation'")
    for table in ("org_change", "org_person", "org_assignment", "org_cost_centre"):
        op.drop_table(table)


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
