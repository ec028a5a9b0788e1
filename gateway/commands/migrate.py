"""weighbridge migrate: bring the database to this program's schema."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE, emit, styled
from gateway.kernel.clock import SystemClock
from gateway.storage.migrate import revision_of, upgrade
from gateway.storage.partitions import MONTHS_AHEAD_OF_ROLE, Partitions
from gateway.storage.roles import grant


def migrate(
    *,
    role: Annotated[
        str | None, typer.Option(help="Postgres: let this role append and read, and no more")
    ] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Migrate the database up; safe to run on every replica at once."""
    configured = shipped.configured(config)
    composition.prepare_folder(configured)
    url = configured.database_url()
    before = revision_of(url)
    upgrade(url)
    after = revision_of(url)

    async def granted(name: str) -> None:
        async with composition.opened(configured) as database:
            # The role makes no tables: its months are made here, by the owner.
            await Partitions(database).ensure(SystemClock().wall_us(), MONTHS_AHEAD_OF_ROLE)
            await grant(database, name)

    if role is not None:
        asyncio.run(granted(role))
    if json:
        emit({"before": before, "after": after})
    else:
        CONSOLE.print(
            styled("[green]✓[/] the database is at revision {}", after)
            + ("" if before == after else f" (was {before})")
        )
