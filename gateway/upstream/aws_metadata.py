"""AWS keys from the machine: the container's credentials endpoint, the instance's metadata service.

Both hand out one JSON document; a third such service is a function here that fetches it.
"""

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Final

import httpx
import msgspec

from gateway.kernel.clock import epoch_us
from gateway.upstream.aws import AwsKeys
from gateway.upstream.credentials import Hidden
from gateway.upstream.fetching import METADATA, fetch
from gateway.upstream.keeping import Dated
from gateway.wire.messages import Headers

_CONTAINER_HOST: Final = "http://169.254.170.2"
_INSTANCE_HOST: Final = "http://169.254.169.254"
# Amazon's own addresses for containers; a token goes over plain http to nobody else.
_LINK_LOCAL: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_TTL: Final = (b"x-aws-ec2-metadata-token-ttl-seconds", b"21600")
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_OK: Final = 200


class MetadataRefused(Exception):
    """An endpoint that is there gave no keys; the message says which and its status."""


class _Document(Hidden, frozen=True, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str | None = None
    expiration: datetime | None = None


async def container_keys(
    transport: httpx.AsyncBaseTransport, environ: Mapping[str, str], token: str | None
) -> Dated[AwsKeys] | None:
    """Keys of the container's task or pod; None where the environment names no endpoint.

    token  what the endpoint wants as Authorization, from the environment or its file
    Raises MetadataRefused, httpx.TransportError.
    """
    url = _container_url(environ)
    if url is None:
        return None
    headers: Headers = () if token is None else ((b"authorization", token.encode("ascii")),)
    answer = await fetch(transport, "GET", url, headers=headers, deadlines=METADATA)
    return _keys("the container credentials endpoint", answer.status, answer.body)


def _container_url(environ: Mapping[str, str]) -> str | None:
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        return _CONTAINER_HOST + relative
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not full:
        return None
    url = httpx.URL(full)
    if url.scheme != "https" and url.host not in _LINK_LOCAL and not _loopback(url.host):
        raise MetadataRefused(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, loopback or Amazon's own address"
        )
    return full


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def instance_keys(
    transport: httpx.AsyncBaseTransport, environ: Mapping[str, str]
) -> Dated[AwsKeys] | None:
    """Keys of the instance's role (IMDSv2 only); None where there is no metadata service or no role.

    Raises MetadataRefused, httpx.TransportError once the service has answered.
    """
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    host = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", _INSTANCE_HOST).rstrip("/")
    try:
        asked = await fetch(
            transport, "PUT", host + "/latest/api/token", headers=(_TTL,), deadlines=METADATA
        )
    except httpx.TransportError:
        return None
    if asked.status != _OK:
        raise MetadataRefused(f"the instance metadata service gave no token: {asked.status}")
    session: Headers = ((b"x-aws-ec2-metadata-token", asked.body),)
    roles = await fetch(transport, "GET", host + _ROLES, headers=session, deadlines=METADATA)
    if roles.status != _OK or not roles.body.strip():
        return None
    role = roles.body.split()[0].decode("ascii", "replace")
    answer = await fetch(
        transport, "GET", host + _ROLES + role, headers=session, deadlines=METADATA
    )
    return _keys("the instance metadata service", answer.status, answer.body)


def _keys(where: str, status: int, body: bytes) -> Dated[AwsKeys]:
    if status != _OK:
        raise MetadataRefused(f"{where} answered {status}")
    try:
        document = msgspec.json.decode(body, type=_Document)
        expires = document.expiration
        expires_us = None if expires is None else epoch_us(expires)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MetadataRefused(f"{where} answered something else than keys") from error
    keys = AwsKeys(document.access_key_id, document.secret_access_key, document.token)
    return Dated(keys, expires_us)
