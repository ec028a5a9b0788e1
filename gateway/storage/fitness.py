"""Whether this program can serve from a database as it is: started, writable, and with a schema that it knows.

A schema that is newer than this program is served all the same: migrations only add, and a release that is being
replaced has to go on (migrations/README.md).
"""

import asyncio
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from gateway.storage.engine import Database
from gateway.storage.errors import StoreStarting, StoreUnavailable
from gateway.storage.migrate import known_revisions

STARTING_S_MAX: Final = 60
LOOK_S: Final = 0.5
_REVISION: Final = sa.text("SELECT version_num FROM alembic_version")
_READ_ONLY: Final = sa.text(
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
)


async def fit(
    database: Database,
    *,
    starting: Callable[[StoreStarting], None],
    newer: Callable[[str], None],
) -> None:
    """Return once it can be served from. ``starting``, ``newer``: told once what is waited for, and what is unknown.

    Raises StoreUnavailable where it is away, read-only, or older than this program.
    """
    revision = await _started(database, starting)
    known = known_revisions()
    if revision in known[:-1]:
        needed = f"this program needs {known[-1]}: run `weighbridge migrate`"
        raise StoreUnavailable(f"the database is at revision {revision}, {needed}")
    if revision not in known:
        newer(revision)


async def _started(database: Database, starting: Callable[[StoreStarting], None]) -> str:
    """Its revision, once it has started. Raises as ``fit``."""
    loop = asyncio.get_running_loop()
    deadline, is_told = loop.time() + STARTING_S_MAX, False
    while True:
        try:
            return await _revision(database)
        except StoreStarting as error:
            if loop.time() > deadline:
                raise
            if not is_told:
                starting(error)
            is_told = True
        await asyncio.sleep(LOOK_S)


async def written(database: Database) -> None:
    """Raises StoreUnavailable where it takes no writes, as a replica."""
    async with database.read() as connection:
        if database.is_postgres and await connection.scalar(_READ_ONLY):
            cure = "name the primary in storage.url (?target_session_attrs=read-write finds it among several hosts)"
            raise StoreUnavailable(f"the database is read-only, as a replica is; {cure}")


async def _revision(database: Database) -> str:
    await written(database)
    async with database.read() as connection:
        found = (await connection.execute(_REVISION)).scalars().all()
    if not found:
        raise StoreUnavailable("the schema is missing or too old: run `weighbridge migrate`")
    return str(found[0])
