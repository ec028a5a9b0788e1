"""weighbridge rebuild: make derived tables again from the rows, and say what that changed."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE, emit, styled
from gateway.storage import rebuild as storage
from gateway.storage.rebuild import Rebuilt


class What(StrEnum):
    """What is made again."""

    ROLLUP = "rollup"
    COUNTERS = "counters"
    ALL = "all"


def rebuild(
    what: Annotated[What, typer.Argument()] = What.ALL,
    *,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Rebuild the rollup, the budgets' counters, or both, in one transaction; bookings wait meanwhile."""
    configured = shipped.configured(config)
    composition.ready_store(configured)

    async def run() -> Rebuilt:
        async with composition.opened(configured, command_s=None) as database:
            return await storage.rebuild(
                database, rollup=what != What.COUNTERS, counters=what != What.ROLLUP
            )

    done = asyncio.run(run())
    changed = {"cells": len(done.cells), "posted": len(done.posted), "pending": len(done.pending)}
    if json:
        emit({"rebuilt": what.value, **changed})
    elif any(changed.values()):
        CONSOLE.print(
            f"put right: {changed['cells']} rollup cells, posted of {changed['posted']} counters, "
            f"pending of {changed['pending']}"
        )
    else:
        CONSOLE.print(styled("[green]✓[/] nothing differed"))
