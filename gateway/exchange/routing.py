"""Where a call goes and what it is priced as: configured deployments first, then what the name itself says."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import msgspec

from gateway.kernel.errors import BadRequest, UnknownDeployment
from gateway.providers.contract import Call, Deployment, Provider, Upstream

DEPLOYMENTS_CACHED_MAX = 4096  # names come from clients: bounded, then started afresh

Canonical = Callable[[str, Sequence[str]], str | None]
"""(provider, candidate names) → the price book's name, or None. Exact, never fuzzy."""


class RouteRule(msgspec.Struct, frozen=True):
    """A configured route: calls of ``provider`` whose wire model matches ``models`` go to ``upstream``."""

    provider: str
    models: str
    upstream: str


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
        self._seen: dict[tuple[str, str, str, str | None], tuple[Upstream, Deployment]] = {}

    def find(
        self, provider: Provider, call: Call, wire_model: str | None, canonical: Canonical
    ) -> tuple[Upstream, Deployment | None]:
        """The upstream and deployment of a call; no deployment for calls that name no model.

        Raises UnknownDeployment (nothing configured serves it) or BadRequest (a location not allowed).
        """
        if wire_model is None:
            return self._placed(self._upstream(provider, call, ""), call), None
        key = (call.provider, call.service, wire_model, call.location)
        known = self._seen.get(key)
        if known is None:
            known = self._resolve(provider, call, wire_model, canonical)
            if len(self._seen) >= DEPLOYMENTS_CACHED_MAX:
                self._seen.clear()
            self._seen[key] = known
        return known

    def of_model(
        self, provider: Provider, upstream: Upstream, names: Sequence[str], canonical: Canonical
    ) -> Deployment | None:
        """What a model's name alone means on an upstream: the deployments there agree, or nothing does.

        A finished batch names its model and no deployment.
        """
        model = canonical(provider.name, names)
        found = {
            msgspec.structs.replace(named, wire=names[0])
            for deployments in self._deployments.values()
            for deployment in deployments
            if deployment.upstream == upstream.name
            and (named := _named(provider, deployment, canonical)).model == model
        }
        return found.pop() if model is not None and len(found) == 1 else None

    def _resolve(
        self, provider: Provider, call: Call, wire_model: str, canonical: Canonical
    ) -> tuple[Upstream, Deployment]:
        for deployment in self._deployments.get((call.provider, wire_model), ()):
            upstream = self._upstreams[deployment.upstream]
            if not call.service or upstream.service == call.service:
                return self._placed(upstream, call), _named(provider, deployment, canonical)
        if not provider.free_names:
            raise UnknownDeployment(
                f"no deployment named {wire_model[:80]!r} is configured: add it to [[deployments]] with its "
                "upstream, model and scope, or ask your platform team"
            )
        upstream = self._placed(self._upstream(provider, call, wire_model), call)
        wire = provider.wire(wire_model, call.location, upstream.location or upstream.region)
        deployment = Deployment(
            wire=wire_model,
            upstream=upstream.name,
            model=canonical(call.provider, wire.names),
            scope=wire.scope,
            geo=wire.geo,
            region=wire.region,
        )
        return upstream, deployment

    def _upstream(self, provider: Provider, call: Call, wire_model: str) -> Upstream:
        for rule in self._rules:
            upstream = self._upstreams[rule.upstream]
            fits = rule.provider == call.provider and fnmatchcase(wire_model, rule.models)
            if fits and upstream.service == call.service:
                return upstream
        for upstream in self._in_order:
            if upstream.provider == call.provider and upstream.service == call.service:
                return upstream
        service = f" service {call.service!r}" if call.service else ""
        raise UnknownDeployment(
            f"no upstream for {call.provider}{service} is configured: add [upstreams.<name>] with "
            f"provider = {call.provider!r}"
        )

    def _placed(self, upstream: Upstream, call: Call) -> Upstream:
        """The upstream at the location the path names, where it may serve that location."""
        location = call.location or upstream.location or upstream.region
        allowed = self._locations.get(upstream.name, ())
        if call.location is not None and allowed and call.location not in allowed:
            raise BadRequest(
                f"location {call.location[:40]!r} is not allowed here: use {', '.join(allowed)}"
            )
        if location == upstream.location:
            return upstream
        return msgspec.structs.replace(upstream, location=location)


def _named(provider: Provider, deployment: Deployment, canonical: Canonical) -> Deployment:
    """A configured deployment with its model in the price book's spelling, and what the name adds."""
    named = deployment.model or deployment.wire
    wire = provider.wire(named, deployment.region, deployment.region)
    return msgspec.structs.replace(
        deployment,
        model=canonical(provider.name, (named, *wire.names)),
        scope=deployment.scope or wire.scope,
        geo=deployment.geo or wire.geo,
        region=deployment.region or wire.region,
    )
