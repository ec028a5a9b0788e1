"""A real uvicorn with the strict protocol in a thread of its own, and sockets to misbehave with."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.edge.limits import Limits
from gateway.edge.server import Tls, server_config

PATIENCE_S = 10.0


class Served:
    """A running server."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server = server
        self.port = port

    def connect(self) -> "Wire":
        return Wire(self.port)

    def ask(self, request: bytes) -> bytes:
        """Send bytes, read until the server closes or has been silent for a while."""
        with self.connect() as wire:
            wire.send(request)
            return wire.read_all()


class Wire:
    """A raw client socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, payload: bytes) -> None:
        try:
            self.socket.sendall(payload)
        except (BrokenPipeError, ConnectionResetError):
            return  # the server has closed already: what it said is still to be read

    def reset(self) -> None:
        """Leave with a RST instead of a FIN."""
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self.socket.close()

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def read_all(self, patience_s: float = PATIENCE_S) -> bytes:
        """Everything until the server closes. Raises TimeoutError where it does not."""
        self.socket.settimeout(patience_s)
        received = bytearray()
        try:
            while part := self.socket.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return bytes(received)

    def read_until(self, mark: bytes) -> bytes:
        received = bytearray()
        while mark not in received:
            part = self.socket.recv(65536)
            assert part, f"closed before {mark!r}: {bytes(received)!r}"
            received += part
        return bytes(received)

    def is_open_for(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            return bool(self.socket.recv(1))
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False

    def seconds_until_closed(self) -> float:
        begin = time.monotonic()
        self.read_all()
        return time.monotonic() - begin


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def with_lifespan(app: Any) -> Any:
    async def whole(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await app(scope, receive, send)

    return whole


Serve = Callable[..., Served]


@contextmanager
def serving(app: Any, limits: Limits, **options: Any) -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = server_config(with_lifespan(app), "127.0.0.1", 0, limits=limits, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Served(server, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start servers that live as long as the module: ``serve(app, limits)``."""
    stack: list[Any] = []

    def start(app: Any, limits: Limits | None = None, **options: Any) -> Served:
        context = serving(app, limits or Limits(), drain_seconds=1, **options)
        served = context.__enter__()
        stack.append(context)
        return served

    yield start
    for context in reversed(stack):
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = Tls(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(built.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files.key.write_bytes(secret)
    return files


class Echo:
    """Answers with the body, remembers what was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append((scope, body))
        length = str(len(body)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", length)],
            }
        )
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def echo(serve: Any) -> Any:
    app = Echo()
    limits = Limits(head_ms=300, body_idle_ms=400, keep_alive_ms=100, sweep_ms=20, linger_ms=300)
    served = serve(app, limits)
    served.app = app
    return served
