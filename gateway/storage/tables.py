"""The schema, once for both dialects; migrations/ is its history.

To add a table or a column: here, plus a revision in migrations/versions; a test compares the two.
Whole numbers are 64 bits, amounts pico-USD, instants epoch microseconds, JSON is kept as text we wrote
ourselves (JSONB on Postgres). SQLite tables are STRICT, so that a sum past 64 bits fails instead of
turning into a float.
"""

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

METADATA: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Id(TypeDecorator[UUID]):
    """A UUID: native on Postgres, 16 bytes on SQLite (both sort by time, being UUIDv7)."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = sa.LargeBinary(16)
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(sa.LargeBinary(16))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | bytes | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    def process_result_value(self, value: UUID | bytes | None, dialect: Dialect) -> UUID | None:
        return UUID(bytes=value) if isinstance(value, bytes) else value and UUID(int=value.int)


BIGINT: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BOOLEAN: Final = sa.Boolean().with_variant(sa.Integer(), "sqlite")
JSON_TEXT: Final = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
SUM: Final = sa.Numeric(38, 0).with_variant(sa.Integer(), "sqlite")


def _column(name: str, kind: TypeEngine[Any], *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


LEDGER: Final = sa.Table(
    "usage_ledger",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    _column("request_id", Id()),
    _column("kind", sa.Text()),
    _column("ref_id", Id(), null=True),
    _column("occurred_us", BIGINT),
    _column("booked_us", BIGINT),
    _column("day", sa.Text()),
    _column("period", sa.Integer()),
    _column("org", sa.Text()),
    _column("team", sa.Text()),
    _column("user", sa.Text()),
    _column("cost_centre", sa.Text(), null=True),
    _column("app", sa.Text(), null=True),
    _column("key_id", sa.Text()),
    _column("provider", sa.Text()),
    _column("operation", sa.Text()),
    _column("dialect", sa.Text(), null=True),
    _column("upstream", sa.Text()),
    _column("deployment", sa.Text(), null=True),
    _column("model", sa.Text(), null=True),
    _column("served_model", sa.Text(), null=True),
    _column("scope", sa.Text(), null=True),
    _column("geo", sa.Text(), null=True),
    _column("region", sa.Text(), null=True),
    _column("tier", sa.Text()),
    _column("status", sa.Integer()),
    _column("stream", BOOLEAN),
    _column("outcome", sa.Text()),
    _column("provenance", sa.Text()),
    _column("lines", JSON_TEXT),
    _column("list_pico", BIGINT, null=True),
    _column("net_pico", BIGINT, null=True),
    _column("price_status", sa.Text()),
    _column("counted_input", BIGINT, null=True),
    _column("counted_output", BIGINT, null=True),
    _column("count_confidence", sa.Text(), null=True),
    _column("provider_total", BIGINT, null=True),
    _column("usage_raw", sa.Text(), null=True),
    _column("flags", JSON_TEXT),
    _column("first_byte_ms", BIGINT, null=True),
    _column("total_ms", BIGINT, null=True),
    _column("provider_request_id", sa.Text(), null=True),
    _column("client_call_id", sa.Text(), null=True),
    _column("client_attempt", BIGINT, null=True),
    _column("settles", sa.Text(), null=True),
    sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
    sa.Column("tags", JSON_TEXT, nullable=False, server_default="[]"),
    _column("catalog", sa.Text(), null=True),
    _column("contract", sa.Text(), null=True),
    sa.Index(None, "team", "id"),
    sa.Index(None, "user", "id"),
    sa.Index(None, "occurred_us", postgresql_using="brin"),
    sa.Index(None, "period", postgresql_using="brin"),  # a month's rows, whenever they were booked
    # Those without a total, whose priced lines a statement tells apart.
    sa.Index(
        "ix_usage_ledger_partly",
        "period",
        "team",
        postgresql_where=sa.text("net_pico IS NULL"),
        sqlite_where=sa.text("net_pico IS NULL"),
    ),
    # The few rows a statement has to count one by one: those the provider did not report to the end.
    sa.Index(
        "ix_usage_ledger_unreported",
        "period",
        "day",
        "team",
        "kind",
        "user",
        "app",
        postgresql_where=sa.text("provenance <> 'reported'"),
        sqlite_where=sa.text("provenance <> 'reported'"),
    ),
    postgresql_partition_by="RANGE (id)",
    sqlite_strict=True,
)

# Unique across partitions, which a constraint on the partitioned ledger could not be.
SETTLED: Final = sa.Table(
    "usage_settled",
    METADATA,
    sa.Column("settles", sa.Text(), primary_key=True),
    _column("entry_id", Id()),
    sqlite_strict=True,
)


def _rollup(name: str, span: str, *more: sa.Index) -> sa.Table:
    names = ("org", "team", "user", "app", "provider", "model", "unit", "kind")
    return sa.Table(
        name,
        METADATA,
        sa.Column(span, sa.Text(), primary_key=True),
        sa.Column("period", sa.Integer(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text(), primary_key=True) for name in names),
        _column("quantity", SUM),
        _column("unpriced", SUM),
        _column("list_pico", SUM),
        _column("net_pico", SUM),
        *more,
        postgresql_with={"fillfactor": 60},
        sqlite_strict=True,
    )


DAILY: Final = _rollup("usage_daily", "day", sa.Index(None, "period", "team"))
# The same by month ('2026-11'), a twentieth of the rows: what a month's statement is read from.
MONTHLY: Final = _rollup("usage_monthly", "month", sa.Index(None, "period"))

QUARANTINE: Final = sa.Table(
    "usage_quarantine",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    _column("reason", sa.Text()),
    _column("record", sa.LargeBinary()),
    _column("received_us", BIGINT),
    sqlite_strict=True,
)

KEY: Final = sa.Table(
    "gateway_key",
    METADATA,
    sa.Column("key_id", sa.Text(), primary_key=True),
    _column("digest", sa.LargeBinary()),
    _column("prefix", sa.Text()),
    _column("access_key_id", sa.Text()),
    _column("org", sa.Text()),
    _column("user", sa.Text()),
    _column("team", sa.Text()),
    _column("cost_centre", sa.Text(), null=True),
    _column("app", sa.Text(), null=True),
    _column("models", JSON_TEXT),
    _column("allow_unpriced", BOOLEAN),
    _column("allow_batches", BOOLEAN),
    _column("created_us", BIGINT),
    _column("not_before_us", BIGINT, null=True),
    _column("expires_us", BIGINT, null=True),
    _column("revoked_us", BIGINT, null=True),
    _column("rotated_from", sa.Text(), null=True),
    sa.Column("tags", JSON_TEXT, nullable=False, server_default="[]"),
    sa.Column("allow_shared", BOOLEAN, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("digest"),
    sa.UniqueConstraint("access_key_id"),
    sqlite_strict=True,
)

# One row per snapshot that processes keep in memory; every change of its table raises the number.
VERSION: Final = sa.Table(
    "directory_version",
    METADATA,
    sa.Column("name", sa.Text(), primary_key=True),
    _column("version", BIGINT),
    sqlite_strict=True,
)

PRICE: Final = sa.Table(
    "price_rate",
    METADATA,
    sa.Column("price_id", sa.Text(), primary_key=True),
    _column("key", JSON_TEXT),
    _column("price", sa.Text()),
    _column("per", BIGINT),
    _column("valid_from_us", BIGINT),
    _column("valid_to_us", BIGINT, null=True),
    _column("source", sa.Text()),
    sa.Column("as_unit", sa.Text(), nullable=False, server_default=""),
    sa.Column("source_ref", sa.Text(), nullable=False, server_default=""),
    sa.Column("evidence", sa.Text(), nullable=False, server_default=""),
    sa.Column("layer", sa.Text(), nullable=False, server_default="shipped"),
    sa.Column("issue", BIGINT, nullable=False, server_default="0"),
    sa.Column(
        "slot", BIGINT, nullable=False, server_default="0"
    ),  # of an imported row: its key, hashed
    sa.Column("catalog", sa.Text(), nullable=False, server_default=""),
    sa.Index(None, "slot"),
    sqlite_strict=True,
)

# Who brought which prices when; ``closed``: the ends that earlier rows were given, [[price_id, from, to], …].
PRICE_IMPORT: Final = sa.Table(
    "price_import",
    METADATA,
    sa.Column("issue", BIGINT, primary_key=True, autoincrement=False),
    _column("at_us", BIGINT),
    _column("author", sa.Text()),
    _column("reason", sa.Text()),
    _column("file", sa.Text()),
    _column("added", BIGINT),
    _column("closed", JSON_TEXT),
    _column("catalog", sa.Text()),
    sqlite_strict=True,
)

# Every batch of rows is a link: a digest over the one before and over its rows, found by their ids.
CHAIN: Final = sa.Table(
    "ledger_chain",
    METADATA,
    sa.Column("seq", BIGINT, primary_key=True, autoincrement=False),
    _column("digest", sa.LargeBinary()),
    _column("ids", sa.LargeBinary()),  # 16 bytes each, in the order they were hashed
    _column("booked_us", BIGINT),
    sqlite_strict=True,
)

BUDGET: Final = sa.Table(
    "quota_budget",
    METADATA,
    sa.Column("id", sa.Text(), primary_key=True),
    _column("name", sa.Text()),
    _column("document", JSON_TEXT),
    _column("changed_us", BIGINT),
    sa.UniqueConstraint("name"),
    sqlite_strict=True,
)

# Who changed which budget when: appended, never edited.
BUDGET_CHANGE: Final = sa.Table(
    "quota_change",
    METADATA,
    sa.Column("id", Id(), primary_key=True),
    _column("budget", sa.Text()),
    _column("at_us", BIGINT),
    _column("author", sa.Text()),
    _column("action", sa.Text()),
    _column("document", JSON_TEXT),
    sqlite_strict=True,
)

COUNTER: Final = sa.Table(
    "quota_counter",
    METADATA,
    sa.Column("budget", sa.Text(), primary_key=True),
    sa.Column("subject", sa.Text(), primary_key=True),
    sa.Column("window_us", BIGINT, primary_key=True, autoincrement=False),
    _column("posted", BIGINT),
    _column("pending", BIGINT),
    _column("tat_us", BIGINT),  # of a rolling minute: when the even rate has caught up
    _column("version", BIGINT),  # raised by every posting, so that a copy knows which is newer
    postgresql_with={"fillfactor": 20},
    sqlite_strict=True,
)

HOLD: Final = sa.Table(
    "quota_hold",
    METADATA,
    sa.Column("request_id", Id(), primary_key=True),
    _column("lines", JSON_TEXT),
    _column("expires_us", BIGINT),
    _column("entry", sa.LargeBinary()),
    sa.Index(None, "expires_us"),
    sqlite_strict=True,
)

ALERT: Final = sa.Table(
    "quota_alert",
    METADATA,
    sa.Column("budget", sa.Text(), primary_key=True),
    sa.Column("subject", sa.Text(), primary_key=True),
    sa.Column("window_us", BIGINT, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("percent", sa.Integer(), primary_key=True, autoincrement=False),
    _column("at_us", BIGINT),
    _column("used", BIGINT),
    sqlite_strict=True,
)

# Who made what is kept at a provider (files, batches, stored responses): only its team may touch it.
RESOURCE: Final = sa.Table(
    "resource_owner",
    METADATA,
    sa.Column("resource", sa.Text(), primary_key=True),
    _column("org", sa.Text()),
    _column("team", sa.Text()),
    _column("key_id", sa.Text()),
    _column("made_us", BIGINT),
    sa.Column("upstream", sa.Text(), nullable=False, server_default=""),
    _column("expires_us", BIGINT, null=True),
    _column("models", JSON_TEXT, null=True),  # of an input file of batches
    _column("work", sa.Text(), null=True),  # of a file that a batch wrote
    _column("model", sa.Text(), null=True),  # that tells the tokens
    _column(
        "tokens", BIGINT, null=True
    ),  # of an answer and its prompt, for whoever goes on from it
    sa.Index(None, "expires_us"),
    sqlite_strict=True,
)

# Batches that are still to be asked for what they used; ``creator``: the entry of their creation; ``leased_us``:
# until when whoever asks has it alone; ``wanted_us``: when somebody last needed an answer at once; ``asked_us``:
# written by earlier versions, and by none that runs with this one.
WORK: Final = sa.Table(
    "deferred_work",
    METADATA,
    sa.Column("work", sa.Text(), primary_key=True),
    _column("provider", sa.Text()),
    _column("upstream", sa.Text()),
    _column("raw_path", sa.Text()),
    _column("query", sa.Text()),
    _column("creator", sa.LargeBinary()),
    _column("made_us", BIGINT),
    _column("due_us", BIGINT),
    _column("attempts", BIGINT),
    sa.Column("leased_us", BIGINT, nullable=False, server_default="0"),
    sa.Column("wanted_us", BIGINT, nullable=False, server_default="0"),
    sa.Column("asked_us", BIGINT, nullable=False, server_default="0"),
    sa.Index(None, "due_us"),
    sqlite_strict=True,
)

LEDGER_COLUMNS: Final = tuple(column.name for column in LEDGER.columns)
ROLLUP_SUMS: Final = ("quantity", "unpriced", "list_pico", "net_pico")
ROLLUP_KEY: Final = tuple(column.name for column in DAILY.primary_key)
MONTHLY_KEY: Final = tuple(column.name for column in MONTHLY.primary_key)


def is_ours(name: str | None, kind: str) -> bool:
    """Whether the schema describes it: monthly partitions (and their indexes) are made at run time."""
    return not (name or "").startswith("usage_ledger_") or kind not in {"table", "index"}
