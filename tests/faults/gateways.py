"""The whole gateway for fault tests: in a thread of this process, or by ``python -m gateway serve``.

Both read the same file, made by ``settings``. To set another key, give it to ``settings``.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway import app as composition, shipped
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry
from gateway.storage.directory import MadeKey, NewKey
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.verifying import Verification
from tests.serving import Running, _listening, _until_ready

CREDENTIAL: Final = "upstream-credential-of-the-fault-tests"
ENVIRONMENT: Final = {"TEST_CREDENTIAL": CREDENTIAL}
READY_S_MAX: Final = 60.0

_SETTINGS: Final = """
[server]
port = {port}
drain_seconds = {server_drain_s}

[storage]
folder = "{folder}"

[limits]
body_mib = {body_mib}
connect_seconds = 2
first_byte_seconds = {head_s}
stream_idle_seconds = {idle_s}
drain_seconds = {drain_s}

[upstreams.azure-test]
provider = "azure"
base_url = "{upstream}"
region = "eastus2"
abandon = "{abandon}"
credential = {{ type = "api_key", key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.runtime-test]
provider = "bedrock"
service = "runtime"
base_url = "{upstream}"
region = "us-east-1"
abandon = "{abandon}"
credential = {{ type = "aws_static", access_key_id = "AKIATEST", secret_access_key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.gemini-test]
provider = "google"
service = "gemini"
base_url = "{upstream}"
abandon = "{abandon}"
credential = {{ type = "api_key", key = "${{env:TEST_CREDENTIAL}}" }}
"""
_DEPLOYMENT: Final = """
[[deployments]]
name = "{name}"
upstream = "azure-test"
model = "{model}"
scope = "global"
"""
_DEPLOYED: Final = (
    ("gpt-4o", "gpt-4o-2024-11-20"),
    ("gpt-5.4", "gpt-5.4"),
    ("claude-sonnet-4-5", "claude-sonnet-4-5"),
)


def settings(
    folder: Path,
    upstream_port: int,
    *,
    port: int = 8080,
    abandon: str = "cancel",
    idle_s: int = 300,
    head_s: int = 600,
    drain_s: int = 600,
    body_mib: int = 32,
    server_drain_s: int = 60,
    name: str = "weighbridge.toml",
) -> Path:
    """Write the file of a gateway whose state lies below ``folder``; returns its path."""
    text = _SETTINGS.format(
        port=port,
        server_drain_s=server_drain_s,
        folder=folder / "var",
        body_mib=body_mib,
        head_s=head_s,
        idle_s=idle_s,
        drain_s=drain_s,
        upstream=f"http://127.0.0.1:{upstream_port}",
        abandon=abandon,
    )
    named = "".join(_DEPLOYMENT.format(name=name, model=model) for name, model in _DEPLOYED)
    path = folder / name
    path.write_text(text + named, encoding="utf-8")
    return path


def prepared(path: Path, **key: Any) -> tuple[Config, MadeKey]:
    """The configuration of a file, its database, and a key in it."""
    config = shipped.configured(path, ENVIRONMENT)
    composition.prepare_folder(config)
    upgrade(config.database_url())

    async def make() -> MadeKey:
        async with composition.opened(config) as database:
            directory = composition.directory(config, database, SystemClock())
            return await directory.create(NewKey(**{"user": "user-0001", "team": "core", **key}))

    return config, asyncio.run(make())


@contextmanager
def in_process(path: Path) -> Iterator[Running]:
    """The gateway of a file in a thread of this process."""
    config, made = prepared(path)
    gateway = composition.Gateway(config)
    with _listening(gateway) as port:
        url = f"http://127.0.0.1:{port}"
        _until_ready(url)
        yield Running(url, port, config, made, gateway)


class Books(NamedTuple):
    """What a database says at the end."""

    rows: list[Entry]
    verification: Verification
    quarantined: int


def books(config: Config, count: int = 0, seconds: float = 10) -> Books:
    """Rows and checks, once there are ``count`` rows (or the time is over)."""

    async def read() -> Books:
        deadline = time.monotonic() + seconds
        async with composition.opened(config) as database:
            ledger = Ledger(database)
            while True:
                rows = [row async for row in ledger.usage()]
                if len(rows) >= count or time.monotonic() > deadline:
                    return Books(rows, await ledger.verify(), await ledger.quarantined())
                await asyncio.sleep(0.1)

    return asyncio.run(read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(pid: int) -> bool:
    """Whether a process listens itself: on a shared port a probe may be answered by somebody else."""
    listening = {
        f"socket:[{line.split()[9]}]"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    try:
        links = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return bool(listening & links)


class Process:
    """``python -m gateway serve``: a process of ours, ended by its own pid only."""

    def __init__(self, path: Path, port: int, *, log: Path) -> None:
        self.port = port
        self.log = log
        self._file = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(path)],
            env={**os.environ, **ENVIRONMENT},
            stdout=self._file,
            stderr=self._file,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def until_ready(self) -> "Process":
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and nothing more is heard of it."""
        self._process.kill()
        self._process.wait()
        self._file.close()

    def wait(self, seconds: float) -> int:
        """The exit code. Raises TimeoutExpired where it does not come."""
        code = self._process.wait(seconds)
        self._file.close()
        return code

    def end(self) -> None:
        """At the end of a test: end it, politely first."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._file.close()

    def rss_bytes(self) -> int:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


@contextmanager
def process(path: Path, port: int, *, log: Path) -> Iterator[Process]:
    """A serving process that is ready, ended at the end."""
    started = Process(path, port, log=log)
    try:
        yield started.until_ready()
    finally:
        started.end()
