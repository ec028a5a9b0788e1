"""FOCUS beside the rows: what a statement holds that is no usage, Invoice Detail, Billing Period.

To add a line of a statement that is usage: the first word of its key in ``OF_USAGE``, so that it is not booked twice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from gateway.kernel.money import PICO_PER_USD
from gateway.reporting.focus import (
    USD,
    Book,
    Extra,
    Used,
    bounds,
    invoice_id,
    is_correction,
    money,
    slug,
)
from gateway.reporting.statement import Line, Statement

# Lines of the walk that the usage rows are made of already.
OF_USAGE: Final = frozenset({"metered", "discount", "correction"})
_PICO_PER_CENT: Final = PICO_PER_USD // 100
_OURS: Final = ("usage", "corrections")


class Unlike(ValueError):
    """Rows and statements that are not of one ledger."""


class Invoice(msgspec.Struct, frozen=True):
    """A cost centre's statement as FOCUS names it; ``details`` sum to ``cents``."""

    id: str
    code: str
    cents: int
    details: tuple[tuple[str, str, str, int], ...]  # id, charge category, description, pico-USD


def extras(used: Iterable[Used], statements: Mapping[str, Statement]) -> list[Extra]:
    """What statements hold beside usage: their other lines in cents, and the rounding that is left.

    Raises Unlike where that is more than rounding can be: rows and statements then are not of one ledger.
    """
    net: dict[str, int] = defaultdict(int)
    for one in used:
        net[one.code] += one.net_pico
    found: list[Extra] = []
    for code in sorted(statements.keys() | net.keys()):
        made = statements.get(code)
        lines = [] if made is None else [line for line in made.lines if not _is_usage(line)]
        named = sum(line.cents for line in lines) * _PICO_PER_CENT
        whole = 0 if made is None else made.cents * _PICO_PER_CENT
        rest = whole - net[code] - named
        if abs(rest) > (len(lines) + 2) * _PICO_PER_CENT:
            raise Unlike(
                f"cost centre {code or 'unallocated'}: the rows differ from its statement by {rest} pico-USD"
            )
        for line in lines:
            category = "Tax" if line.key == "tax" else "Adjustment"
            found.append(Extra(code, line.text, line.cents * _PICO_PER_CENT, category))
        found += [Extra(code, "Rounding to whole cents", rest)] if rest else []
    return list(_told_apart([one for one in found if one.pico]))


def _told_apart(found: Iterable[Extra]) -> Iterator[Extra]:
    """The lines with ids of their own: two texts, or a text and one of ours, may come out alike."""
    taken: dict[str, Counter[str]] = defaultdict(lambda: Counter(_OURS))
    for one in found:
        name, ids = slug(one.text) or "line", taken[one.code]
        detail = name
        while ids[detail]:
            ids[name] += 1
            detail = f"{name}-{ids[name]}"
        ids[detail] += 1
        yield msgspec.structs.replace(one, detail=detail)


def _is_usage(line: Line) -> bool:
    return line.key.partition(":")[0] in OF_USAGE


def invoices(
    book: Book, used: Iterable[Used], others: Iterable[Extra], cents: Mapping[str, int]
) -> list[Invoice]:
    """A statement's lines as FOCUS knows them: usage, corrections, each other line."""
    sums: dict[str, dict[tuple[str, str, str], int]] = defaultdict(lambda: defaultdict(int))
    for one in used:
        head = invoice_id(book.period, one.code)
        what = "corrections" if is_correction(book, one) else "usage"
        sums[one.code][f"{head}/{what}", "Usage", f"Metered {what}"] += one.net_pico
    for other in others:
        head = invoice_id(book.period, other.code)
        line = (f"{head}/{other.detail or slug(other.text)}", other.category, other.text)
        sums[other.code][line] += other.pico
    return [
        Invoice(
            invoice_id(book.period, code),
            code,
            cents.get(code, 0),
            tuple([(*line, pico) for line, pico in sorted(found.items())]),
        )
        for code, found in sorted(sums.items())
    ]


def invoice_detail(book: Book, found: Iterable[Invoice]) -> Iterator[dict[str, str]]:
    """The rows of Invoice Detail."""
    start, end = bounds(book.period)
    for one in found:
        for detail_id, category, text, pico in one.details:
            yield {
                "BilledCost": money(pico),
                "BillingAccountId": book.account,
                "BillingCurrency": USD,
                "BillingPeriodEnd": end,
                "BillingPeriodStart": start,
                "ChargeCategory": category,
                "InvoiceDetailCreated": end,
                "InvoiceDetailDescription": text,
                "InvoiceDetailId": detail_id,
                "InvoiceDetailLastUpdated": max(book.at, end),
                "InvoiceId": one.id,
                "InvoiceIssueDate": max(book.at, end) if book.closed else "",
                "InvoiceIssueStatus": "Issued" if book.closed else "Open",
                "InvoiceIssuerName": book.issuer,
                "PaymentCurrency": USD,
                "PaymentCurrencyBilledCost": money(pico),
                "PaymentCurrencyInvoiceDetailId": detail_id,
                "PaymentTerms": "Internal chargeback",
                "ReferenceInvoiceId": one.id,
            }


def billing_period(book: Book) -> Iterator[dict[str, str]]:
    """The one row of Billing Period."""
    start, end = bounds(book.period)
    yield {
        "BillingPeriodCreated": start,
        "BillingPeriodEnd": end,
        "BillingPeriodLastUpdated": max(book.at, start),
        "BillingPeriodStart": start,
        "BillingPeriodStatus": "Closed" if book.closed else "Open",
        "InvoiceIssuerName": book.issuer,
    }
