"""weighbridge chargeback: the month's statement of a cost centre, and the summary of all of them.

To add a form: a suffix and its writer in ``_WRITERS``.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Final, NoReturn

import msgspec
import orjson
import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE, emit, stop, table
from gateway.commands.verify import period_of
from gateway.kernel.money import PICO_PER_NANO, round_cents
from gateway.ledger.period import previous_period
from gateway.quota.budget import MONEY, Scope
from gateway.reporting.organisation import UNALLOCATED, Organisation
from gateway.reporting.page import page
from gateway.reporting.roster import read_csv
from gateway.reporting.statement import Ledgered, Statement, Summary, in_words
from gateway.reporting.tabular import as_csv, month, records, summary_records
from gateway.storage import reporting
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.organisation import OrganisationStore

EARLIER_MONTHS: Final = 11
_BAR: Final = 20


class Asked(msgspec.Struct, frozen=True):
    """What the command was asked for. ``organisation``: of a file; None for the one that was imported."""

    period: int
    organisation: Organisation | None
    share_unallocated: bool


def chargeback(
    month: Annotated[str, typer.Argument(help="e.g. 2026-10")],
    *,
    cost_centre: Annotated[
        str | None, typer.Option(help="its statement; 'unallocated' for the rest; else the summary")
    ] = None,
    organisation: Annotated[
        Path | None,
        typer.Option(help="a CSV as for `people import`, instead of what was imported"),
    ] = None,
    share_unallocated: Annotated[
        bool, typer.Option("--share-unallocated", help="spread it over the cost centres by spend")
    ] = False,
    to: Annotated[Path | None, typer.Option(help="a file: .pdf, .html, .csv or .json")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What each cost centre is charged for a month, and how the amount was reached."""
    if to is not None and (to.suffix not in _WRITERS or cost_centre is None):
        stop(f"--to writes one --cost-centre's statement as {', '.join(_WRITERS)}")
    configured = shipped.configured(config)
    composition.ready_store(configured)
    asked = Asked(period_of(month), _of_file(organisation), share_unallocated)

    async def run() -> Statement | Summary:
        async with composition.opened(configured) as database:
            return await made(database, asked, cost_centre)

    found = asyncio.run(run())
    if to is not None and isinstance(found, Statement):
        _WRITERS[to.suffix](found, to)
        CONSOLE.print(f"{found.number}: {in_words(found.cents)} → {to}", highlight=False)
    elif json:
        for record in _records(found):
            emit(record)
    else:
        CONSOLE.print(drawn(found) if isinstance(found, Statement) else drawn_summary(found))


async def made(database: Database, asked: Asked, cost_centre: str | None) -> Statement | Summary:
    """The summary, or a cost centre's statement."""
    known = asked.organisation or await OrganisationStore(database).organisation()
    known = msgspec.structs.replace(known, fallback=await reporting.key_centres(database))
    found = await reporting.postings(database, asked.period, known.spans())
    ledgered = Ledgered(asked.period, found, known, share_unallocated=asked.share_unallocated)
    if cost_centre is None:
        return ledgered.summary()
    code = UNALLOCATED if cost_centre == "unallocated" else cost_centre
    if code not in ledgered.codes and code not in known.centres:
        there = ", ".join(one or "unallocated" for one in ledgered.codes) or "none"
        stop(
            f"cost centre {cost_centre!r} has nothing in {month(asked.period)}; there are: {there}"
        )
    earlier = [asked.period]
    for _ in range(EARLIER_MONTHS):
        earlier.append(previous_period(earlier[-1]))
    months = await reporting.history(database, reversed(earlier[1:]), known)
    amounts = [
        (
            period,
            Ledgered(period, sums, known, share_unallocated=asked.share_unallocated).cents(code),
        )
        for period, sums in months.items()
    ]
    counted = await reporting.counted(database, asked.period, known)
    budget = await _budget_cents(database, code)
    return ledgered.statement(
        code, counted=counted.get(code, 0), months=amounts, budget_cents=budget
    )


async def _budget_cents(database: Database, code: str) -> int | None:
    """The limit of the monthly budget over exactly this cost centre."""
    for budget in await BudgetStore(database).list():
        is_whole = budget.scope == Scope(cost_centre=code) and not budget.each
        if code and is_whole and budget.window == "month" and budget.measure in MONEY:
            return round_cents(budget.limit * PICO_PER_NANO)
    return None


def _of_file(path: Path | None) -> Organisation | None:
    if path is None:
        return None
    try:
        roster = read_csv(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        stop(f"{path} cannot be read as UTF-8 text: {error}")
    return Organisation(roster.centres, roster.assignments)


def _records(found: Statement | Summary) -> list[dict[str, object]]:
    return list(records(found) if isinstance(found, Statement) else summary_records(found))


def _pdf(found: Statement, to: Path) -> None:
    try:
        document = resolve_name("weasyprint:HTML")
    except ImportError:
        _no_pdf("pip install 'weighbridge[reports]'")
    except OSError:
        _no_pdf("install the system's libpango")
    document(string=page(found)).write_pdf(str(to), pdf_variant="pdf/ua-1")


def _no_pdf(cure: str) -> NoReturn:
    stop(f"the PDF is made by WeasyPrint, which is not there: {cure}, or write .html")


def _json(found: Statement, to: Path) -> None:
    to.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records(found)))


def _html(found: Statement, to: Path) -> None:
    to.write_text(page(found), encoding="utf-8")


def _csv(found: Statement, to: Path) -> None:
    to.write_text(as_csv(records(found)), encoding="utf-8", newline="")


_WRITERS: Final[dict[str, Callable[[Statement, Path], None]]] = {
    ".pdf": _pdf,
    ".html": _html,
    ".csv": _csv,
    ".json": _json,
}


def drawn(found: Statement) -> Group:
    """The statement for people: the walk, the usage, how it was reached."""
    name = f"{found.centre.code} {found.centre.name}".strip() or "Unallocated"
    walk = table(f"Statement {month(found.period)}, {name}", (("", "left"), ("USD", "right")))
    for line in found.lines:
        walk.add_row(f"{line.text} [dim]{line.note}[/]", in_words(line.cents))
    walk.add_section()
    walk.add_row("[bold]Amount charged[/]", f"[bold]{in_words(found.cents)}[/]")
    heads = ("requests", "input", "cache read", "cache write", "output", "list USD")
    columns = (("application", "left"), ("model", "left"), *((head, "right") for head in heads))
    usage, last = table("", columns), None
    for use in found.uses:
        counts = (use.requests, use.uncached, use.cached, use.written, use.output)
        app = use.app or "no application"
        usage.add_row(
            "" if app == last else escape(app),
            escape(use.model or "unknown"),
            *(f"{count:,}" for count in counts),
            in_words(use.cents),
        )
        last = app
    method = "\n".join(f"{at}. {said}" for at, said in enumerate(found.method, start=1))
    return Group(walk, usage, Text(f"\n{method}", style="dim"))


def drawn_summary(found: Summary) -> Table:
    """Every cost centre, unallocated last, and the total."""
    columns = (
        ("cost centre", "left"),
        ("owner", "left"),
        ("requests", "right"),
        ("charged", "right"),
        ("share", "right"),
    )
    shown = table(f"Chargeback {month(found.period)}", (*columns, ("", "left")))
    for share in found.shares:
        tenths = share.cents * 1000 // found.cents if found.cents else 0
        name = f"{escape(share.centre.name)} [dim]{escape(share.centre.code)}[/]".strip()
        missing = f" [yellow]{share.unpriced} unpriced[/]" if share.unpriced else ""
        bar = "━" * max(0, min(_BAR, tenths * _BAR // 1000))
        shown.add_row(
            name + missing,
            escape(share.centre.owner),
            f"{share.requests:,}",
            in_words(share.cents),
            f"{tenths // 10}.{tenths % 10} %",
            f"[blue]{bar}[/]",
        )
    shown.add_section()
    shown.add_row(
        "[bold]Total[/]", "", f"{found.requests:,}", f"[bold]{in_words(found.cents)}[/]", "", ""
    )
    return shown
