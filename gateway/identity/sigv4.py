"""AWS Signature Version 4 by hand: verify what a client's SDK signed, sign what goes upstream.

Both work on raw bytes: what is verified is what was sent, percent-encoding and all. Service names are
arguments; a further signing algorithm would be a second module beside this one.
"""

import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Final

import msgspec

from gateway.kernel.clock import US_PER_SECOND, epoch_us, instant
from gateway.kernel.errors import BadSignature
from gateway.kernel.remembered import remembered, whole
from gateway.wire.headers import first
from gateway.wire.messages import Header, Headers, Inbound

SKEW_US: Final = 5 * 60 * US_PER_SECOND  # AWS's own tolerance
SIGNED_HEADERS_MAX: Final = 100
CLAIM_BYTES_MAX: Final = 4096  # the SDKs need 500; claims are cached
SIGNING_KEYS_MAX: Final = 1024  # half a KiB each

_ALGORITHM: Final = b"AWS4-HMAC-SHA256"
_FAMILY: Final = b"AWS4-"
_TERMINATOR: Final = b"aws4_request"
_AUTHORIZATION: Final = b"authorization"
_HOST: Final = b"host"
_AUTHORITY: Final = b":authority"  # what HTTP/2 clients sign in place of Host
_DATE: Final = b"x-amz-date"
_CONTENT_HASH: Final = b"x-amz-content-sha256"
_TOKEN: Final = b"x-amz-security-token"
_PRESIGNED: Final = re.compile(
    rb"(?:^|&)x-amz-(?:signature|algorithm|credential)(?:=|&|$)", re.IGNORECASE
)
_CLAIM: Final = re.compile(
    _ALGORITHM
    + rb" +Credential=([\w-]{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request *, *"
    rb"SignedHeaders=([a-z0-9!#$%&'*+.^_`|~:;-]+) *, *"
)
_SIGNATURE: Final = re.compile(rb"[0-9a-f]{64}")
_UNREADABLE: Final = (
    "the Authorization header must read 'AWS4-HMAC-SHA256 Credential=<access key id>/<day>/<region>/"
    "<service>/aws4_request, SignedHeaders=<names in lower case>, Signature=<64 hex digits>'"
)
_TIMESTAMP: Final = re.compile(rb"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_ABSENT: Final = b"\0absent"  # compared by identity
_DAY_CHARS: Final = 8
_TO_QUOTE: Final = re.compile(rb"[^A-Za-z0-9_.~/-]")
_QUOTED: Final = tuple(b"%%%02X" % byte for byte in range(256))

# Signed by us: what decides meaning. Whatever a transport adds or rewrites stays unsigned.
_ALWAYS_SIGNED: Final = frozenset({_HOST, b"content-type"})
_SIGNED_PREFIX: Final = b"x-amz"
_NEVER_SIGNED: Final = b"x-amzn-trace-id"  # load balancers rewrite it
_REPLACED: Final = frozenset({_AUTHORIZATION, _DATE, _CONTENT_HASH, _TOKEN})


class Credential(msgspec.Struct, frozen=True, gc=False):
    """What an Authorization header claims. ``day`` is YYYYMMDD; ``signed_headers`` sorted, lower case."""

    access_key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[bytes, ...]
    signature: str


# ── verifying ────────────────────────────────────────────────────────────────────────────────────


def parse_authorization(headers: Headers) -> Credential | None:
    """The SigV4 claim of a request; None where there is no such Authorization header.

    Raises BadSignature where it cannot be read, or stands beside another Authorization header.
    """
    values = [value for name, value in headers if name == _AUTHORIZATION]
    if not any(value.startswith(_FAMILY) for value in values):
        return None
    if len(values) > 1:
        raise BadSignature("two Authorization headers were sent: send one")
    claim, _, signature = values[0].rpartition(b"Signature=")
    if len(claim) > CLAIM_BYTES_MAX or not _SIGNATURE.fullmatch(signature):
        raise BadSignature(_UNREADABLE)
    return Credential(*_claimed(claim), signature=signature.decode())


@remembered(whole, entries_max=512, entry_bytes_max=8 * 1024)
def _claimed(claim: bytes) -> tuple[str, str, str, str, tuple[bytes, ...]]:
    """All of a credential but its signature: the same for a client all day."""
    found = _CLAIM.fullmatch(claim)
    if found is None:
        raise BadSignature(_UNREADABLE)
    access_key_id, day, region, service = (part.decode() for part in found.group(1, 2, 3, 4))
    return access_key_id, day, region, service, _signed_names(found[5])


def verify(
    inbound: Inbound,
    credential: Credential,
    secret: str,
    now_us: int,
    *,
    services: frozenset[str],
    skew_us: int | None = SKEW_US,
    must_sign: tuple[bytes, ...] = (),
) -> None:
    """Prove that whoever holds ``secret`` sent this very method, path, query, body and signed headers.

    services   the service names that are accepted
    skew_us    how far x-amz-date may be from ``now_us``; None: any time
    must_sign  prefixes of headers (lower case) that may not be sent unsigned
    Raises BadSignature, its message naming the cure.
    """
    if credential.service not in services:
        cure = (
            f"sign for {' or '.join(sorted(services))}" if services else "send a gateway key here"
        )
        raise BadSignature(f"the request is signed for service {credential.service!r}: {cure}")
    refuse_presigned(inbound.query)
    _refuse_unsigned(inbound.headers, credential.signed_headers, must_sign)
    timestamp = _timestamp(inbound.headers, credential.day, now_us, skew_us)
    canonical = _canonical(
        (inbound.method, inbound.raw_path, inbound.query),
        _values(inbound.headers, credential.signed_headers),
        _body_hash(inbound),
    )
    scope = (credential.day, credential.region, credential.service)
    if not hmac.compare_digest(
        _signature(secret, scope, timestamp, canonical), credential.signature
    ):
        raise BadSignature(
            "the signature does not match: check the secret access key, and that no proxy in between "
            "rewrites Host, path, Accept-Encoding or Content-Length"
        )


def refuse_presigned(query: bytes) -> None:
    """Raises BadSignature on a query that is one of a presigned URL."""
    if _PRESIGNED.search(query):
        raise BadSignature("presigned URLs are refused: sign the Authorization header")


def _signed_names(raw: bytes) -> tuple[bytes, ...]:
    names = tuple(raw.split(b";"))
    if len(names) > SIGNED_HEADERS_MAX or any(a >= b for a, b in pairwise(names)):
        raise BadSignature("SignedHeaders must be sorted, each name once")
    if _DATE not in names or not (_HOST in names or _AUTHORITY in names):
        raise BadSignature("SignedHeaders must name host and x-amz-date")
    return names


def _refuse_unsigned(
    headers: Headers, signed: tuple[bytes, ...], must_sign: tuple[bytes, ...]
) -> None:
    if not must_sign:
        return
    for name, _ in headers:
        if name.startswith(must_sign) and name not in signed:
            raise BadSignature(f"the header {name.decode('latin-1')!r} must be signed")


def _timestamp(headers: Headers, day: str, now_us: int, skew_us: int | None) -> bytes:
    """The value of x-amz-date, once it is one, of the credential's day and within the skew."""
    values = [value for name, value in headers if name == _DATE]
    if len(values) != 1 or values[0][:_DAY_CHARS] != day.encode():
        raise BadSignature("x-amz-date must be sent once, of the day of the credential scope")
    try:
        signed_us = _signed_us(values[0])
    except ValueError:
        raise BadSignature("x-amz-date must read YYYYMMDDTHHMMSSZ, in UTC") from None
    if skew_us is not None and abs(now_us - signed_us) > skew_us:
        raise BadSignature(
            f"x-amz-date is {abs(now_us - signed_us) // US_PER_SECOND} s off the gateway's clock: "
            "set the client's clock"
        )
    return values[0]


@lru_cache(maxsize=64)
def _signed_us(timestamp: bytes) -> int:
    """Microseconds since the epoch; ValueError where it is no time. Many requests share a second."""
    found = _TIMESTAMP.fullmatch(timestamp)
    if found is None:
        raise ValueError("not a timestamp")
    year, month, date, hour, minute, second = map(int, found.groups())
    return epoch_us(datetime(year, month, date, hour, minute, second, tzinfo=UTC))


def _body_hash(inbound: Inbound) -> bytes:
    """The real hash of the body; a hash the client states must equal it."""
    real = sha256(inbound.body).hexdigest().encode()
    for name, value in inbound.headers:
        if name == _CONTENT_HASH and value != real:
            raise BadSignature("x-amz-content-sha256 is not the hash of the body: sign the payload")
    return real


# ── signing ──────────────────────────────────────────────────────────────────────────────────────


def sign(
    method: bytes,
    path_and_query: bytes,
    headers: Headers,
    body: bytes,
    *,
    access_key_id: str,
    secret: str,
    session_token: str | None,
    region: str,
    service: str,
    now_us: int,
) -> Headers:
    """The headers with x-amz-date, Authorization and, for session credentials, x-amz-security-token.

    Signs Host, Content-Type and every x-amz header; a transport may add others. Earlier values of the
    headers it sets are dropped. Raises ValueError where Host is not among the headers.
    """
    timestamp = _stamp(now_us // US_PER_SECOND)
    kept, values = _chosen(headers, timestamp, session_token)
    if _HOST not in values:
        raise ValueError("Host must be among the headers before they are signed")
    path, _, query = path_and_query.partition(b"?")
    scope = (timestamp[:_DAY_CHARS].decode(), region, service)
    canonical = _canonical((method, path, query), values, sha256(body).hexdigest().encode())
    signature = _signature(secret, scope, timestamp, canonical)
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={access_key_id}/{'/'.join(scope)}/aws4_request, "
        f"SignedHeaders={b';'.join(values).decode()}, Signature={signature}"
    )
    return (*kept, (_AUTHORIZATION, authorization.encode()))


def _chosen(
    headers: Headers, timestamp: bytes, session_token: str | None
) -> tuple[list[Header], dict[bytes, bytes]]:
    """The headers to send, and of these the ones that we sign, sorted."""
    kept: list[Header] = []
    values: dict[bytes, bytes] = {_DATE: timestamp}
    for header in headers:
        name = header[0].lower()
        if name in _REPLACED:
            continue
        kept.append(header)
        if name in _ALWAYS_SIGNED or (name.startswith(_SIGNED_PREFIX) and name != _NEVER_SIGNED):
            _add(values, name, header[1])
    kept.append((_DATE, timestamp))
    if session_token is not None:
        kept.append((_TOKEN, session_token.encode()))
        values[_TOKEN] = kept[-1][1]
    return kept, dict(sorted(values.items()))


@lru_cache(maxsize=8)
def _stamp(second: int) -> bytes:
    """The timestamp of an epoch second: under load, many requests share it."""
    return instant(second * US_PER_SECOND).strftime("%Y%m%dT%H%M%SZ").encode()


# ── the algorithm ────────────────────────────────────────────────────────────────────────────────


def _canonical(
    target: tuple[bytes, bytes, bytes], values: dict[bytes, bytes], body_hash: bytes
) -> bytes:
    """The canonical request of a (method, path, query), of signed headers in order, and of a body hash."""
    method, path, query = target
    lines = [method.upper(), _canonical_path(path), _canonical_query(query)]
    lines += [b"%b:%b" % header for header in values.items()]
    lines += [b"", b";".join(values), body_hash]
    return b"\n".join(lines)


@remembered(whole, entries_max=256, entry_bytes_max=4 * 1024)
def _canonical_path(path: bytes) -> bytes:
    """Without dot and empty segments, and percent-encoded once more than on the wire."""
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    slash = b"/" if segments and path.endswith(b"/") else b""
    normal = b"/" + b"/".join(segments) + slash
    return _TO_QUOTE.sub(lambda found: _QUOTED[found[0][0]], normal)


def _canonical_query(query: bytes) -> bytes:
    if not query:
        return b""
    pairs = sorted(pair.partition(b"=")[::2] for pair in query.split(b"&"))
    return b"&".join(b"%b=%b" % pair for pair in pairs)


def _values(headers: Headers, names: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """The signed headers in the order of ``names``: blanks collapsed, repeats joined with commas."""
    found = dict.fromkeys(names, _ABSENT)
    if _AUTHORITY in found:
        headers = ((_AUTHORITY, first(headers, _HOST) or b""), *headers)
    for name, value in headers:
        earlier = found.get(name)
        if earlier is _ABSENT:
            found[name] = b" ".join(value.split())
        elif earlier is not None:
            _add(found, name, value)
    for name, value in found.items():
        if value is _ABSENT:
            raise BadSignature(
                f"the signed header {name.decode()!r} did not arrive: "
                "let no proxy in between remove it"
            )
    return found


def _add(values: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Take in one header, behind an earlier one of its name."""
    text = b" ".join(value.split())
    values[name] = values[name] + b"," + text if name in values else text


def _signature(secret: str, scope: tuple[str, str, str], timestamp: bytes, canonical: bytes) -> str:
    to_sign = b"\n".join(
        (
            _ALGORITHM,
            timestamp,
            b"%b/%b" % ("/".join(scope).encode(), _TERMINATOR),
            sha256(canonical).hexdigest().encode(),
        )
    )
    return hmac.digest(_SIGNING_KEYS.of(secret, scope), to_sign, "sha256").hex()


class _SigningKeys:
    """The keys of scopes, four HMACs each and the same all day; under a digest of the secret, and gone with the day."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, tuple[str, str, str]], bytes] = {}
        self._day = ""

    def of(self, secret: str, scope: tuple[str, str, str]) -> bytes:
        """The key of a secret for a (day, region, service)."""
        named = sha256(secret.encode()).digest(), scope
        key = self._known.get(named)
        if key is None:
            day = scope[0]
            if day > self._day or len(self._known) >= SIGNING_KEYS_MAX:
                self._known.clear()
                self._day = max(day, self._day)
            key = self._known[named] = _signing_key(secret, *scope)
        return key

    def __len__(self) -> int:
        return len(self._known)


_SIGNING_KEYS: Final = _SigningKeys()


def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day.encode(), region.encode(), service.encode(), _TERMINATOR):
        key = hmac.digest(key, part, "sha256")
    return key
