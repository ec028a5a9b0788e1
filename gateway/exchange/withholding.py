"""A file that may hold what deferred work used is not deleted before that is booked.

Who asks for it gets a refusal that heals by itself: the gateway looks at the work at once. A file is known as a
batch's from the first answer that names both. Of one that no answer named (where a key may touch what nobody made
through the gateway) every batch kept at the same upstream must have been looked at since.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Final

from gateway.exchange.admission import Admitted
from gateway.exchange.ports import Resources
from gateway.kernel.errors import NotYetBooked

RETRY_AFTER_MS: Final = 6_000  # what is due is taken every five seconds
UNNAMED_MAX: Final = 4_096  # files remembered that no answer named


class Withholding:
    """The gate in front of deletions, behind the one that asks whose a thing is. One per worker."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._first_us: OrderedDict[bytes, int] = (
            OrderedDict()
        )  # when such a deletion was first asked for

    async def admit(self, admitted: Admitted, at_us: int) -> None:
        """Let a deletion pass that takes no usage away. Raises NotYetBooked, and Unavailable where nobody can tell."""
        call, claim = admitted.call, admitted.owner
        if not call.removes:
            return
        if claim is None:
            await self._unnamed(admitted, at_us)
        elif claim.work is not None and await self._resources.is_unbooked(claim.work, at_us):
            raise NotYetBooked(
                f"{str(call.resource)[:120]!r} was written by a batch that is not booked yet: the gateway is counting "
                "what the batch used now, delete the file again in a minute",
                retry_after_ms=RETRY_AFTER_MS,
            )

    async def _unnamed(self, admitted: Admitted, at_us: int) -> None:
        call, upstream = admitted.call, admitted.upstream.name
        name = sha256(f"{upstream}/{call.resource}".encode()).digest()
        first = self._first_us
        since_us = first.setdefault(name, at_us)
        while len(first) > UNNAMED_MAX:
            first.popitem(last=False)
        if await self._resources.is_unseen(call.provider, upstream, since_us, at_us):
            raise NotYetBooked(
                f"{str(call.resource)[:120]!r} may have been written by one of the batches that are not booked yet at "
                f"upstream {upstream!r}: the gateway is looking at them now, delete the file again in a minute",
                retry_after_ms=RETRY_AFTER_MS,
            )
        first.pop(name, None)
