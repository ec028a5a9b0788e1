"""Whose kept things are: where, until when, which models; keys that may touch all; batches still to be asked."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BOOLEAN = sa.Boolean().with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def text(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=False)


def whole(name: str) -> sa.Column:
    return sa.Column(name, BIGINT, nullable=False)


def upgrade() -> None:
    op.add_column(
        "gateway_key",
        sa.Column("allow_shared", BOOLEAN, nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "resource_owner", sa.Column("upstream", sa.Text(), nullable=False, server_default="")
    )
    op.add_column("resource_owner", sa.Column("expires_us", BIGINT, nullable=True))
    op.add_column("resource_owner", sa.Column("models", JSON_TEXT, nullable=True))
    op.create_index("ix_resource_owner_expires_us", "resource_owner", ["expires_us"])
    op.create_table(
        "deferred_work",
        sa.Column("work", sa.Text(), primary_key=True),
        text("provider"),
        text("upstream"),
        text("raw_path"),
        text("query"),
        sa.Column("creator", sa.LargeBinary(), nullable=False),
        whole("made_us"),
        whole("due_us"),
        whole("attempts"),
        sqlite_strict=True,
    )
    op.create_index("ix_deferred_work_due_us", "deferred_work", ["due_us"])


def downgrade() -> None:
    op.drop_table("deferred_work")
    op.drop_index("ix_resource_owner_expires_us", "resource_owner")
    for column in ("models", "expires_us", "upstream"):
        op.drop_column("resource_owner", column)
    op.drop_column("gateway_key", "allow_shared")
