"""What is measured: processes started on one core, their CPU time and memory, and how to reach them.

To add a target: a function that starts it and returns a Target; ``fleet`` decides which are there.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from gateway import app as composition, shipped
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.storage.directory import NewKey
from gateway.storage.migrate import upgrade
from tests.benchmarks import shapes

READY_S: Final = 60
REPOSITORY: Final = Path(__file__).resolve().parents[2]
_CREDENTIAL: Final = "credential-of-the-benchmark"
_CONFIG: Final = """
[server]
port = {port}

[storage]
folder = "{folder}"

[limits]
connections_per_upstream = 4000

[relay]
count = {count}

[upstreams.mock]
provider = "azure"
base_url = "http://127.0.0.1:{mock}"
region = "eastus2"
abandon = "cancel"
credential = {{ type = "api_key", key = "${{env:BENCH_CREDENTIAL}}" }}

[[deployments]]
name = "{deployment}"
upstream = "mock"
model = "{model}"
scope = "global"
"""
_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream mock {{ server 127.0.0.1:{mock}; keepalive 2048; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    keepalive_requests 100000000;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""


class Target(NamedTuple):
    """Something that answers on a port.

    paths    by 'json' and 'stream': what to ask for
    pid      the root of its process tree; None: nothing stands between (direct)
    config   the gateway's, where its books are to be checked
    is_metered  whether every answer leaves a row
    """

    name: str
    port: int
    path: str
    key: str
    pid: int | None = None
    config: Config | None = None
    is_metered: bool = False


# ── processes ────────────────────────────────────────────────────────────────────────────────────


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_ns(pid: int) -> int:
    """User and system time a process tree has used so far, in ns."""
    total = 0
    for one in tree(pid):
        with suppress(OSError):
            # Linux: the CPU clock of another process, all its threads together, to the nanosecond.
            total += time.clock_gettime_ns((~one << 3) | 2)
    return total


def memory_bytes(pid: int) -> int:
    """The proportional set size of a process tree."""
    total = 0
    for one in tree(pid):
        with suppress(OSError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total


def pause(pid: int | None) -> None:
    """Stop a tree, so that it disturbs no other measurement."""
    _signal(pid, signal.SIGSTOP)


def resume(pid: int | None) -> None:
    """Let it run again."""
    _signal(pid, signal.SIGCONT)


def _signal(pid: int | None, number: signal.Signals) -> None:
    for one in tree(pid) if pid else ():
        with suppress(OSError):
            os.kill(one, number)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: Sequence[str], core: int, log: Path) -> Iterator[int]:
    """A child on one core (-1: on any), ended by its own pid."""

    def pin() -> None:
        if core >= 0:
            os.sched_setaffinity(0, {core})

    environment = {**os.environ, "BENCH_CREDENTIAL": _CREDENTIAL}
    with log.open("wb") as output:
        # The pin is one system call between fork and exec; the benchmark has no threads of its own.
        child = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=pin,  # noqa: PLW1509  # see above
        )
        try:
            yield child.pid
        finally:
            resume(child.pid)
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def await_port(port: int, log: Path, path: str = "") -> None:
    """Until a port accepts, or until ``path`` answers there. Raises RuntimeError with the log."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if path:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
            else:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing answers on port {port}:\n{log.read_text()[-2000:]}")


# ── the targets ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def mock(folder: Path, core: int) -> Iterator[int]:
    """The mock upstream; its port."""
    port, log = free_port(), folder / "mock.log"
    module = "tests.benchmarks.mock_upstream"
    with process([sys.executable, "-m", module, str(port), str(core)], core, log):
        await_port(port, log)
        yield port


def nginx_binary() -> str | None:
    """Where nginx is installed, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(binary: str, folder: Path, mock_port: int, core: int) -> Iterator[Target]:
    """A plain reverse proxy: one worker, kept upstream connections, no buffering, no log."""
    port, log = free_port(), folder / "nginx.log"
    folder.chmod(0o755)  # its worker may be another user
    text = _NGINX.format(folder=folder, mock=mock_port, port=port)
    path = folder / "nginx.conf"
    path.write_text(text)
    with process([binary, "-p", str(folder), "-c", str(path)], core, log) as pid:
        await_port(port, log)
        yield Target("nginx", port, shapes.METERED_PATH, "none", pid)


class Gateway(NamedTuple):
    """A gateway that serves."""

    port: int
    pid: int
    key: str
    config: Config


@contextmanager
def gateway(folder: Path, mock_port: int, core: int, *, count: bool) -> Iterator[Gateway]:
    """``weighbridge serve`` on a folder of its own, with one key."""
    folder.mkdir()
    port, log, path = free_port(), folder / "gateway.log", folder / "weighbridge.toml"
    path.write_text(
        _CONFIG.format(
            port=port, folder=folder / "var", mock=mock_port, count=str(count).lower(),
            deployment=shapes.DEPLOYMENT, model=shapes.MODEL,
        )
    )  # fmt: skip
    config = shipped.configured(path, {"BENCH_CREDENTIAL": _CREDENTIAL})
    composition.prepare_folder(config)
    upgrade(config.database_url())
    key = asyncio.run(_made_key(config))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
    with process(command, core, log) as pid:
        await_port(port, log, "/-/ready")
        yield Gateway(port, pid, key, config)


async def _made_key(config: Config) -> str:
    async with composition.opened(config) as database:
        keys = composition.directory(config, database, SystemClock())
        return (await keys.create(NewKey(user="user-0001", team="core", cost_centre="4100"))).key


def mounted(serving: Gateway, name: str, path: str, *, is_metered: bool) -> Target:
    """A path of a gateway as a target."""
    return Target(
        name, serving.port, f"/azure{path}", serving.key, serving.pid, serving.config, is_metered
    )


@contextmanager
def fleet(folder: Path, core_target: int, core_load: int) -> Iterator[tuple[int, list[Target]]]:
    """The mock's port and every target, all on the same core, all paused but while they are measured."""
    with ExitStack() as stack:
        port = stack.enter_context(mock(folder, core_load))
        counted = stack.enter_context(gateway(folder / "counted", port, core_target, count=True))
        plain = stack.enter_context(gateway(folder / "plain", port, core_target, count=False))
        targets = [
            Target("direct", port, shapes.METERED_PATH, "none"),
            mounted(counted, "metered", shapes.METERED_PATH, is_metered=True),
            mounted(plain, "uncounted", shapes.METERED_PATH, is_metered=True),
            mounted(plain, "unmetered", shapes.FREE_PATH, is_metered=False),
        ]
        binary = nginx_binary()
        if binary is not None:
            (folder / "nginx").mkdir()
            targets.append(stack.enter_context(nginx(binary, folder / "nginx", port, core_target)))
        yield port, targets
