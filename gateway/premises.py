"""What stands before a request comes, for commands and gateway alike: folder, store, secret, keys, credentials."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from gateway.config import Config
from gateway.exchange.ports import Observer
from gateway.identity.keys import MASTER_BYTES_MIN
from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.providers.contract import Signing, Upstream
from gateway.storage.budgets import BudgetStore
from gateway.storage.directory import Directory
from gateway.storage.engine import COMMAND_TIMEOUT_S, Database
from gateway.storage.migrate import upgrade
from gateway.storage.posting import Effects
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.quotas_postgres import postgres_quotas
from gateway.storage.quotas_sqlite import sqlite_quotas
from gateway.storage.quotas_valkey import ValkeyQuotas, valkey_quotas
from gateway.upstream.credentials import Outbound
from gateway.upstream.keyring import Surroundings, credential_for
from gateway.upstream.transport import RelayTransport


def prepare_folder(config: Config) -> None:
    """Make the folder of this machine's state. Raises ConfigurationError where that cannot be done."""
    try:
        config.folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"storage.folder: {config.folder()}: {error.strerror}; expected a writable folder"
        raise ConfigurationError((problem,)) from error


def ready_store(config: Config) -> None:
    """What a command may rely on: the folder, and SQLite at this schema. Shared databases: weighbridge migrate."""
    prepare_folder(config)
    if config.database_url().startswith("sqlite"):
        upgrade(config.database_url())


async def probe_credential(config: Config, upstream: Upstream) -> None:
    """Fetch an upstream's credential once. Raises UpstreamFailed naming it and the cure."""
    clock = SystemClock()
    transport = RelayTransport(clock=clock)
    surroundings = Surroundings(config.environment, transport, clock)
    credential = credential_for(upstream.name, config.credentials[upstream.name], surroundings)
    signing = Signing("probe", upstream.region or "us-east-1")
    try:
        await credential.headers(
            Outbound(
                b"GET", b"/", ((b"host", b"localhost"),), b"", b"x-key", signing, clock.wall_us()
            )
        )
    finally:
        await credential.aclose()
        await transport.aclose()


def master_secret(config: Config) -> bytes:
    """What keys derive from: configured, or made once in the folder (mode 0600).

    Raises ConfigurationError where it is too short to be a secret, or the folder cannot take it.
    """
    if config.secrets.master:
        found = config.secrets.master.encode()
        if len(found) < MASTER_BYTES_MIN:
            raise ConfigurationError(
                (
                    f"secrets.master: expected {MASTER_BYTES_MIN} or more characters, found {len(found)}",
                )
            )
        return found
    prepare_folder(config)
    path = config.folder() / "master.key"
    try:
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_urlsafe(48).encode())
        return path.read_bytes().strip()
    except OSError as error:
        problem = f"storage.folder: {path}: {error.strerror}; expected a writable folder"
        raise ConfigurationError((problem,)) from error


@asynccontextmanager
async def opened(
    config: Config, *, command_s: int | None = COMMAND_TIMEOUT_S
) -> AsyncIterator[Database]:
    """The configured database, closed at the end; ``command_s`` as of Database: None for who reads all there is."""
    database = Database(config.database_url(), command_s=command_s)
    try:
        yield database
    finally:
        await database.close()


def directory(config: Config, database: Database, clock: Clock) -> Directory:
    """The key store on a database."""
    return Directory(database, master=master_secret(config), clock=clock)


@dataclass(frozen=True, slots=True)
class QuotaEngine:
    """What keeps the holds; ``valkey`` where it is a server beside the database."""

    quotas: BatchedQuotas
    valkey: ValkeyQuotas | None = None

    @property
    def posted(self) -> Callable[[Effects], None] | None:
        """What the ledger is to tell after each commit."""
        return self.valkey.truth.posted if self.valkey else None

    @property
    def waiting(self) -> int:
        """What the store of budgets has not taken yet."""
        return self.quotas.waiting + (self.valkey.truth.waiting if self.valkey else 0)

    async def opened(self, observer: Observer) -> None:
        """Wait, seconds at most, until an engine that has forgotten everything grants holds again."""
        if self.valkey is not None:
            try:
                await asyncio.sleep(await self.valkey.epoch.begun() / 1000)
            except Unavailable as error:
                observer.failed("quota.valkey", error)  # budgets say what passes without it

    async def close(self) -> None:
        """After the last flush: tell what it posted, and close."""
        if self.valkey is not None:
            await self.valkey.truth.drain()
        await self.quotas.close()


def quota_engine(
    config: Config, database: Database, clock: Clock, observer: Observer | None = None
) -> QuotaEngine:
    """The configured engine. Raises ConfigurationError."""
    if config.quotas.engine == "valkey":
        valkey = valkey_quotas(config.quotas.valkey, database, clock=clock, observer=observer)
        return QuotaEngine(valkey.quotas, valkey)
    make = postgres_quotas if database.is_postgres else sqlite_quotas
    return QuotaEngine(make(config.database_url(), clock=clock, observer=observer))


@asynccontextmanager
async def budget_store(config: Config, database: Database) -> AsyncIterator[BudgetStore]:
    """The budgets on a database, for commands: what is held is read where the engine keeps it."""
    clock = SystemClock()
    if config.quotas.engine != "valkey":
        yield BudgetStore(database, clock)
        return
    engine = valkey_quotas(config.quotas.valkey, database, clock=clock)
    try:
        yield BudgetStore(database, clock, held=engine.truth.all_states)
    finally:
        await engine.quotas.close()
