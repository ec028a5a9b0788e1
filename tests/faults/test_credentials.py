"""Credentials that are in the wrong place, or of two keys at once: refused in the caller's words, and never forwarded."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from gateway.identity import sigv4
from gateway.identity.misplaced import bears_no_credential
from gateway.kernel.errors import BadRequest
from gateway.ledger.entry import Entry
from gateway.storage.directory import MadeKey
from tests.faults.gateways import in_process, settings
from tests.faults.origin import Origin, head, standing
from tests.faults.streams import BY_NAME, STREAMS, Stream, answering
from tests.faults.visitor import Got, ask, post
from tests.serving import Running

CONVERSE: Final = BY_NAME["converse"]
CALL_ID: Final = "amz-sdk-invocation-id"
BEARERS: Final = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
WAYS: Final = (*BEARERS, "sigv4")
_numbers = itertools.count()


class House(NamedTuple):
    """A gateway with keys of two teams, and its upstream."""

    gateway: Running
    origin: Origin
    other: MadeKey

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Got:
        """A call with these headers and no other credential."""
        octets = post(path, body, "", {"host": f"127.0.0.1:{self.gateway.port}", **headers})
        if "authorization" not in headers:
            octets = octets.replace(b"authorization: Bearer \r\n", b"")
        return asyncio.run(ask(self.gateway.port, octets))

    def shows(self, way: str, key: MadeKey, body: bytes) -> dict[str, str]:
        """The headers that present a key in one of the ways."""
        if way != "sigv4":
            return {way: f"Bearer {key.key}" if way == "authorization" else key.key}
        host = f"127.0.0.1:{self.gateway.port}".encode()
        signed = sigv4.sign(
            b"POST",
            CONVERSE.path.encode(),
            ((b"host", host), (b"content-type", b"application/json")),
            body,
            access_key_id=key.aws_access_key_id,
            secret=key.aws_secret_access_key,
            session_token=None,
            region="us-east-1",
            service="bedrock",
            now_us=time.time_ns() // 1000,
        )
        return {name.decode(): value.decode() for name, value in signed}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("credentials")
    with (
        standing(lambda: Origin(answering()).running()) as origin,
        in_process(settings(folder, origin.port)) as gateway,
    ):
        yield House(gateway, origin, gateway.make_key(user="user-0002", team="other"))


# -- in the URL --------------------------------------------------------------------------------------

NAMES: Final = (
    "key", "KEY", "$key", "api-key", "api_key", "apiKey", "x-api-key", "X-Goog-Api-Key", "access_token", "Access-Token",
    "subscription-key", "Ocp-Apim-Subscription-Key", "token", "authorization", "%6b%65%79", "ke%79", "api%2Dkey",
    "%2561pi-key", "sig",
)  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_key_in_the_query_is_refused_on_every_mount_and_never_forwarded(
    house: House, stream: Stream
) -> None:
    key = house.gateway.key.key
    queries = [f"{name}={key}" for name in (*NAMES, "api-version", "x", "%78")]
    queries += [f"api-version={value}" for value in _spellings(key)]
    queries += [f"{name}=secret-of-the-providers" for name in ("api-key", "access_token")]
    queries += [key, f"a=1&b=2&c={key}", f"a=1;b={key}", f"metadata[a]={key}"]
    asked = len(house.origin.asked)
    for query in queries:
        joint = "&" if "?" in stream.path else "?"
        got = house.post(
            stream.path + joint + query, stream.body, {"authorization": f"Bearer {key}"}
        )
        assert got.status == 400, (query, got)
        assert b"header" in got.body or b"'api-key'" in got.body or b"leave it out" in got.body
        assert key.encode() not in got.head + got.body
    assert len(house.origin.asked) == asked


def _spellings(key: str) -> list[str]:
    """The same value, as clients and those who decode once more may write it."""
    return [
        key,
        "%77b_" + key[3:],
        "wb%5F" + key[3:],
        "%2577b_" + key[3:],
        "".join([f"%{ord(char):02x}" for char in key]),
        f"Bearer%20{key}",
        f"+{key}",
    ]


def test_queries_that_hold_no_key_pass() -> None:
    for query in (
        b"api-version=2024-10-21", b"alt=sse", b"limit=20&after=batch_1&order=desc", b"pageToken=abc&pageSize=3", b"",
        b"metadata[team]=core", b"beta=true", b"model=swb_1", b"keyword=a", b"include[]=usage",
    ):  # fmt: skip
        assert bears_no_credential(query)
    with pytest.raises(BadRequest, match="Authorization: Bearer"):
        bears_no_credential(b"api-version=1&key=")


def test_a_presigned_query_beside_a_good_key_does_not_reach_the_provider(house: House) -> None:
    asked = len(house.origin.asked)
    key = {"authorization": f"Bearer {house.gateway.key.key}"}
    got = house.post(
        CONVERSE.path + "?X-Amz-Credential=WBAK0/x&X-Amz-Signature=0", CONVERSE.body, key
    )
    assert (got.status, len(house.origin.asked)) == (403, asked)


# -- two at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "another"), list(itertools.combinations(WAYS, 2)))
def test_two_ways_of_two_teams_are_refused_and_two_of_one_key_are_one_caller(
    house: House, one: str, another: str
) -> None:
    body = json.dumps(CONVERSE.body).encode()
    ours, theirs = house.gateway.key, house.other
    asked, rows = len(house.origin.asked), len(house.gateway.rows(0))
    for first, second in ((ours, theirs), (theirs, ours)):
        shown = house.shows(one, first, body)
        if another == "sigv4" and one == "authorization":
            # Both are the same field: no client sends it twice, whatever it says.
            signature = house.shows(another, second, body)
            got = _twice(house, body, signature, shown["authorization"])
        else:
            got = house.post(CONVERSE.path, body, shown | house.shows(another, second, body))
        assert (got.status, b"AccessDenied" in got.head) == (403, True), got
    assert len(house.origin.asked) == asked
    assert len(house.gateway.rows(rows + 1, seconds=0.3)) == rows
    if {one, another} == {"authorization", "sigv4"}:
        return
    call = f"call-{next(_numbers)}"
    shown = house.shows(one, theirs, body) | house.shows(another, theirs, body)
    got = house.post(CONVERSE.path, body, {CALL_ID: call, **shown})
    assert got.status == 200
    (row,) = _booked(house, call)
    assert (row.team, row.key_id) == ("other", theirs.key_id)


def _twice(house: House, body: bytes, signature: dict[str, str], bearer: str) -> Got:
    octets = post(CONVERSE.path, body, "", signature)
    second = f"\r\nauthorization: {bearer}\r\n".encode()
    return asyncio.run(ask(house.gateway.port, octets.replace(b"\r\n", second, 1)))


def test_a_signature_that_does_not_verify_is_refused_though_a_good_key_stands_beside_it(
    house: House,
) -> None:
    body = json.dumps(CONVERSE.body).encode()
    shown = house.shows("sigv4", house.other, body) | house.shows("api-key", house.other, body)
    tampered = body.replace(b"}", b" }", 1)
    assert house.post(CONVERSE.path, tampered, shown).status == 403


def test_a_signature_with_a_pair_that_is_not_ours_is_ignored_beside_a_key(house: House) -> None:
    body = json.dumps(CONVERSE.body).encode()
    foreign = MadeKey("", "", "AKIAFOREIGN000000000", "x" * 40)
    shown = house.shows("sigv4", foreign, body) | house.shows("api-key", house.other, body)
    got = house.post(CONVERSE.path, body, shown)
    assert got.status == 200
    assert b"AKIAFOREIGN" not in house.origin.asked[-1].head


# -- statuses that are none --------------------------------------------------------------------------


def _booked(house: House, call: str) -> list[Entry]:
    """The rows of a call, once there is one: those of the tests before may still be coming."""
    end = time.monotonic() + 20
    while True:
        found = [row for row in house.gateway.rows(0) if row.client_call_id == call]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
@pytest.mark.parametrize("status", [600, 799, 999])
def test_a_status_that_does_not_exist_is_a_bad_gateway_and_one_row(
    house: House, stream: Stream, status: int
) -> None:
    call, usual = f"call-{next(_numbers)}", house.origin.answer
    house.origin.answer = lambda asked: [head("content-length: 2", status=status) + b"{}"]
    shown = {CALL_ID: call, "authorization": f"Bearer {house.gateway.key.key}"}
    try:
        got = house.post(stream.path, stream.body, shown)
    finally:
        house.origin.answer = usual
    assert (got.status, got.clean) == (500 if stream is CONVERSE else 502, True)
    assert b"unusable status" in got.body
    (row,) = _booked(house, call)
    assert (row.kind, row.net_pico) == ("unconfirmed", 0)
