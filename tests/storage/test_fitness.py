"""What a gateway finds of its database at the start: each thing that is in the way is one sentence with its cure."""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from gateway.kernel.errors import ConfigurationError
from gateway.storage.engine import Database, driver_url
from gateway.storage.errors import StoreStarting, StoreUnavailable
from gateway.storage.fitness import fit
from gateway.storage.migrate import downgrade, drift, known_revisions, revision_of, upgrade
from tests.prove.database import Postgres
from tests.storage.conftest import account, binaries, on_server

NEEDED = known_revisions()[-1]


async def fitted(url: str) -> list[str]:
    """What was said on the way: of a start that is waited for, of a newer schema."""
    said: list[str] = []
    database = Database(url)
    try:
        await fit(database, starting=lambda error: said.append(str(error)), newer=said.append)
    finally:
        await database.close()
    return said


async def _changed(url: str, statement: str) -> None:
    database = Database(url)
    async with database.write() as connection:
        await connection.execute(sa.text(statement))
    await database.close()


def test_a_database_at_our_revision_is_served_without_a_word(url: str) -> None:
    assert asyncio.run(fitted(url)) == []


def test_a_database_that_is_older_by_one_revision_is_refused_with_both_named(url: str) -> None:
    downgrade(url, known_revisions()[-2])
    said = f"at revision {known_revisions()[-2]}, this program needs {NEEDED}: run `weighbridge migrate`"
    with pytest.raises(StoreUnavailable, match=said):
        asyncio.run(fitted(url))
    upgrade(url)
    assert asyncio.run(fitted(url)) == []


def test_a_newer_database_is_served_and_named_and_is_never_migrated(url: str) -> None:
    asyncio.run(_changed(url, "UPDATE alembic_version SET version_num = '9999'"))
    assert asyncio.run(fitted(url)) == ["9999"]
    with pytest.raises(ConfigurationError, match=r"at revision 9999, .* it is newer; update"):
        upgrade(url)


def test_a_migration_that_is_killed_on_its_way_leaves_nothing_of_itself_and_is_made_again(
    empty_url: str,
) -> None:
    script = "import sys; from gateway.storage.migrate import upgrade; print(1, flush=True); upgrade(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", script, empty_url], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(0.15)  # of about a second
        run.kill()
    assert revision_of(empty_url) in {None, NEEDED}
    upgrade(empty_url)
    assert drift(empty_url) == []
    assert asyncio.run(fitted(empty_url)) == []


def test_a_database_that_was_never_migrated_names_the_command(empty_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="run `weighbridge migrate`"):
        asyncio.run(fitted(empty_url))


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_database_that_takes_no_writes_is_refused(url: str) -> None:
    server, _, name = url.rpartition("/")
    on_server(f"{server}/postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only, as a replica is; name the primary"):
        asyncio.run(fitted(url))


@pytest.mark.parametrize("dialect", ["postgres"])
@pytest.mark.parametrize(
    ("login", "sentence"),
    [
        ("stranger@", "mend the user or the password"),
        ("wb_poor@", "migrate --role NAME"),
    ],
)
def test_a_role_that_may_not_come_in_or_may_do_nothing_says_so(
    url: str, login: str, sentence: str
) -> None:
    make = (
        "DO $$ BEGIN CREATE ROLE wb_poor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    on_server(url, make)
    with pytest.raises(StoreUnavailable, match=sentence):
        asyncio.run(fitted(url.replace("postgres@", login)))


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_server_without_tls_is_told_from_one_that_is_away(url: str) -> None:
    for option in ("sslmode=require", "ssl=verify-full"):
        with pytest.raises(StoreUnavailable, match=r"speaks no TLS|PGSSLROOTCERT"):
            asyncio.run(fitted(f"{url}?{option}"))
    assert asyncio.run(fitted(f"{url}?sslmode=prefer&target_session_attrs=read-write")) == []
    with pytest.raises(StoreUnavailable, match="mend the host"):
        asyncio.run(fitted("postgresql://postgres@nowhere.invalid/x"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sk-secret@h/d?sslmode=sometimes",
        "postgresql://u:sk-secret@h/d?connect_timeout=5",
        "postgresql://u:sk-secret@h:port/d",
    ],
)
def test_a_url_that_the_driver_would_stumble_over_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^storage\.url: expected") as caught:
        driver_url(url)
    assert "sk-secret" not in str(caught.value)


@contextmanager
def recovering() -> Iterator[Postgres]:
    """A real server that replays its log and lets nobody in until it is promoted."""
    programs = binaries()
    if programs is None:
        pytest.skip("no Postgres of our own to start")
    server = Postgres(programs)
    server.create()
    try:
        server.start()
        server_url = server.url("postgres")
        on_server(server_url, "CREATE DATABASE weighbridge")
        upgrade(server.url())
        server.halt()
        _laid(server, "standby.signal")
        server.settings = (*server.settings, "hot_standby=off", "restore_command=/bin/false")
        server.start()
        yield server
    finally:
        server.stop()


def _laid(server: Postgres, name: str) -> None:
    path = server._home / name
    path.touch()
    if account():
        os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)


def test_a_server_that_is_starting_up_is_waited_for_and_said_once() -> None:
    async def run(server: Postgres) -> list[str]:
        waiting = asyncio.ensure_future(fitted(server.url()))
        await asyncio.sleep(1.2)
        assert not waiting.done()
        _laid(server, "promote")
        assert server._child is not None
        server._child.send_signal(signal.SIGUSR1)
        return await waiting

    with recovering() as server:
        said = asyncio.run(run(server))
    assert said == [
        "the database cannot be used now: CannotConnectNowError; wait until it has started"
    ]
    assert StoreStarting.cure
