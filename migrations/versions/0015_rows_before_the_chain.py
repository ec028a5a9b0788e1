"""The rows that were booked before the digest chain began become links of it, so that they are proved as well.

A ledger of 0001 had no chain, and 0002 began an empty one over it. Nothing is linked twice: where links are there
already, only older rows that are in none are taken.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ROWS_PER_LINK = 1000
VERSION = 1  # of what is hashed: these columns, in this order, then the lines
COLUMNS = (
    "id", "request_id", "kind", "ref_id", "occurred_us", "booked_us", "day", "period", "org", "team",
    "user", "cost_centre", "app", "key_id", "provider", "operation", "dialect", "upstream",
    "deployment", "model", "served_model", "scope", "geo", "region", "tier", "status", "stream",
    "outcome", "provenance", "list_pico", "net_pico", "price_status", "counted_input",
    "counted_output", "count_confidence", "provider_total", "usage_raw", "flags", "first_byte_ms",
    "total_ms", "provider_request_id", "client_call_id", "client_attempt", "settles", "attempt", "tags",
)  # fmt: skip
IDS = ("id", "request_id", "ref_id")
LINE = (
    ("unit", None), ("role", "main"), ("model", None), ("price_id", None), ("quantity", None),
    ("list_pico", None), ("net_pico", None),
)  # fmt: skip
ID = sa.LargeBinary(16).with_variant(postgresql.UUID(), "postgresql")
_encode = msgspec.json.Encoder().encode


def upgrade() -> None:
    connection = op.get_bind()
    head = "SELECT seq, digest FROM ledger_chain ORDER BY seq DESC LIMIT 1"
    seq, digest = connection.execute(sa.text(head)).one_or_none() or (0, b"")
    add = sa.text("INSERT INTO ledger_chain (seq, digest, ids, booked_us) VALUES (:seq, :digest, :ids, :booked_us)")  # fmt: skip
    for rows in _unlinked(connection, is_begun=seq > 0):
        hashed = b"".join(sha256(_canonical(row)).digest() for row in rows)
        seq, digest = seq + 1, sha256(bytes(digest) + hashed).digest()
        link = {
            "seq": seq,
            "digest": digest,
            "ids": b"".join(_uuid(row["id"]).bytes for row in rows),
            "booked_us": max(row["booked_us"] for row in rows),
        }
        connection.execute(add, link)


def downgrade() -> None:
    """The links stay: they are history."""


def _unlinked(connection: sa.Connection, *, is_begun: bool) -> Iterator[list[Any]]:
    """The rows that are in no link, in the order of their ids; of a chain that has begun, those minted before it."""
    ledger = sa.table("usage_ledger", *(sa.column(name) for name in (*COLUMNS, "lines")))
    old, found = sa.true(), None
    if is_begun:
        first = sa.text("SELECT min(booked_us) FROM ledger_chain")
        bound = UUID(int=(int(connection.scalar(first)) // 1000 + 1) << 80)
        old = ledger.c.id < _bound(connection, "bound", bound)
        found = {_uuid(one).bytes for one in connection.execute(sa.select(ledger.c.id).where(old)).scalars()}  # fmt: skip
        found -= _linked(connection, found)
    after = UUID(int=0)
    while True:
        page = sa.select(ledger).where(old, ledger.c.id > _bound(connection, "after", after))
        rows = list(connection.execute(page.order_by(ledger.c.id).limit(ROWS_PER_LINK)).mappings())
        if not rows:
            return
        after = _uuid(rows[-1]["id"])
        kept = [row for row in rows if found is None or _uuid(row["id"]).bytes in found]
        if kept:
            yield kept


def _bound(connection: sa.Connection, name: str, value: UUID) -> sa.BindParameter[Any]:
    is_postgres = connection.dialect.name == "postgresql"
    return sa.bindparam(name, value if is_postgres else value.bytes, ID)


def _linked(connection: sa.Connection, wanted: set[bytes]) -> set[bytes]:
    """Those of the ids that are in a link; the oldest links have them, and no more is read than it takes."""
    found: set[bytes] = set()
    after = 0
    query = sa.text("SELECT seq, ids FROM ledger_chain WHERE seq > :after ORDER BY seq LIMIT 100")
    while len(found) < len(wanted):
        links = connection.execute(query, {"after": after}).all()
        if not links:
            break
        for seq, ids in links:
            after, whole = seq, bytes(ids)
            found |= {whole[at : at + 16] for at in range(0, len(whole), 16)} & wanted
    return found


def _canonical(row: Any) -> bytes:
    values = [_value(name, row[name]) for name in COLUMNS]
    lines = [tuple(line.get(name, other) for name, other in LINE) for line in _json(row["lines"])]
    if len({line[0] for line in lines}) == len(lines):
        lines.sort(key=lambda line: line[0])
    else:
        lines.sort(key=lambda line: [str(part) for part in line] + [repr(part) for part in line])
    return _encode((VERSION, *values, lines))


def _value(name: str, value: Any) -> Any:
    if name in IDS:
        return None if value is None else str(_uuid(value))
    if name in ("flags", "tags"):
        return _json(value)
    return bool(value) if name == "stream" else value


def _uuid(value: Any) -> UUID:
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(str(value))


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value
