"""weighbridge migrate: bring the database to this program's schema."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE, emit
from gateway.storage.migrate import revision_of, upgrade


def migrate(
    *,
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
    if json:
        emit({"before": before, "after": after})
    else:
        CONSOLE.print(
            f"[green]✓[/] the database is at revision {after}"
            + ("" if before == after else f" (was {before})")
        )
