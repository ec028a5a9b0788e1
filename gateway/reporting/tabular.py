"""A statement as rows: CSV for spreadsheets, records and one document for programs; money as decimal text in USD.

To add a part: a generator of records with its own ``line``; CSV takes its columns from all of them.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gateway.ledger.currencies import CENTS
from gateway.reporting.statement import Part, Statement, Summary, Use

COLUMNS: Final = (
    "line", "statement", "revision", "status", "cost_centre", "month", "text", "note", "application", "provider", "model",
    "user", "name", "requests", "uncached_input", "cache_read", "cache_write", "output", "unpriced_requests", "usd",
    "debit_usd", "credit_usd", "account", "currency", "amount", "through",
)  # fmt: skip
# What a spreadsheet takes for a formula, full-width forms too; behind apostrophes, so that nothing escaped reads like it.
_FORMULA: Final = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")
_MONEY: Final = frozenset({"usd", "debit_usd", "credit_usd", "amount"})
Record = dict[str, object]
NO_NAMES: Mapping[str, str] = {}


def usd(cents: int) -> str:
    """1234 → '12.34'."""
    return decimal(cents, CENTS)


def decimal(minor: int, digits: int) -> str:
    """An amount of a currency whose minor unit has so many decimals: 1234, 3 → '1.234'; 1234, 0 → '1234'."""
    whole, rest = divmod(abs(minor), 10**digits)
    point = f".{rest:0{digits}}" if digits else ""
    return f"{'-' if minor < 0 else ''}{whole}{point}"


def month(period: int) -> str:
    """202610 → '2026-10'."""
    return f"{period // 100}-{period % 100:02}"


def records(made: Statement, names: Mapping[str, str] = NO_NAMES) -> Iterator[Record]:
    """The statement's parts: walk, usage, person, others, month, method, budget, journal, seal, charged."""
    head: Record = {
        "statement": made.number,
        "revision": made.revision,
        "status": made.state,
        "cost_centre": made.centre.code,
        "month": month(made.period),
        "through": made.through or None,
    }
    for record in _parts(made, names):
        line = record.pop("line")
        yield {"line": line, **head, **record}


def _parts(made: Statement, names: Mapping[str, str]) -> Iterator[Record]:
    for line in made.lines:
        yield {"line": "walk", "text": line.text, "note": line.note, "usd": usd(line.cents)}
    for use in made.uses:
        apart = {"application": use.app, "provider": use.provider, "model": use.model}
        yield {"line": "usage", **apart, **_counts(use)}
    for use in made.people:
        named = {"name": names[use.user]} if use.user in names else {}
        yield {"line": "person", "user": use.user, **named, **_counts(use)}
    if made.others:
        yield {"line": "others", "text": f"{made.others} others", **_counts(made.others_use)}
    for period, cents in made.months:
        yield {"line": "month", "text": month(period), "usd": usd(cents)}
    for sentence in made.method:
        yield {"line": "method", "text": sentence}
    yield from _beside(made)
    total = {"requests": made.requests, "unpriced_requests": made.unpriced}
    yield {"line": "charged", "text": made.title, **total, "usd": usd(made.cents)}


def _beside(made: Statement) -> Iterator[Record]:
    for text, cents in (("month", made.budget.month_cents), ("year", made.budget.year_cents)):
        if cents is not None:
            yield {"line": "budget", "text": text, "usd": usd(cents)}
    if made.converted is not None:
        other = made.converted
        note = f"{other.rate}, {other.source}, {other.day}"
        amount = {"currency": other.currency, "amount": decimal(other.minor, other.digits)}
        yield {"line": "converted", **amount, "note": note}
    for line in made.journal:
        yield {
            "line": "journal",
            "account": line.account,
            "text": f"{line.centre} {line.text}",
            "debit_usd": usd(line.debit_cents),
            "credit_usd": usd(line.credit_cents),
        }
    for name in ("digest", "approved_by", "approved_at", "posted_by", "posted_at", "journal"):
        value = getattr(made.seal, name)
        if value:
            yield {"line": "seal", "text": name.replace("_", " "), "note": value}


def document(found: Iterable[Record]) -> dict[str, object]:
    """Records as one object: what all of them say once, then a list for each kind of line."""
    rows = [dict(record) for record in found]
    shared = [key for key in rows[0] if all(row.get(key) == rows[0][key] for row in rows)]
    made: dict[str, object] = {key: rows[0][key] for key in shared if key != "line"}
    lines: dict[str, list[Record]] = {}
    for row in rows:
        kept = {key: value for key, value in row.items() if key not in {*shared, "line"}}
        lines.setdefault(str(row["line"]), []).append(kept)
    return {**made, **lines}


def summary_records(made: Summary) -> Iterator[Record]:
    """Each cost centre, what the whole consists of, teams, providers, then the total."""
    head: Record = {
        "month": month(made.period),
        "status": made.state,
        "revision": made.revision,
        "through": made.through or None,
    }
    for share in made.shares:
        yield {
            "line": "cost_centre",
            **head,
            "cost_centre": share.centre.code,
            "text": share.centre.name,
            "requests": share.requests,
            "unpriced_requests": share.unpriced,
            "usd": usd(share.cents),
        }
    lists: tuple[tuple[str, tuple[Part, ...]], ...] = (
        ("part", made.parts),
        ("team", made.teams),
        ("provider", made.providers),
    )
    for line, parts in lists:
        for part in parts:
            yield {"line": line, **head, "text": part.name, "usd": usd(part.cents)}
    total = {"requests": made.requests, "unpriced_requests": made.unpriced}
    yield {"line": "total", **head, **total, "usd": usd(made.cents)}


def as_csv(found: Iterable[Record]) -> str:
    """Records as CSV with a head; texts that a spreadsheet would run are kept from it by an apostrophe."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\r\n", restval="")
    writer.writeheader()
    for record in found:
        writer.writerow({name: _cell(name, value) for name, value in record.items()})
    return written.getvalue()


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before it where it would be.

    A reader that takes one apostrophe off what would be escaped without it has the text as it was.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _cell(name: str, value: object) -> object:
    return inert(value) if isinstance(value, str) and name not in _MONEY else value


def _counts(use: Use) -> Record:
    return {
        "requests": use.requests,
        "uncached_input": use.uncached,
        "cache_read": use.cached,
        "cache_write": use.written,
        "output": use.output,
        "usd": usd(use.cents),
    }
