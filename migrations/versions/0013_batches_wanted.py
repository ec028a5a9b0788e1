"""Which files a batch wrote, and which batches are wanted at once: a file waits until its batch is booked."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANTS = ("leased_us", "wanted_us", "asked_us")


def upgrade() -> None:
    op.add_column("resource_owner", sa.Column("work", sa.Text(), nullable=True))
    for name in INSTANTS:
        op.add_column(
            "deferred_work", sa.Column(name, BIGINT, nullable=False, server_default="0")
        )


def downgrade() -> None:
    for name in INSTANTS:
        op.drop_column("deferred_work", name)
    op.drop_column("resource_owner", "work")
