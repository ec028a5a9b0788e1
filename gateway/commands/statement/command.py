"""weighbridge statement: one cost centre's month as it is charged; without one, the month by team, user and model."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import app as composition, shipped
from gateway.commands.known import tell_unknown
from gateway.commands.moments import period_of
from gateway.commands.output import (
    CONSOLE,
    Table,
    emit,
    fitting,
    plain,
    shown_usd,
    stop,
    table,
    usd,
)
from gateway.commands.statement.asked import Asked, through_of, unbegun
from gateway.commands.statement.chargeback import Wanted, show
from gateway.ledger.statement import Row, Statement
from gateway.metering.units import UNITS
from gateway.storage.known import Kind
from gateway.storage.ledger import Ledger

_NO_MODEL: Final = "no model"
_ASKED_SHOWN: Final = 2  # names in a cell; --json has up to twenty


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
        return
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
                "asked_models": list(row.asked),
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


def drawn(made: Statement, month: str) -> Table | str:
    """The statement for people; a team's total closes its lines. A month without a row is a sentence."""
    if not made.total.requests:
        return f"nothing was booked in {month}"
    shown = fitting(
        lambda: _laid_out(made, month, apart=True, counts=True),
        lambda: _laid_out(made, month, apart=False, counts=True),
        lambda: _laid_out(made, month, apart=False, counts=False),
    )
    notes: list[str] = []
    if any(not row.model for row in made.rows):
        notes += _notes_on_models(made)
    if made.total.partly_pico:
        notes.append(
            f"net includes {shown_usd(made.total.partly_pico, 9)} USD: "
            "the priced parts of requests that have no whole price"
        )
    shown.caption, shown.caption_justify = "\n".join(notes) or None, "left"
    return shown


def _laid_out(made: Statement, month: str, *, apart: bool, counts: bool) -> Table:
    """Team and user ``apart``, or users below their team; a column of what has no price where there is any."""
    counted = ("requests", "input", "output") if counts else ()
    amounts = ("list USD", "net USD", *(("unpriced",) if made.total.unpriced else ()))
    names = ("team", "user", "model") if apart else ("team / user", "model")
    heads = (*((name, "left") for name in names), *((name, "right") for name in (*counted, *amounts)))  # fmt: skip
    shown = table(f"Statement {month}", heads)

    def cells(row: Row) -> tuple[str, ...]:
        figures = (f"{row.requests:,}", f"{_tokens(row, 'input'):,}", f"{_tokens(row, 'output'):,}")
        unpriced = f"{row.unpriced:,}" if row.unpriced else ""
        money = (shown_usd(row.list_pico, 9), shown_usd(row.net_pico, 9), unpriced)
        return (*(figures if counts else ()), *money[: len(amounts)])

    def total(row: Row, *said: str) -> None:
        shown.add_row(*(plain(cell, style="bold") for cell in (*said, *cells(row))))
        shown.add_section()

    for team in made.teams:
        if not apart:
            shown.add_row(plain(team.team, style="bold"))
        name = team.team
        for row in (row for row in made.rows if row.team == team.team):
            who = (name, row.user) if apart else (f"  {row.user}",)
            shown.add_row(*who, model_shown(row), *cells(row))
            name = ""
        total(team, *("",) * (len(names) - 1), f"{team.team}, total")
    total(made.total, "all teams", *("",) * (len(names) - 1))
    return shown


def model_shown(row: Row) -> str:
    """The model, or with a star what was asked for in its place."""
    if row.model or not row.asked:
        return row.model or _NO_MODEL
    more = len(row.asked) - _ASKED_SHOWN
    said = ", ".join(row.asked[:_ASKED_SHOWN])
    return f"{said} and {more} more *" if more > 0 else f"{said} *"


def _notes_on_models(made: Statement) -> Iterator[str]:
    if any(row.asked for row in made.rows):
        yield "* as it was sent: the price book has no such model; weighbridge prices missing has the rows to fill"
    if any(not row.model and not row.asked for row in made.rows):
        yield f"{_NO_MODEL}: calls that named no model, or whose name the price book does not have and which used nothing"


def _tokens(row: Row, direction: str) -> int:
    return sum(
        quantity
        for unit, quantity in row.units.items()
        if unit in UNITS and UNITS[unit].is_token and UNITS[unit].direction == direction
    )
