"""Sending a call once, with the usage opt-in where its protocol needs one; a deployment that refuses it is remembered."""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Final, TypeAlias

import msgspec

from gateway.exchange import booking
from gateway.exchange.admission import Admitted, Place
from gateway.exchange.inflating import coding_of, inflated
from gateway.exchange.ports import Response, Upstreams
from gateway.exchange.whole import WholeResponse, read_whole
from gateway.kernel.errors import BadRequest
from gateway.metering.meter import Filter
from gateway.providers.contract import Call, Provider, body_for
from gateway.wire.messages import Inbound

OPT_IN_REFUSED_MAX: Final = 4096  # deployments remembered that refuse the usage opt-in
OPT_IN_REFUSED: Final = ("usage_opt_in_refused",)
USAGE_EVENT_KEPT: Final = ("usage_event_kept",)  # in a coding that is not understood
BAD_REQUEST: Final = 400


class Sent(msgspec.Struct, frozen=True):
    """An answer under way. ``filter`` takes out what only we asked for; ``flags`` go on the row."""

    response: Response
    filter: Filter | None = None
    flags: tuple[str, ...] = ()


Once: TypeAlias = Callable[[bytes], Awaitable[Response]]
"""One call to one upstream, with one body or another."""


class Sending:
    """One per worker; remembers which deployments refuse the opt-in."""

    def __init__(self, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self._refused: set[tuple[Place, bytes]] = set()

    def plainly(
        self,
        provider: Provider,
        call: Call,
        inbound: Inbound,
        admitted: Admitted,
        leaving: Callable[[], None],
        body: bytes,
    ) -> Awaitable[Response]:
        """Send with that body. ``leaving``: called when a byte is about to leave.

        Raises UpstreamFailed and its kinds.
        """
        named = body_for(call, admitted.deployment, body)
        if named is None:  # not where admission has looked
            raise BadRequest("the model's name at this place does not fit into the body")
        target = provider.target(call, inbound, admitted.upstream, admitted.deployment, named)
        return self.upstreams.send(admitted.upstream, target, leaving)

    async def opted(
        self,
        provider: Provider,
        call: Call,
        inbound: Inbound,
        admitted: Admitted,
        leaving: Callable[[], None],
    ) -> Sent:
        """Send with the opt-in that its request asks for; where that is refused, again without.

        Raises UpstreamFailed and its kinds.
        """
        opted = admitted.request.opted_body
        assert opted is not None
        once: Once = partial(self.plainly, provider, call, inbound, admitted, leaving)
        # With the query: it holds the api-version, and an old one must not silence the streams of the others.
        key = (admitted.place, sha256(inbound.query).digest())
        if key in self._refused:
            return Sent(await once(inbound.body), flags=OPT_IN_REFUSED)
        response = await once(opted)
        if response.head.status == BAD_REQUEST:
            return await self._unopted(once, inbound, key, await read_whole(response))
        if call.dialect is None:
            return Sent(response)
        coding = coding_of(response.head)
        plain = response if coding is None else inflated(response, coding)
        if plain is None:
            return Sent(response, flags=USAGE_EVENT_KEPT)
        return Sent(plain, call.dialect.strip(admitted.request))

    async def _unopted(
        self, once: Once, inbound: Inbound, key: tuple[Place, bytes], refusal: WholeResponse
    ) -> Sent:
        """Send the client's own body; only where that passes was the opt-in to blame, and is remembered."""
        if b"stream_options" not in refusal.chunk:
            return Sent(refusal)
        response = await once(inbound.body)
        if response.head.status < booking.NOT_AN_ANSWER and len(self._refused) < OPT_IN_REFUSED_MAX:
            self._refused.add(key)
        return Sent(response, flags=OPT_IN_REFUSED)
