"""Where AWS keys come from: a setting in, dated keys out.

To add a source to the chain: a method like the four here, and its place in ``_CHAIN``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import httpx

from gateway.kernel.clock import US_PER_SECOND, Clock
from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.aws import AwsKeys
from gateway.upstream.aws_files import ProfileError, profile_setting
from gateway.upstream.aws_metadata import MetadataRefused, container_keys, instance_keys
from gateway.upstream.aws_sts import StsRefused, assume_role, assume_role_with_web_identity
from gateway.upstream.credentials import AwsChain, AwsProfile, AwsRole, AwsSetting, AwsStatic
from gateway.upstream.keeping import Dated

# Shared files are rewritten by tools: read again every half of this.
_FILE_TRUST_US: Final = 600 * US_PER_SECOND
# A profile may name a profile that names a profile; a circle ends here.
_HOPS_MAX: Final = 5


class AwsSources:
    """Fetches keys on one machine. ``environ``: the environment's values, read once by the configuration."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        what: str,
    ) -> None:
        self._environ = environ
        self._transport = transport
        self._clock = clock
        self._what = what

    async def fetch(self, setting: AwsSetting) -> Dated[AwsKeys]:
        """Keys for a setting. Raises UpstreamFailed naming what is missing and the cure."""
        try:
            return await self._fetch(setting, _HOPS_MAX)
        except (ProfileError, MetadataRefused) as error:
            raise UpstreamFailed(f"{self._what}: {error}") from error
        except StsRefused as error:
            raise UpstreamFailed(
                f"{self._what}: STS refuses the role ({error}): check its trust policy and external_id"
            ) from error
        except httpx.TransportError as error:
            raise UpstreamFailed(
                f"{self._what}: no answer from the service that gives keys ({type(error).__name__})"
            ) from error
        except (OSError, ValueError) as error:
            raise UpstreamFailed(
                f"{self._what}: a file or value it needs cannot be read ({type(error).__name__})"
            ) from error

    async def _fetch(self, setting: AwsSetting, hops: int) -> Dated[AwsKeys]:
        if hops == 0:
            raise ProfileError("the profiles name each other in a circle")
        match setting:
            case AwsStatic():
                return Dated(_fixed(setting), None)
            case AwsProfile():
                return await self._profile(setting, hops)
            case AwsRole():
                source = await self._fetch(setting.source, hops - 1)
                role = self._with_endpoint(setting)
                now_us = self._clock.wall_us()
                return await assume_role(self._transport, role, source.value, now_us)
            case AwsChain():
                return await self._chain()

    def _with_endpoint(self, role: AwsRole) -> AwsRole:
        endpoint = role.endpoint or self._environ.get("AWS_ENDPOINT_URL_STS")
        return AwsRole(
            role_arn=role.role_arn,
            external_id=role.external_id,
            session_name=role.session_name,
            region=role.region,
            endpoint=endpoint,
        )

    async def _profile(self, setting: AwsProfile, hops: int) -> Dated[AwsKeys]:
        credentials_text = await self._text(self._credentials_path(setting))
        config_text = await self._text(self._home_path("AWS_CONFIG_FILE", "config"))
        meant = profile_setting(setting, credentials_text, config_text)
        if isinstance(meant, AwsStatic):
            return Dated(_fixed(meant), self._clock.wall_us() + _FILE_TRUST_US)
        return await self._fetch(meant, hops - 1)

    async def _chain(self) -> Dated[AwsKeys]:
        for source in _CHAIN:
            keys = await source(self)
            if keys is not None:
                return keys
        raise ProfileError(
            "no keys in the environment, web identity, shared files, container or instance: configure "
            "aws_static, aws_profile or aws_role, or give this machine a role"
        )

    async def from_environment(self) -> Dated[AwsKeys] | None:
        """AWS_ACCESS_KEY_ID and its companions."""
        access_key_id = self._environ.get("AWS_ACCESS_KEY_ID")
        secret = self._environ.get("AWS_SECRET_ACCESS_KEY")
        if not access_key_id or not secret:
            return None
        token = self._environ.get("AWS_SESSION_TOKEN") or None
        return Dated(_fixed(AwsStatic(access_key_id, secret, token)), None)

    async def from_web_identity(self) -> Dated[AwsKeys] | None:
        """The token file Kubernetes mounts for a service account with a role."""
        path = self._environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        role_arn = self._environ.get("AWS_ROLE_ARN")
        if not path or not role_arn:
            return None
        token = await asyncio.to_thread(Path(path).read_text, "ascii")
        region = self._environ.get("AWS_REGION") or self._environ.get("AWS_DEFAULT_REGION")
        name = self._environ.get("AWS_ROLE_SESSION_NAME") or "weighbridge"
        role = AwsRole(role_arn=role_arn, session_name=name, region=region or "us-east-1")
        return await assume_role_with_web_identity(
            self._transport, self._with_endpoint(role), token.strip()
        )

    async def from_files(self) -> Dated[AwsKeys] | None:
        """The shared files' profile, where there are files."""
        profile = self._environ.get("AWS_PROFILE")
        setting = AwsProfile(profile or "default")
        text = await self._text(self._credentials_path(setting))
        config = await self._text(self._home_path("AWS_CONFIG_FILE", "config"))
        if profile is None and "aws_access_key_id" not in text + config:
            return None
        return await self._profile(setting, _HOPS_MAX)

    async def from_container(self) -> Dated[AwsKeys] | None:
        """ECS, or EKS pod identity."""
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        path = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if path:
            token = (await asyncio.to_thread(Path(path).read_text, "ascii")).strip()
        return await container_keys(self._transport, self._environ, token)

    async def from_instance(self) -> Dated[AwsKeys] | None:
        """The role of the EC2 instance."""
        return await instance_keys(self._transport, self._environ)

    def _credentials_path(self, setting: AwsProfile) -> Path | None:
        if setting.path is not None:
            return Path(setting.path)
        return self._home_path("AWS_SHARED_CREDENTIALS_FILE", "credentials")

    def _home_path(self, variable: str, name: str) -> Path | None:
        named = self._environ.get(variable)
        if named:
            return Path(named)
        home = self._environ.get("HOME")
        return Path(home, ".aws", name) if home else None

    async def _text(self, path: Path | None) -> str:
        """The text of a file, '' where there is none."""
        if path is None:
            return ""
        try:
            return await asyncio.to_thread(path.read_text, "utf-8")
        except FileNotFoundError:
            return ""


_Source: TypeAlias = Callable[[AwsSources], Awaitable[Dated[AwsKeys] | None]]
_CHAIN: Final[tuple[_Source, ...]] = (
    AwsSources.from_environment,
    AwsSources.from_web_identity,
    AwsSources.from_files,
    AwsSources.from_container,
    AwsSources.from_instance,
)


def _fixed(setting: AwsStatic) -> AwsKeys:
    return AwsKeys(setting.access_key_id, setting.secret_access_key, setting.session_token)
