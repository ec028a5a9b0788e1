"""weighbridge spend: the running month on one screen: who spends, where it will end, what is unusual.

To add a part: its drawing in ``spend_pictures`` and its records in ``spend_records``.
"""

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway import app as composition, shipped
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, Screen, emit, stop
from gateway.commands.spend.asked import Outlook, gathered
from gateway.commands.spend.pictures import (
    MODELS_ROOMY,
    ROOMY,
    changes_table,
    drawn,
    models_table,
)
from gateway.commands.spend.records import records
from gateway.kernel.clock import SystemClock, instant
from gateway.ledger.period import zone
from gateway.reporting.forecast import month_end


def spend(
    month: Annotated[str | None, typer.Argument(help="e.g. 2026-10; this month by default")] = None,
    *,
    until: Annotated[
        str | None, typer.Option(help="the first day that is not counted; today by default")
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="price, speed and reliability of every model")
    ] = False,
    changes: Annotated[
        bool, typer.Option("--changes", help="what moved against last month, and by what")
    ] = False,
    svg: Annotated[Path | None, typer.Option(help="also write the picture to a file")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """The month so far by cost centre: spend, forecast, budget, twelve months, what is unusual."""
    configured = shipped.configured(config)
    composition.ready_store(configured)
    now = instant(SystemClock().wall_us()).astimezone(zone(configured.org.timezone))
    today = _today(month, until, now)

    async def run() -> Outlook:
        of = {"with_speeds": models or json, "with_today": today == now.date()}
        async with composition.opened(configured) as database, database.moment() as still:
            return await gathered(still, configured, today, **of)

    found = asyncio.run(run())
    if json:
        for record in records(found):
            emit(record)
        return
    for part in _parts(found, CONSOLE.width, models=models, changes=changes):
        CONSOLE.print(part)
    if svg is not None:
        width = MODELS_ROOMY if models else ROOMY
        picture = Screen(record=True, width=width, file=StringIO(), force_terminal=True)
        for part in _parts(found, width, models=models, changes=changes):
            picture.print(part)
        picture.save_svg(str(svg), title="weighbridge spend")


def _parts(found: Outlook, width: int, *, models: bool, changes: bool) -> Iterator[RenderableType]:
    yield drawn(found, width)
    if models:
        yield models_table(found, width)
    if changes:
        yield changes_table(found, width)


def _today(month: str | None, until: str | None, now: datetime) -> date:
    """The first day that is not counted: complete days only, so that days can be compared."""
    if month is not None and until is not None:
        stop("name a month or --until, not both")
    if until is not None:
        try:
            return date.fromisoformat(until)
        except ValueError:
            stop(f"--until is a date such as 2026-11-22, found {until!r}")
    today = now.date()
    if month is None:
        return today
    end = month_end(period_of(month))
    if end - timedelta(days=1) > today + timedelta(days=31):
        stop(f"{month} has not begun")
    return min(end, today)
