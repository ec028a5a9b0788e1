"""What stands before a request comes, for commands and gateway alike: folder, store, secret, keys, credentials."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config import Config
from gateway.identity.keys import MASTER_BYTES_MIN
from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import ConfigurationError
from gateway.providers.contract import Signing, Upstream
from gateway.storage.directory import Directory
from gateway.storage.engine import Database
from gateway.storage.migrate import upgrade
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

    Raises ConfigurationError where it is too short to be a secret.
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
    path = config.folder() / "master.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes().strip()
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_urlsafe(48).encode())
    return path.read_bytes().strip()


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Database]:
    """The configured database, closed at the end."""
    database = Database(config.database_url())
    try:
        yield database
    finally:
        await database.close()


def directory(config: Config, database: Database, clock: Clock) -> Directory:
    """The key store on a database."""
    return Directory(database, master=master_secret(config), clock=clock)
