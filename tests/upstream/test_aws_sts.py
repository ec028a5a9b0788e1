"""STS's answers, read strictly; its endpoint per region or as configured. Its use: test_aws_sources.py."""

import pytest

from gateway.upstream.aws import AwsKeys
from gateway.upstream.aws_sts import StsRefused, assume_role, assume_role_with_web_identity
from gateway.upstream.credentials import AwsRole
from gateway.upstream.keeping import Dated
from gateway.upstream.transport import RelayTransport
from tests.upstream.scripted import Hands, answer, routes, run, serving

FIELDS = {
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "s&amp;cret",
    "SessionToken": "t==",
    "Expiration": "2027-01-15T09:00:00Z",
}


def xml(fields: dict[str, str]) -> bytes:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return answer(f"<R xmlns='n'><Credentials>{inner}</Credentials></R>".encode())


async def ask(reply: bytes, *, web: bool = False) -> Dated[AwsKeys]:
    async with serving(routes({"POST /": reply})) as stage:
        transport = RelayTransport()
        role = AwsRole("arn", endpoint=stage.url)
        try:
            if web:
                return await assume_role_with_web_identity(transport, role, "jwt")
            return await assume_role(transport, role, AwsKeys("A", "s"), Hands().wall_us())
        finally:
            await transport.aclose()


@pytest.mark.parametrize("web", [False, True])
def test_keys_are_read_with_their_expiry(*, web: bool) -> None:
    dated = run(ask(xml(FIELDS), web=web))
    assert dated.value == AwsKeys("ASIA", "s&cret", "t==")
    assert dated.expires_us == 1_800_003_600_000_000


@pytest.mark.parametrize("missing", FIELDS)
def test_an_answer_without_one_of_its_parts_is_refused(missing: str) -> None:
    rest = {key: value for key, value in FIELDS.items() if key != missing}
    with pytest.raises(StsRefused, match="lacks keys"):
        run(ask(xml(rest)))


@pytest.mark.parametrize("expiration", ["soon", "", "2027-01-15T09:00:00"])
def test_an_expiry_that_is_no_instant_is_refused(expiration: str) -> None:
    with pytest.raises(StsRefused, match="expiry"):
        run(ask(xml(FIELDS | {"Expiration": expiration})))


def test_an_error_is_known_by_its_code_only() -> None:
    error = b"<E xmlns='n'><Error><Code>ExpiredToken</Code><Message>secret</Message></Error></E>"
    with pytest.raises(StsRefused, match=r"^ExpiredToken$"):
        run(ask(answer(error, status=b"400 Bad Request")))
    with pytest.raises(StsRefused, match="status 418"):
        run(ask(answer(b"<E/>", status=b"418 Teapot")))
