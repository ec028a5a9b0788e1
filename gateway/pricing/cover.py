"""Before forwarding: is there a price? And where there is none: which row would cure it.

Used by the fail-closed check and by messages; the charge itself is made in ``rate``.
"""

import csv
import io
from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.kernel.clock import instant
from gateway.pricing.book import Book
from gateway.pricing.dimensions import GLOBAL, ORDER, READERS, Circumstances, Dimension, key_of
from gateway.pricing.load import COLUMNS
from gateway.pricing.rate import Status
from gateway.pricing.row import dated
from gateway.pricing.shelf import Ambiguous

_PER_MILLION: Final = "1000000"


class Coverage(msgspec.Struct, frozen=True):
    """Whether a request can be priced.

    status   priced | partial | unpriced | ambiguous
    missing  the units asked for that have no price under these circumstances
    key      the named dimensions in words, for messages: 'model=gpt-99 scope=global …'
    """

    status: Status
    missing: tuple[str, ...]
    key: str


def covers(
    book: Book, at: Circumstances, units: Iterable[str] = (), context_tokens: int = 0
) -> Coverage:
    """Whether the book has prices for the units; without units: for anything at all of this model.

    Looks at the context tier of a prompt of so many tokens: the lowest one, where a request of any size starts.
    """
    key = " ".join(f"{name.value}={READERS[name].read(at) or '?'}" for name in ORDER)
    asked = tuple(units)
    quotes = book.quotes(at, context_tokens)
    found = {unit: quotes.price(unit) for unit in asked or book.priced(at)}
    missing = tuple(unit for unit in asked if found[unit] is None)
    priced = [price for price in found.values() if price is not None]
    if any(isinstance(price, Ambiguous) for price in priced):
        return Coverage(Status.AMBIGUOUS, missing, key)
    if not priced:
        return Coverage(Status.UNPRICED, missing, key)
    return Coverage(Status.PARTIAL if missing else Status.PRICED, missing, key)


def lacking(
    book: Book, first: Circumstances, last_us: int, unit: str, context_tokens: int = 0
) -> tuple[int, int | None] | None:
    """From when on a unit has no price for prompts of so many tokens, and until when (None: from then on never).

    Looked for between the instant of ``first`` and the last one; None: it has a price all that time. Where
    there are several such spans it is the first.
    """
    key = key_of(first)
    edges = {
        edge_us
        for one in book.listed()
        if tuple(one.named.values()) == key  # any unit's: its context tiers are the whole request's
        for edge_us in (one.price.since_us, one.price.until_us)
        if edge_us > first.at_us
    }
    since_us: int | None = None
    for at_us in (first.at_us, *sorted(edges)):
        at = msgspec.structs.replace(first, at_us=at_us)
        lacks = covers(book, at, (unit,), context_tokens).status is Status.UNPRICED
        if since_us is None and lacks and at_us <= last_us:
            since_us = at_us
        elif since_us is not None and not lacks:
            return since_us, at_us
    return None if since_us is None else (since_us, None)


def cure_row(at: Circumstances, unit: str, until_us: int | None = None, context_gt: int = 0) -> str:
    """A line for a price file, complete but for price and source: what the book lacks, from that day on."""
    cells = dict.fromkeys(COLUMNS, "")
    cells |= {name.value: READERS[name].read(at) or "" for name in ORDER}
    cells[Dimension.SCOPE.value] = cells[Dimension.SCOPE.value] or GLOBAL
    cells |= {
        "unit": unit,
        "context_gt": str(context_gt),
        "price": "<USD>",
        "per": _PER_MILLION,
        "currency": "USD",
        "valid_from": f"{instant(at.at_us):%Y-%m-%d}",
        "valid_to": "" if until_us is None else dated(until_us),
        "source": "<where the price is from>",
        "evidence": "manual",
    }
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([cells[column] for column in COLUMNS])
    return line.getvalue()
