"""weighbridge serve: the gateway, one process per worker, each on its own SO_REUSEPORT socket."""

import gc
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE
from gateway.config import Config
from gateway.edge.server import Tls, listening, server_config
from gateway.telemetry.observe import to_stderr

COLLECTOR_THRESHOLDS = (10_000, 20, 50)  # Python's own first is 700: several runs a request
RESPAWN_SECONDS_MIN = 1  # a worker that dies at once is not started in a tight loop


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="configuration file; defaults without one")
    ] = None,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
) -> None:
    """Serve until SIGTERM; running streams may finish."""
    configured = shipped.configured(config)
    composition.prepare_folder(configured)
    composition.master_secret(configured)
    to_stderr()
    if worker or configured.server.workers == 1:
        if not worker:
            _prepare(configured)
        _serve(configured)
        return
    _prepare(configured)
    _supervise(configured, config)


def _prepare(configured: Config) -> None:
    """SQLite is migrated at start; a shared database by whoever owns it (weighbridge migrate)."""
    composition.ready_store(configured)
    where = f"http{'s' if configured.server.tls_certificate else ''}://{configured.server.host}:{configured.server.port}"
    CONSOLE.print(
        f"Weighbridge on [bold]{where}[/] · mounts /azure /bedrock /google · probes /-/ready"
    )


def _serve(configured: Config) -> None:
    server = configured.server
    tls = None
    if server.tls_certificate and server.tls_key:
        tls = Tls(Path(server.tls_certificate), Path(server.tls_key))
    gateway = composition.Gateway(configured)
    settings = server_config(
        gateway,
        server.host,
        server.port,
        tls=tls,
        drain_seconds=server.drain_seconds,
        http2=server.http2,
    )
    _rest_collector()
    # uvicorn ends in order and then raises the signal once more: what is left to do is to say so.
    signal.signal(signal.SIGTERM, _ended_in_order)
    uvicorn.Server(settings).run(sockets=[listening(server.host, server.port)])


def _rest_collector() -> None:
    """Price book, vocabulary and code live as long as we do: the garbage collector need not walk them again.

    A request leaves almost no cycles behind, so it may also come by more rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _ended_in_order(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


class _Workers:
    """The worker processes: started, respawned, ended by pid."""

    def __init__(self, count: int, command: list[str]) -> None:
        self._command = command
        self._stopping = False
        self._running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command)  # noqa: S603  # our own interpreter and module

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Pass the signal on; each worker drains by itself."""
        self._stopping = True
        for process in self._running:
            process.send_signal(signal.SIGTERM)

    def watch(self) -> None:
        """Respawn what dies until told to stop, then wait for all."""
        while not self._stopping:
            time.sleep(RESPAWN_SECONDS_MIN)
            for index, process in enumerate(self._running):
                if process.poll() is not None and not self._stopping:
                    self._running[index] = self._start()
        for process in self._running:
            process.wait()


def _supervise(configured: Config, path: Path | None) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--worker"]
    if path is not None:
        command += ["--config", str(path)]
    workers = _Workers(configured.server.workers, command)
    signal.signal(signal.SIGTERM, workers.stop)
    signal.signal(signal.SIGINT, workers.stop)
    workers.watch()
