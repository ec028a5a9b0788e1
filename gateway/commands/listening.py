"""Where the gateway will listen, tried before anything is loaded: address, port, certificate, HTTP/2."""

import errno
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from gateway.config.tables import Server
from gateway.edge.server import Tls, listening, tls_problem
from gateway.kernel.errors import ConfigurationError

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


class Place(msgspec.Struct, frozen=True):
    """An address that could be bound, by its number where any port was asked for (0)."""

    host: str
    port: int
    tls: Tls | None

    @property
    def url(self) -> str:
        """As a client names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"


def tls_of(server: Server) -> Tls | None:
    """The configured certificate and key; None: plain HTTP."""
    if not (server.tls_certificate and server.tls_key):
        return None
    return Tls(Path(server.tls_certificate), Path(server.tls_key))


def place_of(server: Server, port: int = 0) -> Place:
    """Where it is to listen; at ``port``, where the configured one is any (0)."""
    return Place(server.host, server.port or port, tls_of(server))


def unservable(server: Server, *, port: int = 0) -> list[str]:
    """What is in the way of listening, each with its cure; the address is tried with that port (0: any)."""
    tls = tls_of(server)
    problems = [_bound(server, port), tls_problem(tls) if tls else None]
    if server.http2 and find_spec("zttp") is None:
        problems.append(
            "server.http2: not installed; install weighbridge[http2] or set it to false"
        )
    return [problem for problem in problems if problem]


def place(server: Server) -> Place:
    """Where to listen, tried. Raises ConfigurationError with everything that is in the way."""
    problems = unservable(server, port=server.port)
    if problems:
        raise ConfigurationError(tuple(problems))
    with listening(server.host, server.port) as tried:
        return place_of(server, tried.getsockname()[1])


def _bound(server: Server, port: int) -> str | None:
    try:
        listening(server.host, port).close()
    except OSError as error:
        return _unbound(server, error)
    return None


def _unbound(server: Server, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        cure = "stop what listens there, or set another server.port"
        return f"server.port: {server.port} on {server.host} is in use; {cure}"
    if error.errno in _FORBIDDEN:
        cure = "expected one of 1024 or more, or the capability CAP_NET_BIND_SERVICE"
        return f"server.port: this user may not listen on {server.port}; {cure}"
    cure = "expected one such as 127.0.0.1, 0.0.0.0 or ::"
    return f"server.host: {server.host!r} is no address of this machine; {cure}"
