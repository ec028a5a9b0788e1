"""Google's application default credentials against a local token endpoint and metadata server."""

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.adc import GoogleTokens
from gateway.upstream.credentials import GoogleAdc
from gateway.upstream.keeping import Dated
from gateway.upstream.transport import RelayTransport
from gateway.wire.messages import Headers
from tests.upstream.scripted import Reply, answer, routes, run, serving

HOUR_US = 3_600_000_000
TOKEN = answer(
    b'{"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}',
    b"Content-Type: application/json",
)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


def account(folder: Path, token_uri: str) -> str:
    path = folder / "account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "p-1",
                "private_key_id": "k-1",
                "private_key": PEM,
                "client_email": "gateway@p-1.iam.gserviceaccount.test",
                "client_id": "1",
                "token_uri": token_uri,
            }
        )
    )
    return str(path)


async def token_of(setting: GoogleAdc) -> Dated[Headers]:
    transport = RelayTransport()
    try:
        return await GoogleTokens(setting, "the credential", transport).fetch()
    finally:
        await transport.aclose()


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_service_account_gets_a_token_over_our_own_transport(
    *, by_environment: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serving(routes({"POST /token": TOKEN})) as stage:
            path = account(tmp_path, stage.url + "/token")
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
            before_us = SystemClock().wall_us()
            dated = await token_of(GoogleAdc(path=None if by_environment else path))
            assert dated.value == ((b"authorization", b"Bearer ya29.token"),)
            assert dated.expires_us is not None
            assert abs(dated.expires_us - before_us - HOUR_US) < 10_000_000
            form = parse_qs(stage.received[0].body.decode())
            claims = json.loads(base64.urlsafe_b64decode(form["assertion"][0].split(".")[1] + "=="))
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            assert claims["iss"] == "gateway@p-1.iam.gserviceaccount.test"

    run(main())


def test_a_quota_project_travels_with_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serving(routes({"POST /token": TOKEN})) as stage:
            path = account(tmp_path, stage.url + "/token")
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
            monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer-1")
            dated = await token_of(GoogleAdc())
            assert (b"x-goog-user-project", b"payer-1") in dated.value

    run(main())


def test_the_machines_service_account_is_found_through_its_metadata_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavor = b"Metadata-Flavor: Google"
    table: dict[str, Reply | bytes] = {
        "GET /": answer(b"", flavor),
        "GET /computeMetadata/v1/project/project-id": answer(
            b"p-1", flavor, b"Content-Type: application/text"
        ),
        "GET /computeMetadata/v1/instance/service-accounts/default/": answer(
            b'{"email": "m@p-1.test", "scopes": [], "aliases": []}',
            flavor,
            b"Content-Type: application/json",
        ),
        "GET /computeMetadata/v1/instance/service-accounts/m@p-1.test/token": answer(
            b'{"access_token": "machine", "expires_in": 3600, "token_type": "Bearer"}',
            flavor,
            b"Content-Type: application/json",
        ),
    }
    table["GET /computeMetadata/v1/instance/service-accounts/default/token"] = table[
        "GET /computeMetadata/v1/instance/service-accounts/m@p-1.test/token"
    ]
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    async def main() -> None:
        async with serving(routes(table)) as stage:
            host = f"127.0.0.1:{stage.port}"
            monkeypatch.setenv("GCE_METADATA_IP", host)
            monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", host)
            dated = await token_of(GoogleAdc())
            assert dated.value == ((b"authorization", b"Bearer machine"),)

    run(main())


def refusal(status: bytes, body: bytes) -> bytes:
    return answer(body, b"Content-Type: application/json", status=status)


def test_a_refused_account_is_a_clear_failure_without_the_key(tmp_path: Path) -> None:
    reply = refusal(b"400 Bad Request", b'{"error": "invalid_grant", "error_description": "gone"}')

    async def main() -> None:
        async with serving(routes({"POST /token": reply})) as stage:
            path = account(tmp_path, stage.url + "/token")
            with pytest.raises(UpstreamFailed, match="check the credentials file") as caught:
                await token_of(GoogleAdc(path=path))
            assert "PRIVATE" not in caught.value.message

    run(main())


def test_a_missing_or_broken_file_is_a_clear_failure(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "program.json").write_text('{"type": "executable", "run": "/bin/false"}')
    for name in ("absent.json", "broken.json", "program.json"):
        with pytest.raises(UpstreamFailed, match="check the credentials file"):
            run(token_of(GoogleAdc(path=str(tmp_path / name))))


def test_a_token_endpoint_that_is_not_there_is_a_clear_failure(tmp_path: Path) -> None:
    path = account(tmp_path, "http://127.0.0.1:9/token")
    with pytest.raises(UpstreamFailed, match="Google gave no token"):
        run(token_of(GoogleAdc(path=path)))
