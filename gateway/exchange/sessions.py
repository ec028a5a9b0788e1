"""Sessions that go on: a container that an earlier answer opened within the hour is not billed once more.

The first answer that a container is in has claimed it; how old the claim is tells whether its session still runs.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from gateway.exchange.ports import Resources
from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import Unavailable
from gateway.metering.hosted import CONTINUED, with_sessions
from gateway.metering.meter import Reading

SESSION_US: Final = 3600 * US_PER_SECOND  # how long the provider keeps one open


async def unbooked(
    reading: Reading, resources: Resources, key: Callable[[str], str], at_us: int
) -> Reading:
    """The reading with the sessions alone that no earlier answer has paid for. Never raises.

    ``key``: the name that a container is claimed by; ``at_us``: the start of the exchange. Where nobody can tell, or
    nobody claimed it, a session is billed and the row keeps its flag.
    """
    if CONTINUED not in reading.flags:
        return reading
    try:
        claims = await resources.find([key(container) for container in reading.sessions])
    except Unavailable:
        return reading
    known = [claims.get(key(container)) for container in reading.sessions]
    running = [claim for claim in known if claim and at_us < claim.made_us + SESSION_US]
    flags = reading.flags
    if None not in known:
        flags = tuple(flag for flag in flags if flag != CONTINUED)
    opened = len(known) - len(running)
    return replace(reading, components=with_sessions(reading.components, opened), flags=flags)
