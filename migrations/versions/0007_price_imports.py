"""Prices imported into the database, each import with its author; rows say what they were priced with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_TEXT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
FIRST = ("price_id", "key", "price", "per", "valid_from_us", "source")
ADDED = ("as_unit", "source_ref", "evidence", "layer", "issue", "slot", "catalog")
REFUSED = "refused: rows are appended, a correction is a further row"


def upgrade() -> None:
    for name in ("as_unit", "source_ref", "evidence", "catalog"):
        op.add_column("price_rate", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "price_rate", sa.Column("layer", sa.Text(), nullable=False, server_default="shipped")
    )
    for name in ("issue", "slot"):
        op.add_column("price_rate", sa.Column(name, BIGINT, nullable=False, server_default="0"))
    op.create_index("ix_price_rate_slot", "price_rate", ["slot"])
    op.create_table(
        "price_import",
        sa.Column("issue", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("at_us", BIGINT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("added", BIGINT, nullable=False),
        sa.Column("closed", JSON_TEXT, nullable=False),
        sa.Column("catalog", sa.Text(), nullable=False),
        sqlite_strict=True,
    )
    for name in ("catalog", "contract"):
        op.add_column("usage_ledger", sa.Column(name, sa.Text(), nullable=True))
    op.execute("INSERT INTO directory_version (name, version) VALUES ('prices', 0)")
    if op.get_context().dialect.name == "postgresql":
        _guard_postgres()
    else:
        _guard_sqlite()


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE price_rate DROP CONSTRAINT ex_price_rate_one_at_a_time")
        _only_postgres(FIRST)
    else:
        for when in ("insert", "update"):
            op.execute(f"DROP TRIGGER price_rate_no_overlap_{when}")
        _only_sqlite(FIRST)
    op.execute("DELETE FROM directory_version WHERE name = 'prices'")
    op.drop_table("price_import")
    for name in ("contract", "catalog"):
        op.drop_column("usage_ledger", name)
    op.drop_index("ix_price_rate_slot", "price_rate")
    for name in reversed(ADDED):
        op.drop_column("price_rate", name)


def _guard_postgres() -> None:
    _only_postgres((*FIRST, *ADDED))
    # A range of one number stands in for equality, which GiST knows only by an extension.
    op.execute(
        "ALTER TABLE price_rate ADD CONSTRAINT ex_price_rate_one_at_a_time EXCLUDE USING gist "
        "(int8range(slot, slot, '[]') WITH &&, int8range(valid_from_us, valid_to_us) WITH &&) "
        "WHERE (layer = 'imported')"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON price_import "
        "FOR EACH ROW EXECUTE FUNCTION append_only()"
    )
    op.execute(
        "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON price_import "
        "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )


def _only_postgres(columns: tuple[str, ...]) -> None:
    op.execute("DROP TRIGGER append_only ON price_rate")
    op.execute(
        f"CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF {', '.join(columns)} "
        "ON price_rate FOR EACH ROW EXECUTE FUNCTION append_only()"
    )


def _guard_sqlite() -> None:
    _only_sqlite((*FIRST, *ADDED))
    for when in ("INSERT", "UPDATE"):
        op.execute(
            f"""CREATE TRIGGER price_rate_no_overlap_{when.lower()} AFTER {when} ON price_rate
WHEN NEW.layer = 'imported' AND EXISTS (
  SELECT 1 FROM price_rate o
  WHERE o.layer = 'imported' AND o.slot = NEW.slot AND o.price_id <> NEW.price_id
    AND o.valid_from_us < coalesce(o.valid_to_us, 9223372036854775807)
    AND NEW.valid_from_us < coalesce(NEW.valid_to_us, 9223372036854775807)
    AND o.valid_from_us < coalesce(NEW.valid_to_us, 9223372036854775807)
    AND NEW.valid_from_us < coalesce(o.valid_to_us, 9223372036854775807))
BEGIN SELECT RAISE(ABORT, 'refused: another imported price is valid for this key then'); END"""
        )
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER price_import_no_{what.lower()} BEFORE {what} ON price_import "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )


def _only_sqlite(columns: tuple[str, ...]) -> None:
    op.execute("DROP TRIGGER price_rate_no_update")
    op.execute(
        f"CREATE TRIGGER price_rate_no_update BEFORE UPDATE OF {', '.join(columns)} "
        f"ON price_rate BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
    )
