"""weighbridge serve: the gateway, one process per worker, each on its own SO_REUSEPORT socket.

Several workers are forked from one that has read prices and vocabulary: a worker that dies is replaced in a
fraction of a second, and what is only read is in memory once.
"""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.beside import is_taken, leave, note_of, others, told
from gateway.commands.listening import Place, place
from gateway.commands.output import CONSOLE, ERRORS, styled
from gateway.commands.workers import Workers
from gateway.config import Config
from gateway.edge.server import Server, listening, server_config
from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.storage.engine import driver_url
from gateway.telemetry.observe import to_stderr

MAPPED_BYTES_MIN = 262_144
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
COLLECTOR_THRESHOLDS = (10_000, 20, 50)  # Python's own first is 700: several runs a request


def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="configuration file; defaults without one")
    ] = None,
) -> None:
    """Serve until SIGTERM; running streams may finish."""
    configured = shipped.configured(config)
    driver_url(configured.database_url())
    composition.prepare_folder(configured)
    composition.master_secret(configured)
    at = place(configured.server)
    held = _noted(configured, at, config)
    to_stderr()
    composition.ready_store(configured)  # a shared database is migrated by whoever owns it
    gateway = composition.Gateway(configured)
    _rest_collector()
    give_back_large()

    def serving(listens: Callable[[], None]) -> None:
        _serve(configured, gateway, at, listens)

    def banner() -> None:
        CONSOLE.print(
            styled(
                "Weighbridge on [bold]{}[/] · mounts /azure /bedrock /google · probes /-/ready",
                at.url,
            )
        )

    if configured.server.workers == 1:
        serving(banner)
    else:
        Workers(configured.server.workers, serving, banner).run()
    os.close(held)


def _noted(configured: Config, at: Place, path: Path | None) -> int:
    """Say who serves here already, and leave word that we do. Raises ConfigurationError where the folder does not take it."""
    try:
        note = note_of(at.host, at.port, path)
        for said in told(note, others(configured.folder()), taken=is_taken(at.host, at.port)):
            ERRORS.print(styled("[yellow]![/] {}", said), soft_wrap=True, highlight=False)
        return leave(configured.folder(), note)
    except OSError as error:
        problem = f"storage.folder: {error.filename or configured.folder()}: {error.strerror}; expected a writable folder"
        raise ConfigurationError((problem,)) from error


def _serve(
    configured: Config, gateway: composition.Gateway, at: Place, listens: Callable[[], None]
) -> None:
    """Until SIGTERM. Raises ConfigurationError and Unavailable where it cannot start."""
    settings = server_config(
        gateway,
        at.host,
        at.port,
        tls=at.tls,
        drain_seconds=configured.server.drain_seconds,
        http2=configured.server.http2,
        refused=gateway.observer.refused,
    )

    def late() -> None:
        gateway.observer.failed("ending", TimeoutError())

    # uvicorn ends in order and then raises the signal once more: what is left to do is to say so.
    signal.signal(signal.SIGTERM, _ended_in_order)
    try:
        Server(settings, listens, late).run(sockets=[listening(at.host, at.port)])
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        raise Unavailable(
            f"cannot start: {named}{error.strerror or error}; see the folder, and the port"
        ) from error


def _rest_collector() -> None:
    """Price book, vocabulary and code live as long as we do: the garbage collector need not walk them again.

    A request leaves almost no cycles behind, so it may also come by more rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def give_back_large() -> None:
    """Memory of large bodies goes back to the system when they are done, where the C library can be told (glibc).

    By itself it keeps what was once freed for the next of that size, in pieces that fit ever less: a soak with bodies of
    megabytes left 140 MB unused after nine minutes, and 3 MB with this.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)


def _ended_in_order(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)
