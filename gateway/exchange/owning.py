"""Whose kept things a call may touch: what other teams made is not there, what nobody claimed is not either.

Behind one upstream credential a provider keeps the files, batches and stored responses of every team together.
Each id gets its owner when the answer that made it passes; the first claim stands. To follow another way of
naming a thing: wire.references (in bodies), the group ``resource`` of a provider's route (in paths).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import Request
from gateway.exchange import sessions
from gateway.exchange.admission import Admitted
from gateway.exchange.booking import circumstances
from gateway.exchange.carrying import carried
from gateway.exchange.ports import Resources, Upstreams
from gateway.exchange.remedy import remedy
from gateway.exchange.routing import Canonical, Routes
from gateway.exchange.withholding import Withholding
from gateway.identity.claim import Claim
from gateway.identity.principal import Principal
from gateway.kernel.clock import US_PER_SECOND
from gateway.kernel.errors import (
    MalformedBody,
    ModelNotAllowed,
    OperationRefused,
    UnknownResource,
    Unpriced,
)
from gateway.kernel.names import known_by
from gateway.ledger.entry import Entry
from gateway.ledger.work import Told, Work, work_name
from gateway.metering.meter import Reading
from gateway.pricing.book import Book
from gateway.pricing.cover import covers
from gateway.pricing.dimensions import BATCH
from gateway.pricing.rate import Status
from gateway.providers.contract import Call, Kind, Provider, Served, Upstream
from gateway.wire.jsondoc import MalformedJson
from gateway.wire.messages import Inbound
from gateway.wire.references import References, TooManyReferences, may_refer, references

WALKED_INLINE_BYTES_MAX: Final = 64 * 1024
# A provider forgets stored answers after 30 days; files and batches stay until they are deleted.
STORED_US: Final = 60 * 86_400 * US_PER_SECOND
_JSON_STARTS: Final = frozenset(b"{[ \t\r\n")
_METERED: Final = Kind.METERED


class Owning:
    """The gate in front of kept things. One per worker."""

    def __init__(
        self,
        resources: Resources,
        routes: Callable[[], Routes],
        *,
        book: Callable[[], Book],
        canonical: Canonical,
        upstreams: Upstreams,
    ) -> None:
        self._resources = resources
        self._routes = routes
        self._book = book
        self._canonical = canonical
        self._withholding = Withholding(resources, upstreams)

    def concerns(self, admitted: Admitted, body: bytes) -> bool:
        """Whether a call may have to do with kept things, so that ``admit`` has to look: nearly none has."""
        call, request = admitted.call, admitted.request
        return (
            call.resource is not None
            or call.lists
            or call.removes
            or call.reserved
            or request.is_tied
            or request.works_on is not None
            or bool(request.refers or request.brings)
            or _may_name(body)
        )

    async def admit(
        self, provider: Provider, inbound: Inbound, admitted: Admitted, at_us: int
    ) -> Admitted:
        """The call where what it names is kept, with the claim of the thing that its path names.

        Raises UnknownResource for what is not the principal's, OperationRefused for a listing of everybody's
        things and for new deferred work on input nobody read, ModelNotAllowed, UnknownDeployment, Unpriced,
        MalformedBody for a body that names too many, NotYetBooked for a deletion that would take usage away,
        Unavailable where nobody can tell, UpstreamFailed where the provider has to be asked and does not answer.
        """
        placed, claims = await self._placed(provider, inbound, admitted, at_us)
        continues = placed.request.continues
        if continues is not None:
            placed = carried(placed, claims.get(_key(placed.call, continues)))
        if placed.call.removes:
            await self._withholding.admit(provider, inbound, placed, at_us)
        return placed

    async def _placed(
        self, provider: Provider, inbound: Inbound, admitted: Admitted, at_us: int
    ) -> tuple[Admitted, Mapping[str, Claim]]:
        """The call where what it names is kept, and the claims there are of what it names."""
        call, request, principal = admitted.call, admitted.request, admitted.principal
        if call.lists:
            _require_all(call, principal, admitted.upstream)
        names, body = _named_beside(call, request), inbound.body
        if _may_name(body):
            found = await _named(body)
            names = References(names.named | found.named, names.brought | found.brought)
        if not (any(names) or call.reserved):
            return _tied(admitted, ()), {}
        claims = await self._claimed(call, names, principal, admitted.upstream)
        claim = claims.get(_key(call, call.resource or request.works_on or ""))
        if call.reserved:
            self._require_models(provider, admitted, claim, at_us)
        if claim is None:
            return _tied(admitted, claims.values()), claims
        upstream = self._routes().named(claim.upstream)
        if upstream is None:
            raise UnknownResource(
                f"{claim.resource[:120]!r} is kept at upstream {claim.upstream!r}, which is not configured any more"
            )
        owner = None if call.resource is None else claim
        return replace(admitted, upstream=upstream, owner=owner), claims

    async def _claimed(
        self, call: Call, names: References, principal: Principal, first: Upstream
    ) -> Mapping[str, Claim]:
        """The claims there are of what a call names. Raises UnknownResource."""
        sought = sorted(names.named | names.brought)
        claims = await self._resources.find([_key(call, name) for name in sought])
        for name in sought:
            claim = claims.get(_key(call, name))
            # What a conversation that nobody keeps brings back is nobody's.
            if claim is not None or name in names.named:
                self._require(name, claim, principal, first)
        return claims

    def _require(
        self, name: str, claim: Claim | None, principal: Principal, first: Upstream
    ) -> None:
        """Raises UnknownResource: it is the same whether the thing is another's or nobody's."""
        kept_at = first if claim is None else self._routes().named(claim.upstream)
        may_touch_all = principal.allow_shared or (kept_at is not None and kept_at.single_tenant)
        if not may_touch_all and (claim is None or not claim.is_of(principal)):
            raise UnknownResource(
                f"nothing named {name[:120]!r} was made through this gateway with a key of team {principal.team!r}"
            )

    def _require_models(
        self, provider: Provider, admitted: Admitted, claim: Claim | None, at_us: int
    ) -> None:
        """Every model that the input of new deferred work names must be one the key may use, deployed and priced."""
        if claim is None or claim.models is None:
            raise OperationRefused(
                "which models a batch uses is read when its input file is uploaded: upload the file through this "
                'gateway with purpose "batch", then create the batch from that file'
            )
        for model in claim.models:
            self._require_model(provider, admitted, claim.upstream, model, at_us)

    def _require_model(
        self, provider: Provider, admitted: Admitted, upstream: str, model: str, at_us: int
    ) -> None:
        principal = admitted.principal
        places = self._routes().find(provider, admitted.call, model, self._canonical)
        deployment = next(
            (place.deployment for place in places if place.upstream.name == upstream), None
        )
        if deployment is None or deployment.named is not None:
            raise OperationRefused(
                f"the batch's file names {model[:80]!r}, and upstream {upstream!r}, which keeps the file, has no "
                "deployment of that very name: name one of its own in the file's lines"
            )
        if not principal.may_use(deployment.wire, deployment.model or ""):
            raise ModelNotAllowed(
                f"team {principal.team!r} may not use {model[:80]!r}, which the batch's file names, with this key: "
                f"allowed are {', '.join(principal.models)}"
            )
        under = circumstances(provider.name, deployment, Served(), BATCH, at_us)
        book = self._book()
        if not principal.allow_unpriced and covers(book, under).status is Status.UNPRICED:
            said = remedy(book, Status.UNPRICED, under, upstream)
            raise Unpriced(f"{model[:80]!r}, which the batch's file names, {said}")

    def keep(
        self,
        provider: Provider,
        inbound: Inbound,
        admitted: Admitted,
        reading: Reading,
        now_us: int,
        created: Entry | None = None,
        tokens: int | None = None,
    ) -> None:
        """Claim what an answer made, for whom the thing in the path belongs to, or who called. Never raises.

        ``created``: the entry of new deferred work, which is asked from then on for what it used. ``tokens``: what
        whoever goes on from the answer reads of it. Where all keys are one tenant, only answers whose tokens are
        known are claimed.
        """
        call, upstream = admitted.call, admitted.upstream
        is_metered = call.kind is _METERED
        is_nobodys = call.resource is not None and admitted.owner is None
        answer = None if tokens is None else reading.answer
        all_made = reading.made
        if is_metered and upstream.single_tenant:
            all_made = () if answer is None else (answer,)
        if not all_made or is_nobodys:
            return
        claim = _claim(admitted, now_us, now_us + STORED_US if is_metered else None)
        work = reading.work_id
        wrote = None if work is None else work_name(call.provider, upstream.name, work)
        claims = [
            replace(claim, resource=_key(call, made), work=None if made == work else wrote)
            if made != answer
            else replace(claim, resource=_key(call, made), model=admitted.model, tokens=tokens)
            for made in all_made
        ]
        self._resources.keep(claims, self._works(provider, inbound, upstream, reading, created))

    @staticmethod
    def _works(
        provider: Provider,
        inbound: Inbound,
        upstream: Upstream,
        reading: Reading,
        created: Entry | None,
    ) -> list[Work]:
        work = reading.work_id
        if created is None or work is None or created.settles is None:
            return []
        asking = provider.retrieval(inbound, work)
        if asking is None:
            return []
        return [
            Work(
                work_name(provider.name, upstream.name, work),
                provider.name,
                upstream.name,
                asking.raw_path,
                asking.query,
                created,
                created.occurred_us,
            )
        ]

    def told(self, admitted: Admitted, reading: Reading, now_us: int) -> None:
        """A client's own look shows whether work has ended: then it is booked by that, or asked at once. Never raises."""
        call = admitted.call
        if reading.work_id is None or not (reading.work_ended and reading.complete):
            return
        name = work_name(call.provider, admitted.upstream.name, reading.work_id)
        self._resources.keep((), (), [Told(name, now_us, is_booked=not reading.is_in_results)])

    async def unbooked(self, call: Call, reading: Reading, at_us: int) -> Reading:
        """The reading without the sessions that an earlier answer has paid for. Never raises."""
        return await sessions.unbooked(
            reading, self._resources, lambda name: _key(call, name), at_us
        )

    async def kept(self) -> None:
        """Return once what was claimed is durable, or after some seconds without a database."""
        await self._resources.kept()


def _tied(admitted: Admitted, claims: Iterable[Claim]) -> Admitted:
    """What continues or names a kept thing has one place: the one that keeps it, else the first."""
    keeping = {claim.upstream for claim in claims}
    if not admitted.elsewhere or not (keeping or admitted.request.is_tied):
        return admitted
    first, *others = admitted.options
    return next((each for each in (first, *others) if each.upstream.name in keeping), first)


def _claim(admitted: Admitted, now_us: int, expires_us: int | None) -> Claim:
    """The claim of what a call made, whatever that is."""
    whose = admitted.principal if admitted.owner is None else admitted.owner
    return Claim(
        resource="",
        org=whose.org,
        team=whose.team,
        key_id=whose.key_id,
        upstream=admitted.upstream.name,
        made_us=now_us,
        expires_us=expires_us,
        models=admitted.request.named,
    )


def _require_all(call: Call, principal: Principal, upstream: Upstream) -> None:
    if not (principal.allow_shared or upstream.single_tenant):
        raise OperationRefused(
            f"{call.operation} shows what every team keeps here: retrieve by id, use a key made with "
            "--allow-shared, or set single_tenant = true on the upstream if all its keys are one tenant"
        )


def _may_name(body: bytes) -> bool:
    return bool(body) and body[0] in _JSON_STARTS and may_refer(body)


def _named_beside(call: Call, request: Request) -> References:
    """The ids that a call names elsewhere than in a JSON body: in its path, in a file it uploads or works on."""
    named = request.refers
    for name in (call.resource, request.works_on):
        if name:
            named |= {name}
    return References(named, request.brings)


async def _named(body: bytes) -> References:
    """The ids that a JSON body names. Raises MalformedBody where they are too many, or nobody can tell."""
    try:
        if len(body) <= WALKED_INLINE_BYTES_MAX:
            return references(body)
        return await asyncio.to_thread(references, body)
    except (TooManyReferences, MalformedJson) as error:
        raise MalformedBody(str(error)) from error


def _key(call: Call, name: str) -> str:
    return f"{call.provider}/{known_by(name)}"
