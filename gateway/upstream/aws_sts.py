"""AWS Security Token Service: keys for an assumed role.

To use another of its operations: its parameters in a function here; ``_keys`` reads them all.
"""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx

from gateway.identity.sigv4 import sign
from gateway.kernel.clock import epoch_us
from gateway.upstream.aws import AwsKeys
from gateway.upstream.credentials import AwsRole
from gateway.upstream.fetching import Answer, fetch
from gateway.upstream.keeping import Dated
from gateway.wire.messages import Headers

_VERSION: Final = "2011-06-15"
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")


class StsRefused(Exception):
    """STS said no; the message is its error code."""


async def assume_role(
    transport: httpx.AsyncBaseTransport, setting: AwsRole, source: AwsKeys, now_us: int
) -> Dated[AwsKeys]:
    """Keys of a role for the holder of ``source``. Raises StsRefused, httpx.TransportError."""
    form = {
        "Action": "AssumeRole",
        "Version": _VERSION,
        "RoleArn": setting.role_arn,
        "RoleSessionName": setting.session_name,
    }
    if setting.external_id is not None:
        form["ExternalId"] = setting.external_id
    url = _endpoint(setting.region, setting.endpoint)
    body = urlencode(form).encode("ascii")
    headers = sign(
        b"POST",
        httpx.URL(url).raw_path,
        ((b"host", httpx.URL(url).netloc), _FORM),
        body,
        access_key_id=source.access_key_id,
        secret=source.secret_access_key,
        session_token=source.session_token,
        region=setting.region,
        service="sts",
        now_us=now_us,
    )
    return _keys(await fetch(transport, "POST", url, headers=headers, body=body))


async def assume_role_with_web_identity(
    transport: httpx.AsyncBaseTransport, setting: AwsRole, token: str
) -> Dated[AwsKeys]:
    """Keys of a role for the holder of a web identity token (Kubernetes). Raises as ``assume_role``."""
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": _VERSION,
        "RoleArn": setting.role_arn,
        "RoleSessionName": setting.session_name,
        "WebIdentityToken": token,
    }
    headers: Headers = (_FORM,)
    url = _endpoint(setting.region, setting.endpoint)
    body = urlencode(form).encode("ascii")
    return _keys(await fetch(transport, "POST", url, headers=headers, body=body))


def _endpoint(region: str, endpoint: str | None) -> str:
    return endpoint or f"https://sts.{region}.amazonaws.com/"


def _keys(answer: Answer) -> Dated[AwsKeys]:
    try:
        # An answer of bounded size from a service we authenticate; expat bounds entity expansion itself.
        root = ET.fromstring(answer.body)  # noqa: S314  # see above
    except ET.ParseError as error:
        raise StsRefused(f"status {answer.status}, and no XML") from error
    credentials = root.find(".//{*}Credentials")
    if credentials is None:
        raise StsRefused(root.findtext(".//{*}Error/{*}Code") or f"status {answer.status}")
    found = {child.tag.rpartition("}")[2]: child.text or "" for child in credentials}
    try:
        keys = AwsKeys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        expires_us = epoch_us(datetime.fromisoformat(found["Expiration"]))
    except (KeyError, ValueError) as error:
        raise StsRefused("the answer lacks keys or their expiry") from error
    return Dated(keys, expires_us)
