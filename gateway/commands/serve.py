"""weighbridge serve: the gateway, one process per worker, each on its own SO_REUSEPORT socket.

Several workers are forked from one that has read prices and vocabulary: a worker that dies is replaced in a
fraction of a second, and what is only read is in memory once.
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE
from gateway.config import Config
from gateway.edge.server import Tls, listening, server_config
from gateway.kernel.clock import SystemClock
from gateway.telemetry.observe import to_stderr

COLLECTOR_THRESHOLDS = (10_000, 20, 50)  # Python's own first is 700: several runs a request
NS_PER_S = 1_000_000_000
RESPAWN_NS_MIN = NS_PER_S  # a worker that dies at once is not started in a tight loop
LOOK_SECONDS = 0.05
_ENDING = (signal.SIGTERM, signal.SIGINT)


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="configuration file; defaults without one")
    ] = None,
) -> None:
    """Serve until SIGTERM; running streams may finish."""
    configured = shipped.configured(config)
    composition.prepare_folder(configured)
    composition.master_secret(configured)
    to_stderr()
    _prepare(configured)
    gateway = composition.Gateway(configured)
    _rest_collector()
    if configured.server.workers == 1:
        _serve(configured, gateway)
    else:
        _supervise(configured, gateway)


def _prepare(configured: Config) -> None:
    """SQLite is migrated at start; a shared database by whoever owns it (weighbridge migrate)."""
    composition.ready_store(configured)
    where = f"http{'s' if configured.server.tls_certificate else ''}://{configured.server.host}:{configured.server.port}"
    CONSOLE.print(
        f"Weighbridge on [bold]{where}[/] · mounts /azure /bedrock /google · probes /-/ready"
    )


def _serve(configured: Config, gateway: composition.Gateway) -> None:
    server = configured.server
    tls = None
    if server.tls_certificate and server.tls_key:
        tls = Tls(Path(server.tls_certificate), Path(server.tls_key))
    settings = server_config(
        gateway,
        server.host,
        server.port,
        tls=tls,
        drain_seconds=server.drain_seconds,
        http2=server.http2,
    )
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
    """The worker processes: forked, replaced, ended by pid."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        """``work`` is what a worker does until SIGTERM. Nothing may run in this process that a fork would tear."""
        self._work = work
        self._stopping = False
        self._clock = SystemClock()
        self._running: dict[int, int] = {}
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        # A signal that came in between would find our handler in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        pid = -1 if self._stopping else os.fork()
        if pid == 0:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
        elif pid > 0:
            self._running[pid] = self._clock.ticks_ns()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if pid == 0:
            self._work()
            sys.exit(0)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Pass the signal on; each worker drains by itself."""
        self._stopping = True
        for pid in self._running:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGTERM)

    def watch(self) -> None:
        """Replace what dies until told to stop, then wait for all."""
        while self._running:
            time.sleep(LOOK_SECONDS)
            for pid, began in list(self._running.items()):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._running[pid]
                    self._replace(self._clock.ticks_ns() - began)

    def _replace(self, lived_ns: int) -> None:
        if not self._stopping:
            time.sleep(max(0, RESPAWN_NS_MIN - lived_ns) / NS_PER_S)
        self._start()


def _supervise(configured: Config, gateway: composition.Gateway) -> None:
    workers = _Workers(configured.server.workers, lambda: _serve(configured, gateway))
    for number in _ENDING:
        signal.signal(number, workers.stop)
    workers.watch()
