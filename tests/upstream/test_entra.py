"""Entra tokens through azure-identity, against a local authority with a certificate of its own."""

import time
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.credentials import Entra
from gateway.upstream.entra import EntraTokens
from tests.upstream.authority import loopback_authority
from tests.upstream.scripted import Received, Reply, answer, routes, run, serving

SECRET = "s3cr3t-value"
TENANT = "11111111-2222-3333-4444-555555555555"


def json_answer(body: str, status: bytes = b"200 OK") -> bytes:
    return answer(body.encode(), b"Content-Type: application/json", status=status)


def authority(token: Reply | bytes) -> dict[str, Reply | bytes]:
    def configuration(request: Received) -> bytes:
        base = f"https://{(request.header(b'host') or b'').decode()}/{TENANT}"
        return json_answer(
            f'{{"issuer": "{base}/v2.0", "authorization_endpoint": "{base}/authorize", '
            f'"token_endpoint": "{base}/oauth2/v2.0/token"}}'
        )

    return {
        f"GET /{TENANT}/v2.0/.well-known/openid-configuration": configuration,
        f"POST /{TENANT}/oauth2/v2.0/token": token,
    }


GRANTED = json_answer('{"token_type": "Bearer", "expires_in": 3600, "access_token": "eyJ.entra"}')
REFUSED = json_answer(
    '{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}',
    b"401 Unauthorized",
)


def tokens(ca_file: Path, authority_host: str) -> EntraTokens:
    setting = Entra(
        tenant_id=TENANT,
        client_id="c-1",
        client_secret=SECRET,
        scope="https://models.example.test/.default",
        authority=authority_host,
    )
    return EntraTokens(setting, "the credential", str(ca_file))


def test_an_app_registration_gets_a_token_for_its_scope(tmp_path: Path) -> None:
    ca_file, server = loopback_authority(tmp_path)

    async def main() -> None:
        async with serving(routes(authority(GRANTED)), server) as stage:
            dated = await tokens(ca_file, stage.url).fetch()
            assert dated.value == ((b"authorization", b"Bearer eyJ.entra"),)
            assert dated.expires_us is not None
            assert abs(dated.expires_us / 1_000_000 - time.time() - 3600) < 30
            form = parse_qs(stage.received[-1].body.decode())
            assert form["scope"] == ["https://models.example.test/.default"]
            assert form["client_id"] == ["c-1"]

    run(main())


def test_a_wrong_secret_is_a_clear_failure_without_the_secret(tmp_path: Path) -> None:
    ca_file, server = loopback_authority(tmp_path)

    async def main() -> None:
        async with serving(routes(authority(REFUSED)), server) as stage:
            with pytest.raises(UpstreamFailed, match="check tenant_id") as caught:
                await tokens(ca_file, stage.url).fetch()
            assert SECRET not in caught.value.message
            assert "AADSTS" not in caught.value.message

    run(main())
