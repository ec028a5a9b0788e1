"""From a configured credential to one at work.

To add a scheme: a case in ``credential_for``. Schemes that bring a heavy library are loaded by name, so
that who does not configure them does not pay for the import (azure-identity: a second and 37 MB).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Protocol, TypeVar, cast

import httpx

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.upstream.aws import AwsCredential
from gateway.upstream.aws_sources import AwsSources
from gateway.upstream.credentials import (
    Anonymous,
    ApiKey,
    AwsSetting,
    Bearer,
    Credential,
    CredentialSetting,
    Entra,
    GoogleAdc,
)
from gateway.upstream.keeping import Dated, Kept
from gateway.upstream.tokens import FixedCredential, TokenCredential
from gateway.wire.messages import Headers

T = TypeVar("T")


class _Tokens(Protocol):
    """What entra.py and adc.py offer."""

    async def fetch(self) -> Dated[Headers]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What credentials need of the machine.

    environ    the environment's values, read once by the configuration
    transport  for token services and metadata endpoints
    ca_file    further authorities to trust, for libraries that bring their own transport
    """

    environ: Mapping[str, str]
    transport: httpx.AsyncBaseTransport
    clock: Clock
    observer: Observer | None = None
    ca_file: str | None = None


def credential_for(name: str, setting: CredentialSetting, surroundings: Surroundings) -> Credential:
    """The credential at work of the upstream called ``name``; nothing is fetched yet."""
    what = f"the credential ({type(setting).__name__}) of upstream {name!r}"
    match setting:
        case Anonymous() | ApiKey() | Bearer():
            return _fixed(setting)
        case Entra():
            tokens = _load("gateway.upstream.entra:EntraTokens")
            return _token(tokens(setting, what, surroundings.ca_file), what, surroundings)
        case GoogleAdc():
            tokens = _load("gateway.upstream.adc:GoogleTokens")
            return _token(tokens(setting, what, surroundings.transport), what, surroundings)
        case _:
            return _aws(setting, what, surroundings)


def _fixed(setting: Anonymous | ApiKey | Bearer) -> FixedCredential:
    match setting:
        case Anonymous():
            return FixedCredential()
        case ApiKey():
            return FixedCredential(key=setting.key)
        case Bearer():
            return FixedCredential(bearer=setting.token)


def _load(name: str) -> Callable[..., _Tokens]:
    return cast("Callable[..., _Tokens]", resolve_name(name))


def _token(tokens: _Tokens, what: str, surroundings: Surroundings) -> TokenCredential:
    return TokenCredential(_kept(tokens.fetch, what, surroundings))


def _aws(setting: AwsSetting, what: str, surroundings: Surroundings) -> AwsCredential:
    sources = AwsSources(
        environ=surroundings.environ,
        transport=surroundings.transport,
        clock=surroundings.clock,
        what=what,
    )
    return AwsCredential(_kept(partial(sources.fetch, setting), what, surroundings), what)


def _kept(
    fetch: Callable[[], Awaitable[Dated[T]]], what: str, surroundings: Surroundings
) -> Kept[T]:
    return Kept(fetch, clock=surroundings.clock, what=what, observer=surroundings.observer)
