"""How deferred work is getting on, asked by the gateway itself, for whoever created it.

It is an exchange like the client's own retrieval, and books by the same once-only key: whichever of the two
sees the end first, there is one row.
"""

from collections.abc import Callable, Iterable
from typing import Final, Self

from gateway.dialects.contract import Request
from gateway.exchange.admission import Admitted
from gateway.exchange.booking import NOT_AN_ANSWER
from gateway.exchange.exchange import Exchange, Exchanges
from gateway.exchange.trying import Trying
from gateway.identity.claim import Claim
from gateway.identity.principal import Principal
from gateway.kernel.errors import Draining, UpstreamFailed, UpstreamMalformed, UpstreamUnreachable
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Outcome
from gateway.ledger.work import Look, Work
from gateway.metering.meter import Reading
from gateway.pricing.dimensions import STANDARD
from gateway.providers.contract import Call, Provider, Upstream
from gateway.wire.messages import Inbound

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024  # a batch object has some kilobytes
RESULTS_BYTES_MAX: Final = 8 * 1024 * 1024 * 1024  # read line by line, kept nowhere
_PLAIN: Final = Request()
_GONE: Final = frozenset({404, 410})


class _Nobody:
    """There is no client who could leave."""

    gone = False


class Following(Exchange):
    """One question about work; entering it admits nobody: its creator was admitted when the work was created."""

    is_a_clients = False

    def __init__(
        self,
        shared: Exchanges,
        provider: Provider,
        call: Call,
        asking: Inbound,
        work: Work,
        upstream: Upstream,
        request: Request = _PLAIN,
    ) -> None:
        super().__init__(shared, provider, call, asking, new_id(), _Nobody())
        self.creator = work.creator
        self._request = request
        self._made_us = work.made_us
        self._kept_at = upstream

    async def __aenter__(self) -> Self:
        made, upstream = self.creator, self._kept_at
        assert made is not None
        principal = Principal(
            key_id=made.key_id,
            org=made.org,
            user=made.user,
            team=made.team,
            cost_centre=made.cost_centre,
            app=made.app,
            tags=made.tags,
        )
        owner = Claim("", made.org, made.team, made.key_id, upstream.name, self._made_us)
        admitted = Admitted(
            principal,
            self._call,
            self._request,
            upstream,
            None,
            None,
            None,
            None,
            STANDARD,
            owner=owner,
        )
        shared = self._shared
        admitted = self._admitted = shared.admission.bargained(admitted, self._asked.started_us)
        self._trying = Trying(shared.means, self._asked, self._client, admitted)
        return self

    async def _close(self, error: BaseException | None) -> None:
        """An answer that was cut says nothing: it is asked again."""
        self.attempt.is_settled = True


class Follower:
    """Asks about work, by whichever gateway serves in this process."""

    def __init__(
        self, exchanges: Callable[[], Exchanges | None], providers: Iterable[Provider]
    ) -> None:
        self._exchanges = exchanges
        self._providers = {provider.name: provider for provider in providers}

    async def ask(self, work: Work) -> Look:
        """Ask once, and book what the work used if it has ended.

        Raises UpstreamFailed and its kinds, and GatewayError where it cannot be asked.
        """
        shared, provider = self._exchanges(), self._providers.get(work.provider)
        if shared is None or provider is None:
            raise Draining("starting or stopping")
        asking = Inbound(b"GET", work.raw_path, work.query, (), b"")
        call = provider.recognise(asking)
        upstream = shared.admission.routes().named(work.upstream)
        if upstream is None:
            raise UpstreamUnreachable(f"upstream {work.upstream!r} is not configured any more")
        async with Following(shared, provider, call, asking, work, upstream) as exchange:
            told = await _heard(exchange, ANSWER_BYTES_MAX)
        if told is None or not (told.complete and told.work_ended):
            return Look.OPEN
        if told.results is None or not told.is_in_results:
            return Look.ENDED
        found = provider.results(asking, told.results)
        if found is None:
            return Look.LOST
        request = Request(works_on=told.work_id)
        async with Following(shared, provider, found[1], found[0], work, upstream, request) as file:
            heard = await _heard(file, RESULTS_BYTES_MAX)
            status = file.attempt.status
        if status in _GONE:
            return Look.LOST
        if heard is None:
            raise UpstreamFailed(f"the output file of a batch cannot be read: status {status}")
        return Look.ENDED


async def _heard(exchange: Following, bytes_max: int) -> Reading | None:
    """Read the answer to its end and settle; what it said of the work, None where it is a refusal or speaks of none."""
    response = await exchange.forward()
    size = 0
    async for chunk in response.body():
        exchange.observe(chunk)
        size += len(chunk)
        if size > bytes_max:
            raise UpstreamMalformed("the answer about deferred work does not end")
    await exchange.settle(Outcome.COMPLETE)
    reading = exchange.reading
    if response.head.status >= NOT_AN_ANSWER or reading is None or reading.work_id is None:
        return None  # not about any work: nothing was booked by it
    return reading
