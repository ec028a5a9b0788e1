"""A backup that was taken while rows were booked is one state of the books, and goes on as the books it was of."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from gateway.ledger.entry import Entry
from gateway.storage.copying import copied, faults_of, head_of
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import drift
from gateway.storage.partitions import Partitions
from gateway.storage.roles import grant
from gateway.storage.verifying import Verification
from tests.storage.conftest import NOW_US, binaries, make_entry, on_server, renamed

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
FREE_PAGES_AT = 36  # of SQLite's header: how many pages are free


@asynccontextmanager
async def booking(ledger: Ledger) -> AsyncIterator[None]:
    """Rows are booked, a batch after the other, as long as it is entered; some are there before."""

    async def book() -> None:
        while True:
            await ledger.append([make_entry() for _ in range(20)])

    await ledger.append([make_entry() for _ in range(20)])
    task = asyncio.create_task(book())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def verified(url: str, *more: Entry) -> Verification:
    """What verify says of a restored database, once these rows were booked into it."""
    database = Database(url)
    try:
        ledger = Ledger(database)
        await ledger.append(more)
        return await ledger.verify()
    finally:
        await database.close()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
class TestSqlite:
    """The file, copied by the command."""

    async def test_a_copy_of_a_file_that_is_written_is_whole_and_one_state(
        self, database: Database, ledger: Ledger, tmp_path: Path
    ) -> None:
        assert database.file is not None
        copies = [tmp_path / f"{at}.db" for at in range(3)]
        async with booking(ledger):
            for copy in copies:
                await asyncio.to_thread(copied, database.file, copy)
                await asyncio.sleep(0.05)
        for copy in copies:
            links, digest = head_of(copy)
            assert (faults_of(copy), links > 0, len(digest)) == ([], True, 64)
            assert not copy.with_name(f"{copy.name}-wal").exists()
            found = await verified(f"sqlite:///{copy}")
            assert (found.is_sound, found.links, found.entries) == (True, links, 20 * links)
            found = await verified(f"sqlite:///{copy}", make_entry())
            assert (found.is_sound, found.links) == (True, links + 1)

    async def test_a_copy_is_there_whole_or_not_at_all(
        self, database: Database, ledger: Ledger, tmp_path: Path
    ) -> None:
        assert database.file is not None
        there = tmp_path / "there.db"
        there.write_bytes(b"another backup")
        with pytest.raises(FileExistsError):
            copied(database.file, there)
        assert there.read_bytes() == b"another backup"
        with pytest.raises(OSError, match="No such file"):
            copied(database.file, tmp_path / "nowhere" / "copy.db")
        left = await asyncio.to_thread(os.listdir, tmp_path)
        assert not [name for name in left if "copy" in name or name.startswith(".")]

    async def test_a_damaged_file_is_named_although_every_row_of_it_can_be_read(
        self, database: Database, ledger: Ledger, tmp_path: Path
    ) -> None:
        await ledger.append([make_entry() for _ in range(3)])
        assert database.file is not None
        copy = tmp_path / "copy.db"
        copied(database.file, copy)
        with copy.open("r+b") as file:
            file.seek(FREE_PAGES_AT)
            file.write((7).to_bytes(4, "big"))
        found = await verified(f"sqlite:///{copy}")
        assert not found.is_sound
        assert (found.chain, found.differences, found.mistakes) == ((), (), ())
        assert "freelist" in " ".join(found.file).lower()


def program(name: str) -> str:
    found = binaries()
    if found is None or not (found / name).is_file():
        pytest.skip(f"no {name} beside the server's programs")
    return str(found / name)


def ran(*words: str) -> None:
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def other(postgres: str) -> Iterator[str]:
    """An empty database of another collation whose sessions are in another time zone."""
    name = f"wb_other_{uuid4().hex[:8]}"
    on_server(postgres, f"CREATE DATABASE {name} TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'")  # fmt: skip
    on_server(postgres, f"ALTER DATABASE {name} SET timezone TO 'Asia/Kolkata'")
    yield renamed(postgres, name)
    on_server(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("dialect", ["postgres"], indirect=True)
async def test_a_dump_of_a_database_that_is_written_restores_as_the_same_books(
    database: Database, ledger: Ledger, url: str, other: str, tmp_path: Path
) -> None:
    dump, restore = program("pg_dump"), program("pg_restore")
    file, role = tmp_path / "books.dump", f"wb_role_{uuid4().hex[:8]}"
    await asyncio.to_thread(on_server, url, f"CREATE ROLE {role} LOGIN")
    try:
        await grant(database, role)
        async with booking(ledger):
            await asyncio.to_thread(ran, dump, "--format=custom", f"--file={file}", url)
        await asyncio.to_thread(
            ran, restore, "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={other}", str(file)
        )  # fmt: skip
        assert await asyncio.to_thread(drift, other) == []
        found = await verified(other)
        assert (found.is_sound, found.entries) == (True, 20 * found.links)
        assert found.links > 0
        restored = Database(other)
        await Partitions(restored).ensure(NOW_US)
        await grant(restored, role)
        async with restored.read() as connection:
            zone = await connection.scalar(sa.text("SHOW timezone"))
        await restored.close()
        assert zone == "Asia/Kolkata"
        again = await verified(other.replace("postgres@", f"{role}@"), make_entry())
        assert (again.is_sound, again.links) == (True, found.links + 1)
    finally:
        for where, what in ((other, "OWNED BY"), (url, "OWNED BY"), (url, "ROLE")):
            await asyncio.to_thread(on_server, where, f"DROP {what} {role}")
