"""Brings a database to this program's schema; safe when many processes start at once.

Revisions live in migrations/versions; to add one see migrations/README.md.
"""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL

from gateway.kernel.errors import ConfigurationError
from gateway.storage import tables_bills, tables_costs, tables_reporting
from gateway.storage.engine import Database, driver_url, sqlite_path
from gateway.storage.tables import METADATA, is_ours

for _beside in (tables_bills.CONFIRMATION, tables_costs.FX, tables_reporting.COST_CENTRE):
    assert _beside.metadata is METADATA, "a table that drift would not see"

_ADVISORY_KEY: Final = 0x5745_4947_4842  # one number for this product's migrations
_HERE: Final = Path(__file__).resolve()
_WHEEL: Final = _HERE.parents[1] / "migrations"
_CHECKOUT: Final = _HERE.parents[2] / "migrations"


def folder() -> Path:
    """Where the revisions are: inside the installed package, else beside it in a checkout."""
    return _WHEEL if (_WHEEL / "env.py").is_file() else _CHECKOUT


def known_revisions() -> tuple[str, ...]:
    """The revisions that this program knows, oldest first; the last is the one it needs."""
    config = Config()
    config.set_main_option("script_location", _escaped(folder()))
    steps = list(ScriptDirectory.from_config(config).walk_revisions())
    return tuple(step.revision for step in reversed(steps))


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up. Runs its own event loop: from async code call it in a thread.

    Raises ConfigurationError on a bad URL and on a database that is newer than this program, StoreUnavailable where
    it is away.
    """
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Migrate down to a revision ('base' for none); rows of dropped tables are gone."""
    _run(url, lambda config: command.downgrade(config, revision))


def drift(url: str) -> list[Any]:
    """The differences between the database and the schema of tables.py, in Alembic's words; [] if none."""
    found: list[Any] = []

    def compare(connection: sa.Connection) -> None:
        options = {"include_object": _include, "compare_type": True}
        found.extend(
            compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
        )

    asyncio.run(_on_connection(url, compare))
    return found


def is_made(url: str) -> bool:
    """Whether there is a database to ask: SQLite's file would be made by whoever opens it."""
    path = sqlite_path(driver_url(url))
    return path is None or path.is_file()


def revision_of(url: str) -> str | None:
    """The revision a database is at; None where it was never migrated."""
    found: list[str | None] = []

    def read(connection: sa.Connection) -> None:
        found.append(MigrationContext.configure(connection).get_current_revision())

    asyncio.run(_on_connection(url, read))
    return found[0]


def newer_than_us(revision: str) -> str:
    """What there is to say of a database at a revision that this program does not know."""
    return f"the database is at revision {revision}, which this program does not know: it is newer; update the program"


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _include(_object: Any, name: str | None, kind: str, *_rest: Any) -> bool:
    return is_ours(name, kind)


def _run(url: str, step: Any) -> None:
    def apply(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            lock = sa.text("SELECT pg_advisory_xact_lock(:key)")
            connection.execute(lock, {"key": _ADVISORY_KEY})
        config = Config()
        config.set_main_option("script_location", _escaped(folder()))
        config.attributes["connection"] = connection
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is not None and revision not in known_revisions():
            raise ConfigurationError((newer_than_us(revision),))
        step(config)

    with _locked(driver_url(url)):
        asyncio.run(_on_connection(url, apply))


async def _on_connection(url: str, step: Any) -> None:
    # An index over a year's rows takes minutes, and who waits for another to be done with it as long.
    database = Database(url, command_s=None)
    try:
        async with database.write() as connection:
            await connection.run_sync(step)
    finally:
        await database.close()


@contextmanager
def _locked(url: URL) -> Iterator[None]:
    """SQLite: a lock on a file beside the database; switching to WAL and creating tables race otherwise."""
    path = sqlite_path(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".migrate").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
