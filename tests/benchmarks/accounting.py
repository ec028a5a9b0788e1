"""Whether every answer was booked, to the token: a run whose books differ from the mock's is void.

To check a further figure: a column in ``_TOTALS`` or a unit in ``booked``, and the mock's own sum of it.
"""

import sqlite3
from typing import Final, NamedTuple

from gateway.config import Config
from tests.benchmarks.mock_upstream import Stats

_ROWS: Final = (
    "SELECT count(*), count(DISTINCT request_id), "
    "coalesce(sum(price_status = 'priced' AND net_pico > 0 AND flags = '[]'), 0) "
    "FROM usage_ledger WHERE booked_us > ?"
)
_UNITS: Final = (
    "SELECT json_extract(line.value, '$.unit'), sum(json_extract(line.value, '$.quantity')) "
    "FROM usage_ledger, json_each(lines) AS line WHERE booked_us > ? GROUP BY 1"
)
_LATEST: Final = "SELECT coalesce(max(booked_us), 0) FROM usage_ledger"


class Books(NamedTuple):
    """What the ledger holds. ``clean``: rows with a whole price and no flag."""

    rows: int
    requests: int
    clean: int
    input: int
    cached: int
    output: int


class Void(Exception):
    """The books do not agree with what the mock sent."""


def booked(config: Config, since_us: int) -> Books:
    """The totals of the rows booked after an instant."""
    path = config.folder() / "weighbridge.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows, requests, clean = database.execute(_ROWS, (since_us,)).fetchone()
        units = dict(database.execute(_UNITS, (since_us,)).fetchall())
    database.close()
    cached = units.get("cache_read_text", 0)
    whole = units.get("input_text", 0) + cached
    return Books(rows, requests, clean, whole, cached, units.get("output_text", 0))


def latest_us(config: Config) -> int:
    """When the youngest row was booked."""
    path = config.folder() / "weighbridge.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        found: int = database.execute(_LATEST).fetchone()[0]
    database.close()
    return found


def verify(books: Books, before: Stats, after: Stats, *, whole: bool = True) -> None:
    """Raises Void where rows are not requests, or sums of tokens not the mock's.

    ``whole``: every answer was read to its end; else only the rows are compared.
    """
    expected = after.requests - before.requests
    if not books.rows == books.requests == expected:
        raise Void(f"{expected} requests, {books.rows} rows of {books.requests} requests")
    if not whole:
        return
    sent = [getattr(after, name) - getattr(before, name) for name in ("input", "cached", "output")]
    found = [books.input, books.cached, books.output]
    if found != sent:
        raise Void(f"the mock sent {sent} tokens (input, cached, output), the books have {found}")
    if books.clean != expected:
        raise Void(f"{expected - books.clean} rows have a flag or no whole price")
