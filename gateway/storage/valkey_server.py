"""The connection to Valkey: scripts run by their digest, and its errors said in the room's two words.

The driver is an extra of its own and is loaded when a server is opened. What it raises may quote addresses,
so only the kind of an error is told. To explain a further kind: a line in ``_CURES``.
"""

import asyncio
import hashlib
import importlib
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.kernel.errors import ConfigurationError
from gateway.storage.errors import StoreUnavailable

CALL_S_MAX: Final = (
    1  # a server in memory that takes longer is away; connecting and waiting for a connection count
)
CONNECTIONS_MAX: Final = 8
SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss", "unix")
_TRIES: Final = 2  # every script may be repeated; a server that was started again has closed the first connection
_CURES: Final = {
    "OutOfMemoryError": "it is out of memory: raise maxmemory, with maxmemory-policy noeviction",
    "AuthenticationError": "it refuses the credential: see quotas.valkey",
    "AuthenticationWrongNumberOfArgsError": "it refuses the credential: see quotas.valkey",
    "AuthorizationError": "it refuses the credential: see quotas.valkey",
    "NoPermissionError": "its user may not run scripts: allow +@scripting +@read +@write +info +time",
    "ReadOnlyError": "it is a replica: name the primary, or wait for the failover",
    "MovedError": "it is a cluster of several shards: name a server that has all slots",
    "BusyLoadingError": "it is still starting",
}


class ValkeyServer:
    """One server. Raises ConfigurationError where the driver is not installed or the URL is none of its."""

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise ConfigurationError((f"quotas.valkey: expected a URL that begins with {known}",))
        self._driver = _driver()
        self._errors: Any = self._driver.exceptions
        self._foreign = (self._errors.ValkeyError, OSError)  # a driver's TimeoutError is the former
        try:
            pool = self._driver.asyncio.BlockingConnectionPool.from_url(
                url,
                # The driver would bound its writes by asyncio.wait_for, which on Python 3.11 swallows a
                # cancellation that comes as the write ends: ``_once`` bounds the whole call.
                socket_timeout=None,
                socket_connect_timeout=CALL_S_MAX,
                max_connections=CONNECTIONS_MAX,
                timeout=CALL_S_MAX,
                client_name="weighbridge-quotas",
            )
        except (ValueError, TypeError):
            problem = "quotas.valkey: the URL cannot be read; expected valkey://host:6379/0"
            raise ConfigurationError((problem,)) from None  # the driver would quote it
        self._client: Any = self._driver.asyncio.Valkey.from_pool(pool)
        self._digests: dict[str, str] = {}

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[bytes]) -> Any:
        """A script's answer. Raises StoreUnavailable: then nobody knows whether it was carried out."""
        digest = self._digests.get(script)
        if digest is None:
            digest = self._digests[script] = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - Valkey's own name of a script
        try:
            return await self._asked("EVALSHA", digest, len(keys), *keys, *arguments)
        except self._errors.NoScriptError:
            return await self._translated("EVAL", script, len(keys), *keys, *arguments)
        except self._foreign as error:
            raise await self._unavailable(error) from None

    async def info(self) -> dict[str, Any]:
        """What the server says of itself. Raises StoreUnavailable."""
        found: dict[str, Any] = await self._translated("INFO")
        return found

    async def first(self, key: str, ms: int) -> bool:
        """Whether nobody has taken ``key`` within the last ``ms``; it is then taken. Raises StoreUnavailable."""
        return bool(await self._translated("SET", key, "1", "NX", "PX", ms))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _translated(self, *command: Any) -> Any:
        try:
            return await self._asked(*command)
        except self._foreign as error:
            raise await self._unavailable(error) from None

    async def _asked(self, *command: Any) -> Any:
        for _ in range(_TRIES - 1):
            try:
                return await self._once(command)
            except self._errors.ConnectionError:
                await self._client.connection_pool.disconnect(inuse_connections=False)
        return await self._once(command)

    async def _once(self, command: Sequence[Any]) -> Any:
        async with asyncio.timeout(CALL_S_MAX):
            return await self._client.execute_command(*command)

    async def _unavailable(self, error: BaseException) -> StoreUnavailable:
        name = type(error).__name__
        if isinstance(error, self._errors.ReadOnlyError):
            # Behind one address another server may be the primary by now.
            await self._client.connection_pool.disconnect(inuse_connections=False)
        return StoreUnavailable(f"Valkey cannot be used now: {_CURES.get(name, name)}")


def _driver() -> Any:
    try:
        importlib.import_module("valkey.asyncio")
        return importlib.import_module("valkey")
    except ModuleNotFoundError as error:
        problem = "quotas.engine: 'valkey' needs its driver: pip install 'weighbridge[valkey]'"
        raise ConfigurationError((problem,)) from error
