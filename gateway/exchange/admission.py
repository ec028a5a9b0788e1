"""Whether a call may pass: who is calling, where it goes, what it asks for, and that it has a price."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.dialects.contract import NAME_CHARS_MAX, NAME_KEPT_CHARS_MAX, TIER_CHARS_MAX, Request
from gateway.exchange.booking import Counts, Priced
from gateway.exchange.counting import Counting
from gateway.exchange.ports import Keys
from gateway.exchange.prospects import Prospects
from gateway.exchange.routing import Candidate, Canonical, Routes
from gateway.identity import sigv4
from gateway.identity.claim import Claim
from gateway.identity.keys import KEY_PREFIX
from gateway.identity.misplaced import bears_no_credential
from gateway.identity.presented import Presented, presented
from gateway.identity.principal import Principal
from gateway.kernel.errors import (
    BadRequest,
    GatewayError,
    ModelNotAllowed,
    OperationRefused,
    Unauthenticated,
    UnknownKey,
    Unpriced,
)
from gateway.metering.asking import require_readable
from gateway.pricing.book import Book
from gateway.pricing.contract import NONE, Bargain, Contracts
from gateway.pricing.dimensions import STANDARD
from gateway.providers.contract import (
    Call,
    Deployment,
    Kind,
    Provider,
    Upstream,
    body_for,
)
from gateway.wire import headers as header_lists
from gateway.wire.jsonbounds import is_quick
from gateway.wire.messages import Headers, Inbound

_FREE_REQUEST = Request()
_SHOWN_CHARS = 40  # of a name that is too long to be remembered
# Named once: looking a member up in its enum is a call, and these are looked up on every request.
_METERED = Kind.METERED


class Place(NamedTuple):
    """Where a call goes: an upstream, a location of it, the model's name there."""

    upstream: str
    location: str | None
    name: str


class Alternative(msgspec.Struct, frozen=True):
    """Another place for an admitted call, and what its counted input costs there."""

    upstream: Upstream
    deployment: Deployment | None
    estimate: Priced | None


class Admitted(msgspec.Struct, frozen=True):
    """A call that may pass. None for FREE calls: ``estimate``, what its counted input costs if nothing more is heard
    (a discount that no answer confirms is not given), under the circumstances that were asked for.

    elsewhere  where else the same model may be asked, in the order in which that is tried
    owner  whose the kept thing is that the path names
    bargain    the contract its net is by; None: as list
    """

    principal: Principal
    call: Call
    request: Request
    upstream: Upstream
    deployment: Deployment | None
    wire_model: str | None
    counts: Counts | None
    estimate: Priced | None
    tier: str
    elsewhere: tuple[Alternative, ...] = ()
    owner: Claim | None = None
    bargain: Bargain | None = None

    @property
    def model(self) -> str | None:
        """Canonical where the price book knows it, else as the client names it."""
        return (self.deployment.model if self.deployment else None) or self.wire_model

    @property
    def place(self) -> Place:
        """Where it goes."""
        deployment = self.deployment
        named = None if deployment is None else deployment.named
        name = named or self.wire_model or ""
        if len(name) > NAME_KEPT_CHARS_MAX:  # places are remembered
            name = f"{name[:_SHOWN_CHARS]}…{sha256(name.encode('utf-8', 'replace')).hexdigest()}"
        return Place(self.upstream.name, self.upstream.location, name)

    @property
    def options(self) -> tuple["Admitted", ...]:
        """The same call at each place, this one first; none of them has anywhere else to go."""
        if not self.elsewhere:
            return (self,)
        return tuple(
            [
                replace(
                    self,
                    upstream=option.upstream,
                    deployment=option.deployment,
                    estimate=option.estimate,
                    elsewhere=(),
                )
                for option in (
                    Alternative(self.upstream, self.deployment, self.estimate),
                    *self.elsewhere,
                )
            ]
        )

    def among(self, options: Sequence["Admitted"]) -> "Admitted":
        """The first of some of its ``options``, with the others elsewhere."""
        first, *others = options
        elsewhere = [Alternative(one.upstream, one.deployment, one.estimate) for one in others]
        return replace(first, elsewhere=tuple(elsewhere))


class Admission:
    """The gate in front of every exchange; everything it consults is in memory."""

    def __init__(
        self,
        *,
        keys: Keys,
        routes: Callable[[], Routes],
        book: Callable[[], Book],
        canonical: Canonical,
        counting: Counting,
        contracts: Contracts = NONE,
    ) -> None:
        self._keys = keys
        self.contracts = contracts
        self.routes = routes
        self._canonical = canonical
        self._counting = counting
        self._prospects = Prospects(book)

    async def admit(
        self, provider: Provider, call: Call, inbound: Inbound, at_us: int, draw: int = 0
    ) -> Admitted:
        """``draw``: random bits, by which weighted places take turns.

        Raises Unauthenticated, Forbidden, UnknownDeployment, MalformedBody … each naming its cure.
        """
        principal = await self.principal(provider, inbound, at_us)
        if call.reserved and not principal.allow_batches:
            raise OperationRefused(
                f"{call.operation} needs a key that allows batches (weighbridge keys create --allow-batches)"
            )
        request = await self._read(call, inbound)
        if call.guarded:
            request = replace(request, guarded=True)
        wire_model = _model_of(call, request)
        # What is free or deferred has one place. What continues something that was kept has the place that
        # keeps it: see owning.
        moves = call.kind is _METERED and not call.reserved
        turn = draw if moves and not request.is_tied else None
        found = self.routes().find(provider, call, wire_model, self._canonical, turn)
        candidates = self._allowed(principal, found if moves else found[:1])
        upstream, deployment = candidates[0].upstream, candidates[0].deployment
        bargain = self.contracts.of(principal.org, principal.team, at_us)
        if call.kind is not _METERED:
            return Admitted(
                principal, call, request, upstream, deployment, wire_model, None, None, STANDARD,
                bargain=bargain,
            )  # fmt: skip
        if wire_model is None:
            raise BadRequest(
                'the request names no model: set "model" in the body, or a deployment in the path'
            )
        model = (deployment.model if deployment else None) or wire_model
        admitted = Admitted(
            principal, call, request, upstream, deployment, wire_model,
            Counts(await self._counting.input(request.prompt, model)), None,
            provider.asked_tier(call, inbound, request), bargain=bargain,
        )  # fmt: skip
        return self._placed(provider, admitted, candidates, inbound.body, at_us)

    def _require_others(self, principal: Principal, provider: str, request: Request) -> None:
        """A model that a request has asked beside its own (an advisor) is one that the key may use."""
        for name, _ in request.others:
            _require_short("model", name, NAME_CHARS_MAX)
            if not principal.may_use(name, self._canonical(provider, (name.lower(),)) or ""):
                raise _not_allowed(principal, name)

    def bargained(self, admitted: Admitted, at_us: int) -> Admitted:
        """The call by the contract of whoever is charged for it: whose the kept thing is, else who calls."""
        whose = admitted.principal if admitted.owner is None else admitted.owner
        return replace(admitted, bargain=self.contracts.of(whose.org, whose.team, at_us))

    @staticmethod
    def _allowed(principal: Principal, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The places whose model the key may use."""
        if not principal.models:
            return found
        candidates = tuple(
            [
                each
                for each in found
                if (named := each.deployment) is None
                or principal.may_use(named.wire, named.model or "")
            ]
        )
        deployment = found[0].deployment
        if not candidates and deployment is not None:
            raise _not_allowed(principal, deployment.wire)
        return candidates

    def _placed(
        self,
        provider: Provider,
        admitted: Admitted,
        candidates: tuple[Candidate, ...],
        body: bytes,
        at_us: int,
    ) -> Admitted:
        """The call with what it costs at each place that can be named and priced."""
        assert admitted.counts is not None
        _require_short("tier", admitted.tier, TIER_CHARS_MAX)
        self._require_others(admitted.principal, provider.name, admitted.request)
        tokens, units = admitted.counts.input.tokens, admitted.request.units
        options: list[Admitted] = []
        refusal: GatewayError = BadRequest(
            "the model has another name at each of its places, and the body has no model to be renamed"
        )
        for candidate in candidates:
            deployment = candidate.deployment
            if body_for(admitted.call, deployment, body) is None:
                continue
            prospect = self._prospects.of(
                provider.name, deployment, admitted.tier, admitted.bargain, at_us
            )
            if prospect.remedy is not None and not admitted.principal.allow_unpriced:
                # Fail closed: what has no price at all does not pass, however little is asked of it.
                refusal = Unpriced(f"{admitted.wire_model!r} {prospect.remedy}")
                continue
            estimate = prospect.estimate(tokens, units, at_us)
            upstream = candidate.upstream
            options.append(
                replace(admitted, upstream=upstream, deployment=deployment, estimate=estimate)
            )
        if not options:
            raise refusal
        return options[0] if len(options) == 1 else admitted.among(options)

    async def principal(self, provider: Provider, inbound: Inbound, at_us: int) -> Principal:
        """Who is calling: a bearer key, a verified SigV4 signature, or both of one key."""
        if inbound.query:  # it goes to the provider as it came
            bears_no_credential(inbound.query)
            sigv4.refuse_presigned(inbound.query)
        shown = inbound.told(_shown)
        try:
            principal, signed = self._claimed(shown, inbound.headers, at_us)
        except UnknownKey:
            principal, signed = await self._claimed_anew(shown, inbound.headers, at_us)
        if signed is not None:
            credential, secret = signed
            sigv4.verify(
                inbound,
                credential,
                secret,
                at_us,
                services=provider.signing_services,
                skew_us=sigv4.SKEW_US,
            )
        return principal

    async def claimed(
        self, headers: Headers, at_us: int
    ) -> tuple[Principal, tuple[sigv4.Credential, str] | None]:
        """Who a request says it is from, and the signature (with our secret) that is still to be verified.

        Needs no body: a stranger is refused before anything large of his is read. Raises Unauthenticated.
        """
        shown = _shown(headers)
        try:
            return self._claimed(shown, headers, at_us)
        except UnknownKey:
            return await self._claimed_anew(shown, headers, at_us)

    async def _claimed_anew(
        self, shown: Presented, headers: Headers, at_us: int
    ) -> tuple[Principal, tuple[sigv4.Credential, str] | None]:
        """The same for a key that is not known: it may have been made just now, so it is looked for once."""
        credential = sigv4.parse_authorization(headers) if shown.signed else None
        named = (shown.key, None if credential is None else credential.access_key_id)
        for name in named:
            if name is not None and await self._keys.renewed(name):
                break  # all keys were loaded
        return self._claimed(shown, headers, at_us)

    def _claimed(
        self, shown: Presented, headers: Headers, at_us: int
    ) -> tuple[Principal, tuple[sigv4.Credential, str] | None]:
        bearer = None if shown.key is None else self._keys.by_key(shown.key, at_us)
        if bearer is not None and not shown.signed:
            return bearer, None
        credential = sigv4.parse_authorization(headers)
        if credential is None:
            raise Unauthenticated("the Authorization header is neither a gateway key nor SigV4")
        principal, secret = self._keys.by_access_key_id(credential.access_key_id, at_us)
        if bearer is not None and bearer.key_id != principal.key_id:
            raise Unauthenticated(
                "a gateway key was presented beside the signature of another one: send one of them"
            )
        return principal, (credential, secret)

    @staticmethod
    async def _read(call: Call, inbound: Inbound) -> Request:
        """What the body asks for; one that takes long is read in a thread, so that nobody else waits for it."""
        if call.dialect is None or inbound.method == b"GET":
            require_readable(inbound.body)
            return _FREE_REQUEST
        content_type = inbound.told(header_lists.content_type)
        if is_quick(inbound.body):
            return call.dialect.read_request(inbound.body, content_type)
        return await asyncio.to_thread(call.dialect.read_request, inbound.body, content_type)


def _not_allowed(principal: Principal, model: str) -> ModelNotAllowed:
    allowed = ", ".join(principal.models)
    return ModelNotAllowed(
        f"team {principal.team!r} may not use {model[:80]!r} with this key: allowed are {allowed}"
    )


def _model_of(call: Call, request: Request) -> str | None:
    """The model as the path names it, or the body."""
    wire_model = call.wire_model or request.model
    _require_short("model", wire_model or "", NAME_CHARS_MAX)
    return wire_model


def _require_short(what: str, name: str, chars_max: int) -> None:
    """Names are remembered in many places, most of which bound only how many."""
    if len(name) > chars_max:
        raise BadRequest(f"the name of a {what} has at most {chars_max} characters")


def _shown(headers: Headers) -> Presented:
    return presented(headers, KEY_PREFIX)
