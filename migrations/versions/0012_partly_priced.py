"""An index of the few rows without a total: a statement tells their priced lines apart."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    unknown = sa.text("net_pico IS NULL")
    op.create_index(
        "ix_usage_ledger_partly",
        "usage_ledger",
        ["period", "team"],
        postgresql_where=unknown,
        sqlite_where=unknown,
    )


def downgrade() -> None:
    op.drop_index("ix_usage_ledger_partly", "usage_ledger")
