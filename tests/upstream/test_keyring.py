"""Every configured credential has its work, and only who needs a heavy library loads it."""

import subprocess
import sys

import pytest

from gateway.kernel.errors import UpstreamFailed
from gateway.providers.contract import Signing
from gateway.upstream.aws import AwsCredential
from gateway.upstream.credentials import (
    Anonymous,
    ApiKey,
    AwsChain,
    AwsProfile,
    AwsRole,
    AwsStatic,
    Bearer,
    Credential,
    CredentialSetting,
    Entra,
    GoogleAdc,
    Outbound,
)
from gateway.upstream.keyring import Surroundings, credential_for
from gateway.upstream.tokens import FixedCredential, TokenCredential
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import Hands, Watcher, run

OUTBOUND = Outbound(
    method=b"POST",
    path_and_query=b"/",
    headers=((b"host", b"h"),),
    body=b"",
    key_header=b"api-key",
    signing=Signing("bedrock", "us-east-1"),
    now_us=0,
)


def made(setting: CredentialSetting, watcher: Watcher | None = None) -> Credential:
    surroundings = Surroundings(
        environ={"AWS_EC2_METADATA_DISABLED": "true"},
        transport=RelayTransport(),
        clock=Hands(),
        observer=watcher,
    )
    return credential_for("east", setting, surroundings)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        (Anonymous(), FixedCredential),
        (ApiKey("k"), FixedCredential),
        (Bearer("t"), FixedCredential),
        (Entra(), TokenCredential),
        (GoogleAdc(), TokenCredential),
        (AwsStatic("A", "s"), AwsCredential),
        (AwsProfile(), AwsCredential),
        (AwsChain(), AwsCredential),
        (AwsRole("arn"), AwsCredential),
    ],
)
def test_every_setting_has_its_credential(setting: CredentialSetting, kind: type) -> None:
    assert type(made(setting)) is kind


def test_static_keys_sign_and_need_no_keeper() -> None:
    async def main() -> None:
        credential = made(AwsStatic("AKIA", "s"))
        await credential.run()
        headers = dict(await credential.headers(OUTBOUND))
        assert headers[b"authorization"].startswith(b"AWS4-HMAC-SHA256 Credential=AKIA/")
        assert credential.standing(b"x-api-key") is None
        await credential.aclose()

    run(main())


def test_a_credential_that_cannot_be_had_names_its_upstream_and_is_reported() -> None:
    async def main() -> None:
        watcher = Watcher()
        credential = made(AwsChain(), watcher)
        with pytest.raises(UpstreamFailed, match=r"\(AwsChain\) of upstream 'east'"):
            await credential.headers(OUTBOUND)
        assert [what for what, _error in watcher.failures] == [
            "the credential (AwsChain) of upstream 'east'"
        ]

    run(main())


def test_nobody_pays_for_a_library_that_is_not_configured() -> None:
    check = (
        "import sys, gateway.upstream.pool, gateway.upstream.keyring;"
        "print([name for name in ('azure.identity', 'google.auth', 'msal') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
    assert printed.stdout.strip() == b"[]"
