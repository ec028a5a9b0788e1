"""The rollup by month, and an index of the rows whose usage the provider did not report to the end."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SUM = sa.Numeric(38, 0).with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
_SUMS = ("quantity", "unpriced", "list_pico", "net_pico")
_REST = 'period, org, team, "user", app, provider, model, unit, kind'


def upgrade() -> None:
    key = ("month", *(name.strip(' "') for name in _REST.split(",")))
    op.create_table(
        "usage_monthly",
        *(
            sa.Column(
                name,
                sa.Integer() if name == "period" else TEXT,
                nullable=False,
                autoincrement=False,
            )
            for name in key
        ),
        *(sa.Column(name, SUM, nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(*key, name="pk_usage_monthly"),
        postgresql_with={"fillfactor": 60},
        sqlite_strict=True,
    )
    op.create_index("ix_usage_monthly_period", "usage_monthly", ["period"])
    op.execute(
        f"INSERT INTO usage_monthly (month, {_REST}, quantity, unpriced, list_pico, net_pico) "
        f"SELECT substr(day, 1, 7), {_REST}, sum(quantity), sum(unpriced), sum(list_pico), sum(net_pico) "
        f"FROM usage_daily GROUP BY substr(day, 1, 7), {_REST}"
    )
    unreported = sa.text("provenance <> 'reported'")
    op.create_index(
        "ix_usage_ledger_unreported",
        "usage_ledger",
        ["period", "day", "team", "kind", "user", "app"],
        postgresql_where=unreported,
        sqlite_where=unreported,
    )


def downgrade() -> None:
    op.drop_index("ix_usage_ledger_unreported", "usage_ledger")
    op.drop_table("usage_monthly")
