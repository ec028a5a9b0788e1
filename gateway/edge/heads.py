"""A request head that its connection has sent before: an SDK repeats it to the byte, but for the body's length.

What was parsed and accepted once means the same when it comes again; so only the digits of Content-Length are read
anew. Whatever differs in anything else, comes in pieces, or does not end with its body goes the parser's way. A head
holds its client's key, so it is kept no longer than its connection, and not past an answer that lets nobody in.
To let something else vary: it must be a value that no check but its own looks at, as those digits are.
"""

import re
from typing import Any, Final

from gateway.wire.messages import Facts, Header, Headers

# In a scope, the facts of its head: that came before, and its body, which is all there, is in no coding.
PLAIN_KEY: Final = "weighbridge.plain"
# So few that no limit but that of the body depends on them.
DIGITS_MAX: Final = 8
# A head in raw bytes, and its fields: an SDK's has 1 KiB and 20. What is kept of one takes some four times as much.
KEPT_BYTES_MAX: Final = 8 * 1024
KEPT_FIELDS_MAX: Final = 64
# Heads that differ from the last one, in a row, until a connection is taken for one that never repeats itself.
PATIENCE: Final = 4

_NAME: Final = b"content-length"
_LENGTH: Final = re.compile(
    rb"\r\n%b:[ \t]*([0-9]{1,%d})(?=\r\n)" % (_NAME, DIGITS_MAX), re.IGNORECASE
)
_END: Final = b"\r\n\r\n"


class SeenHead:
    """One head, as the pieces around its length and as the scope it became."""

    __slots__ = ("_after", "_before", "_headers", "_place", "scope")

    def __init__(self, before: bytes, after: bytes, scope: dict[str, Any], place: int) -> None:
        self._before = before
        self._after = after
        self._headers: Headers = tuple(scope["headers"])
        self._place = place
        self.scope = scope

    def again(self, octets: bytes, body_bytes_max: int) -> tuple[Headers, bytes] | None:
        """Headers and body, where the bytes of one read are this head and a whole body; else None."""
        start = len(self._before)
        end = octets.find(b"\r", start, start + DIGITS_MAX + 1)
        if end < 0 or not (octets.startswith(self._after, end) and octets.startswith(self._before)):
            return None
        digits, body = octets[start:end], octets[end + len(self._after) :]
        if not digits.isdigit() or int(digits) != len(body) or len(body) > body_bytes_max:
            return None
        headers, place = self._headers, self._place
        if headers[place][1] != digits:
            length: Header = (_NAME, digits)
            headers = self._headers = (*headers[:place], length, *headers[place + 1 :])
        return headers, body


def seen_head(octets: bytes, scope: dict[str, Any], head_bytes_max: int) -> SeenHead | None:
    """What to recognise a head by that was accepted just now, whole and with its whole body; None where it cannot be.

    octets  the read it came in · scope  what it became; copied · head_bytes_max  no head may be longer, whatever
    the digits of its length
    """
    head_end = octets.find(_END) + 2
    found = _LENGTH.search(octets, 0, head_end)
    names = [name for name, _ in scope["headers"]]
    if found is None or b"content-encoding" in names:
        return None
    if head_end > KEPT_BYTES_MAX or len(names) > KEPT_FIELDS_MAX:
        return None
    start, end = found.span(1)
    after = octets[end : octets.find(_END, end) + len(_END)]
    if start + DIGITS_MAX + len(after) > head_bytes_max:
        return None
    return SeenHead(
        octets[:start],
        after,
        scope | {PLAIN_KEY: Facts(tuple(scope["headers"]))},
        names.index(_NAME),
    )
