"""The two metadata services: which address may be asked, and what counts as keys. Their use: test_aws_sources.py."""

import httpx
import pytest

from gateway.upstream.aws import AwsKeys
from gateway.upstream.aws_metadata import MetadataRefused, container_keys, instance_keys
from gateway.upstream.keeping import Dated
from tests.upstream.scripted import run

KEYS = (
    b'{"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", '
    b'"Expiration": "2027-01-15T09:00:00Z"}'
)


class Canned(httpx.AsyncBaseTransport):
    """A transport that answers everything alike and remembers what it was asked."""

    def __init__(self, body: bytes = KEYS) -> None:
        self.asked: list[str] = []
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return httpx.Response(200, stream=httpx.ByteStream(self._body))


def container(environ: dict[str, str], body: bytes = KEYS) -> tuple[Dated[AwsKeys] | None, Canned]:
    transport = Canned(body)
    return run(container_keys(transport, environ, None)), transport


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (
            {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"},
            "http://169.254.170.2/v2/x",
        ),
        *(
            ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, url)
            for url in (
                "http://127.0.0.1:81/x",
                "http://localhost/x",
                "http://[::1]/x",
                "http://169.254.170.23/v1/credentials",
                "http://[fd00:ec2::23]/v1/credentials",
                "https://anywhere.example.test/x",
            )
        ),
    ],
)
def test_the_container_endpoint_is_asked_where_it_may_be(environ: dict[str, str], url: str) -> None:
    dated, transport = container(environ)
    assert transport.asked == [url]
    assert dated is not None
    assert dated.value == AwsKeys("ASIA", "s", "t")
    assert dated.expires_us == 1_800_003_600_000_000


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "example.test", "0.0.0.0"])
def test_the_token_goes_over_plain_http_to_nobody_else(host: str) -> None:
    with pytest.raises(MetadataRefused, match="loopback"):
        container({"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{host}/x"})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"AccessKeyId": 1}', KEYS.replace(b"Z", b"")])
def test_what_are_no_keys_is_refused(body: bytes) -> None:
    with pytest.raises(MetadataRefused, match="something else than keys"):
        container({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, body)


def test_nothing_is_asked_where_nothing_is_configured_or_wanted() -> None:
    dated, transport = container({})
    assert (dated, transport.asked) == (None, [])
    assert run(instance_keys(transport, {"AWS_EC2_METADATA_DISABLED": "TRUE"})) is None
    assert transport.asked == []


def test_the_instances_own_address_is_asked_by_default() -> None:
    transport = Canned()
    run(instance_keys(transport, {}))
    assert transport.asked[0] == "http://169.254.169.254/latest/api/token"
