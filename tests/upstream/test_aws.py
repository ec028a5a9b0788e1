"""Requests signed upstream: botocore agrees, on the bytes the provider really receives."""

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.kernel.errors import UpstreamFailed
from gateway.providers.contract import Signing, Target, Upstream
from gateway.upstream.aws import AwsCredential, AwsKeys
from gateway.upstream.credentials import Outbound
from gateway.upstream.keeping import Dated, Kept
from gateway.upstream.pool import UpstreamPool
from tests.upstream.scripted import Hands, Received, echo, run, serving

KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION = AwsKeys("ASIAEXAMPLE", KEYS.secret_access_key, "FwoGZXIvYXdz//session+token==")


def credential(keys: AwsKeys) -> AwsCredential:
    async def fetch() -> Dated[AwsKeys]:
        return Dated(keys, None)

    return AwsCredential(Kept(fetch, clock=Hands(), what="it"), "it")


def botocores_signature(url: str, received: Received, keys: AwsKeys, signing: Signing) -> str:
    """What botocore signs for the request as received, over exactly the headers that were signed."""
    authorization = (received.header(b"authorization") or b"").decode()
    signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest(method=received.line.split(b" ")[0].decode(), url=url, data=received.body)
    for name, value in received.headers:
        if name.decode().lower() in signed:
            request.headers[name.decode()] = value.decode()
    request.context["timestamp"] = (received.header(b"x-amz-date") or b"").decode()
    oracle = SigV4Auth(
        Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token),
        signing.service,
        signing.region,
    )
    canonical = oracle.canonical_request(request)
    return str(oracle.signature(oracle.string_to_sign(request, canonical), request))


@pytest.mark.parametrize("keys", [KEYS, SESSION])
@pytest.mark.parametrize(
    "path",
    [
        b"/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        b"/model/anthropic.claude-3-haiku-20240307-v1:0/converse-stream",
        b"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx/invoke",
        b"/async-invoke?maxResults=2&statusEquals=InProgress",
    ],
)
def test_botocore_finds_the_same_signature_for_what_was_received(
    keys: AwsKeys, path: bytes
) -> None:
    signing = Signing(service="bedrock", region="eu-central-1")

    async def main() -> None:
        async with serving(echo) as stage:
            upstream = Upstream(name="u", provider="p", base_url=stage.url + "/prefix")
            pool = UpstreamPool([upstream], {"u": credential(keys)}, clock=Hands())
            target = Target(
                method=b"POST",
                path_and_query=path,
                headers=(
                    (b"content-type", b"application/json"),
                    (b"accept", b"application/json"),
                    (b"x-amzn-bedrock-trace", b"ENABLED"),
                    (b"x-amz-date", b"19700101T000000Z"),
                ),
                body=b'{"messages": []}',
                key_header=b"authorization",
                signing=signing,
            )
            response = await pool.send(upstream, target)
            assert [chunk async for chunk in response.body()] == [target.body]
            [received] = stage.received
            expected = botocores_signature(
                stage.url + "/prefix" + path.decode(), received, keys, signing
            )
            authorization = (received.header(b"authorization") or b"").decode()
            assert authorization.endswith("Signature=" + expected)
            assert "/20270115/eu-central-1/bedrock/aws4_request" in authorization
            assert {b"host", b"content-type", b"x-amzn-bedrock-trace", b"x-amz-date"} <= set(
                authorization.partition("SignedHeaders=")[2].partition(",")[0].encode().split(b";")
            )
            token = keys.session_token
            assert received.header(b"x-amz-security-token") == (token.encode() if token else None)
            await pool.aclose()

    run(main())


def test_an_operation_that_is_not_signed_says_so() -> None:
    outbound = Outbound(
        method=b"GET",
        path_and_query=b"/",
        headers=((b"host", b"h"),),
        body=b"",
        key_header=b"api-key",
        signing=None,
        now_us=0,
    )

    async def main() -> None:
        with pytest.raises(UpstreamFailed, match="not signed"):
            await credential(KEYS).headers(outbound)

    run(main())


def test_keys_show_nothing() -> None:
    assert SESSION.secret_access_key not in repr(SESSION)
    assert "ASIA" not in repr(SESSION)
