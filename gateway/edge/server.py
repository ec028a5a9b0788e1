"""How the gateway is served: uvicorn with every choice made explicitly, never ``auto``.

To serve another listener (control plane, probes) call ``server_config`` again with its app and port.
"""

import socket
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from starlette.types import ASGIApp

from gateway.edge.http1 import strict_protocol
from gateway.edge.limits import Limits

# Streams that are still running when a worker is asked to stop get this long, then they are cut.
DRAIN_SECONDS: Final = 60
# Connections the kernel may hold for us between two accepts.
BACKLOG: Final = 2048
DEFAULT_LIMITS: Final = Limits()


def listening(host: str, port: int) -> socket.socket:
    """A bound socket that several workers may share by SO_REUSEPORT. Raises OSError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    bound.set_inheritable(True)
    return bound


class Tls(msgspec.Struct, frozen=True):
    """Files of a server certificate (PEM)."""

    certificate: Path
    key: Path


def server_config(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    limits: Limits = DEFAULT_LIMITS,
    tls: Tls | None = None,
    drain_seconds: int = DRAIN_SECONDS,
    http2: bool = False,
) -> uvicorn.Config:
    """The configuration of one listener.

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
        http="zttp" if http2 else strict_protocol(limits),
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
