"""Every way to AWS keys, against local servers that play STS, the container and the instance."""

from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest

from gateway.kernel.clock import instant
from gateway.kernel.errors import UpstreamFailed
from gateway.providers.contract import Signing
from gateway.upstream.aws import AwsKeys
from gateway.upstream.aws_sources import AwsSources
from gateway.upstream.credentials import AwsChain, AwsProfile, AwsRole, AwsSetting, AwsStatic
from gateway.upstream.keeping import Dated
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import Hands, Received, Reply, answer, routes, run, serving
from tests.upstream.test_aws import botocores_signature

STATIC = AwsStatic("AKIASOURCE", "source-secret")
ROLE = "arn:aws:iam::123456789012:role/gateway"
CLOCK = Hands()
EXPIRY_US = CLOCK.us + 3600 * 1_000_000
EXPIRY = instant(EXPIRY_US).strftime("%Y-%m-%dT%H:%M:%SZ")


def sts_answer(operation: str, number: int = 1) -> bytes:
    return answer(
        f"""<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{operation}Result>
        <AssumedRoleUser><Arn>x</Arn></AssumedRoleUser><Credentials>
        <AccessKeyId>ASIAROLE{number}</AccessKeyId><SecretAccessKey>role/secret+</SecretAccessKey>
        <SessionToken>role//token==</SessionToken><Expiration>{EXPIRY}</Expiration>
        </Credentials></{operation}Result></{operation}Response>""".encode()
    )


def document(key: str) -> bytes:
    return answer(
        msgspec.json.encode(
            {
                "Code": "Success",
                "AccessKeyId": key,
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": EXPIRY,
            }
        )
    )


async def keys_of(setting: AwsSetting, environ: dict[str, str]) -> Dated[AwsKeys]:
    transport = RelayTransport()
    # Never the machine's own metadata service or files.
    safe = {"AWS_EC2_METADATA_DISABLED": "true", **environ}
    sources = AwsSources(environ=safe, transport=transport, clock=CLOCK, what="the credential")
    try:
        return await sources.fetch(setting)
    finally:
        await transport.aclose()


def failure(setting: AwsSetting, environ: dict[str, str]) -> str:
    with pytest.raises(UpstreamFailed) as caught:
        run(keys_of(setting, environ))
    assert caught.value.message.startswith("the credential: ")
    return caught.value.message


def test_a_role_is_assumed_with_a_request_botocore_would_have_signed() -> None:
    async def main() -> None:
        async with serving(routes({"POST /": sts_answer("AssumeRole")})) as stage:
            setting = AwsRole(ROLE, STATIC, external_id="e&1", endpoint=stage.url + "/")
            dated = await keys_of(setting, {})
            assert dated.value == AwsKeys("ASIAROLE1", "role/secret+", "role//token==")
            assert dated.expires_us == EXPIRY_US
            [received] = stage.received
            assert {key: value[0] for key, value in parse_qs(received.body.decode()).items()} == {
                "Action": "AssumeRole",
                "Version": "2011-06-15",
                "RoleArn": ROLE,
                "RoleSessionName": "weighbridge",
                "ExternalId": "e&1",
            }
            source = AwsKeys("AKIASOURCE", "source-secret")
            expected = botocores_signature(
                stage.url + "/", received, source, Signing("sts", "us-east-1")
            )
            assert (received.header(b"authorization") or b"").decode().endswith(expected)

    run(main())


def test_a_role_may_be_the_source_of_a_role_and_a_profile_of_both(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[start]\naws_access_key_id=AKIA\naws_secret_access_key=s\n"
        f"[hop]\nrole_arn={ROLE}\nsource_profile=start\n"
    )
    seen: list[str] = []

    def sts(request: Received) -> bytes:
        authorization = (request.header(b"authorization") or b"").decode()
        seen.append(authorization.partition("Credential=")[2].partition("/")[0])
        return sts_answer("AssumeRole", len(seen))

    async def main() -> None:
        async with serving(routes({"POST /": sts})) as stage:
            setting = AwsRole(ROLE, AwsProfile("hop", str(tmp_path / "credentials")))
            dated = await keys_of(setting, {"AWS_ENDPOINT_URL_STS": stage.url})
            assert dated.value.access_key_id == "ASIAROLE2"
            assert seen == ["AKIA", "ASIAROLE1"]

    run(main())


def test_a_refused_role_names_the_cure_and_not_the_secret() -> None:
    refusal = answer(
        b"<ErrorResponse xmlns='x'><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
        status=b"403 Forbidden",
    )

    async def main(reply: bytes) -> str:
        async with serving(routes({"POST /": reply})) as stage:
            with pytest.raises(UpstreamFailed) as caught:
                await keys_of(AwsRole(ROLE, STATIC, endpoint=stage.url), {})
            return caught.value.message

    message = run(main(refusal))
    assert "AccessDenied" in message
    assert "trust policy" in message
    assert "source-secret" not in message
    assert "no XML" in run(main(answer(b"oops", status=b"500 Oops")))
    assert "lacks keys" in run(main(answer(b"<a><Credentials/></a>")))


def test_profiles_in_a_circle_end(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        f"[a]\nrole_arn={ROLE}\nsource_profile=b\n[b]\nrole_arn={ROLE}\nsource_profile=a\n"
    )
    assert "circle" in failure(AwsProfile("a", str(path)), {})


def test_the_chain_takes_the_environment_first_and_the_file_next(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key=s\n"
        "[other]\naws_access_key_id=AKIAOTHER\naws_secret_access_key=s\n"
    )
    file = {"AWS_SHARED_CREDENTIALS_FILE": str(path)}
    env = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": ""}
    dated = run(keys_of(AwsChain(), env | file))
    assert (dated.value, dated.expires_us) == (AwsKeys("AKIAENV", "s"), None)
    dated = run(keys_of(AwsChain(), file))
    assert dated.value.access_key_id == "AKIAFILE"
    assert dated.expires_us is not None, "files are rewritten, so they are read again"
    named = run(keys_of(AwsChain(), file | {"AWS_PROFILE": "other"}))
    assert named.value.access_key_id == "AKIAOTHER"
    (tmp_path / ".aws").mkdir()
    path.rename(tmp_path / ".aws" / "credentials")
    home = run(keys_of(AwsChain(), {"HOME": str(tmp_path)}))
    assert home.value.access_key_id == "AKIAFILE"


def test_the_chain_uses_a_web_identity_without_signing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("eyJ.web.identity\n")

    async def main() -> None:
        reply = sts_answer("AssumeRoleWithWebIdentity")
        async with serving(routes({"POST /": reply})) as stage:
            environ = {
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
                "AWS_ROLE_ARN": ROLE,
                "AWS_ENDPOINT_URL_STS": stage.url,
            }
            assert (await keys_of(AwsChain(), environ)).value.access_key_id == "ASIAROLE1"
            [received] = stage.received
            assert received.header(b"authorization") is None
            assert parse_qs(received.body.decode())["WebIdentityToken"] == ["eyJ.web.identity"]

    run(main())


def test_the_chain_asks_the_container_with_its_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("pod-token")

    async def main() -> None:
        async with serving(routes({"GET /v1/credentials": document("ASIAPOD")})) as stage:
            environ = {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": stage.url + "/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            }
            dated = await keys_of(AwsChain(), environ)
            assert dated.value == AwsKeys("ASIAPOD", "secret", "token")
            assert dated.expires_us == EXPIRY_US
            assert stage.received[0].header(b"authorization") == b"pod-token"

    run(main())


def test_the_container_endpoint_may_not_be_just_anywhere() -> None:
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.test/creds"}
    assert "must be https, loopback or Amazon's own" in failure(AwsChain(), environ)


@pytest.mark.parametrize(
    "reply", [answer(b"", status=b"500 Oops"), answer(b"[]"), answer(b'{"AccessKeyId": "A"}')]
)
def test_a_container_endpoint_that_gives_no_keys_is_named(reply: bytes) -> None:
    async def main() -> None:
        async with serving(routes({"GET /": reply})) as stage:
            environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": stage.url + "/"}
            with pytest.raises(UpstreamFailed, match="container credentials endpoint"):
                await keys_of(AwsChain(), environ)

    run(main())


INSTANCE = "/latest/meta-data/iam/security-credentials/"


def test_the_chain_asks_the_instance_with_a_session_token_last() -> None:
    def only_with_token(reply: bytes) -> Reply:
        def play(request: Received) -> bytes:
            if request.header(b"x-aws-ec2-metadata-token") != b"session":
                return answer(b"", status=b"401 Unauthorized")
            return reply

        return play

    async def main() -> None:
        table: dict[str, Reply | bytes] = {
            "PUT /latest/api/token": answer(b"session"),
            f"GET {INSTANCE}": only_with_token(answer(b"my-role\n")),
            f"GET {INSTANCE}my-role": only_with_token(document("ASIAINSTANCE")),
        }
        async with serving(routes(table)) as stage:
            environ = {
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": stage.url,
            }
            dated = await keys_of(AwsChain(), environ)
            assert dated.value.access_key_id == "ASIAINSTANCE"
            assert stage.received[0].header(b"x-aws-ec2-metadata-token-ttl-seconds") == b"21600"

    run(main())


def test_an_instance_without_a_role_is_no_source_and_one_that_refuses_is_named() -> None:
    async def main(table: dict[str, bytes]) -> str:
        async with serving(routes(dict(table))) as stage:
            environ = {
                "AWS_EC2_METADATA_DISABLED": "",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": stage.url,
            }
            with pytest.raises(UpstreamFailed) as caught:
                await keys_of(AwsChain(), environ)
            return caught.value.message

    assert "no keys in the environment" in run(main({"PUT /latest/api/token": answer(b"t")}))
    assert "gave no token: 404" in run(main({}))


def test_a_machine_with_nothing_hears_all_that_was_tried_and_the_cure() -> None:
    message = failure(AwsChain(), {})
    for word in (
        "environment",
        "web identity",
        "shared files",
        "container",
        "instance",
        "aws_role",
    ):
        assert word in message


def test_a_missing_token_file_is_a_clear_failure(tmp_path: Path) -> None:
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "gone"), "AWS_ROLE_ARN": ROLE}
    assert "cannot be read (FileNotFoundError)" in failure(AwsChain(), environ)


def test_nobody_listening_is_a_clear_failure() -> None:
    setting = AwsRole(ROLE, STATIC, endpoint="http://127.0.0.1:9")
    assert "no answer from the service" in failure(setting, {})
