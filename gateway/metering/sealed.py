"""Thoughts that a provider handed out sealed, and that a client sends back: they are read again, unseen by us.

The walk is made only where the body names one.
"""

from gateway.wire.jsondoc import Json


def sealed_characters(asked: dict[str, Json], body: bytes, names: tuple[str, ...]) -> int:
    """The length of all strings under these names, anywhere in the body."""
    if not any(name.encode() in body for name in names):
        return 0
    characters = 0
    waiting: list[Json] = [asked]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name in names:
                sealed = value.get(name)
                characters += len(sealed) if isinstance(sealed, str) else 0
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return characters
