"""SigV4 by hand: the SDKs' own signatures, and botocore as oracle in both directions."""

import datetime as dt
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from hypothesis import given, strategies as st

from gateway.identity.sigv4 import (
    CLAIM_BYTES_MAX,
    SIGNED_HEADERS_MAX,
    SIGNING_KEYS_MAX,
    SKEW_US,
    Credential,
    _SigningKeys,
    parse_authorization,
    refuse_presigned,
    sign,
    verify,
)
from gateway.kernel.clock import epoch_us
from gateway.kernel.errors import BadSignature
from gateway.wire.messages import Headers, Inbound

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "transcripts/sigv4/vectors.jsonl")
    .read_text()
    .splitlines()
]
SERVICES = frozenset({"bedrock", "bedrock-mantle"})
NOW_US = epoch_us(dt.datetime(2026, 11, 22, 20, 25, 46, tzinfo=dt.UTC))
STAMP = "20261122T202546Z"
SECRET = "s3cret/with+signs"

UNRESERVED = "abcXYZ019-_.~"
SEGMENTS = st.lists(
    st.sampled_from([*UNRESERVED, "%3A", "%2F", ":", "%C3%A9", "@", "!", "$", "(", "+", ",", "="]),
    min_size=1,
    max_size=10,
).map("".join)
NORMAL_PATHS = st.lists(SEGMENTS.filter(lambda part: part.strip(".")), max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)
PATHS = NORMAL_PATHS | st.sampled_from(
    ["/a//b", "/a/./b", "/a/../b", "/a/b/", "/../a", "/..", "/a/b/../c", "/a/b/c/../../d/"]
)
PAIRS = st.tuples(st.text(UNRESERVED, min_size=1, max_size=4), st.text(UNRESERVED, max_size=4))
QUERIES = st.lists(
    PAIRS.map("=".join) | st.text(UNRESERVED, min_size=1, max_size=3), max_size=4
).map(lambda pairs: "?" * bool(pairs) + "&".join(pairs))
TARGETS = st.builds(str.__add__, PATHS, QUERIES)
NORMAL_TARGETS = st.builds(str.__add__, NORMAL_PATHS, QUERIES)
VALUES = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8), max_size=3
).map("  ".join)
NAMES = st.sampled_from(
    [
        "Content-Type",
        "Accept",
        "X-Amzn-Bedrock-Trace",
        "x-team",
        "X-Stainless-Arch",
        "content-length",
    ]
)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
BODIES = st.binary(max_size=60)
METHODS = st.sampled_from(["GET", "POST", "DELETE"])


def inbound_of(method: str, target: str, headers: Headers, body: bytes) -> Inbound:
    path, _, query = target.encode().partition(b"?")
    return Inbound(method.encode(), path, query, headers, body)


def vector_inbound(vector: dict[str, Any]) -> Inbound:
    headers = tuple((k.lower().encode(), v.encode("latin-1")) for k, v in vector["headers"])
    return inbound_of(vector["method"], vector["target"], headers, vector["body"].encode())


def check(inbound: Inbound, secret: str = SECRET, **rules: Any) -> None:
    credential = parse_authorization(inbound.headers)
    assert credential is not None
    verify(inbound, credential, secret, NOW_US, **{"services": SERVICES, **rules})


class Oracle(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer, signing exactly the named headers."""

    def __init__(self, secret: str, service: str, region: str, names: tuple[str, ...]) -> None:
        super().__init__(Credentials("AKIAORACLE", secret), service, region)
        self._names = names

    def headers_to_sign(self, request: Any) -> Any:
        chosen = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self._names:
                chosen[name.lower()] = value
        return chosen


def by_botocore(
    method: str, target: str, headers: dict[str, str], body: bytes, secret: str = SECRET
) -> Inbound:
    """A request as botocore signs it, every header signed."""
    sent = {"Host": "gateway.example:8080", "X-Amz-Date": STAMP, **headers}
    names = tuple(sorted(name.lower() for name in sent))
    oracle = Oracle(secret, "bedrock", "eu-central-1", names)
    request = AWSRequest(method, f"http://gateway.example:8080{target}", sent, body)
    request.context["timestamp"] = STAMP
    canonical = oracle.canonical_request(request)
    signature = oracle.signature(oracle.string_to_sign(request, canonical), request)
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={oracle.scope(request)}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    wire = tuple((name.lower().encode(), value.encode()) for name, value in sent.items())
    return inbound_of(method, target, wire, body)


PLAIN = by_botocore("POST", "/bedrock/model/m%3A0/converse?a=1", {"x-team": "core"}, b"{}")


def swapped(inbound: Inbound, name: bytes, value: bytes | None) -> Inbound:
    """The request with another value of one header, or without it."""
    headers = tuple(
        (key, value if key == name else old)
        for key, old in inbound.headers
        if not (key == name and value is None)
    )
    kept = tuple((key, old) for key, old in headers if old is not None)
    return Inbound(inbound.method, inbound.raw_path, inbound.query, kept, inbound.body)


# ── verifying ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "vector", VECTORS, ids=[f"{i}-{v['signer']}-{v['why'][:20]}" for i, v in enumerate(VECTORS)]
)
def test_the_sdks_own_signatures_give_the_verdict_they_should(vector: dict[str, Any]) -> None:
    inbound = vector_inbound(vector)
    if vector["valid"]:
        check(inbound, vector["secret"], skew_us=None)
        with pytest.raises(BadSignature, match="does not match"):
            check(inbound, vector["secret"] + "x", skew_us=None)
    else:
        with pytest.raises(BadSignature):
            check(inbound, vector["secret"], skew_us=None)


def test_there_are_twenty_five_vectors() -> None:
    assert (len(VECTORS), sum(vector["valid"] for vector in VECTORS)) == (25, 21)


@given(st.builds(by_botocore, METHODS, TARGETS, HEADERS, BODIES))
def test_what_botocore_signs_verifies(genuine: Inbound) -> None:
    check(genuine)


@given(st.builds(by_botocore, METHODS, NORMAL_TARGETS, HEADERS, BODIES), st.data())
def test_one_changed_byte_of_anything_signed_is_refused(
    genuine: Inbound, draw: st.DataObject
) -> None:
    *signed, authorization = genuine.headers
    parts = [genuine.method, genuine.raw_path, genuine.query, genuine.body]
    parts += [value for _, value in signed]
    hit = draw.draw(st.sampled_from([i for i, part in enumerate(parts) if part.strip()]))
    place = draw.draw(st.integers(0, len(parts[hit]) - 1))
    letters = st.sampled_from([byte for byte in b"ABab019" if byte != parts[hit][place]])
    changed = bytearray(parts[hit])
    changed[place] = draw.draw(letters)
    parts[hit] = bytes(changed)
    names = [name for name, _ in signed]
    headers = (*zip(names, parts[4:], strict=True), authorization)
    with pytest.raises(BadSignature):
        check(Inbound(parts[0], parts[1], parts[2], headers, parts[3]), skew_us=None)


@given(st.integers(0, 1000), st.sampled_from(b"abcdef0123456789-;/"))
def test_one_changed_byte_of_the_claim_is_refused(place: int, byte: int) -> None:
    value = dict(PLAIN.headers)[b"authorization"]
    start = value.index(b"/")  # the key id before it chooses the secret
    claim = bytearray(value)
    claim[start + place % (len(value) - start)] = byte
    if claim != value:
        with pytest.raises(BadSignature):
            check(swapped(PLAIN, b"authorization", bytes(claim)))


@pytest.mark.parametrize("late_us", [0, SKEW_US, -SKEW_US])
def test_a_clock_within_the_skew_is_accepted(late_us: int) -> None:
    credential = parse_authorization(PLAIN.headers)
    assert credential is not None
    verify(PLAIN, credential, SECRET, NOW_US + late_us, services=SERVICES)


@pytest.mark.parametrize("late_us", [SKEW_US + 1, -SKEW_US - 1, 86_400_000_000])
def test_a_clock_beyond_the_skew_is_told_so(late_us: int) -> None:
    credential = parse_authorization(PLAIN.headers)
    assert credential is not None
    with pytest.raises(BadSignature, match="set the client's clock"):
        verify(PLAIN, credential, SECRET, NOW_US + late_us, services=SERVICES)


def test_another_service_is_refused() -> None:
    with pytest.raises(BadSignature, match="sign for other"):
        check(PLAIN, services=frozenset({"other"}))


@pytest.mark.parametrize("query", [b"X-Amz-Signature=a", b"a=b&x-amz-algorithm=AWS4-HMAC-SHA256"])
def test_a_presigned_url_is_refused(query: bytes) -> None:
    presigned = Inbound(b"GET", b"/m", query, PLAIN.headers, b"")
    with pytest.raises(BadSignature, match="presigned"):
        check(presigned)


def test_a_stated_hash_must_be_the_body_s() -> None:
    for stated in ("UNSIGNED-PAYLOAD", "0" * 64):
        lying = by_botocore("POST", "/m", {"X-Amz-Content-SHA256": stated}, b"{}")
        with pytest.raises(BadSignature, match="sign the payload"):
            check(lying)


def test_a_session_token_is_part_of_what_is_signed() -> None:
    genuine = by_botocore("POST", "/m", {"X-Amz-Security-Token": "token-1"}, b"{}")
    check(genuine)
    with pytest.raises(BadSignature, match="does not match"):
        check(swapped(genuine, b"x-amz-security-token", b"token-2"))


def test_a_header_that_must_be_signed_may_not_be_added() -> None:
    headers = (*PLAIN.headers, (b"x-amzn-bedrock-service-tier", b"priority"))
    added = Inbound(PLAIN.method, PLAIN.raw_path, PLAIN.query, headers, PLAIN.body)
    check(added)
    with pytest.raises(BadSignature, match="must be signed"):
        check(added, must_sign=(b"x-amzn-bedrock-",))
    signed = by_botocore("POST", "/m", {"x-amzn-bedrock-service-tier": "priority"}, b"{}")
    check(signed, must_sign=(b"x-amzn-bedrock-",))


def test_a_signed_header_that_was_removed_is_named() -> None:
    with pytest.raises(BadSignature, match="'x-team' did not arrive"):
        check(swapped(PLAIN, b"x-team", None))


def test_repeated_headers_are_signed_together() -> None:
    joined = by_botocore("POST", "/m", {"x-team": "core,edge"}, b"")
    headers = (*swapped(joined, b"x-team", b"core").headers, (b"x-team", b"edge"))
    check(Inbound(b"POST", b"/m", b"", headers, b""))


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        (None, "sent once"),
        (b"20261123T202546Z", "of the day"),
        (b"20261122T992546Z", "must read"),
        (b"20261122", "must read"),
        (b"Sun, 22 Nov 2026 20:25:46 GMT", "of the day"),
    ],
)
def test_a_date_that_is_none_is_refused(value: bytes | None, cure: str) -> None:
    with pytest.raises(BadSignature, match=cure):
        check(swapped(PLAIN, b"x-amz-date", value))


def test_two_dates_are_refused() -> None:
    headers = (*PLAIN.headers, (b"x-amz-date", STAMP.encode()))
    with pytest.raises(BadSignature, match="sent once"):
        check(Inbound(b"POST", PLAIN.raw_path, PLAIN.query, headers, b"{}"))


# ── the Authorization header ─────────────────────────────────────────────────────────────────────

GOOD = (
    "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/bedrock/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)


def parsed(*values: str) -> object:
    return parse_authorization(tuple((b"authorization", value.encode()) for value in values))


def test_a_claim_is_read() -> None:
    credential = parse_authorization(((b"authorization", GOOD.encode()),))
    assert credential is not None
    assert credential.access_key_id == "AKIA"
    assert (credential.day, credential.region) == ("20261122", "us-east-1")
    assert credential.service == "bedrock"
    assert credential.signed_headers == (b"host", b"x-amz-date")
    assert credential.signature == "0" * 64
    assert parsed(GOOD.replace(", ", ",")) == credential


@pytest.mark.parametrize("values", [(), ("Bearer wb_x",), ("Basic a", "Bearer b")])
def test_other_schemes_are_no_claim(values: tuple[str, ...]) -> None:
    assert parsed(*values) is None


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.replace("HMAC", "ECDSA-P256"),
        GOOD.replace("aws4_request", "aws4"),
        GOOD.replace("20261122", "2026112"),
        GOOD.replace("Signature=0", "Signature="),
        GOOD.replace("Signature=0", "Signature=G"),
        GOOD.replace("host;x-amz-date", "x-amz-date;host"),
        GOOD.replace("host;x-amz-date", "host;host;x-amz-date"),
        GOOD.replace("host;x-amz-date", "Host;x-amz-date"),
        GOOD.replace("host;x-amz-date", "host"),
        GOOD.replace("host;x-amz-date", "x-amz-date"),
        GOOD.replace("host;x-amz-date", ""),
        GOOD.replace("host;", "".join(f"a{i:03};" for i in range(100)) + "host;"),
        GOOD + ", Signature=" + "1" * 64,
        GOOD + "\n",
    ],
)
def test_a_claim_that_cannot_be_read_is_refused(bad: str) -> None:
    with pytest.raises(BadSignature):
        parsed(bad)


def test_two_authorization_headers_are_refused() -> None:
    for pair in ((GOOD, GOOD), ("Bearer wb_x", GOOD), (GOOD, "Bearer wb_x")):
        with pytest.raises(BadSignature, match="send one"):
            parsed(*pair)


@given(st.binary(max_size=80).map(b"AWS4-HMAC-SHA256 Credential=".__add__))
def test_noise_is_refused_and_nothing_else(value: bytes) -> None:
    with pytest.raises(BadSignature):
        parse_authorization(((b"authorization", value),))


# ── signing ──────────────────────────────────────────────────────────────────────────────────────


@given(METHODS, TARGETS, HEADERS, BODIES, st.none() | st.just("token/1=="))
def test_what_we_sign_verifies_with_botocore_and_with_us(
    method: str, target: str, headers: dict[str, str], body: bytes, session_token: str | None
) -> None:
    ours = (("Host", "bedrock-runtime.eu-central-1.amazonaws.com"), *headers.items())
    wire = sign(
        method.encode(),
        target.encode(),
        tuple((name.encode(), value.encode()) for name, value in ours),
        body,
        access_key_id="AKIAORACLE",
        secret=SECRET,
        session_token=session_token,
        region="eu-central-1",
        service="bedrock",
        now_us=NOW_US,
    )
    sent = {name.decode(): value.decode() for name, value in wire}
    authorization = sent.pop("authorization")
    names = tuple(authorization.split("SignedHeaders=")[1].split(",")[0].split(";"))
    oracle = Oracle(SECRET, "bedrock", "eu-central-1", names)
    request = AWSRequest(method, f"https://{sent['Host']}{target}", sent, body)
    request.context["timestamp"] = STAMP
    canonical = oracle.canonical_request(request)
    expected = oracle.signature(oracle.string_to_sign(request, canonical), request)
    assert authorization.endswith(f"Signature={expected}")
    assert sent.get("x-amz-security-token") == session_token
    assert {"host", "x-amz-date"} <= set(names)
    lower = tuple((name.lower(), value) for name, value in wire)
    check(inbound_of(method, target, lower, body))


def signed(*headers: tuple[bytes, bytes]) -> Headers:
    return sign(
        b"POST",
        b"/m",
        headers,
        b"{}",
        access_key_id="AKIAORACLE",
        secret=SECRET,
        session_token=None,
        region="r",
        service="s",
        now_us=NOW_US + 999_999,
    )


def test_signing_again_replaces_what_the_client_signed() -> None:
    earlier = (
        (b"Host", b"h"),
        (b"Authorization", b"Bearer wb_x"),
        (b"X-Amz-Date", b"19700101T000000Z"),
        (b"X-Amz-Security-Token", b"the client's"),
        (b"X-Amz-Content-SHA256", b"stale"),
    )
    assert [name for name, _ in signed(*earlier)] == [b"Host", b"x-amz-date", b"authorization"]
    assert signed(*earlier) == signed((b"Host", b"h"))
    assert (b"x-amz-date", STAMP.encode()) in signed((b"Host", b"h"))


def test_what_a_transport_or_load_balancer_rewrites_is_not_signed() -> None:
    wire = signed(
        (b"Host", b"h"),
        (b"Accept-Encoding", b"identity"),
        (b"X-Amzn-Trace-Id", b"Root=1"),
        (b"User-Agent", b"u"),
        (b"X-Amzn-Bedrock-Trace", b"ENABLED"),
    )
    credential = parse_authorization(wire)
    assert credential is not None
    assert credential.signed_headers == (b"host", b"x-amz-date", b"x-amzn-bedrock-trace")


def test_host_has_to_be_there_before_signing() -> None:
    with pytest.raises(ValueError, match="Host"):
        signed((b"content-type", b"application/json"))


# ── bounds, and what is remembered ───────────────────────────────────────────────────────────────


def test_the_bounds_are_those_that_aws_and_the_sdks_keep() -> None:
    assert SKEW_US == 300_000_000, "five minutes"
    assert (SIGNED_HEADERS_MAX, CLAIM_BYTES_MAX, SIGNING_KEYS_MAX) == (100, 4_096, 1_024)


def named(names: list[str]) -> str:
    return GOOD.replace("host;x-amz-date", ";".join(sorted(["host", "x-amz-date", *names])))


def test_a_hundred_headers_may_be_signed() -> None:
    credential = parsed(named([f"a{n:02}" for n in range(98)]))
    assert isinstance(credential, Credential)
    assert len(credential.signed_headers) == 100
    with pytest.raises(BadSignature, match="each name once"):
        parsed(named([f"a{n:02}" for n in range(99)]))


def test_a_claim_of_four_kibibytes_is_read_and_none_that_is_longer() -> None:
    room = CLAIM_BYTES_MAX - len(named([""]).rpartition("Signature=")[0])
    assert isinstance(parsed(named(["a" * room])), Credential)
    with pytest.raises(BadSignature, match="must read"):
        parsed(named(["a" * (room + 1)]))


@pytest.mark.parametrize(
    ("query", "is_presigned"),
    [
        (b"X-Amz-Signature", True), (b"a=1&X-AMZ-CREDENTIAL=", True), (b"x-amz-algorithm&b", True),
        (b"not-x-amz-signature=1", False), (b"a=x-amz-signature", False), (b"x-amz-signatures=1", False),
        (b"x-amz-date=1", False), (b"", False),
    ],
)  # fmt: skip
def test_a_query_is_told_by_the_names_of_a_presigned_url(
    query: bytes, *, is_presigned: bool
) -> None:
    if is_presigned:
        with pytest.raises(BadSignature, match="presigned"):
            refuse_presigned(query)
    else:
        refuse_presigned(query)


def test_what_a_client_has_to_do_is_said() -> None:
    with pytest.raises(BadSignature, match="for service 'bedrock': send a gateway key here"):
        check(PLAIN, services=frozenset())
    with pytest.raises(BadSignature, match=r"sign for a or b$"):
        check(PLAIN, services=frozenset("ba"))
    credential = parse_authorization(PLAIN.headers)
    assert credential is not None
    for off in (-400_999_999, 400_999_999):
        with pytest.raises(BadSignature, match="x-amz-date is 400 s off"):
            verify(PLAIN, credential, SECRET, NOW_US + off, services=SERVICES)
    verify(PLAIN, credential, SECRET, NOW_US * 2, services=SERVICES, skew_us=None)


def test_http_2_signs_the_authority_in_place_of_host() -> None:
    target = "/m"
    sent = {":authority": "gateway.example:8080", "X-Amz-Date": STAMP}
    oracle = Oracle(SECRET, "bedrock", "eu-central-1", (":authority", "x-amz-date"))
    request = AWSRequest("POST", f"http://gateway.example:8080{target}", sent, b"{}")
    request.context["timestamp"] = STAMP
    signature = oracle.signature(
        oracle.string_to_sign(request, oracle.canonical_request(request)), request
    )
    claim = (
        f"AWS4-HMAC-SHA256 Credential={oracle.scope(request)}, "
        f"SignedHeaders=:authority;x-amz-date, Signature={signature}"
    )
    date = ((b"x-amz-date", STAMP.encode()), (b"authorization", claim.encode()))
    check(inbound_of("POST", target, ((b"host", b"gateway.example:8080"), *date), b"{}"))
    for host in (((b"host", b"other.example"),), ()):
        with pytest.raises(BadSignature, match="does not match"):
            check(inbound_of("POST", target, (*host, *date), b"{}"))


def test_a_header_that_is_repeated_is_signed_once_with_every_value_in_order() -> None:
    wire = signed(
        (b"Host", b"h"), (b"X-Amz-Meta", b" a  b "), (b"x-other", b"o"), (b"X-Amz-Meta", b"c")
    )
    lower = tuple((name.lower(), value) for name, value in wire)
    credential = parse_authorization(lower)
    assert credential is not None
    assert credential.signed_headers == (b"host", b"x-amz-date", b"x-amz-meta")
    one = tuple(
        (name, b"a b,c" if value == b" a  b " else value) for name, value in lower if value != b"c"
    )
    for headers in (lower, one):
        verify(
            inbound_of("POST", "/m", headers, b"{}"), credential, SECRET, NOW_US,
            services=frozenset("s"),
        )  # fmt: skip
    turned = tuple(
        (name, {b" a  b ": b"c", b"c": b"a b"}.get(value, value)) for name, value in lower
    )
    with pytest.raises(BadSignature, match="does not match"):
        verify(
            inbound_of("POST", "/m", turned, b"{}"), credential, SECRET, NOW_US,
            services=frozenset("s"),
        )  # fmt: skip


def by_hand(secret: str, day: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


SCOPES = st.tuples(
    st.sampled_from(["20261121", "20261122", "20261123"]),
    st.sampled_from(["eu-central-1", "us-east-1"]),
    st.sampled_from(["bedrock", "bedrock-mantle"]),
)


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), SCOPES), max_size=12))
def test_a_signing_key_is_that_of_its_secret_and_scope_whatever_was_asked_before(
    asked: list[tuple[str, tuple[str, str, str]]],
) -> None:
    keys = _SigningKeys()
    for secret, scope in asked:
        assert keys.of(secret, scope) == by_hand(secret, *scope)


def test_keys_go_with_their_day_and_are_bounded() -> None:
    keys = _SigningKeys()
    for day, kept in (("20261122", 1), ("20261121", 2), ("20261122", 2), ("20261123", 1), ("20261121", 2), ("20261122", 3)):  # fmt: skip
        keys.of("secret", (day, "r", "s"))
        assert len(keys) == kept, day
    keys = _SigningKeys()
    for number in range(SIGNING_KEYS_MAX):
        keys.of("secret", ("20261122", f"r-{number}", "s"))
    assert len(keys) == SIGNING_KEYS_MAX
    keys.of("secret", ("20261122", "r-0", "s"))
    assert len(keys) == SIGNING_KEYS_MAX, "what is known takes no room"
    keys.of("secret", ("20261122", "another", "s"))
    assert len(keys) == 1
    keys.of("secret", ("20261121", "r", "s"))
    assert len(keys) == 2, "the day is still that of the latest"


def test_what_is_replaced_hides_no_header_behind_it() -> None:
    wire = signed(
        (b"X-Amz-Date", b"old"), (b"Host", b"h"), (b"Authorization", b"x"), (b"accept", b"*")
    )
    assert [name for name, _ in wire] == [b"Host", b"accept", b"x-amz-date", b"authorization"]


def test_every_byte_of_a_path_can_be_signed() -> None:
    path = bytes(byte for byte in range(256) if byte not in b"?")
    wire = sign(
        b"GET", b"/" + path, ((b"host", b"h"),), b"", access_key_id="A", secret=SECRET, session_token=None,
        region="r", service="bedrock", now_us=NOW_US,
    )  # fmt: skip
    check(Inbound(b"GET", b"/" + path, b"", wire, b""))
