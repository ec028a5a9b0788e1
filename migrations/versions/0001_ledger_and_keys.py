"""The ledger, its daily rollup and view, the quarantine, gateway keys and published prices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UUID = sa.LargeBinary(16).with_variant(postgresql.UUID(), "postgresql")
BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BOOLEAN = sa.Boolean().with_variant(sa.Integer(), "sqlite")
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
SUM = sa.Numeric(38, 0).with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
BYTES = sa.LargeBinary()


def column(name: str, kind: object, *, null: bool = False) -> sa.Column:
    return sa.Column(name, kind, nullable=null)


def upgrade() -> None:
    _create_ledger()
    _create_rollup()
    _create_directory()
    if op.get_context().dialect.name == "postgresql":
        _guard_postgres()
    else:
        _guard_sqlite()


def downgrade() -> None:
    op.execute("DROP VIEW usage_lines")
    for table in (
        "price_rate",
        "directory_version",
        "gateway_key",
        "usage_quarantine",
        "usage_daily",
        "usage_settled",
        "usage_ledger",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION append_only()")


def _create_ledger() -> None:
    op.create_table(
        "usage_ledger",
        column("id", UUID),
        column("request_id", UUID),
        column("kind", TEXT),
        column("ref_id", UUID, null=True),
        column("occurred_us", BIGINT),
        column("booked_us", BIGINT),
        column("day", TEXT),
        column("period", sa.Integer()),
        column("org", TEXT),
        column("team", TEXT),
        column("user", TEXT),
        column("cost_centre", TEXT, null=True),
        column("app", TEXT, null=True),
        column("key_id", TEXT),
        column("provider", TEXT),
        column("operation", TEXT),
        column("dialect", TEXT, null=True),
        column("upstream", TEXT),
        column("deployment", TEXT, null=True),
        column("model", TEXT, null=True),
        column("served_model", TEXT, null=True),
        column("scope", TEXT, null=True),
        column("geo", TEXT, null=True),
        column("region", TEXT, null=True),
        column("tier", TEXT),
        column("status", sa.Integer()),
        column("stream", BOOLEAN),
        column("outcome", TEXT),
        column("provenance", TEXT),
        column("lines", JSON),
        column("list_pico", BIGINT, null=True),
        column("net_pico", BIGINT, null=True),
        column("price_status", TEXT),
        column("counted_input", BIGINT, null=True),
        column("counted_output", BIGINT, null=True),
        column("count_confidence", TEXT, null=True),
        column("provider_total", BIGINT, null=True),
        column("usage_raw", TEXT, null=True),
        column("flags", JSON),
        column("first_byte_ms", BIGINT, null=True),
        column("total_ms", BIGINT, null=True),
        column("provider_request_id", TEXT, null=True),
        column("client_call_id", TEXT, null=True),
        column("client_attempt", BIGINT, null=True),
        column("settles", TEXT, null=True),
        sa.PrimaryKeyConstraint("id", name="pk_usage_ledger"),
        postgresql_partition_by="RANGE (id)",
        sqlite_strict=True,
    )
    op.create_index("ix_usage_ledger_team_id", "usage_ledger", ["team", "id"])
    op.create_index("ix_usage_ledger_user_id", "usage_ledger", ["user", "id"])
    op.create_index(
        "ix_usage_ledger_occurred_us", "usage_ledger", ["occurred_us"], postgresql_using="brin"
    )
    op.create_table(
        "usage_settled",
        column("settles", TEXT),
        column("entry_id", UUID),
        sa.PrimaryKeyConstraint("settles", name="pk_usage_settled"),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_quarantine",
        column("id", UUID),
        column("reason", TEXT),
        column("record", BYTES),
        column("received_us", BIGINT),
        sa.PrimaryKeyConstraint("id", name="pk_usage_quarantine"),
        sqlite_strict=True,
    )


def _create_rollup() -> None:
    key = ("day", "period", "org", "team", "user", "app", "provider", "model", "unit", "kind")
    op.create_table(
        "usage_daily",
        *(
            sa.Column(
                name,
                sa.Integer() if name == "period" else TEXT,
                nullable=False,
                autoincrement=False,
            )
            for name in key
        ),
        column("quantity", SUM),
        column("unpriced", SUM),
        column("list_pico", SUM),
        column("net_pico", SUM),
        sa.PrimaryKeyConstraint(*key, name="pk_usage_daily"),
        postgresql_with={"fillfactor": 60},
        sqlite_strict=True,
    )
    op.create_index("ix_usage_daily_period_team", "usage_daily", ["period", "team"])


def _create_directory() -> None:
    op.create_table(
        "gateway_key",
        column("key_id", TEXT),
        column("digest", BYTES),
        column("prefix", TEXT),
        column("access_key_id", TEXT),
        column("org", TEXT),
        column("user", TEXT),
        column("team", TEXT),
        column("cost_centre", TEXT, null=True),
        column("app", TEXT, null=True),
        column("models", JSON),
        column("allow_unpriced", BOOLEAN),
        column("allow_batches", BOOLEAN),
        column("created_us", BIGINT),
        column("not_before_us", BIGINT, null=True),
        column("expires_us", BIGINT, null=True),
        column("revoked_us", BIGINT, null=True),
        column("rotated_from", TEXT, null=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_gateway_key"),
        sa.UniqueConstraint("digest", name="uq_gateway_key_digest"),
        sa.UniqueConstraint("access_key_id", name="uq_gateway_key_access_key_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "directory_version",
        column("name", TEXT),
        column("version", BIGINT),
        sa.PrimaryKeyConstraint("name", name="pk_directory_version"),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO directory_version (name, version) VALUES ('keys', 0)")
    op.create_table(
        "price_rate",
        column("price_id", TEXT),
        column("key", JSON),
        column("price", TEXT),
        column("per", BIGINT),
        column("valid_from_us", BIGINT),
        column("valid_to_us", BIGINT, null=True),
        column("source", TEXT),
        sa.PrimaryKeyConstraint("price_id", name="pk_price_rate"),
        sqlite_strict=True,
    )


def _guard_postgres() -> None:
    op.execute(
        """CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % refused: rows are appended, a correction is a further row', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'WB001';
END $$"""
    )
    # Row triggers reach the partitions; a statement trigger on the parent would not.
    for table in ("usage_ledger", "usage_settled"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION append_only()"
        )
    op.execute(
        "CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OF price_id, key, price, per, valid_from_us, source "
        "ON price_rate FOR EACH ROW EXECUTE FUNCTION append_only()"
    )
    for table in ("usage_ledger", "usage_settled", "price_rate"):
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
    op.execute(
        """CREATE VIEW usage_lines AS
SELECT e.id, e.request_id, e.kind, e.ref_id, e.occurred_us, e.day, e.period, e.org, e.team, e."user",
       e.cost_centre, e.app, e.key_id, e.provider, e.operation, e.deployment,
       coalesce(l.model, e.model) AS model, e.scope, e.geo, e.region, e.tier, e.provenance, l.role,
       l.unit, l.quantity, l.price_id, l.list_pico, l.net_pico
FROM usage_ledger e CROSS JOIN LATERAL jsonb_to_recordset(e.lines) AS l(
  unit text, quantity int8, price_id text, list_pico int8, net_pico int8, role text, model text)"""
    )


def _guard_sqlite() -> None:
    refuse = "BEGIN SELECT RAISE(ABORT, 'refused: rows are appended, a correction is a further row'); END"
    for table in ("usage_ledger", "usage_settled"):
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(
        "CREATE TRIGGER price_rate_no_update BEFORE UPDATE OF price_id, key, price, per, valid_from_us, source "
        f"ON price_rate {refuse}"
    )
    for table in ("usage_ledger", "usage_settled", "price_rate"):
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    op.execute(
        """CREATE VIEW usage_lines AS
SELECT e.id, e.request_id, e.kind, e.ref_id, e.occurred_us, e.day, e.period, e.org, e.team, e."user",
       e.cost_centre, e.app, e.key_id, e.provider, e.operation, e.deployment,
       coalesce(json_extract(l.value, '$.model'), e.model) AS model, e.scope, e.geo, e.region, e.tier,
       e.provenance, json_extract(l.value, '$.role') AS role, json_extract(l.value, '$.unit') AS unit,
       json_extract(l.value, '$.quantity') AS quantity, json_extract(l.value, '$.price_id') AS price_id,
       json_extract(l.value, '$.list_pico') AS list_pico, json_extract(l.value, '$.net_pico') AS net_pico
FROM usage_ledger e, json_each(e.lines) AS l"""
    )
