"""boto3 with a bearer key, which it sends over TLS only: the gateway serves TLS by itself."""

import ipaddress
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.commands.demo.answers import TEXT
from gateway.edge.server import Tls
from tests.sdk.cloud import Cloud
from tests.sdk.weighing import DEPLOYMENTS, Opened, Weighing
from tests.serving import serving, serving_app

MESSAGES = [{"role": "user", "content": [{"text": "What does a weighbridge do?"}]}]


def certificate(folder: Path) -> Tls:
    """A certificate for loopback, signed by itself, for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(loopback, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    tls = Tls(folder / "certificate.pem", folder / "key.pem")
    tls.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tls


@pytest.fixture(scope="module")
def over_tls(
    tmp_path_factory: pytest.TempPathFactory, _pace: None
) -> Iterator[tuple[Weighing, Tls]]:
    folder = tmp_path_factory.mktemp("tls")
    cloud, tls = Cloud(), certificate(folder)
    with (
        serving_app(cloud) as upstream,
        serving(folder, upstream, DEPLOYMENTS, tls=tls) as running,
        closing(Weighing(running, cloud)) as weighing,
    ):
        yield weighing, tls


def test_a_bearer_key_by_environment_alone(
    over_tls: tuple[Weighing, Tls], monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    weighing, tls = over_tls
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", weighing.bedrock)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", weighing.key.key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tls.certificate))
    runtime = opened(boto3.Session().client("bedrock-runtime"))
    answer = runtime.converse(modelId="amazon.nova-pro-v1:0", messages=MESSAGES)
    weighing.booked(operation="converse", model="amazon.nova-pro")
    assert answer["output"]["message"]["content"][0]["text"] == TEXT
    events = list(
        runtime.converse_stream(modelId="amazon.nova-pro-v1:0", messages=MESSAGES)["stream"]
    )
    row = weighing.booked(operation="converse-stream", stream=True)
    assert events[-1]["metadata"]["usage"]["totalTokens"] == row.provider_total


def test_an_unknown_bearer_key_raises_the_sdks_own_error(
    over_tls: tuple[Weighing, Tls], monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    weighing, tls = over_tls
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "wb_unknown")
    runtime = opened(
        boto3.Session(region_name="us-east-1").client(
            "bedrock-runtime", endpoint_url=weighing.bedrock, verify=str(tls.certificate)
        )
    )
    with pytest.raises(runtime.exceptions.AccessDeniedException):
        runtime.converse(modelId="amazon.nova-pro-v1:0", messages=MESSAGES)
    weighing.nothing_booked()


def test_a_signed_request_over_tls(over_tls: tuple[Weighing, Tls], opened: Opened) -> None:
    weighing, tls = over_tls
    session = boto3.Session(
        weighing.key.aws_access_key_id,
        weighing.key.aws_secret_access_key,
        region_name="us-east-1",
    )
    runtime = opened(
        session.client(
            "bedrock-runtime", endpoint_url=weighing.bedrock, verify=str(tls.certificate)
        )
    )
    runtime.converse(modelId="amazon.nova-pro-v1:0", messages=MESSAGES)
    weighing.booked(operation="converse")
