"""Where the soak runs: a folder, a provider, a store, Valkey, a configured gateway with keys and budgets.

To meter by another kind of budget: a table in ``BUDGETS``.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from gateway import app as composition, shipped
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.storage.directory import MadeKey, NewKey
from gateway.storage.migrate import upgrade
from tests.faults.gateways import ENVIRONMENT, free_port, settings
from tests.faults.origin import standing
from tests.prove.database import Postgres, postgres
from tests.prove.soak_origin import SoakOrigin
from tests.storage.conftest import FAST
from tests.storage.valkey_server import LiveValkey, valkey

SPOOL_MIB: Final = 48
TEAMS: Final = ("search", "support", "labs")
PRICED: Final = ("priced=yes",)
MORE: Final = """
[[deployments]]
name = "text-embedding-3-small"
upstream = "azure-test"
model = "text-embedding-3-small"
scope = "global"

[upstreams.vertex-test]
provider = "google"
service = "vertex"
base_url = "{upstream}"
project = "proj-1"
region = "us-central1"
credential = {{ type = "bearer", token = "${{env:TEST_CREDENTIAL}}" }}

[quotas]
hold_seconds = {hold_s}
{engine}
[telemetry]
otlp_endpoint = "{upstream}/v1/metrics"
otlp_seconds = 10
"""
BUDGETS: Final = """
[[budgets]]
name = "roomy money"
each = "team"
tag = "priced=yes"
usd = "1000000"
window = "month"
store_down = "allow"

[[budgets]]
name = "roomy tokens"
each = "user"
tokens = 900_000_000_000
window = "month"
store_down = "allow"

[[budgets]]
name = "roomy requests"
each = "key"
requests = 900_000_000
window = "day"
store_down = "allow"

[[budgets]]
name = "by model"
each = "model"
requests = 900_000_000
window = "day"
store_down = "allow"

[[budgets]]
name = "at a time"
each = "key"
concurrent = 500

[[budgets]]
name = "tight rate"
team = "labs"
each = "user"
requests = 120
window = "minute"

[[budgets]]
name = "small"
team = "small"
usd = "0.50"
window = "day"

[[budgets]]
name = "soft"
org = "default"
usd = "5"
window = "month"
mode = "soft"
alert = [10, 50, 80, 100]

[[budgets]]
name = "shadow"
team = "search"
requests = 100
window = "day"
mode = "shadow"
"""


class SoakPostgres(Postgres):
    """As production has it where it matters here: autovacuum runs."""

    settings: tuple[str, ...] = (
        *FAST[:1], "full_page_writes=off", "synchronous_commit=on", "shared_buffers=64MB", "max_connections=60",
        "autovacuum=on", "autovacuum_naptime=15s", "track_activities=on",
    )  # fmt: skip


class Place(NamedTuple):
    """``is_small``: the journal has a file system of its own, which can be filled."""

    folder: Path
    path: Path
    port: int
    config: Config
    origin: SoakOrigin
    store: Postgres | None
    valkey: LiveValkey | None
    is_small: bool

    @property
    def var(self) -> Path:
        return self.folder / "var"

    def command(self, *words: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """``weighbridge WORDS --config …``."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--config", str(self.path)],
            env={**os.environ, **ENVIRONMENT},
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip

    def prepared(self, sdk_user: str) -> tuple[list[MadeKey], MadeKey, dict[str, str]]:
        """The database with its budgets; keys of several teams, one that may use what has no price, one for SDKs."""
        upgrade(self.config.database_url())
        teams = [*TEAMS, *TEAMS, "small"]
        news = [NewKey(user=f"user-{n:04}", team=team, tags=PRICED) for n, team in enumerate(teams)]
        news.append(NewKey(user="user-0900", team="trials", allow_unpriced=True))
        news.append(NewKey(user=sdk_user, team="sdk", tags=PRICED))

        async def make() -> list[MadeKey]:
            async with composition.opened(self.config) as database:
                directory = composition.directory(self.config, database, SystemClock())
                return [await directory.create(new) for new in news]

        *keys, unpriced, sdk = asyncio.run(make())
        self.command("apply", "--file", str(self.folder / "budgets.toml"))
        return keys, unpriced, msgspec.structs.asdict(sdk)

    def made_key(self, user: str, team: str) -> dict[str, Any]:
        """A new key with its secrets, by the command."""
        who = ("--user", user, "--team", team, "--tag", *PRICED)
        said = self.command("keys", "create", *who, "--json")
        found: dict[str, Any] = orjson.loads(said.stdout)
        return found


@contextmanager
def placed(engine: str, *, workers: int, hold_s: int) -> Iterator[Place]:
    """``engine``: "both" (Valkey over Postgres) or "sqlite"."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wb-soak-")))
        store = (
            stack.enter_context(postgres("postgres", SoakPostgres)) if engine == "both" else None
        )
        beside = stack.enter_context(valkey()) if engine == "both" else None
        origin = stack.enter_context(standing(lambda: SoakOrigin().running()))
        is_small = stack.enter_context(_small(folder / "var" / "spool"))
        port = free_port()
        path = settings(folder, origin.port, port=port, server_drain_s=8, drain_s=30)
        quotas = "" if beside is None else f'engine = "valkey"\nvalkey = "{beside.url}"\n'
        upstream = f"http://127.0.0.1:{origin.port}"
        text = path.read_text() + MORE.format(upstream=upstream, engine=quotas, hold_s=hold_s)
        text = text.replace("[server]", f"[server]\nworkers = {workers}", 1)
        if store is not None:
            text = text.replace("[storage]", f'[storage]\nurl = "{store.url()}"', 1)
        path.write_text(text)
        (folder / "budgets.toml").write_text(BUDGETS)
        config = shipped.configured(path, ENVIRONMENT)
        composition.prepare_folder(config)
        yield Place(folder, path, port, config, origin, store, beside, is_small)


@contextmanager
def _small(folder: Path) -> Iterator[bool]:
    """A file system of its own for the journal, where we may mount one: it can be filled."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SPOOL_MIB}m", "tmpfs", str(folder)]
    is_mounted = (
        os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
