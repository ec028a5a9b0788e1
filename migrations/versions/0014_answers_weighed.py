"""How much an answer that is kept weighs, so that the hold of a call that goes on from it is what it may cost."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("resource_owner", sa.Column("model", sa.Text(), nullable=True))
    op.add_column("resource_owner", sa.Column("tokens", BIGINT, nullable=True))


def downgrade() -> None:
    op.drop_column("resource_owner", "tokens")
    op.drop_column("resource_owner", "model")
