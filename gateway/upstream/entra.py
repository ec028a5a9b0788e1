"""Tokens of Microsoft Entra ID through azure-identity.

The library does blocking I/O, so it runs in a thread and only to renew; requests read the kept token. It
costs a second and 37 MB to import: keyring.py loads this module only where Entra is configured.
To pass it another option: a field of the Entra setting, read in ``_identity``.
"""

import asyncio
from typing import Final

from azure.core.exceptions import AzureError
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.credentials import Entra
from gateway.upstream.keeping import Dated
from gateway.wire.messages import Headers

_SECONDS_MAX: Final = 15


class EntraTokens:
    """Fetches tokens for one setting. ``ca_file``: further authorities to trust."""

    def __init__(self, setting: Entra, what: str, ca_file: str | None = None) -> None:
        self._setting = setting
        self._what = what
        self._ca_file = ca_file

    async def fetch(self) -> Dated[Headers]:
        """A token as its header. Raises UpstreamFailed."""
        return await asyncio.to_thread(self._blocking)

    def _blocking(self) -> Dated[Headers]:
        try:
            # A new one each time, once an hour: no sockets left open, and no second cache beside ours.
            with self._identity() as identity:
                token = identity.get_token(self._setting.scope)
        except (AzureError, ValueError, OSError) as error:
            # The library's message may quote ids of the tenant; it stays with the cause, for the log.
            raise UpstreamFailed(
                f"{self._what}: Entra gave no token ({type(error).__name__}): check tenant_id, client_id, "
                "client_secret and scope, or the identity of this machine"
            ) from error
        value = b"Bearer " + token.token.encode("ascii")
        return Dated(((b"authorization", value),), token.expires_on * US_PER_SECOND)

    def _identity(self) -> ClientSecretCredential | DefaultAzureCredential:
        setting = self._setting
        options: dict[str, object] = {
            "connection_timeout": _SECONDS_MAX,
            "read_timeout": _SECONDS_MAX,
        }
        if self._ca_file is not None:
            options["connection_verify"] = self._ca_file
        if setting.authority is not None:
            options |= {"authority": setting.authority, "disable_instance_discovery": True}
        if setting.client_secret is not None and setting.tenant_id and setting.client_id:
            return ClientSecretCredential(
                setting.tenant_id, setting.client_id, setting.client_secret, **options
            )
        if setting.client_id is not None:
            options |= {
                "managed_identity_client_id": setting.client_id,
                "workload_identity_client_id": setting.client_id,
            }
        return DefaultAzureCredential(**options)
