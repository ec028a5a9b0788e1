"""The configured credentials: decoded by their tag, checked, and silent about what they hold."""

import io

import msgspec
import pytest
from rich.console import Console

from gateway.upstream.credentials import (
    Anonymous,
    ApiKey,
    AwsChain,
    AwsProfile,
    AwsRole,
    AwsStatic,
    Bearer,
    CredentialSetting,
    Entra,
    GoogleAdc,
)

SECRET = "s3cr3t-value"
SETTINGS: list[tuple[str, CredentialSetting]] = [
    ('type = "anonymous"', Anonymous()),
    (f'type = "api_key"\nkey = "{SECRET}"', ApiKey(SECRET)),
    (f'type = "bearer"\ntoken = "{SECRET}"', Bearer(SECRET)),
    ('type = "entra"', Entra()),
    (
        f'type = "entra"\ntenant_id = "t"\nclient_id = "c"\nclient_secret = "{SECRET}"',
        Entra(tenant_id="t", client_id="c", client_secret=SECRET),
    ),
    (
        f'type = "aws_static"\naccess_key_id = "AKIA"\nsecret_access_key = "{SECRET}"',
        AwsStatic("AKIA", SECRET),
    ),
    ('type = "aws_profile"\nprofile = "prod"', AwsProfile("prod")),
    ('type = "aws_chain"', AwsChain()),
    (
        'type = "aws_role"\nrole_arn = "arn:aws:iam::1:role/r"\n[source]\ntype = "aws_profile"',
        AwsRole("arn:aws:iam::1:role/r", AwsProfile()),
    ),
    ('type = "google_adc"\npath = "/run/secrets/g.json"', GoogleAdc(path="/run/secrets/g.json")),
]


@pytest.mark.parametrize(("toml", "setting"), SETTINGS)
def test_a_setting_is_decoded_by_its_tag(toml: str, setting: CredentialSetting) -> None:
    decoded: CredentialSetting = msgspec.toml.decode(toml.encode(), type=CredentialSetting)
    assert decoded == setting


@pytest.mark.parametrize("setting", [setting for _toml, setting in SETTINGS])
def test_no_setting_shows_its_secret(setting: CredentialSetting) -> None:
    shown = io.StringIO()
    Console(file=shown).print(setting)
    assert SECRET not in f"{setting!r} {setting} {[setting]} {shown.getvalue()}"


@pytest.mark.parametrize(
    "toml",
    [
        'type = "api_key"\nkey = ""',
        f'type = "api_key"\nkey = "{SECRET}\\n"',
        f'type = "bearer"\ntoken = "{SECRET} {SECRET}"',
        f'type = "bearer"\ntoken = "{SECRET}é"',
        f'type = "aws_static"\naccess_key_id = "A"\nsecret_access_key = "{SECRET}\\r"',
        f'type = "entra"\nclient_secret = "{SECRET}"',
    ],
)
def test_a_secret_that_cannot_be_sent_is_refused_without_showing_it(toml: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.toml.decode(toml.encode(), type=CredentialSetting)
    assert SECRET not in str(caught.value)
