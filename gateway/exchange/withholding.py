"""A file that may hold what deferred work used is not deleted before that is booked.

Who asks for it gets a refusal that heals by itself: the gateway looks at the work at once. A file is known as a
batch's from the first answer that names both. Of one that no answer named so, while a batch is open where it is
kept, the provider is asked what it is: results wait for every open batch that is older than they are.
"""

from typing import Final

from msgspec.structs import replace

from gateway.exchange.admission import Admitted
from gateway.exchange.ports import Resources, Upstreams
from gateway.exchange.whole import read_whole
from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import NotYetBooked, UpstreamFailed
from gateway.providers.contract import Provider
from gateway.wire.messages import Inbound

RETRY_AFTER_MS: Final = 6_000  # what is due is taken every five seconds
SKEW_US: Final = 600 * US_PER_SECOND  # between the clocks of the provider and of our machines
_NOT_FOUND: Final = 404
_REFUSED: Final = 400  # and above


class Withholding:
    """The gate in front of deletions, behind the one that asks whose a thing is. One per worker."""

    def __init__(self, resources: Resources, upstreams: Upstreams) -> None:
        self._resources = resources
        self._upstreams = upstreams

    async def admit(
        self, provider: Provider, inbound: Inbound, admitted: Admitted, at_us: int
    ) -> None:
        """Let a deletion pass that takes no usage away.

        Raises NotYetBooked, Unavailable where nobody can tell, UpstreamFailed where the provider cannot be asked.
        """
        call, claim = admitted.call, admitted.owner
        if not call.removes:
            return
        if claim is not None and claim.work is not None:
            if await self._resources.is_unbooked(claim.work, at_us):
                raise NotYetBooked(
                    f"{str(call.resource)[:120]!r} was written by a batch that is not booked yet: the gateway is "
                    "counting what the batch used now, delete the file again in a minute",
                    retry_after_ms=RETRY_AFTER_MS,
                )
        elif (
            claim is None or claim.models is None
        ):  # not an input file, which is read when it comes
            await self._unnamed(provider, inbound, admitted, at_us)

    async def _unnamed(
        self, provider: Provider, inbound: Inbound, admitted: Admitted, at_us: int
    ) -> None:
        call, upstream = admitted.call, admitted.upstream.name
        if not await self._resources.is_open(call.provider, upstream, at_us + SKEW_US):
            return
        written_us = await self._written(provider, inbound, admitted, at_us)
        if written_us is None:
            return
        older_us = written_us + SKEW_US
        if await self._resources.is_open(call.provider, upstream, older_us, wanted_us=at_us):
            raise NotYetBooked(
                f"{str(call.resource)[:120]!r} holds results that may be those of one of the batches that are not "
                f"booked yet at upstream {upstream!r}: the gateway is looking at them now, delete the file again "
                "in a minute, or once the batches that are older than it have ended",
                retry_after_ms=RETRY_AFTER_MS,
            )

    async def _written(
        self, provider: Provider, inbound: Inbound, admitted: Admitted, at_us: int
    ) -> int | None:
        """When results were written into the file, by what its provider says of it; None where it holds none."""
        asking = replace(inbound, method=b"GET", headers=(), body=b"")
        call = provider.recognise(asking)
        target = provider.target(call, asking, admitted.upstream, None, b"")
        answer = await read_whole(
            await self._upstreams.send(admitted.upstream, target, lambda: None)
        )
        status = answer.head.status
        if status == _NOT_FOUND:
            return None  # which the deletion will be told as well
        if status >= _REFUSED:
            raise UpstreamFailed(
                f"the upstream does not say what {str(call.resource)[:120]!r} is (status {status}), and a batch may "
                "have written it: try again"
            )
        return provider.results_written(answer.chunk, at_us)
