"""weighbridge journal: the month's charges as an entry for the books, balanced to the cent.

To add an accounting system: its form in reporting/journal.py.
"""

import asyncio
import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import app as composition, shipped
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, ERRORS, emit, stop, styled, table
from gateway.commands.statement.asked import Asked, KeptMonth, gathered
from gateway.commands.whole import whole
from gateway.config import Config
from gateway.ledger.closing import FROZEN
from gateway.reporting.amounts import in_words
from gateway.reporting.journal import (
    FORMS,
    Entry,
    Head,
    Past,
    Row,
    Unbalanced,
    entries,
    posting_date,
    templated,
    withdrawn,
)
from gateway.reporting.statement import Statement
from gateway.storage.closing import ClosingStore

_TEMPLATE: Final = "template"
_FORM_NAMES: Final = (*FORMS, _TEMPLATE)
_TEMPLATE_LINES: Final = 2


def journal(
    month: Annotated[str, typer.Argument(help="e.g. 2026-10")],
    *,
    out: Annotated[Path, typer.Option(help="a .csv file")],
    form: Annotated[str, typer.Option(help=", ".join(_FORM_NAMES))] = "generic",
    template: Annotated[
        Path | None, typer.Option(help="a CSV: a head, and a line of {account}, {debit}, …")
    ] = None,
    posted: Annotated[
        str | None, typer.Option(help="posting date; the month's last day by default")
    ] = None,
    company_code: Annotated[str, typer.Option(help="of SAP")] = "",
    document_type: Annotated[str, typer.Option(help="of SAP")] = "SA",
    draft: Annotated[
        bool, typer.Option("--draft", help="of a month whose charges may still change")
    ] = False,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Write the month's journal entries: a debit per cost centre, credits to the platform, equal to the cent."""
    _check(form, template, company_code)
    configured = shipped.configured(config)
    composition.ready_store(configured)
    period = period_of(month)
    day = _date(posted) or posting_date(period)
    head = Head(
        period=period, posting_date=day, company_code=company_code, document_type=document_type
    )
    statements, past = asyncio.run(_read(configured, period))
    if past is None and not draft:
        stop(_unfrozen(month, statements))
    try:
        made = entries(statements, past)
        columns, rows = _rows(form, template, head, made)
    except (Unbalanced, ValueError) as error:
        stop(str(error))
    _write(rows, columns, out)
    _say(made, out, json=json)
    _say_withdrawn(period, past or {})


async def _read(config: Config, period: int) -> tuple[list[Statement], dict[str, Past] | None]:
    """The month's statements, and what their entries were; None of a month that still takes rows."""
    async with composition.opened(config) as database:
        found = await gathered(database, config, Asked(period=period))
        is_frozen = found.summary().state in FROZEN
        past = await _past(ClosingStore(database), period) if is_frozen else None
        return [found.statement(code) for code in found.codes], past


def _unfrozen(month: str, statements: Sequence[Statement]) -> str:
    state = statements[0].state if statements else "open"
    return (
        f"{month} is {state}: its charges may still change, and what is booked now would be booked again: "
        f"weighbridge close {month} --to reconciled; or --draft, to look at them"
    )


async def _past(store: ClosingStore, period: int) -> dict[str, Past]:
    """Each cost centre's entries over the steps from which on no row entered, the newest included."""
    found: dict[str, Past] = {}
    for step in await store.steps(period):
        if step.state in FROZEN:
            kept = KeptMonth(period, await store.documents(period, step.revision))
            lines = {code: kept.statement(code).journal for code in kept.codes}
            for code in {*lines, *found}:
                found[code] = found.get(code, Past()).after(lines.get(code, ()))
    return found


def _say_withdrawn(period: int, past: Mapping[str, Past]) -> None:
    """Name the entries of an earlier close that no longer hold."""
    for gone, instead in withdrawn(period, past):
        before = f", before {instead} is booked" if instead else ""
        said = f"{gone} no longer holds: the month was closed again; reverse it where it was booked{before}"
        ERRORS.print(styled("[yellow]▲[/] {}", said), highlight=False)


def _write(rows: Iterable[Row], columns: Sequence[str], out: Path) -> None:
    with whole(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _check(form: str, template: Path | None, company_code: str) -> None:
    if form not in _FORM_NAMES:
        stop(f"--form is one of {', '.join(_FORM_NAMES)}, found {form!r}")
    if (form == _TEMPLATE) != (template is not None):
        stop("--form template and --template FILE go together")
    if form == "sap" and not company_code:
        stop("SAP posts to a company: give --company-code")


def _date(text: str | None) -> str | None:
    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        stop(f"--posted is a date such as 2026-10-31, found {text!r}")


def _rows(
    form: str, template: Path | None, head: Head, made: Iterable[Entry]
) -> tuple[Sequence[str], list[Row]]:
    if template is None:
        return FORMS[form].columns, list(FORMS[form].rows(head, made))
    try:
        with template.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{template} cannot be read: {error}") from error
    if len(lines) != _TEMPLATE_LINES:
        raise ValueError(f"{template}: a template has a head and one line, found {len(lines)} lines")  # fmt: skip
    columns, cells = lines
    return columns, list(templated(columns, cells, head, made))


def _say(made: Sequence[Entry], out: Path, *, json: bool) -> None:
    debits = sum(line.debit_cents for entry in made for line in entry.lines)
    if json:
        for entry in made:
            debit = sum(line.debit_cents for line in entry.lines)
            emit({"entry": entry.number, "replaces": entry.replaces or None, "lines": len(entry.lines), "debit_usd": f"{debit // 100}.{debit % 100:02}"})  # fmt: skip
        return
    shown = table("Journal", (("entry", "left"), ("text", "left"), ("debit", "right"), ("credit", "right")))  # fmt: skip
    for entry in made:
        sums = (
            sum(getattr(line, f"{side}_cents") for line in entry.lines)
            for side in ("debit", "credit")
        )
        shown.add_row(entry.number, entry.text, *map(in_words, sums))
    shown.add_section()
    shown.add_row(styled("[bold]all[/]"), "", *(styled("[bold]{}[/]", in_words(debits)),) * 2)
    CONSOLE.print(shown)
    CONSOLE.print(f"✓ {len(made)} entries, debits equal credits → {out}", highlight=False)
