"""What may be configured to authenticate at a provider, and what a credential does with a request.

To add a scheme: a struct here (its tag is its name in the configuration), its work in a module of its own,
one line in keyring.py.
"""

import re
from typing import Final, Protocol, TypeAlias

import msgspec

from gateway.providers.contract import Signing
from gateway.wire.messages import Headers

_VISIBLE: Final = re.compile(r"[!-~]+")
_CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"
_COGNITIVE_SERVICES: Final = "https://cognitiveservices.azure.com/.default"


class Outbound(msgspec.Struct, frozen=True, gc=False):
    """A request about to leave, complete but for its credential. ``headers`` include Host."""

    method: bytes
    path_and_query: bytes
    headers: Headers
    body: bytes
    key_header: bytes
    signing: Signing | None
    now_us: int


class Credential(Protocol):
    """A credential at work."""

    async def headers(self, outbound: Outbound) -> Headers:
        """All headers to send, the credential among them. Answers from memory but for the very first time.

        Raises UpstreamFailed naming the credential and the cure where it cannot be had.
        """
        ...

    def standing(self, key_header: bytes) -> Headers | None:
        """What it adds to every request as of now; None where that depends on the request, or has to be fetched.

        Names are set, whatever stood under them before. ``key_header``: where the provider wants an API key.
        """
        ...

    async def run(self) -> None:
        """Refresh before expiry, until cancelled; returns at once where nothing expires."""
        ...

    async def aclose(self) -> None:
        """End what is under way."""
        ...


class Hidden(msgspec.Struct, frozen=True):
    """A struct that never shows what it holds."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


def require_visible(name: str, secret: str) -> None:
    """Raises ValueError, without the secret, where it could not stand in a header as it is."""
    if _VISIBLE.fullmatch(secret) is None:
        raise ValueError(f"{name} must be visible ASCII without blanks or line ends")


class Anonymous(Hidden, frozen=True, tag="anonymous", tag_field="type"):
    """No credential: for scripted providers, or where the network authenticates."""


class ApiKey(Hidden, frozen=True, tag="api_key", tag_field="type"):
    """A provider's API key; the provider's file says in which header it goes."""

    key: str

    def __post_init__(self) -> None:
        require_visible("key", self.key)


class Bearer(Hidden, frozen=True, tag="bearer", tag_field="type"):
    """A fixed bearer token."""

    token: str

    def __post_init__(self) -> None:
        require_visible("token", self.token)


class Entra(Hidden, frozen=True, tag="entra", tag_field="type"):
    """Microsoft Entra ID: an app registration with its secret, or whatever identity the machine has.

    client_secret  with tenant_id and client_id: that app; without: workload or managed identity, or the
                   signed-in developer; client_id then picks a user-assigned identity
    authority      host of a sovereign cloud's Entra
    """

    scope: str = _COGNITIVE_SERVICES
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    authority: str | None = None

    def __post_init__(self) -> None:
        if self.client_secret is not None and not (self.tenant_id and self.client_id):
            raise ValueError("client_secret needs tenant_id and client_id")


class AwsStatic(Hidden, frozen=True, tag="aws_static", tag_field="type"):
    """Fixed AWS keys."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __post_init__(self) -> None:
        require_visible("access_key_id", self.access_key_id)
        require_visible("secret_access_key", self.secret_access_key)
        if self.session_token is not None:
            require_visible("session_token", self.session_token)


class AwsProfile(Hidden, frozen=True, tag="aws_profile", tag_field="type"):
    """A profile of the shared credentials file; ``path`` None: where the AWS tools look."""

    profile: str = "default"
    path: str | None = None


class AwsChain(Hidden, frozen=True, tag="aws_chain", tag_field="type"):
    """What the AWS tools would find: environment, web identity, shared file, container, instance."""


class AwsRole(Hidden, frozen=True, tag="aws_role", tag_field="type"):
    """A role assumed with another AWS credential, through STS.

    region, endpoint  where STS is asked; endpoint None: the region's own
    """

    role_arn: str
    source: "AwsStatic | AwsProfile | AwsChain | AwsRole" = AwsChain()
    external_id: str | None = None
    session_name: str = "weighbridge"
    region: str = "us-east-1"
    endpoint: str | None = None


class GoogleAdc(Hidden, frozen=True, tag="google_adc", tag_field="type"):
    """Google's application default credentials, or the credentials file at ``path``."""

    scopes: tuple[str, ...] = (_CLOUD_PLATFORM,)
    path: str | None = None


AwsSetting: TypeAlias = AwsStatic | AwsProfile | AwsChain | AwsRole
CredentialSetting: TypeAlias = Anonymous | ApiKey | Bearer | Entra | AwsSetting | GoogleAdc
