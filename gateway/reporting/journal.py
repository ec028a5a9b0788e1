"""The month's entry for the books: statements' journal lines in the form an accounting system takes in.

Debits equal credits in every entry, or nothing is written. To add a system: a function from entries to rows
and its columns in ``FORMS``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.reporting.amounts import days_of, month_name
from gateway.reporting.focus import invoice_id
from gateway.reporting.statement import JournalLine, Statement
from gateway.reporting.tabular import inert, usd

DRAFT: Final = "-draft"  # ends the number of an entry whose charge may still change
_PLACE: Final = re.compile(r"\{(\w*)\}")
Row: TypeAlias = dict[str, str]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What all entries of a file share. ``posting_date``: ISO; ``company_code``, ``document_type``: SAP's words."""

    period: int
    posting_date: str
    company_code: str = ""
    document_type: str = "SA"
    currency: str = "USD"


class Entry(msgspec.Struct, frozen=True):
    """One statement's entry; its lines are balanced.

    number    what an accounting system knows it by: the same for the same charge, whichever step it is read from
    replaces  the number of the entry that this one takes the place of, which has to be reversed first; '' for none
    """

    number: str
    replaces: str
    text: str
    lines: tuple[JournalLine, ...]


class Unbalanced(ValueError):
    """Debits and credits of an entry differ, or a line has no account."""


def posting_date(period: int) -> str:
    """The last day of a month, which is when it is posted by default."""
    return f"{period // 100}-{period % 100:02}-{days_of(period):02}"


class Past(msgspec.Struct, frozen=True):
    """What a cost centre's entry was over the frozen steps of a close. ``times``: how many entries it has had."""

    times: int = 0
    lines: tuple[JournalLine, ...] = ()

    def after(self, lines: tuple[JournalLine, ...]) -> "Past":
        """With the lines of the next step: another entry only where they are others."""
        if lines == self.lines:
            return self
        return Past(self.times + bool(lines), lines)

    def number(self, statement: str, back: int = 0) -> str:
        """The number of its newest entry, or of one so many before; '' where there was none."""
        nth = self.times - back
        if nth < 1:
            return ""
        return statement if nth == 1 else f"{statement}-r{nth}"


def entries(statements: Iterable[Statement], past: Mapping[str, Past] | None = None) -> list[Entry]:
    """The entries of statements that post. Raises Unbalanced, naming the first that does not balance.

    past  by cost centre, of a month that is frozen, its last step among them; None: it is not, and what is written
          are drafts, whose numbers say so
    """
    found = []
    for made in statements:
        if not made.journal:
            continue
        debit, credit = (
            sum(getattr(line, side) for line in made.journal)
            for side in ("debit_cents", "credit_cents")
        )
        if debit != credit:
            raise Unbalanced(f"statement {made.number}: debits {usd(debit)}, credits {usd(credit)}")
        missing = next((line.centre for line in made.journal if not line.account), None)
        if missing is not None:
            raise Unbalanced(
                f"statement {made.number}: cost centre {missing} has no account: give it a gl_account "
                "with people import, or statements.account in the configuration"
            )
        text = f"Model inference {month_name(made.period)}, {made.title}"
        if past is None:
            found.append(Entry(f"{made.number}{DRAFT}", "", f"Draft: {text}", made.journal))
            continue
        mine = past.get(made.centre.code, Past()).after(made.journal)
        replaced = mine.number(made.number, back=1)
        said = f"{text}, replaces {replaced}" if replaced else text
        found.append(Entry(mine.number(made.number), replaced, said, made.journal))
    return found


def withdrawn(period: int, past: Mapping[str, Past]) -> Iterator[tuple[str, str]]:
    """The numbers of entries that no longer hold, each with the one that takes its place ('' for none).

    past  by cost centre, its last step among them: also of one that has no statement any more
    """
    for code, mine in sorted(past.items()):
        number = invoice_id(period, code)
        gone = mine.number(number, back=1 if mine.lines else 0)
        if gone:
            yield gone, mine.number(number) if mine.lines else ""


def netsuite(head: Head, found: Iterable[Entry]) -> Iterator[Row]:
    """NetSuite's journal import: one row per line, grouped by external id."""
    for entry, line in _lines(found):
        yield {
            "External ID": entry.number,
            "Date": head.posting_date,
            "Currency": head.currency,
            "Memo": inert(entry.text),
            "Line: Account": inert(line.account),
            "Line: Debit": usd(line.debit_cents) if line.debit_cents else "",
            "Line: Credit": usd(line.credit_cents) if line.credit_cents else "",
            "Line: Department": inert(line.centre),
            "Line: Memo": inert(line.text),
        }


def sap(head: Head, found: Iterable[Entry]) -> Iterator[Row]:
    """SAP's general-ledger upload: amounts signed, debits positive, with the indicator beside them."""
    for entry, line in _lines(found):
        yield {
            "Company Code": inert(head.company_code),
            "Document Type": inert(head.document_type),
            "Posting Date": head.posting_date.replace("-", ""),
            "Document Date": head.posting_date.replace("-", ""),
            "Currency": head.currency,
            "Reference": entry.number,
            "G/L Account": inert(line.account),
            "Debit/Credit": "S" if line.debit_cents else "H",
            "Amount": usd(line.debit_cents - line.credit_cents),
            "Cost Centre": inert(line.centre),
            "Text": inert(line.text),
        }


def generic(head: Head, found: Iterable[Entry]) -> Iterator[Row]:
    """A plain table that any import can be told about."""
    for entry, line in _lines(found):
        yield {
            "entry": entry.number,
            "posting_date": head.posting_date,
            "currency": head.currency,
            "account": inert(line.account),
            "cost_centre": inert(line.centre),
            "debit": usd(line.debit_cents),
            "credit": usd(line.credit_cents),
            "amount": usd(line.debit_cents - line.credit_cents),
            "text": inert(f"{entry.text}: {line.text}"),
        }


class Form(msgspec.Struct, frozen=True):
    """A system's file: its columns, in order, and its rows."""

    columns: tuple[str, ...]
    rows: Callable[[Head, Iterable[Entry]], Iterator[Row]]


FORMS: Final[Mapping[str, Form]] = {
    "netsuite": Form(
        (
            "External ID", "Date", "Currency", "Memo", "Line: Account", "Line: Debit", "Line: Credit",
            "Line: Department", "Line: Memo",
        ),
        netsuite,
    ),
    "sap": Form(
        (
            "Company Code", "Document Type", "Posting Date", "Document Date", "Currency", "Reference",
            "G/L Account", "Debit/Credit", "Amount", "Cost Centre", "Text",
        ),
        sap,
    ),
    "generic": Form(
        (
            "entry", "posting_date", "currency", "account", "cost_centre", "debit", "credit", "amount",
            "text",
        ),
        generic,
    ),
}  # fmt: skip


def templated(
    columns: Sequence[str], cells: Sequence[str], head: Head, found: Iterable[Entry]
) -> Iterator[Row]:
    """Rows of a template of one's own: a head and one line whose cells name generic columns: {account}.

    Raises ValueError on a name that is none, and where the two lines differ in length.
    """
    if len(columns) != len(cells):
        raise ValueError(f"the template has {len(columns)} columns and {len(cells)} cells")
    known = FORMS["generic"].columns
    unknown = [name for cell in cells for name in _PLACE.findall(cell) if name not in known]
    if unknown:
        raise ValueError(f"the template names {unknown[0]!r}; known are {', '.join(known)}")
    for row in generic(head, found):
        filled = [_PLACE.sub(lambda place, row=row: row[place[1]], cell) for cell in cells]  # type: ignore[misc]  # a default binds it
        yield dict(zip(columns, filled, strict=True))


def _lines(found: Iterable[Entry]) -> Iterator[tuple[Entry, JournalLine]]:
    for entry in found:
        for line in entry.lines:
            yield entry, line
