"""Signatures of closed months: Ed25519, by a key of the organisation's own.

The public half travels with the statements; the private half never leaves its file.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PUBLIC_BYTES: Final = 32


class BadKey(ValueError):
    """The file holds no Ed25519 private key in PEM without a passphrase."""


def signed(pem: bytes, message: bytes) -> bytes:
    """The public key (32 bytes) and the signature (64) over a message. Raises BadKey."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        raise BadKey("expected an unencrypted PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey("expected an Ed25519 key")
    return key.public_key().public_bytes_raw() + key.sign(message)


def is_signed(signature: bytes, message: bytes) -> bool:
    """Whether a value of ``signed`` is over this message."""
    try:
        key = Ed25519PublicKey.from_public_bytes(signature[:PUBLIC_BYTES])
        key.verify(signature[PUBLIC_BYTES:], message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signer(signature: bytes) -> str:
    """Who signed: the public key, in hex."""
    return signature[:PUBLIC_BYTES].hex()
