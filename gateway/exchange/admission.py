"""Whether a call may pass: who is calling, where it goes, what it asks for, and that it has a price."""

import asyncio
from collections.abc import Callable

import msgspec

from gateway.dialects.contract import Request
from gateway.exchange.booking import Counts, Priced, circumstances, priced, tier_of
from gateway.exchange.counting import Counting
from gateway.exchange.ports import Keys
from gateway.exchange.routing import Canonical, Routes
from gateway.identity import sigv4
from gateway.identity.keys import KEY_PREFIX
from gateway.identity.presented import presented
from gateway.identity.principal import Principal
from gateway.kernel.errors import (
    BadRequest,
    ModelNotAllowed,
    OperationRefused,
    Unauthenticated,
    Unpriced,
)
from gateway.metering.units import INPUT_TEXT
from gateway.metering.usage import component
from gateway.pricing.book import Book
from gateway.pricing.cover import covers, cure_row
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Status
from gateway.providers.contract import Call, Deployment, Kind, Provider, Served, Upstream
from gateway.wire import headers as header_lists
from gateway.wire.messages import Headers, Inbound

_FREE_REQUEST = Request()
READ_INLINE_BYTES_MAX = 256 * 1024  # at most a few milliseconds of decoding
PRICED_CACHED_MAX = (
    4096  # circumstances found priced, for a minute each: a price may begin or end any day
)
_US_PER_MINUTE = 60_000_000


class Admitted(msgspec.Struct, frozen=True):
    """A call that may pass. None for FREE calls: ``estimate``, what its counted input costs if nothing more is heard
    (a discount that no answer confirms is not given), under the circumstances that were asked for.
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

    @property
    def model(self) -> str | None:
        """Canonical where the price book knows it, else as the client names it."""
        return (self.deployment.model if self.deployment else None) or self.wire_model


class Admission:
    """The gate in front of every exchange; everything it consults is in memory."""

    def __init__(
        self,
        *,
        keys: Keys,
        routes: Routes,
        book: Callable[[], Book],
        canonical: Canonical,
        counting: Counting,
    ) -> None:
        self._keys = keys
        self.routes = routes
        self._book = book
        self._canonical = canonical
        self._counting = counting
        self._priced: dict[tuple[object, ...], Status] = {}

    async def admit(self, provider: Provider, call: Call, inbound: Inbound, at_us: int) -> Admitted:
        """Raises Unauthenticated, Forbidden, UnknownDeployment, MalformedBody … each naming its cure."""
        principal = self.principal(provider, inbound, at_us)
        if call.reserved and not principal.allow_batches:
            raise OperationRefused(
                f"{call.operation} needs a key that allows batches (weighbridge keys create --allow-batches)"
            )
        request = await self._read(call, inbound)
        wire_model = call.wire_model or request.model
        first, *_ = self.routes.find(provider, call, wire_model, self._canonical)
        upstream, deployment = first.upstream, first.deployment
        if deployment is not None and not principal.may_use(
            deployment.wire, deployment.model or ""
        ):
            raise ModelNotAllowed(
                f"team {principal.team!r} may not use {deployment.wire[:80]!r} with this key: "
                f"allowed are {', '.join(principal.models)}"
            )
        if call.kind is not Kind.METERED:
            return Admitted(
                principal, call, request, upstream, deployment, wire_model, None, None, "standard"
            )
        if wire_model is None:
            raise BadRequest(
                'the request names no model: set "model" in the body, or a deployment in the path'
            )
        tier = provider.asked_tier(call, inbound, request)
        model = (deployment.model if deployment else None) or wire_model
        counts = Counts(await self._counting.input(request.prompt, model))
        under = circumstances(provider.name, deployment, Served(), tier, at_us)
        if not principal.allow_unpriced:
            self._require_price(under, wire_model)
        asked = request.units or {INPUT_TEXT: counts.input.tokens}
        charged, _ = tier_of(None, tier)
        likely = msgspec.structs.replace(under, tier=charged)
        estimate = priced(self._book(), likely, (component(asked),))
        estimate = msgspec.structs.replace(estimate, circumstances=under)
        return Admitted(
            principal, call, request, upstream, deployment, wire_model, counts, estimate, tier
        )

    def principal(self, provider: Provider, inbound: Inbound, at_us: int) -> Principal:
        """Who is calling: a bearer key, or a verified SigV4 signature."""
        principal, signed = self.claimed(inbound.headers, at_us)
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

    def claimed(
        self, headers: Headers, at_us: int
    ) -> tuple[Principal, tuple[sigv4.Credential, str] | None]:
        """Who a request says it is from, and the signature (with our secret) that is still to be verified.

        Needs no body: a stranger is refused before anything large of his is read. Raises Unauthenticated.
        """
        shown = presented(headers, KEY_PREFIX)
        if shown.key is not None:
            return self._keys.by_key(shown.key, at_us), None
        credential = sigv4.parse_authorization(headers)
        if credential is None:
            raise Unauthenticated("the Authorization header is neither a gateway key nor SigV4")
        principal, secret = self._keys.by_access_key_id(credential.access_key_id, at_us)
        return principal, (credential, secret)

    @staticmethod
    async def _read(call: Call, inbound: Inbound) -> Request:
        """What the body asks for; a large one is read in a thread, so that nobody else waits for it."""
        if call.dialect is None or inbound.method == b"GET":
            return _FREE_REQUEST
        content_type = header_lists.first(inbound.headers, b"content-type") or b""
        if len(inbound.body) <= READ_INLINE_BYTES_MAX:
            return call.dialect.read_request(inbound.body, content_type)
        return await asyncio.to_thread(call.dialect.read_request, inbound.body, content_type)

    def _require_price(self, under: Circumstances, wire_model: str | None) -> None:
        """Fail closed: what has no price at all does not pass, however little is asked of it."""
        minute = under.at_us // _US_PER_MINUTE
        key = (
            minute,
            under.provider,
            under.model,
            under.scope,
            under.geo,
            under.region,
            under.tier,
        )
        status = self._priced.get(key)
        if status is None:
            if len(self._priced) >= PRICED_CACHED_MAX:
                self._priced.clear()
            status = self._priced[key] = covers(self._book(), under).status
        if status is Status.AMBIGUOUS:
            raise Unpriced(
                f"{wire_model!r} has several prices and its region is not known: set region on its "
                "deployment or upstream"
            )
        if status is Status.UNPRICED:
            raise Unpriced(
                f"{wire_model!r} has no price in scope {under.scope}, tier {under.tier}: add a price row such as "
                f"{cure_row(under, INPUT_TEXT)!r}, or use a key that allows unpriced models"
            )
