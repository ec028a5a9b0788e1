"""weighbridge chargeback: what each cost centre is charged for a month, all together; one of them with --cost-centre."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway import app as composition, shipped
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, ERRORS, emit, stop, styled
from gateway.commands.statement.asked import Asked, KeptMonth, Month, code_of, gathered, of_file
from gateway.commands.statement.files import (
    SUMMARY_WRITERS,
    WRITERS,
    available,
    file_name,
    file_names,
)
from gateway.commands.statement.pictures import drawn, drawn_summary
from gateway.commands.whole import write_whole
from gateway.config import Config
from gateway.reporting.amounts import in_words
from gateway.reporting.statement import Statement, Summary
from gateway.reporting.tabular import month as month_text, records, summary_records
from gateway.storage.engine import Database
from gateway.storage.organisation import OrganisationStore
from gateway.storage.reporting import requests_of


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
        bool | None,
        typer.Option(
            "--share-unallocated/--keep-unallocated", help="over the cost centres by spend"
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="a file: .pdf, .html, .xlsx, .csv or .json; or a folder for all"),
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="show people's names, if it is this owner's cost centre")
    ] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What each cost centre is charged for a month, and how the amount was reached."""
    configured = shipped.configured(config)
    asked = Asked(
        period=period_of(month),
        organisation=of_file(organisation),
        share_unallocated=share_unallocated,
    )
    show(configured, asked, Wanted(cost_centre, to, owner, json))


class Wanted:
    """Which part of a month, in which form, for whom."""

    def __init__(self, centre: str | None, to: Path | None, owner: str | None, json: bool) -> None:  # noqa: FBT001
        self.centre, self.to, self.owner, self.json = centre, to, owner, json
        if to is not None and to.suffix and to.suffix not in WRITERS:
            stop(f"--to writes {', '.join(WRITERS)}, or every cost centre's into a folder")


def show(configured: Config, asked: Asked, wanted: Wanted) -> None:
    """Print or write the month's summary, or a cost centre's statement."""
    composition.ready_store(configured)
    found, names = asked_for(configured, asked, wanted)
    if wanted.centre is not None:
        _one(found.statement(code_of(found, wanted.centre)), wanted, names)
    elif wanted.to is not None and not wanted.to.suffix:
        _folder(found, wanted.to)
    else:
        _all(found.summary(), wanted)


def asked_for(configured: Config, asked: Asked, wanted: Wanted) -> tuple[Month, dict[str, str]]:
    """The month, and the names that may be shown with it."""

    async def run() -> tuple[Month, dict[str, str]]:
        async with composition.opened(configured) as database:
            found = await gathered(database, configured, asked)
            if isinstance(found, KeptMonth):
                await _tell_late(database, found)
            users = _users(found, wanted)
            return found, await OrganisationStore(database).names(users)

    return asyncio.run(run())


async def _tell_late(database: Database, found: KeptMonth) -> None:
    """A provisional month still takes rows: say how many came since its statements were kept."""
    made = found.summary()
    late = await requests_of(database, found.period) - made.requests
    if made.state == "provisional" and late:
        month = month_text(found.period)
        said = f"{late:,} request{'' if late == 1 else 's'} came since revision {made.revision} was kept: `weighbridge close {month} --to provisional` takes them in"
        ERRORS.print(styled("[yellow]▲[/] {}", said), highlight=False)


def _users(found: Month, wanted: Wanted) -> list[str]:
    """Whose names are shown: the people of the asked cost centre, where its owner asks."""
    if wanted.owner is None or wanted.centre is None:
        return []
    made = found.statement(code_of(found, wanted.centre))
    if made.centre.owner != wanted.owner:
        stop(f"names are for the owner of {made.title}, who is {made.centre.owner or 'not named'}; leave --owner out")  # fmt: skip
    return [use.user for use in made.people]


def _one(made: Statement, wanted: Wanted, names: dict[str, str]) -> None:
    if wanted.to is not None:
        to = wanted.to if wanted.to.suffix else wanted.to / f"{file_name(made.number)}.pdf"
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, WRITERS[to.suffix](made, names))
        CONSOLE.print(f"{made.number}: {in_words(made.cents)} → {to}", highlight=False)
    elif wanted.json:
        for record in records(made, names):
            emit(record)
    else:
        CONSOLE.print(drawn(made, names))


def _all(made: Summary, wanted: Wanted) -> None:
    if wanted.to is not None:
        write_whole(wanted.to, SUMMARY_WRITERS[wanted.to.suffix](made))
        CONSOLE.print(f"{month_text(made.period)}: {in_words(made.cents)} → {wanted.to}", highlight=False)  # fmt: skip
    elif wanted.json:
        for record in summary_records(made):
            emit(record)
    else:
        CONSOLE.print(drawn_summary(made))


def _folder(found: Month, folder: Path) -> None:
    """Every cost centre's statement in every form that can be made here, and the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    made, forms = found.summary(), available()
    summary = f"{month_text(made.period)}-summary"
    statements = {one.centre.code: found.statement(one.centre.code) for one in made.shares}
    names = file_names([one.number for one in statements.values()], beside=summary)
    with Progress(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), console=ERRORS, transient=True) as bar:  # fmt: skip
        task = bar.add_task("writing statements", total=len(made.shares) + 1)
        for suffix in forms:
            write_whole(folder / f"{summary}{suffix}", SUMMARY_WRITERS[suffix](made))
        for share in made.shares:
            bar.update(task, advance=1)
            statement = statements[share.centre.code]
            for suffix in forms:
                file = folder / f"{names[statement.number]}{suffix}"
                write_whole(file, WRITERS[suffix](statement, {}))
    said = f"{len(made.shares)} statements and the summary, as {', '.join(forms)} → {folder}"
    CONSOLE.print(said, highlight=False)
