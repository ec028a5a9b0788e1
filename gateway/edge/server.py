"""How the gateway is served: uvicorn with every choice made explicitly, never ``auto``.

To serve another listener (control plane, probes) call ``server_config`` again with its app and port.
"""

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Any, Final, NoReturn

import msgspec
import uvicorn
from starlette.types import ASGIApp

from gateway.edge.http1 import strict_protocol
from gateway.edge.limits import Limits
from gateway.edge.refusing import Refused, unheard

# Streams that are still running when a worker is asked to stop get this long, then they are cut.
DRAIN_SECONDS: Final = 60
# Beyond that, whatever hangs around us (a database, a disk, a token service): what is settled is in the journal.
REST_SECONDS: Final = 15
# Once all is booked and closed: for threads of libraries that wait for a server, which nobody can cancel.
LAST_SECONDS: Final = 1
# Connections the kernel may hold for us between two accepts.
BACKLOG: Final = 2048
DEFAULT_LIMITS: Final = Limits()


def listening(host: str, port: int) -> socket.socket:
    """A bound socket that several workers may share by SO_REUSEPORT. Raises OSError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound


class Tls(msgspec.Struct, frozen=True):
    """Files of a server certificate (PEM)."""

    certificate: Path
    key: Path


def tls_problem(tls: Tls) -> str | None:
    """What is wrong with a certificate and its key, in one sentence with the cure; None: they can serve."""
    for key, path in (("tls_certificate", tls.certificate), ("tls_key", tls.key)):
        try:
            path.read_bytes()
        except OSError as error:
            return f"server.{key}: {path}: {error.strerror}; expected a PEM file that can be read"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, _unasked)
    except (ssl.SSLError, ValueError):
        return (
            f"server.tls_certificate, server.tls_key: {tls.certificate} and {tls.key} do not serve together; "
            "expected a certificate and its own key, both PEM, the key without a passphrase"
        )
    return None


def _unasked() -> NoReturn:
    raise ValueError("a passphrase would be asked for on a terminal that nobody watches")


class _Starting:
    """The app, with what stopped its start kept for who started it: uvicorn would log it and go.

    A start can be given up, which uvicorn cannot: it would wait for as long as the app waits for others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: BaseException | None = None
        self._start: asyncio.Task[Any] | None = None
        self._is_given_up = False

    def give_up(self) -> None:
        """The process was told to end: whatever the start waits for is not waited for any more."""
        self._is_given_up = True
        if self._start is not None:
            self._start.cancel()

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self._app(scope, receive, send)

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            self._start = None
            await send(message)

        start = self._start = asyncio.current_task()
        try:
            await self._app(scope, receive, told)
        except (Exception, asyncio.CancelledError) as error:
            is_ours = self._is_given_up or isinstance(error, Exception)
            if self._start is None or not is_ours:
                raise
            assert start is not None
            start.uncancel()
            self.failure = None if self._is_given_up else error
            await send({"type": "lifespan.startup.failed", "message": ""})


class Server(uvicorn.Server):
    """uvicorn's, but what stops a start is raised by ``run`` as it is, and ``listens`` is called once it serves.

    Told to end by a signal, the process is gone in the time of the drain and REST_SECONDS, for certain; ``late`` is
    called, in another thread, where that took force. Nothing is lost by it that kill -9 would not lose.
    """

    def __init__(
        self, config: uvicorn.Config, listens: Callable[[], None], late: Callable[[], None]
    ) -> None:
        self._starting = _Starting(config.app)  # type: ignore[arg-type]  # server_config gave it an app, not a name
        config.app = self._starting
        super().__init__(config)
        self._listens = listens
        self._late = late
        self._is_told = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """At a signal: end in order, and in time. What has not begun to serve has nothing to drain, and ends at once."""
        super().handle_exit(sig, frame)
        if not self._is_told:
            self._is_told = True
            if self._loop is not None and not self.started:
                self._loop.call_soon_threadsafe(self._starting.give_up)
            drain = (self.config.timeout_graceful_shutdown or 0) if self.started else 0
            _gone_in(drain + REST_SECONDS, self._late)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, book, close."""
        await super().shutdown(sockets)
        if self._is_told:
            _gone_in(LAST_SECONDS, _nothing)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen; neither where the process was told to end meanwhile. Raises what stopped it."""
        self._loop = asyncio.get_running_loop()
        said = logging.getLogger("uvicorn.error")
        said.disabled = True  # of a failed start it knows only that
        try:
            await super().startup(sockets)
        except SystemExit as ended:
            if self._is_told and self._starting.failure is None:
                return
            raise self._starting.failure or ended from None
        finally:
            said.disabled = False
        if not self._is_told:
            self._listens()


def _gone_in(seconds: float, late: Callable[[], None]) -> None:
    """End the process then, where it has not ended by itself: no task and no thread can hold that up."""

    def end() -> None:
        late()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _nothing() -> None:
    """All is booked and closed: there is nothing to say."""


def server_config(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    limits: Limits = DEFAULT_LIMITS,
    tls: Tls | None = None,
    drain_seconds: int = DRAIN_SECONDS,
    http2: bool = False,
    refused: Refused = unheard,
) -> uvicorn.Config:
    """The configuration of one listener; ``refused`` hears what the protocol itself refuses.

    ``http2`` serves HTTP/1.1, h2c and h2 through uvicorn's zttp protocol instead of the strict one:
    experimental, for clients that speak nothing else; without our limits, timers and disconnect hook.

    Every answer carries one ``date``, ours, and no ``server``: the relay takes both out of upstream's
    headers. Logging is left to telemetry, so uvicorn configures none.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="zttp" if http2 else strict_protocol(limits, refused),
        http2=http2,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_keep_alive=limits.keep_alive_ms // 1000,
        timeout_graceful_shutdown=drain_seconds,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
