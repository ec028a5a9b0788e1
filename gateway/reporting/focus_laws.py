"""Four laws of a FOCUS bundle that no validator at hand checks; told in sentences where they are broken.

(a) a charge starts before it ends; (b) the billing period is one calendar month; (c) the rows of an invoice
sum to its statement and to its Invoice Detail; (d) a line of Invoice Detail is there once and its rows sum to it. To add a law: a generator of sentences, named in ``broken``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from gateway.kernel.money import parse_usd
from gateway.reporting.focus import bounds

_PICO_PER_CENT = 10**10


def broken(
    rows: Iterable[Mapping[str, str]],
    details: Iterable[Mapping[str, str]],
    cents: Mapping[str, int],
    period: int,
) -> list[str]:
    """What is wrong with a chargeback bundle; ``cents`` per invoice id are the statements' totals."""
    rows = list(rows)
    details = list(details)
    return [*_times(rows, period), *_sums(rows, details, cents), *_lines(rows, details)]


def _times(rows: Iterable[Mapping[str, str]], period: int) -> Iterator[str]:
    month = bounds(period)
    for number, row in enumerate(rows, start=1):
        if row["ChargePeriodStart"] >= row["ChargePeriodEnd"]:
            yield f"row {number}: the charge starts at {row['ChargePeriodStart']}, not before its end"
        if (row["BillingPeriodStart"], row["BillingPeriodEnd"]) != month:
            yield f"row {number}: the billing period is not the calendar month {month[0]} to {month[1]}"


def _sums(
    rows: Iterable[Mapping[str, str]],
    details: Iterable[Mapping[str, str]],
    cents: Mapping[str, int],
) -> Iterator[str]:
    found = [_by(each, "InvoiceId") for each in (rows, details)]
    for invoice in sorted(cents.keys() | found[0].keys() | found[1].keys()):
        stated = cents.get(invoice, 0) * _PICO_PER_CENT
        for name, sums in zip(("rows", "details"), found, strict=True):
            if sums.get(invoice, 0) != stated:
                yield (
                    f"invoice {invoice}: {name} sum to {sums.get(invoice, 0)} pico-USD, "
                    f"the statement says {stated}"
                )


def _lines(
    rows: Iterable[Mapping[str, str]], details: Iterable[Mapping[str, str]]
) -> Iterator[str]:
    counts = Counter(one["InvoiceDetailId"] for one in details)
    found, stated = (_by(each, "InvoiceDetailId") for each in (rows, details))
    for line in sorted(counts.keys() | found.keys()):
        if counts[line] != 1:
            yield f"line {line}: {counts[line]} times in Invoice Detail"
        elif found.get(line, 0) != stated[line]:
            yield f"line {line}: rows sum to {found.get(line, 0)} pico-USD, the detail says {stated[line]}"


def _by(rows: Iterable[Mapping[str, str]], column: str) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[row[column]] += parse_usd(row["BilledCost"])
    return dict(sums)
