"""Credentials that are headers: one, the right one, and never beside another."""

import pytest

from gateway.upstream.credentials import Outbound
from gateway.upstream.keeping import Dated, Kept
from gateway.upstream.tokens import FixedCredential, TokenCredential
from gateway.wire.messages import Headers
from tests.upstream.scripted import Hands, run

HEADERS: Headers = ((b"host", b"h"), (b"X-A", b"1"), (b"Authorization", b"left over"))


def outbound(key_header: bytes = b"api-key") -> Outbound:
    return Outbound(
        method=b"POST",
        path_and_query=b"/",
        headers=HEADERS,
        body=b"",
        key_header=key_header,
        signing=None,
        now_us=0,
    )


@pytest.mark.parametrize(
    ("credential", "key_header", "added"),
    [
        (FixedCredential(key="k"), b"api-key", (b"api-key", b"k")),
        (FixedCredential(key="k"), b"x-goog-api-key", (b"x-goog-api-key", b"k")),
        (FixedCredential(key="k"), b"Authorization", (b"authorization", b"Bearer k")),
        (FixedCredential(bearer="t"), b"api-key", (b"authorization", b"Bearer t")),
    ],
)
def test_the_key_goes_where_the_provider_says_and_a_token_to_authorization(
    credential: FixedCredential, key_header: bytes, added: tuple[bytes, bytes]
) -> None:
    headers = run(credential.headers(outbound(key_header)))
    assert credential.standing(key_header) == (added,)
    assert headers[:2] == HEADERS[:2]
    assert headers[-1] == added
    names = [name.lower() for name, _value in headers]
    assert len(names) == len(set(names))


def test_no_credential_changes_nothing() -> None:
    assert run(FixedCredential().headers(outbound())) == HEADERS
    assert FixedCredential().standing(b"api-key") == ()


def test_a_kept_token_brings_all_its_headers() -> None:
    async def fetch() -> Dated[Headers]:
        return Dated(((b"authorization", b"Bearer t"), (b"x-goog-user-project", b"p")), None)

    async def main() -> None:
        credential = TokenCredential(Kept(fetch, clock=Hands(), what="it"))
        headers = await credential.headers(outbound())
        assert headers == (
            *HEADERS[:2],
            (b"authorization", b"Bearer t"),
            (b"x-goog-user-project", b"p"),
        )
        assert credential.standing(b"api-key") == headers[2:]
        await credential.run()
        await credential.aclose()

    run(main())


def test_a_token_stands_from_its_first_fetch_to_its_end() -> None:
    async def main() -> None:
        hands = Hands()

        async def fetch() -> Dated[Headers]:
            return Dated(((b"authorization", b"Bearer t"),), hands.us + 3_600_000_000)

        credential = TokenCredential(Kept(fetch, clock=hands, what="it"))
        assert credential.standing(b"api-key") is None
        await credential.headers(outbound())
        assert credential.standing(b"api-key") == ((b"authorization", b"Bearer t"),)
        hands.advance(3_600)
        assert credential.standing(b"api-key") is None

    run(main())
