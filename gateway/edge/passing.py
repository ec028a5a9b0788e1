"""Which headers of an upstream's answer go to the client, decided by their names: once per list of names, then looked up.

Answers of one upstream have the same names again and again; only their values are looked at each time. To change
what passes, edit ``DROPPED``.
"""

import re
from typing import Final

import msgspec

from gateway.kernel.remembered import remembered, times
from gateway.wire.headers import HOP_BY_HOP, named_by_connection
from gateway.wire.messages import Header, Headers

# Beside the hop's own: statements about the origin, and towards the client the gateway is the origin. Each
# answer carries our own date once; a cookie, an HSTS or an Alt-Svc of the provider's would bind our host.
DROPPED: Final = HOP_BY_HOP | {
    b"date",
    b"server",
    b"set-cookie",
    b"strict-transport-security",
    b"alt-svc",
}
PLANS_KEPT_MAX: Final = 256  # lists of names: a few per upstream and operation
PLAN_BYTES_MAX: Final = 16 * 1024  # a cloud's 40 names take 3 KiB
_LENGTH: Final = b"content-length"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Plan(msgspec.Struct, frozen=True):
    """What a list of header names decides.

    passing      places of the headers that pass
    length       place of the first content-length; None: there is none
    connections  whether a Connection header may name more that do not pass
    """

    passing: tuple[int, ...]
    length: int | None
    connections: bool


def planned(headers: Headers) -> Plan:
    """The plan of a header list."""
    return _plan(tuple([name for name, _ in headers]))


@remembered(times(2), entries_max=PLANS_KEPT_MAX, entry_bytes_max=PLAN_BYTES_MAX)
def _plan(names: tuple[bytes, ...]) -> Plan:
    lowered = [name.lower() for name in names]
    places = enumerate(lowered)
    return Plan(
        # A name that is no token no client could take apart: dropped alone.
        tuple([at for at, name in places if name not in DROPPED and _TOKEN.match(name)]),
        lowered.index(_LENGTH) if _LENGTH in lowered else None,
        b"connection" in lowered,
    )


def announced(headers: Headers, plan: Plan) -> bytes | None:
    """The value of the first content-length."""
    return None if plan.length is None else headers[plan.length][1]


def passing_headers(headers: Headers, plan: Plan, *, framed: bool) -> list[Header]:
    """The headers that go to the client. ``framed``: the announced length still holds.

    A header that no client could take apart (control characters, a name that is no token) is dropped
    alone: the answer is worth more than the header.
    """
    passing = [headers[at] for at in plan.passing]
    dropped = named_by_connection(headers) if plan.connections else frozenset()
    if not framed and plan.length is not None:
        dropped |= {_LENGTH}
    if not dropped <= HOP_BY_HOP:
        passing = [header for header in passing if header[0].lower() not in dropped]
    # Looked at as one text, which nearly always settles it for all of them.
    if _CONTROL.search(b"".join([value for _, value in passing])):
        return [header for header in passing if not _CONTROL.search(header[1])]
    return passing
