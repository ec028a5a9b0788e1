"""weighbridge backup: the SQLite file copied whole while the gateway writes; what a restore needs beside it."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import shipped
from gateway.commands.output import CONSOLE, emit, stop, styled
from gateway.config import Config
from gateway.storage.copying import copied, faults_of, head_of
from gateway.storage.engine import driver_url, sqlite_path


def backup(
    *,
    to: Annotated[Path, typer.Option(help="the file to make; refused where it is there")],
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Copy the SQLite database while it is written; a Postgres is backed up by its own tools."""
    configured = shipped.configured(config)
    source = sqlite_path(driver_url(configured.database_url()))
    if source is None:
        stop("storage.url is Postgres: back it up with `pg_dump --format=custom`, see Backup in docs/operate.md")  # fmt: skip
    if not source.is_file():
        stop(f"{source} is not there: nothing was booked with this configuration yet")
    try:
        copied(source, to)
    except FileExistsError:
        stop(f"--to: {to} is there; name a file that is not")
    except OSError as error:
        stop(f"--to: {to}: {error.strerror}; name a file in a folder that can be written")
    faults = faults_of(to)
    if faults:
        to.unlink()
        stop(f"{source} is damaged, so its copy was not kept: {faults[0]}")
    link, digest = head_of(to)
    beside = _beside(configured, config)
    if json:
        emit({"file": str(to), "bytes": to.stat().st_size, "links": link, "chain_sha256": digest, "keep_too": beside})  # fmt: skip
        return
    CONSOLE.print(styled("[green]✓[/] {}: {} bytes, {} links", to, f"{to.stat().st_size:,}", f"{link:,}"), soft_wrap=True, highlight=False)  # fmt: skip
    for path in beside:
        CONSOLE.print(styled("  keep {} too", path), soft_wrap=True, highlight=False)


def _beside(config: Config, path: Path | None) -> list[str]:
    """What the database is of no use without: files of this machine that no copy of it holds."""
    found = [path, Path(config.statements.signing_key) if config.statements.signing_key else None]
    if not config.secrets.master:
        found.append(config.folder() / "master.key")
    return [str(one) for one in found if one is not None]
