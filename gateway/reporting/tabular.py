"""A statement as rows: CSV for spreadsheets, records for programs; money as decimal text in USD.

To add a part: a generator of records with its own ``line``; CSV takes its columns from all of them.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.reporting.statement import Statement, Summary, Use

COLUMNS: Final = (
    "line", "statement", "cost_centre", "month", "text", "note", "application", "provider", "model", "user",
    "requests", "uncached_input", "cache_read", "cache_write", "output", "unpriced_requests", "usd",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def usd(cents: int) -> str:
    """1234 → '12.34'."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def month(period: int) -> str:
    """202610 → '2026-10'."""
    return f"{period // 100}-{period % 100:02}"


def records(made: Statement) -> Iterator[dict[str, object]]:
    """The statement's parts: walk, usage, person, others, month, charged."""
    head: dict[str, object] = {
        "statement": made.number,
        "cost_centre": made.centre.code,
        "month": month(made.period),
    }
    for line in made.lines:
        yield {"line": "walk", **head, "text": line.text, "note": line.note, "usd": usd(line.cents)}
    for use in made.uses:
        names = {"application": use.app, "provider": use.provider, "model": use.model}
        yield {"line": "usage", **head, **names, **_counts(use)}
    for use in made.people:
        yield {"line": "person", **head, "user": use.user, **_counts(use)}
    if made.others:
        yield {
            "line": "others",
            **head,
            "text": f"{made.others} others",
            **_counts(made.others_use),
        }
    for period, cents in made.months:
        yield {"line": "month", **head, "text": month(period), "usd": usd(cents)}
    for sentence in made.method:
        yield {"line": "method", **head, "text": sentence}
    if made.budget_cents is not None:
        yield {"line": "budget", **head, "usd": usd(made.budget_cents)}
    total: dict[str, object] = {"requests": made.requests, "unpriced_requests": made.unpriced}
    yield {"line": "charged", **head, **total, "usd": usd(made.cents)}


def summary_records(made: Summary) -> Iterator[dict[str, object]]:
    """Each cost centre, then the total."""
    for share in made.shares:
        yield {
            "line": "cost_centre",
            "month": month(made.period),
            "cost_centre": share.centre.code,
            "text": share.centre.name,
            "requests": share.requests,
            "unpriced_requests": share.unpriced,
            "usd": usd(share.cents),
        }
    yield {
        "line": "total",
        "month": month(made.period),
        "requests": made.requests,
        "usd": usd(made.cents),
    }


def as_csv(found: Iterable[dict[str, object]]) -> str:
    """Records as CSV with a head; texts that a spreadsheet would run are kept from it by an apostrophe."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\r\n", restval="")
    writer.writeheader()
    for record in found:
        writer.writerow({name: _inert(name, value) for name, value in record.items()})
    return written.getvalue()


def _inert(name: str, value: object) -> object:
    if name != "usd" and isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def _counts(use: Use) -> dict[str, object]:
    return {
        "requests": use.requests,
        "uncached_input": use.uncached,
        "cache_read": use.cached,
        "cache_write": use.written,
        "output": use.output,
        "usd": usd(use.cents),
    }
