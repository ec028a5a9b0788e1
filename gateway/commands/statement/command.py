"""weighbridge statement: one cost centre's month as it is charged; without one, the month by team, user and model."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.known import tell_unknown
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, Table, emit, shown_usd, stop, styled, table, usd, wide
from gateway.commands.statement.asked import Asked, through_of, unbegun
from gateway.commands.statement.chargeback import Wanted, show
from gateway.ledger.statement import Row, Statement
from gateway.metering.units import UNITS
from gateway.storage.known import Kind
from gateway.storage.ledger import Ledger


def statement(
    month: Annotated[str, typer.Argument(help="e.g. 2026-11")],
    *,
    cost_centre: Annotated[
        str | None, typer.Option(help="the statement it is charged by; 'unallocated' for the rest")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="a file: .pdf, .html, .xlsx, .csv or .json")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="show people's names, if it is this owner's cost centre")
    ] = None,
    team: Annotated[str | None, typer.Option()] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """A cost centre's statement; without one, the month's charges by team, user and model."""
    period, configured = period_of(month), shipped.configured(config)
    if cost_centre is not None:
        show(configured, Asked(period=period), Wanted(cost_centre, to, owner, json))
        return
    if to is not None or owner is not None:
        stop("--to and --owner are of one --cost-centre; `weighbridge chargeback` has them all")
    composition.ready_store(configured)

    async def run() -> Statement:
        async with composition.opened(configured) as database:
            made = await Ledger(database).statement(period, team=team)
            if not made.total.requests:
                await tell_unknown(database, Kind.TEAM, [team])
            return made

    made, zone = asyncio.run(run()), configured.org.timezone
    if not made.total.requests and (said := unbegun(period, zone)):
        stop(said)
    through = through_of(period, zone)
    if json:
        _emit(made, {"month": month, "through": through or None})
    else:
        CONSOLE.print(drawn(made, f"{month} so far, through {through}" if through else month))


def _emit(made: Statement, when: dict[str, str | None]) -> None:
    for row in made.rows:
        emit(
            {
                "line": "row",
                **when,
                "team": row.team,
                "user": row.user,
                "model": row.model,
                **_sums(row),
            }
        )
    for row in made.teams:
        emit({"line": "team", **when, "team": row.team, **_sums(row)})
    emit({"line": "total", **when, **_sums(made.total)})


def _sums(row: Row) -> dict[str, object]:
    return {
        "requests": row.requests,
        "units": row.units,
        "list_usd": usd(row.list_pico),
        "net_usd": usd(row.net_pico),
        "unpriced_requests": row.unpriced,
        "partly_priced_usd": usd(row.partly_pico),
    }


def drawn(made: Statement, month: str) -> Table:
    """The statement for people; a team's total closes its lines."""
    everything = wide()
    names = (("team", "left"), ("user", "left")) if everything else (("team / user", "left"),)
    amounts = (("list USD", "right"), ("net USD", "right"), ("unpriced", "right"))
    counts = (("requests", "right"), ("input", "right"), ("output", "right"))
    columns = (*names, ("model", "left"), *(counts if everything else ()), *amounts)
    shown = table(f"Statement {month}", columns)
    for total in made.teams:
        name = total.team
        for row in (row for row in made.rows if row.team == total.team):
            who = (name, row.user) if everything else (row.user,)
            shown.add_row(*who, row.model or "unknown", *_cells(row, everything=everything))
            name = ""
        cells = _cells(total, everything=everything)
        blank = ("", "") if everything else ("",)
        shown.add_row(
            *blank,
            styled("[bold]{}[/]", total.team),
            *(styled("[bold]{}[/]", cell) for cell in cells),
        )
        shown.add_section()
    cells = _cells(made.total, everything=everything)
    blank = ("", "") if everything else ("",)
    shown.add_row(
        styled("[bold]all teams[/]"), *blank, *(styled("[bold]{}[/]", cell) for cell in cells)
    )
    notes = []
    if any(not row.model for row in made.rows):
        notes.append("unknown: no such model in the price book; weighbridge usage shows the names as they were sent")  # fmt: skip
    if made.total.partly_pico:
        notes.append(
            f"net includes {shown_usd(made.total.partly_pico, 9)} USD: "
            "the priced parts of requests that have no whole price"
        )
    shown.caption = "\n".join(notes) or None
    return shown


def _cells(row: Row, *, everything: bool) -> tuple[str, ...]:
    counts = (f"{row.requests:,}", f"{_tokens(row, 'input'):,}", f"{_tokens(row, 'output'):,}")
    return (
        *(counts if everything else ()),
        shown_usd(row.list_pico, 9),
        shown_usd(row.net_pico, 9),
        str(row.unpriced) if row.unpriced else "",
    )


def _tokens(row: Row, direction: str) -> int:
    return sum(
        quantity
        for unit, quantity in row.units.items()
        if unit in UNITS and UNITS[unit].is_token and UNITS[unit].direction == direction
    )
