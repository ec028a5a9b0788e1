"""A credential where none may be: in the URL, which is forwarded as it came and ends up in logs on its way.

What is one tells its name, or its value: whatever begins as a gateway key does. To refuse another name: ``_NAMES``.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.identity.keys import KEY_PREFIX
from gateway.kernel.errors import BadRequest
from gateway.kernel.remembered import remembered, whole

QUERIES_KEPT_MAX: Final = 256
QUERY_BYTES_MAX: Final = 2 * 1024

# As they are left by ``_LETTERS``: `api-key`, `API_KEY` and `$apiKey` are one name.
_NAMES: Final = frozenset(
    {
        b"accesskey", b"accesstoken", b"apikey", b"apitoken", b"authorization", b"authtoken", b"bearer",
        b"bearertoken", b"clientsecret", b"idtoken", b"key", b"oauthtoken", b"ocpapimsubscriptionkey", b"password",
        b"refreshtoken", b"secret", b"secretaccesskey", b"secretkey", b"sessiontoken", b"sig", b"subscriptionkey",
        b"token", b"xapikey", b"xgoogapikey",
    }
)  # fmt: skip
_LETTERS: Final = re.compile(rb"[^0-9a-z]+")
_PAIRS: Final = re.compile(rb"[&;]")
_PREFIX: Final = KEY_PREFIX.encode()
# A key somewhere in a value, behind `Bearer ` for one: nothing else has its prefix and so many characters.
_KEY: Final = re.compile(_PREFIX + rb"[0-9A-Za-z]{16}")
_ENCODINGS_MAX: Final = 4  # what is percent-encoded more often than that nobody decodes
_CURE: Final = (
    "a key in the URL ends up in logs, and would go to the provider: send it as 'Authorization: Bearer', 'api-key', "
    "'x-api-key' or 'x-goog-api-key', and leave it out of the query"
)


@remembered(whole, entries_max=QUERIES_KEPT_MAX, entry_bytes_max=QUERY_BYTES_MAX)
def bears_no_credential(query: bytes) -> bool:
    """True, of the raw bytes of a query. Raises BadRequest where a parameter is a credential by name or value.

    However it is percent-encoded and spelt. The message names the place, never the value.
    """
    for pair in _PAIRS.split(query):
        name, _, value = pair.partition(b"=")
        name, value = _plain(name), _plain(value)
        if _LETTERS.sub(b"", name.lower()) in _NAMES or _is_key(name) or _is_key(value):
            raise BadRequest(_CURE)
    return True


def _is_key(text: bytes) -> bool:
    return text.startswith(_PREFIX) or _KEY.search(text) is not None


def _plain(text: bytes) -> bytes:
    """Decoded until nothing is left to be decoded: who reads it next may decode once more."""
    for _ in range(_ENCODINGS_MAX):
        decoded = unquote_to_bytes(text)
        if decoded == text:
            break
        text = decoded
    return text.replace(b"+", b" ").strip()
