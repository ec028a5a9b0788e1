"""Real servers for tests: the gateway on a free port of loopback, and upstreams that answer with given bytes."""

import asyncio
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from gateway import app as composition, shipped
from gateway.config import Config
from gateway.edge.server import Tls, listening, server_config
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget
from gateway.quota.hold import Balance
from gateway.storage.budgets import BudgetStore
from gateway.storage.directory import MadeKey, NewKey
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade

CREDENTIAL = "upstream-credential-of-the-test"
ENVIRONMENT = {"TEST_CREDENTIAL": CREDENTIAL}
SETTINGS = """
[storage]
folder = "{folder}"
url = "{database}"

[upstreams.azure-test]
provider = "azure"
base_url = "{upstream}"
region = "eastus2"
abandon = "{abandon}"
single_tenant = {single_tenant}
credential = {{ type = "api_key", key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.runtime-test]
provider = "bedrock"
service = "runtime"
base_url = "{upstream}"
region = "us-east-1"
object_uris = ["s3://media/"]
credential = {{ type = "aws_static", access_key_id = "AKIATEST", secret_access_key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.mantle-test]
provider = "bedrock"
service = "mantle"
base_url = "{upstream}"
region = "us-east-1"
credential = {{ type = "aws_static", access_key_id = "AKIATEST", secret_access_key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.gemini-test]
provider = "google"
service = "gemini"
base_url = "{upstream}"
stores = ["fileSearchStores/house-handbook"]
credential = {{ type = "api_key", key = "${{env:TEST_CREDENTIAL}}" }}

[upstreams.vertex-test]
provider = "google"
service = "vertex"
base_url = "{upstream}"
project = "proj-1"
region = "us-central1"
object_uris = ["gs://media/"]
stores = ["projects/proj-1/locations/us-central1/ragCorpora"]
credential = {{ type = "bearer", token = "${{env:TEST_CREDENTIAL}}" }}
"""


class Running(NamedTuple):
    """A gateway that serves."""

    url: str
    port: int
    config: Config
    key: MadeKey
    gateway: composition.Gateway

    def rows(self, count: int, seconds: float = 10) -> list[Entry]:
        """The ledger's rows, once there are ``count`` of them."""
        return asyncio.run(self._rows(count, seconds))

    async def _rows(self, count: int, seconds: float) -> list[Entry]:
        deadline = time.monotonic() + seconds
        async with composition.opened(self.config) as database:
            while True:
                found = [entry async for entry in Ledger(database).usage()]
                if len(found) >= count or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(0.05)

    def put_budgets(self, *budgets: Budget) -> None:
        """Set budgets; the running gateway knows them within two seconds, so wait for that."""

        async def put() -> None:
            async with composition.opened(self.config) as database:
                for budget in budgets:
                    await BudgetStore(database).put(budget, "owner-4100")

        asyncio.run(put())
        time.sleep(2.3)

    def counters(self) -> dict[str, Balance]:
        """The counters as the database and the engine have them, by budget (and the value it is split by)."""

        async def read() -> list[Balance]:
            async with (
                composition.opened(self.config) as database,
                composition.budget_store(self.config, database) as store,
            ):
                return await store.counters()

        return {one.key.budget + one.key.subject: one for one in asyncio.run(read())}

    def make_key(self, **properties: Any) -> MadeKey:
        """Another key; the running gateway knows it within two seconds, so wait for that."""
        made = asyncio.run(
            _made(self.config, NewKey(**{"user": "user-0002", "team": "core", **properties}))
        )
        time.sleep(2.3)
        return made

    def make_keys(self, *properties: dict[str, Any]) -> list[MadeKey]:
        """Several keys, with one wait."""
        news = [NewKey(**{"user": "user-0002", "team": "core", **each}) for each in properties]
        made = [asyncio.run(_made(self.config, new)) for new in news]
        time.sleep(2.3)
        return made


async def _made(config: Config, new: NewKey) -> MadeKey:
    async with composition.opened(config) as database:
        return await composition.directory(config, database, SystemClock()).create(new)


def deployments(*named: tuple[str, str, str]) -> str:
    """TOML of Azure deployments: (name, model, scope)."""
    return "".join(
        f'\n[[deployments]]\nname = "{name}"\nupstream = "azure-test"\nmodel = "{model}"\nscope = "{scope}"\n'
        for name, model, scope in named
    )


@contextmanager
def serving(
    folder: Path,
    upstream: str,
    extra: str = "",
    *,
    database: str = "",
    abandon: str = "cancel",
    single_tenant: bool = False,
    tls: Tls | None = None,
    http2: bool = False,
    **key: Any,
) -> Iterator[Running]:
    """The gateway over an upstream, with one key that may use everything (also what has no price)."""
    path = folder / "weighbridge.toml"
    text = SETTINGS.format(
        folder=folder / "var",
        upstream=upstream,
        database=database,
        abandon=abandon,
        single_tenant=str(single_tenant).lower(),
    )
    path.write_text(text + extra, encoding="utf-8")
    config = shipped.configured(path, ENVIRONMENT)
    composition.prepare_folder(config)
    upgrade(config.database_url())
    properties = {
        "user": "user-0001",
        "team": "core",
        "allow_unpriced": True,
        "allow_batches": True,
        **key,
    }
    made = asyncio.run(_made(config, NewKey(**properties)))
    gateway = composition.Gateway(config)
    with _listening(gateway, tls=tls, http2=http2) as port:
        url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        _until_ready(url)
        yield Running(url, port, config, made, gateway)


@contextmanager
def serving_app(app: Any) -> Iterator[str]:
    """Any ASGI app on a free port."""
    with _listening(app) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _listening(app: Any, *, tls: Tls | None = None, http2: bool = False) -> Iterator[int]:
    bound = listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    settings = server_config(app, "127.0.0.1", port, drain_seconds=3, tls=tls, http2=http2)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        bound.close()


def _until_ready(url: str) -> None:
    unverified = ssl._create_unverified_context() if url.startswith("https") else None
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1, context=unverified):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway did not become ready")


class Script(NamedTuple):
    """An answer to give: status, headers, body in these pieces, then a clean end or a cut."""

    status: int
    headers: Sequence[tuple[str, str]]
    pieces: Sequence[bytes]
    streaming: bool = False
    cut: bool = False


class RawUpstream:
    """An HTTP/1.1 server by hand: it sends exactly the bytes it was told to, and keeps what it received."""

    def __init__(self, answer: Callable[[bytes, bytes], Script]) -> None:
        self._answer = answer
        self.received: list[bytes] = []
        self.gone = 0
        self.open = 0

    @contextmanager
    def running(self) -> Iterator[str]:
        started = threading.Event()
        found: dict[str, Any] = {}

        async def main() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            found["port"] = server.sockets[0].getsockname()[1]
            found["loop"] = asyncio.get_running_loop()
            found["stop"] = asyncio.Event()
            started.set()
            await found["stop"].wait()
            server.close()

        thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        thread.start()
        started.wait()
        try:
            yield f"http://127.0.0.1:{found['port']}"
        finally:
            found["loop"].call_soon_threadsafe(found["stop"].set)
            thread.join(timeout=10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone += 1
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        body = await reader.readexactly(length)
        self.received.append(head + body)
        script = self._answer(head, body)
        lines = [
            f"HTTP/1.1 {script.status} X",
            *(f"{name}: {value}" for name, value in script.headers),
        ]
        framing = (
            "transfer-encoding: chunked"
            if script.streaming
            else f"content-length: {sum(map(len, script.pieces))}"
        )
        writer.write("\r\n".join([*lines, framing, "", ""]).encode())
        self.open += 1
        try:
            for piece in script.pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if script.streaming else piece)
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            self.open -= 1
        if script.cut:
            writer.transport.abort()
            return False
        if script.streaming:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def raw_exchange(port: int, request: bytes, seconds: float = 20) -> tuple[bytes, bytes, bool]:
    """Send bytes, read one response by its framing: head, body, and whether its end was clean."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        client.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            part = client.recv(65536)
            if not part:
                return data, b"", False
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            return head, *_chunked(client, rest)
        length = next(
            int(x.split(b":")[1])
            for x in head.split(b"\r\n")
            if x.lower().startswith(b"content-length")
        )
        while len(rest) < length:
            part = client.recv(65536)
            if not part:
                return head, rest, False
            rest += part
        return head, rest, True


def _chunked(client: socket.socket, rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        while b"\r\n" not in rest:
            part = client.recv(65536)
            if not part:
                return body, False
            rest += part
        size_text, _, rest = rest.partition(b"\r\n")
        size = int(size_text, 16)
        while len(rest) < size + 2:
            part = client.recv(65536)
            if not part:
                return body + rest[:size], False
            rest += part
        if size == 0:
            return body, True
        body += rest[:size]
        rest = rest[size + 2 :]
