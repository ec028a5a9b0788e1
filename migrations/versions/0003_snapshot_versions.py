"""The version row of the budgets: what a flush reads shared and an edit takes exclusively."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "INSERT INTO directory_version (name, version) VALUES ('budgets', 0) ON CONFLICT (name) DO NOTHING"
    )


def downgrade() -> None:
    op.execute("DELETE FROM directory_version WHERE name = 'budgets'")
