"""What wire names mean and where they go: deployments and routes, each with its alternatives.

An alternative serves the same model from elsewhere; what only the price book can tell (that it is the same
model) is checked where the gateway is put together.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

import msgspec

from gateway.config.reader import Reader, shown
from gateway.config.tables import AlternativeTable, DeploymentTable
from gateway.exchange.routing import RouteAlternative, RouteRule
from gateway.providers.contract import Deployment, Provider, Upstream


class Places(msgspec.Struct, frozen=True):
    """The upstreams by name, their providers by name, and the locations each upstream is bound to.

    ``named``: every upstream there is a table of; what is wrong with it is said there.
    """

    upstreams: Mapping[str, Upstream]
    providers: Mapping[str, Provider]
    locations: Mapping[str, tuple[str, ...]]
    named: frozenset[str] = frozenset()

    def known(self, reader: Reader, name: object, where: str) -> Upstream | None:
        """The upstream of that name; a problem where there is none."""
        found = self.upstreams.get(name) if isinstance(name, str) else None
        if found is None and name is not None and str(name) not in self.named:
            known = ", ".join(sorted(self.named)) or "the names under [upstreams]"
            reader.problem(f"{where}.upstream", f"expected one of {known}, found {shown(name)}")
        return found


class _Weighted(Protocol):
    @property
    def weight(self) -> int | None: ...


class _Alternative(_Weighted, Protocol):
    @property
    def upstream(self) -> str: ...
    @property
    def location(self) -> str | None: ...


def read_deployments(reader: Reader, raw: object, places: Places) -> tuple[Deployment, ...]:
    """[[deployments]]: what wire names mean."""
    found: list[Deployment] = []
    named: dict[tuple[str, str, str], str] = {}
    for index, table in enumerate(raw if isinstance(raw, list) else []):
        where = f"deployments[{index}]"
        plain, others = _apart(reader, table, where)
        fields = reader.table(DeploymentTable, plain, where)
        upstream = places.known(reader, plain.get("upstream"), where) if plain else None
        also = [
            AlternativeTable(**read)
            for place, other in others
            if (read := reader.table(AlternativeTable, other, place)) is not None
        ]
        _check(reader, places, where, upstream, [place for place, _ in others], also)
        if fields is None:
            continue
        row = DeploymentTable(**fields)
        _check_weights(reader, where, row, also)
        found.append(_deployment(row, also, places))
        if upstream is not None:
            _check_name(reader, row, upstream, where, named)
    if not isinstance(raw, list):
        reader.problem("deployments", "expected [[deployments]] tables")
    return tuple(found)


def read_rules(reader: Reader, raw: object, places: Places) -> tuple[RouteRule, ...]:
    """[[routes]]: which upstream serves which names."""
    found: list[RouteRule] = []
    taken: list[tuple[str, Upstream, str]] = []
    for index, table in enumerate(raw if isinstance(raw, list) else []):
        where = f"routes[{index}]"
        plain, others = _apart(reader, table, where)
        fields = reader.table(RouteRule, plain, where)
        upstream = places.known(reader, plain.get("upstream"), where) if plain else None
        also = tuple(
            RouteAlternative(**read)
            for place, other in others
            if (read := reader.table(RouteAlternative, other, place)) is not None
        )
        _check(reader, places, where, upstream, [place for place, _ in others], also)
        if fields is None:
            continue
        rule = RouteRule(**fields, also=also)
        _check_weights(reader, where, rule, also)
        found.append(rule)
        if upstream is not None:
            _check_reached(reader, rule, upstream, where, taken)
            _check_fits(reader, rule, places.providers[upstream.provider], where)
            taken.append((where, upstream, rule.models))
    if not isinstance(raw, list):
        reader.problem("routes", "expected [[routes]] tables")
    return tuple(found)


def _deployment(
    row: DeploymentTable, also: Sequence[AlternativeTable], places: Places
) -> Deployment:
    return Deployment(
        row.name, row.upstream, row.model, row.scope, row.geo, row.region, row.spill,
        weight=row.weight,
        tier=row.tier,
        also=tuple(_elsewhere(row, other, places) for other in also),
    )  # fmt: skip


def _elsewhere(row: DeploymentTable, other: AlternativeTable, places: Places) -> Deployment:
    """An alternative as a deployment: a name that speaks for itself says its model, else it is the first's."""
    upstream = places.upstreams.get(other.upstream)
    speaks = upstream is not None and places.providers[upstream.provider].free_names
    model = other.model or (other.name if speaks else None) or row.model or row.name
    return Deployment(
        row.name, other.upstream, model, other.scope, other.geo, other.region, other.spill,
        named=other.name if other.name != row.name else None,
        location=other.location,
        weight=other.weight,
        tier=other.tier,
    )  # fmt: skip


def _apart(
    reader: Reader, table: object, where: str
) -> tuple[dict[str, Any], list[tuple[str, object]]]:
    """A table without its alternatives, and those, each with its place in the file."""
    if not isinstance(table, dict):
        reader.problem(where, "expected a table")
        return {}, []
    others = table.get("also", [])
    plain = {key: value for key, value in table.items() if key != "also"}
    if not isinstance(others, list):
        reader.problem(
            f"{where}.also", f"expected [[{where.split('[', maxsplit=1)[0]}.also]] tables"
        )
        return plain, []
    return plain, [(f"{where}.also[{index}]", other) for index, other in enumerate(others)]


def _check(
    reader: Reader,
    places: Places,
    where: str,
    first: Upstream | None,
    wheres: Sequence[str],
    also: Sequence[_Alternative],
) -> None:
    """An alternative is at the same provider and service, and where its upstream may be."""
    for place, other in zip(wheres, also, strict=False):
        upstream = places.known(reader, other.upstream, place)
        if upstream is None or first is None:
            continue
        if (upstream.provider, upstream.service) != (first.provider, first.service):
            expected = f"{first.provider} {first.service}".strip()
            reader.problem(f"{place}.upstream", f"expected an upstream of {expected}, as {where}")
        allowed = places.locations.get(upstream.name, ())
        if other.location is not None and allowed and other.location not in allowed:
            reader.problem(f"{place}.location", f"expected one of {', '.join(allowed)}")


def _check_name(
    reader: Reader,
    row: DeploymentTable,
    upstream: Upstream,
    where: str,
    named: dict[tuple[str, str, str], str],
) -> None:
    """A name means one deployment of a provider's service: the first would serve all its calls."""
    first = named.setdefault((upstream.provider, upstream.service, row.name), where)
    if first != where:
        reader.problem(
            f"{where}.name",
            f"never served: {first} has this name; expected another name, or this one as [[deployments.also]] of it",
        )


def _check_fits(reader: Reader, rule: RouteRule, provider: Provider, where: str) -> None:
    """A rule that no call can match would send its calls where nobody meant them to go."""
    if rule.provider != provider.name:
        expected = f"expected {provider.name}, as its upstream, found {shown(rule.provider)}"
        reader.problem(f"{where}.provider", expected)
    elif not provider.free_names and not fnmatchcase("", rule.models):
        expected = (
            "expected '*' (calls that name no model): its deployments are named in [[deployments]]"
        )
        reader.problem(f"{where}.models", f"{expected}, found {shown(rule.models)}")


def _check_reached(
    reader: Reader,
    rule: RouteRule,
    upstream: Upstream,
    where: str,
    taken: Sequence[tuple[str, Upstream, str]],
) -> None:
    for first, other, models in taken:
        of_same = (other.provider, other.service) == (upstream.provider, upstream.service)
        if of_same and models in {"*", rule.models}:
            reader.problem(
                f"{where}.models",
                f"never reached: {first} takes every name that it fits; expected the narrower first",
            )
            return


def _check_weights(reader: Reader, where: str, first: _Weighted, also: Sequence[_Weighted]) -> None:
    weights = [first.weight, *[other.weight for other in also]]
    given = [weight for weight in weights if weight is not None]
    if given and len(given) < len(weights):
        reader.problem(f"{where}.weight", "a weight is given to all of its places or to none")
    elif given and not any(given):
        reader.problem(f"{where}.weight", "all are 0: expected at least one above it")
