"""What a request head must look like beyond what llhttp checks: pure functions from bytes to a status.

Each returns 0 where the head may pass, else the status of the refusal, which knows its reason. To refuse something
new, add a rule here and its case to tests/edge/test_http1.py.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final, Self

from gateway.wire.messages import Header

ACCEPTED: Final = 0


class Objection(int):
    """The status of a refusal; ``why`` is for the client, names the cure, and holds nothing of the request."""

    why: str

    def __new__(cls, status: int, why: str) -> Self:
        """A status with its reason."""
        made = super().__new__(cls, status)
        made.why = why
        return made


_NO_ORIGIN_FORM: Final = Objection(
    400,
    "the target has to be a path that begins with one '/': send no absolute URL and no '//' in front of it",
)
_DOUBLED: Final = Objection(
    400,
    "the path holds '//', which two servers read differently: a base URL that ends in '/' may be doubled by the SDK",
)
_NOT_IN_PATH: Final = Objection(
    400, "the path holds a character that may not be there: percent-encode it (UTF-8), '#' as %23"
)
_BAD_ENCODING: Final = Objection(
    400,
    "the path holds a '%' that encodes nothing, a line break, a NUL or a backslash: leave it out",
)
_DOTS: Final = Objection(
    400,
    "the path holds a '.' or '..' segment, which two servers read differently: send the path it stands for",
)
_NOT_IN_QUERY: Final = Objection(
    400, "the query holds a character that may not be there: percent-encode it"
)
_REPEATED: Final = Objection(
    400,
    "Host, Content-Length and Expect may each be sent once: let no proxy in between add another",
)
_NOT_IN_FIELD: Final = Objection(
    400,
    "a header has a '_' in its name or a control character in its value: rename it, or leave it out",
)
_NO_HOST: Final = Objection(400, "the request has no Host header")
_BAD_HOST: Final = Objection(400, "the Host header is no host name with an optional port")
NO_UPGRADE: Final = Objection(
    400,
    "no connection is upgraded here: send the call over plain HTTP, without Upgrade (curl: --http1.1)",
)
_BAD_LENGTH: Final = Objection(
    400, "Content-Length has to be digits, and stands beside no Transfer-Encoding"
)

METHODS: Final = frozenset((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"))
VERSIONS: Final = frozenset(("1.0", "1.1"))

# Only these are white space around a field value; bytes.strip() would also take \x0b and \x0c.
OWS: Final = b" \t"

# Sets rather than patterns where a set will do: deleting a set from a line of text is one pass in C.
_ALNUM: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Printable ASCII without the characters that parsers disagree on; '%' is looked at more closely.
_IN_PATH: Final = _ALNUM + b"!$%&'()*+,-./:;=@[]_~"
_IN_QUERY: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_NOT_IN_VALUE: Final = bytes(byte for byte in (*range(0x20), 0x7F) if byte != ord("\t"))
# No whole triplet, or one that decodes to NUL, LF, CR or a backslash.
_BAD_PERCENT = re.compile(rb"%(?:(?![0-9A-Fa-f]{2})|00|0[adAD]|5[cC])")
# One or two dots as a whole segment, however the dots and slashes are spelled, with or without ;params.
_DOT_SEGMENT = re.compile(rb"(?:/|%2f)(?:\.|%2e){1,2}(?=;|%3b|/|%2f|\Z)", re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_DIGITS = re.compile(rb"[0-9]+\Z")

_ONCE: Final = (b"host", b"content-length", b"transfer-encoding", b"expect")


def line_status(method: bytes, target: bytes, version: str) -> int:
    """Check the request line. ``target`` is the whole of it, query included."""
    if version not in VERSIONS:
        return 505
    if method not in METHODS:
        return 405
    return target_status(target)


def target_status(target: bytes) -> int:
    """Origin form only, and nothing in it that two parsers could read in two ways."""
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") or b"//" in path or path.translate(None, _IN_PATH):
        return _misread(path)
    encoded = b"%" in path
    if encoded and _BAD_PERCENT.search(path) is not None:
        return _BAD_ENCODING
    if (encoded or b"/." in path) and _DOT_SEGMENT.search(path) is not None:
        return _DOTS
    return _NOT_IN_QUERY if query.translate(None, _IN_QUERY) else ACCEPTED


def _misread(path: bytes) -> Objection:
    if not path.startswith(b"/"):
        return _NO_ORIGIN_FORM
    return _DOUBLED if b"//" in path else _NOT_IN_PATH


def fields_text(headers: Sequence[Header]) -> bytes:
    """All names and values in one piece, to be measured and searched at once."""
    return b"".join(chain.from_iterable(headers))


def fields_status(
    version: str, headers: Sequence[Header], fields: dict[bytes, bytes], text: bytes
) -> int:
    """Check all header fields of a request: spelling, Host, framing, Upgrade, Expect.

    Names are lower case, values stripped of ``OWS``; ``fields`` is the list as a dict, ``text`` as one
    piece: what every request pays for is a few passes in C, none of them per field.
    """
    if len(fields) != len(headers) and (status := _repeated_status(headers)):
        return status
    if b"_" in b"".join(fields) or len(text.translate(None, _NOT_IN_VALUE)) != len(text):
        return _NOT_IN_FIELD
    return _meaning_status(version, fields)


def _repeated_status(headers: Sequence[Header]) -> int:
    """Fields whose repetition makes a message mean two things, equal or not."""
    names = [name for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            return 501 if name == b"transfer-encoding" else _REPEATED
    return ACCEPTED


def _meaning_status(version: str, fields: dict[bytes, bytes]) -> int:
    host = fields.get(b"host")
    if host is None:
        if version != "1.0":
            return _NO_HOST
    elif _HOST.match(host) is None:
        return _BAD_HOST
    if b"upgrade" in fields:
        return NO_UPGRADE
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return 417
    return _framing_status(version, fields)


def _framing_status(version: str, fields: dict[bytes, bytes]) -> int:
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if length is not None and (coding is not None or _DIGITS.match(length) is None):
        return _BAD_LENGTH
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        return 501
    return ACCEPTED
