"""Gateway keys: grammar, checksum and digest; the AWS-shaped pairs; everything derived from the master secret.

A further derived secret is one function with a label of its own: equal labels would give equal secrets.
"""

import base64
import hmac
import re
import string
from collections.abc import Callable
from typing import Final, TypeAlias
from zlib import crc32

Random: TypeAlias = Callable[[int], bytes]  # n → n random bytes, such as secrets.token_bytes

KEY_PREFIX: Final = "wb_"
KEY_ID_PREFIX: Final = "key_"
ACCESS_KEY_ID_PREFIX: Final = "WBAK"
MASTER_BYTES_MIN: Final = 32

_BASE36: Final = string.digits + string.ascii_uppercase
_BASE62: Final = _BASE36 + string.ascii_lowercase
_SECRET_BYTES: Final = 32
_SECRET_CHARS: Final = 43  # 62^43 > 2^256
_CHECK_CHARS: Final = 6  # 62^6 > 2^32
_KEY_ID_BYTES: Final = 16
_KEY_ID_CHARS: Final = 22  # 62^22 > 2^128
_ACCESS_KEY_ID_CHARS: Final = 20  # as AWS's own
_AWS_SECRET_BYTES: Final = 30  # 40 characters of base64, as AWS's own
_PUBLIC_CHARS: Final = 8
_HASH: Final = "sha256"
_HASH_BYTES: Final = 32
_BLOCKS_MAX: Final = 255  # RFC 5869: the counter is one byte
_GRAMMAR: Final = re.compile(
    rf"{KEY_PREFIX}[0-9A-Za-z]{{{_SECRET_CHARS}}}[0-9A-Za-z]{{{_CHECK_CHARS}}}"
)

_ACCESS_KEY_ID: Final = re.compile(
    rf"{ACCESS_KEY_ID_PREFIX}[0-9A-Z]{{{_ACCESS_KEY_ID_CHARS - len(ACCESS_KEY_ID_PREFIX)}}}"
)


def mint(random: Random) -> str:
    """A new gateway key: prefix, 256 random bits, checksum; 52 characters, all safe in any header."""
    number = int.from_bytes(random(_SECRET_BYTES), "big")
    body = KEY_PREFIX + _digits(number, _BASE62, _SECRET_CHARS)
    return body + _check(body)


def mint_key_id(random: Random) -> str:
    """A new public id of a key, random: it says nothing about the key."""
    number = int.from_bytes(random(_KEY_ID_BYTES), "big")
    return KEY_ID_PREFIX + _digits(number, _BASE62, _KEY_ID_CHARS)


def mint_access_key_id(random: Random) -> str:
    """A new AWS access key id, 20 characters of A-Z and 0-9; its secret is derived from it."""
    width = _ACCESS_KEY_ID_CHARS - len(ACCESS_KEY_ID_PREFIX)
    # 128 random bits reduced to 83: no id is likelier than another by more than 2^-45.
    number = int.from_bytes(random(_KEY_ID_BYTES), "big") % len(_BASE36) ** width
    return ACCESS_KEY_ID_PREFIX + _digits(number, _BASE36, width)


def looks_valid(key: str) -> bool:
    """Whether a text has the form and checksum of a key: what fails here never reaches a look-up."""
    return (
        _GRAMMAR.fullmatch(key) is not None and _check(key[:-_CHECK_CHARS]) == key[-_CHECK_CHARS:]
    )


def looks_issued(named: str) -> bool:
    """Whether a text has the form of a key (with its checksum) or of an access key id of ours."""
    return looks_valid(named) or _ACCESS_KEY_ID.fullmatch(named) is not None


def digest(key: str, pepper: bytes) -> bytes:
    """What is stored of a key: 32 bytes that are of no use without the pepper."""
    return hmac.digest(pepper, key.encode(), _HASH)


def public_prefix(key: str) -> str:
    """The first characters of a key, for messages and lists; 5 of them are of the secret's 43."""
    return key[:_PUBLIC_CHARS]


def derive_pepper(master: bytes) -> bytes:
    """The pepper of ``digest``. Raises ValueError on a master secret that is too short."""
    return _derive(master, "pepper", _HASH_BYTES)


def derive_secret(master: bytes, access_key_id: str) -> str:
    """The secret access key of an access key id, 40 characters; it is stored nowhere.

    Raises ValueError on a master secret that is too short.
    """
    return base64.b64encode(_derive(master, f"sigv4:{access_key_id}", _AWS_SECRET_BYTES)).decode()


def hkdf(master: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869). Raises ValueError on more than 8,160 bytes."""
    blocks = -(-length // _HASH_BYTES)
    if blocks > _BLOCKS_MAX:
        raise ValueError("HKDF gives at most 8,160 bytes")
    pseudo_random_key = hmac.digest(salt or bytes(_HASH_BYTES), master, _HASH)
    derived = block = b""
    for counter in range(1, blocks + 1):
        block = hmac.digest(pseudo_random_key, block + info + bytes((counter,)), _HASH)
        derived += block
    return derived[:length]


def _derive(master: bytes, label: str, length: int) -> bytes:
    if len(master) < MASTER_BYTES_MIN:
        raise ValueError(f"the master secret needs at least {MASTER_BYTES_MIN} bytes")
    return hkdf(master, b"", label.encode(), length)


def _check(body: str) -> str:
    return _digits(crc32(body.encode()), _BASE62, _CHECK_CHARS)


def _digits(number: int, alphabet: str, width: int) -> str:
    """A number in an alphabet's base, padded to a width it is known to fit."""
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
