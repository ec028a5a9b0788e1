"""A statement as sheets of a workbook: cells with their kind, totals as formulas with the value they have.

To add a sheet: a function from a statement to Sheet, named in ``sheets``. Writing the file is the command's.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.reporting.statement import NO_PRICE, Statement, Summary, Use
from gateway.reporting.tabular import NO_NAMES, month

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Cents(msgspec.Struct, frozen=True):
    """An amount in USD."""

    cents: int


class Foreign(msgspec.Struct, frozen=True):
    """An amount in another currency, in minor units of so many decimals."""

    minor: int
    digits: int


class Total(msgspec.Struct, frozen=True):
    """The sum of the cells above in its own column, from row ``first`` to row ``last`` (counted from 1)."""

    first: int
    last: int
    value: int
    is_money: bool = False

    def formula(self, column: int) -> str:
        """=SUM(C2:C9); of no cells: 0."""
        letter = _LETTERS[column]
        return (
            f"=SUM({letter}{self.first}:{letter}{self.last})" if self.last >= self.first else "=0"
        )


Cell: TypeAlias = str | int | Cents | Foreign | Total


class Sheet(msgspec.Struct, frozen=True):
    """``head`` in the first row, then ``rows``; ``widths`` in characters."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    widths: tuple[int, ...]


def sheets(made: Statement, names: Mapping[str, str] = NO_NAMES) -> tuple[Sheet, ...]:
    """Statement, usage, people, months, method."""
    return (_walk(made), _usage(made), _people(made, names), _months(made), _method(made))


def summary_sheets(made: Summary) -> tuple[Sheet, ...]:
    """The cost centres, and what their sum consists of."""
    rows: list[tuple[Cell, ...]] = [
        (one.centre.code, one.centre.name or "Unallocated", one.centre.owner, one.requests, Cents(one.cents))
        for one in made.shares
    ]  # fmt: skip
    last = len(rows) + 1
    rows.append(("Total", "", "", Total(2, last, made.requests), _money(2, last, made.cents)))
    head = ("Cost centre", "Name", "Owner", "Requests", "USD")
    parts = [
        (kind, one.name, Cents(one.cents))
        for kind, found in (
            ("part", made.parts),
            ("team", made.teams),
            ("provider", made.providers),
        )
        for one in found
    ]
    return (
        Sheet(f"Chargeback {month(made.period)}", head, tuple(rows), (14, 30, 20, 12, 16)),
        Sheet("Ties", ("Kind", "Name", "USD"), tuple(parts), (12, 34, 16)),
    )


def _money(first: int, last: int, cents: int) -> Total:
    return Total(first, last, cents, is_money=True)


def _walk(made: Statement) -> Sheet:
    rows: list[tuple[Cell, ...]] = [
        (line.text, line.note, Cents(line.cents)) for line in made.lines
    ]
    rows.append(("Amount charged", "", _money(2, len(rows) + 1, made.cents)))
    rows += [
        (),
        ("Statement", made.number),
        ("Revision", made.revision),
        ("Status", made.state),
        ("Cost centre", made.title),
        ("Owner", made.centre.owner),
        ("Month", month(made.period)),
        *([("So far, through", made.through)] if made.through else []),
        ("Currency", "USD"),
    ]
    if made.converted is not None:
        other = made.converted
        rows.append((f"In {other.currency}", f"{other.rate}, {other.source}, {other.day}", Foreign(other.minor, other.digits)))  # fmt: skip
    for line in made.journal:
        side = "debit" if line.debit_cents else "credit"
        rows.append(
            (
                f"Journal, {side}",
                f"{line.centre} {line.said}",
                Cents(line.debit_cents or line.credit_cents),
            )
        )
    if made.seal.digest:
        rows.append(("SHA-256", made.seal.digest))
    return Sheet("Statement", ("Line", "Note", "USD"), tuple(rows), (36, 44, 16))


_USE_HEAD: Final = ("Requests", "Input", "Cache read", "Cache write", "Output", "USD")


def _counts(use: Use) -> tuple[Cell, ...]:
    return (use.requests, use.uncached, use.cached, use.written, use.output, Cents(use.cents))


def _totals(uses: Sequence[Use], last: int, requests: int, cents: int) -> tuple[Cell, ...]:
    sums = [
        sum(getattr(use, name) for use in uses)
        for name in ("uncached", "cached", "written", "output")
    ]
    counts = [Total(2, last, value) for value in (requests, *sums)]
    return (*counts, _money(2, last, cents))


def _usage(made: Statement) -> Sheet:
    rows: list[tuple[Cell, ...]] = [
        (use.app or "no application", use.provider, use.model or NO_PRICE, *_counts(use))
        for use in made.uses
    ]
    last = len(rows) + 1
    total = _totals(made.uses, last, made.requests, made.metered_cents)
    rows.append(("Metered usage, list price", "", "", *total))
    head = ("Application", "Provider", "Model", *_USE_HEAD)
    return Sheet("Usage", head, tuple(rows), (26, 12, 30, 12, 16, 16, 16, 16, 14))


def _people(made: Statement, names: Mapping[str, str]) -> Sheet:
    uses = [*made.people, made.others_use] if made.others else list(made.people)
    rows: list[tuple[Cell, ...]] = [
        (use.user or f"{made.others} others", names.get(use.user, ""), *_counts(use))
        for use in uses
    ]
    last = len(rows) + 1
    rows.append(("Total", "", *_totals(uses, last, made.requests, made.metered_cents)))
    return Sheet("People", ("User", "Name", *_USE_HEAD), tuple(rows), (20, 24, 12, 16, 16, 16, 16, 14))  # fmt: skip


def _months(made: Statement) -> Sheet:
    rows: list[tuple[Cell, ...]] = [(month(period), Cents(cents)) for period, cents in made.months]
    for text, cents in (("month", made.budget.month_cents), ("year", made.budget.year_cents)):
        if cents is not None:
            rows.append((f"Budget of the {text}", Cents(cents)))
    return Sheet("Months", ("Month", "USD"), tuple(rows), (22, 16))


def _method(made: Statement) -> Sheet:
    rows: list[tuple[Cell, ...]] = [(at, said) for at, said in enumerate(made.method, start=1)]
    return Sheet("Method", ("", "How the amount was reached"), tuple(rows), (4, 120))
