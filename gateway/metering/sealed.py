"""Thoughts that a provider handed out sealed, and that a client sends back: they are read again, unseen by us.

However their member is spelt: in another case, with escapes, beside a twin of itself.
"""

from gateway.metering.asking import read_anywhere
from gateway.wire.jsondoc import Json
from gateway.wire.members import folded


def sealed_characters(asked: dict[str, Json], body: bytes, name: str) -> int:
    """The length of all strings under this name, in camelCase or snake_case, anywhere in the body."""
    return sum(
        len(value)
        for _, value in read_anywhere(asked, body, (folded(name),))
        if isinstance(value, str)
    )
