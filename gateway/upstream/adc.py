"""Tokens of Google's application default credentials through google-auth.

The library is synchronous: it runs in a thread and only to renew, and its requests come back to the event
loop and our own transport. keyring.py loads this module only where it is configured.
To support another kind of credentials file: its loader in ``_KINDS``.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Final, TypeAlias

import google.auth
import httpx
import msgspec
from google.auth import exceptions, identity_pool, impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.transport import Request, Response
from google.oauth2 import credentials as oauth2, service_account

from gateway.kernel.clock import epoch_us
from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.credentials import GoogleAdc, Hidden
from gateway.upstream.fetching import TOKEN_SERVICE, Answer, fetch
from gateway.upstream.keeping import Dated
from gateway.wire.messages import Headers

# Longer than any deadline of fetching.py: only a loop that has died leaves the thread waiting so long.
_SECONDS_MAX: Final = 60.0


# google-auth is typed only in part: here mypy has to be told.
_TransportError: Final[Callable[[Exception], exceptions.TransportError]] = exceptions.TransportError

_Load: TypeAlias = Callable[..., Credentials]
# By the file's own "type". Kinds that run a program or fetch from wherever the file says are left out.
_KINDS: Final[Mapping[str, _Load]] = {
    "service_account": service_account.Credentials.from_service_account_info,
    "authorized_user": oauth2.Credentials.from_authorized_user_info,
    "external_account": identity_pool.Credentials.from_info,
    "impersonated_service_account": (
        impersonated_credentials.Credentials.from_impersonated_service_account_info
    ),
}


class _File(Hidden, frozen=True):
    type: str = ""


class _Response(Response):
    """What google-auth wants to know of an answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> dict[str, str]:
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self._answer.headers
        }

    @property
    def data(self) -> bytes:
        return self._answer.body


class LoopRequest(Request):
    """google-auth's way to ask, called in a thread, answered by the loop's transport."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: httpx.AsyncBaseTransport
    ) -> None:
        self._loop = loop
        self._transport = transport

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: object,
    ) -> _Response:
        octets = body.encode() if isinstance(body, str) else body or b""
        pairs = tuple(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in (headers or {}).items()
        )
        deadlines = TOKEN_SERVICE if timeout is None else replace(TOKEN_SERVICE, total_s=timeout)
        asked = asyncio.run_coroutine_threadsafe(
            fetch(self._transport, method, url, headers=pairs, body=octets, deadlines=deadlines),
            self._loop,
        )
        try:
            return _Response(asked.result(_SECONDS_MAX))
        except (httpx.TransportError, TimeoutError) as error:
            refused: exceptions.TransportError = _TransportError(error)
            raise refused from error


class GoogleTokens:
    """Fetches tokens for one setting."""

    def __init__(self, setting: GoogleAdc, what: str, transport: httpx.AsyncBaseTransport) -> None:
        self._setting = setting
        self._what = what
        self._transport = transport
        self._known: Credentials | None = None

    async def fetch(self) -> Dated[Headers]:
        """A token as its header, with the project that pays where the credentials name one."""
        request = LoopRequest(asyncio.get_running_loop(), self._transport)
        return await asyncio.to_thread(self._blocking, request)

    def _blocking(self, request: LoopRequest) -> Dated[Headers]:
        try:
            if self._known is None:
                self._known = self._find(request)
            refresh: Callable[[Request], None] = self._known.refresh
            refresh(request)
        except (exceptions.GoogleAuthError, ValueError, LookupError, OSError) as error:
            raise UpstreamFailed(
                f"{self._what}: Google gave no token ({type(error).__name__}): check the credentials file "
                "and its account, or the service account of this machine"
            ) from error
        headers: Headers = (
            (b"authorization", b"Bearer " + str(self._known.token).encode("ascii")),
        )
        project = getattr(self._known, "quota_project_id", None)
        if project:
            headers = (*headers, (b"x-goog-user-project", str(project).encode("ascii")))
        expiry = self._known.expiry
        return Dated(headers, None if expiry is None else epoch_us(expiry.replace(tzinfo=UTC)))

    def _find(self, request: LoopRequest) -> Credentials:
        scopes = list(self._setting.scopes)
        path = self._setting.path
        if path is None:
            found, _project = google.auth.default(scopes=scopes, request=request)
            return found
        raw = Path(path).read_bytes()
        load = _KINDS.get(msgspec.json.decode(raw, type=_File).type)
        if load is None:
            raise ValueError(f"the type of the file must be one of {', '.join(_KINDS)}")
        return load(msgspec.json.decode(raw, type=dict[str, object]), scopes=scopes)
