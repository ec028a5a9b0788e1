"""Where a call goes and what it is priced as: configured deployments first, then what the name itself says.

A call may have several candidates: the same model at other upstreams, in the order in which they are tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, TypeAlias

import msgspec

from gateway.dialects.contract import NAME_KEPT_CHARS_MAX
from gateway.kernel.errors import BadRequest, UnknownDeployment
from gateway.pricing.dimensions import GLOBAL
from gateway.providers.contract import Call, Deployment, Provider, Upstream

# What a name has to say to mean it: any other text is taken for a model's in its region.
_SAID = frozenset({"geo", "global", "provisioned"})
DEPLOYMENTS_CACHED_MAX = 4096  # names come from clients: bounded, then started afresh

Canonical = Callable[[str, Sequence[str]], str | None]
"""(provider, candidate names) → the price book's name, or None. Exact, never fuzzy."""

WEIGHT_MAX = 1_000
Weight: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_MAX)]


class RouteAlternative(msgspec.Struct, frozen=True):
    """Another upstream of a route: the same names there, at ``location`` where that is given."""

    upstream: str
    location: str | None = None
    weight: Weight | None = None


class RouteRule(msgspec.Struct, frozen=True):
    """A configured route: calls of ``provider`` whose wire model matches ``models`` go to ``upstream``.

    weight  its share of the first attempts; None: it is the first
    also    tried where it cannot serve
    """

    provider: str
    models: str
    upstream: str
    weight: Weight | None = None
    also: tuple[RouteAlternative, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """A place that may serve a call; no deployment for calls that name no model."""

    upstream: Upstream
    deployment: Deployment | None
    weight: int | None = None


class Routes:
    """The configured upstreams, deployments and routes of every provider."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        deployments: Sequence[Deployment],
        rules: Sequence[RouteRule],
        locations: dict[str, tuple[str, ...]],
    ) -> None:
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._in_order = tuple(upstreams)
        self._deployments: dict[tuple[str, str], list[Deployment]] = {}
        for deployment in deployments:
            provider = self._upstreams[deployment.upstream].provider
            self._deployments.setdefault((provider, deployment.wire), []).append(deployment)
        self._rules = tuple(rules)
        self._locations = locations
        self._seen: dict[tuple[str, str, str, str | None], tuple[Candidate, ...]] = {}

    def find(
        self,
        provider: Provider,
        call: Call,
        wire_model: str | None,
        canonical: Canonical,
        draw: int | None = None,
    ) -> tuple[Candidate, ...]:
        """The places that serve a call, in the order in which they are to be tried; at least one.

        ``draw``: any number of 64 bits; by it weighted candidates take turns, each by its share. None: the
        configured order.
        Raises UnknownDeployment (nothing configured serves it) or BadRequest (a location not allowed).
        """
        if wire_model is None:
            upstream, _ = self._upstream(provider, call, "")
            return (Candidate(self._placed(upstream, call), None),)
        key = (call.provider, call.service, wire_model, call.location)
        known = self._seen.get(key)
        if known is None:
            known = tuple(self._resolve(provider, call, wire_model, canonical))
            if len(wire_model) <= NAME_KEPT_CHARS_MAX:
                if len(self._seen) >= DEPLOYMENTS_CACHED_MAX:
                    self._seen.clear()
                self._seen[key] = known
        return known if draw is None or len(known) == 1 else in_turn(known, draw)

    def named(self, name: str) -> Upstream | None:
        """The upstream of that name, where it is configured."""
        return self._upstreams.get(name)

    def of_model(
        self, provider: Provider, upstream: Upstream, names: Sequence[str], canonical: Canonical
    ) -> Deployment | None:
        """What a model's name alone means on an upstream: the deployments there agree, or nothing does.

        A finished batch names its model and no deployment.
        """
        model = canonical(provider.name, names)
        found = {
            msgspec.structs.replace(
                named, wire=names[0], named=None, location=None, weight=None, also=()
            )
            for deployments in self._deployments.values()
            for deployment in deployments
            if deployment.upstream == upstream.name
            and (named := named_at(provider, deployment, upstream, canonical)).model == model
        }
        return found.pop() if model is not None and len(found) == 1 else None

    def differing(
        self, providers: Mapping[str, Provider], canonical: Canonical
    ) -> Iterator[tuple[Deployment, Deployment]]:
        """Deployments with alternatives that are, by the price book's name, not the same model."""
        for (provider, _), deployments in self._deployments.items():
            for deployment in deployments:
                speaker = providers[provider]
                upstream = self._upstreams[deployment.upstream]
                model = named_at(speaker, deployment, upstream, canonical).model
                for other in deployment.also:
                    elsewhere = self._upstreams[other.upstream]
                    there = named_at(speaker, other, elsewhere, canonical).model
                    if there is None or there != model:
                        yield deployment, other

    def _resolve(
        self, provider: Provider, call: Call, wire_model: str, canonical: Canonical
    ) -> Iterator[Candidate]:
        for deployment in self._deployments.get((call.provider, wire_model), ()):
            upstream = self._upstreams[deployment.upstream]
            if not call.service or upstream.service == call.service:
                yield from self._deployed(provider, call, deployment, canonical)
                return
        if not provider.free_names:
            raise UnknownDeployment(
                f"no deployment named {wire_model[:80]!r} is configured: add it to [[deployments]] with its "
                "upstream, model and scope, or ask your platform team"
            )
        upstream, rule = self._upstream(provider, call, wire_model)
        places = [(self._placed(upstream, call), rule.weight if rule else None)]
        for other in rule.also if rule else ():
            placed = self._elsewhere(self._upstreams[other.upstream], call, other.location)
            places.append((placed, other.weight))
        for placed, weight in places:
            location = None if call.location is None else placed.location
            wire = provider.wire(wire_model, location, placed.location or placed.region)
            deployment = Deployment(
                wire=wire_model,
                upstream=placed.name,
                model=canonical(call.provider, wire.names),
                scope=wire.scope,
                geo=wire.geo,
                region=wire.region,
            )
            yield Candidate(placed, deployment, weight)

    def _deployed(
        self, provider: Provider, call: Call, deployment: Deployment, canonical: Canonical
    ) -> Iterator[Candidate]:
        """A configured deployment and its alternatives."""
        placed = self._placed(self._upstreams[deployment.upstream], call)
        named = named_at(provider, deployment, placed, canonical)
        yield Candidate(placed, named, deployment.weight)
        for other in deployment.also:
            placed = self._elsewhere(self._upstreams[other.upstream], call, other.location)
            yield Candidate(placed, named_at(provider, other, placed, canonical), other.weight)

    def _upstream(
        self, provider: Provider, call: Call, wire_model: str
    ) -> tuple[Upstream, RouteRule | None]:
        """The upstream of a name that no deployment has, and the route that says so."""
        for rule in self._rules:
            upstream = self._upstreams[rule.upstream]
            fits = rule.provider == call.provider and fnmatchcase(wire_model, rule.models)
            if fits and upstream.service == call.service:
                return upstream, rule
        for upstream in self._in_order:
            if upstream.provider == call.provider and upstream.service == call.service:
                return upstream, None
        service = f" service {call.service!r}" if call.service else ""
        raise UnknownDeployment(
            f"no upstream for {call.provider}{service} is configured: add [upstreams.<name>] with "
            f"provider = {call.provider!r}"
        )

    def _placed(self, upstream: Upstream, call: Call) -> Upstream:
        """The upstream at the location the path names, where it may serve that location."""
        allowed = self._locations.get(upstream.name, ())
        if call.location is not None and allowed and call.location not in allowed:
            raise BadRequest(
                f"location {call.location[:40]!r} is not allowed here: use {', '.join(allowed)}"
            )
        return _at(upstream, call.location)

    def _elsewhere(self, upstream: Upstream, call: Call, location: str | None) -> Upstream:
        """An alternative at its own location; else at the client's, where it may serve that; else at its region."""
        allowed = self._locations.get(upstream.name, ())
        if location is None and call.location is not None:
            location = call.location if not allowed or call.location in allowed else None
        return _at(upstream, location)


def _at(upstream: Upstream, location: str | None) -> Upstream:
    place = location or upstream.location or upstream.region
    return (
        upstream
        if place == upstream.location
        else msgspec.structs.replace(upstream, location=place)
    )


def in_turn(candidates: tuple[Candidate, ...], draw: int) -> tuple[Candidate, ...]:
    """Weighted candidates in a drawn order, each first by its share; of unweighted ones the configured order.

    The rest is drawn in the same way, so that what one cannot serve is shared by weight too. A weight of
    zero is a last resort.
    """
    left = list(candidates)
    ordered: list[Candidate] = []
    while total := sum([candidate.weight or 0 for candidate in left]):
        draw, place = divmod(draw, total)
        for candidate in left:
            place -= candidate.weight or 0
            if place < 0:
                break
        left.remove(candidate)
        ordered.append(candidate)
    return (*ordered, *left)


def named_at(
    provider: Provider, deployment: Deployment, upstream: Upstream, canonical: Canonical
) -> Deployment:
    """A configured deployment with its model in the price book's spelling, and what its name and upstream add.

    Its own region comes first, then the one that its wire name says, then the place its upstream sends it to.
    Scope and geo are what the name says that is sent, for that is served; where it says none, what its model's says.
    """
    named, sent = deployment.model or deployment.wire, deployment.named or deployment.wire
    said = deployment.region or provider.wire(sent, None, None).region
    place = said or upstream.location or upstream.region
    wire = provider.wire(named, deployment.region, place)
    served = provider.wire(sent, deployment.region, place)
    saying = served if served.scope in _SAID else wire
    return msgspec.structs.replace(
        deployment,
        model=canonical(provider.name, (named, *wire.names)),
        scope=deployment.scope or saying.scope,
        geo=deployment.geo or saying.geo,
        region=said or wire.region or _real(place),
    )


def _real(place: str | None) -> str | None:
    """A location that is everywhere is no region."""
    return None if place == GLOBAL else place
