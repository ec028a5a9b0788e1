"""The simulated organisation as values: people in teams, teams under cost centres, applications on models.

To change it: world.toml beside this module. To add a property: a field here and its use in ``month``.
"""

import random
from bisect import bisect
from importlib import resources
from itertools import accumulate
from typing import Final
from uuid import UUID

import msgspec

from gateway.commands import simulation
from gateway.ledger.entry import Entry, Outcome
from gateway.providers import installed

ORG: Final = "simulated"  # of every simulated row, so that the rollup says it too
FLAG: Final = "simulated"
_FINE: Final = 200
_NOBODY: Final = UUID(int=0)
_PARETO: Final = 1.6  # few people make most requests


class Model(msgspec.Struct, frozen=True):
    """A model at its place. ``first_ms``: median time to the first token. ``writes``: caches at a premium."""

    name: str
    provider: str
    model: str
    upstream: str
    scope: str
    dialect: str
    first_ms: int
    tokens_per_s: int
    geo: str | None = None
    region: str | None = None
    writes: bool = False


class Application(msgspec.Struct, frozen=True):
    """What people do. Tokens are medians, ``cached`` and ``streamed`` percent, ``models`` weights by name."""

    name: str
    weight: int
    input: int
    output: int
    cached: int
    streamed: int
    models: dict[str, int]
    nightly: bool = False


class Team(msgspec.Struct, frozen=True):
    """A share of the people; ``centre`` '' where nobody pays."""

    name: str
    centre: str
    share: int
    applications: tuple[str, ...]


class Centre(msgspec.Struct, frozen=True):
    """Who pays."""

    code: str
    name: str
    gl_account: str


class Seat(msgspec.Struct, frozen=True):
    """A person at an application: one gateway key. ``until``: of the models' running weights.

    ``templates``: per model, what every entry of theirs says.
    """

    application: Application
    models: tuple[Model, ...]
    until: tuple[int, ...]
    templates: tuple[Entry, ...]


class World(msgspec.Struct, frozen=True):
    """Everything there is. ``seats`` are drawn by their running ``weights``."""

    models: tuple[Model, ...]
    applications: tuple[Application, ...]
    teams: tuple[Team, ...]
    centres: tuple[Centre, ...]
    seats: tuple[Seat, ...] = ()
    weights: tuple[int, ...] = ()

    def organisation_csv(self) -> str:
        """Teams and who pays for them, as ``weighbridge chargeback --organisation`` reads it."""
        named = {centre.code: centre for centre in self.centres}
        lines = ["team,cost_centre,name,owner,gl_account,valid_from,valid_until"]
        for team in self.teams:
            if team.centre:
                centre = named[team.centre]
                lines.append(
                    f"{team.name},{centre.code},{centre.name},owner-{centre.code},{centre.gl_account},,"
                )
        return "\n".join(lines) + "\n"


def world(users: int, seed: int) -> World:
    """The organisation with so many people, the same for the same seed."""
    text = (resources.files(simulation) / "world.toml").read_bytes()
    found = msgspec.toml.decode(text, type=World)
    assert {model.provider for model in found.models} <= {one.name for one in installed()}
    chance = random.Random(seed)  # noqa: S311  # a simulation: the same again for the same seed
    applications = {one.name: one for one in found.applications}
    models = {one.name: one for one in found.models}
    until = list(accumulate(team.share for team in found.teams))
    seats, weights = list[Seat](), list[int]()
    for number in range(users):
        team = found.teams[bisect(until, (number * until[-1]) // users)]
        eagerness = min(chance.paretovariate(_PARETO), 12)
        for name in team.applications:
            application = applications[name]
            chosen = tuple(models[one] for one in application.models)
            user = f"user-{number + 1:04}"
            templates = tuple(_template(user, team, name, model) for model in chosen)
            until_weights = tuple(accumulate(application.models.values()))
            seats.append(Seat(application, chosen, until_weights, templates))
            weights.append(max(1, int(eagerness * application.weight * 100)))
    running = tuple(accumulate(weights))
    return msgspec.structs.replace(found, seats=tuple(seats), weights=running)


def _template(user: str, team: Team, application: str, model: Model) -> Entry:
    return Entry(
        id=_NOBODY,
        request_id=_NOBODY,
        occurred_us=0,
        booked_us=0,
        day="",
        period=0,
        org=ORG,
        team=team.name,
        user=user,
        cost_centre=team.centre or None,
        app=application,
        key_id=f"{FLAG}-{user}-{application}",
        provider=model.provider,
        operation="chat",
        dialect=model.dialect,
        upstream=model.upstream,
        deployment=model.model,
        model=model.model,
        served_model=model.model,
        scope=model.scope,
        geo=model.geo,
        region=model.region,
        status=_FINE,
        outcome=Outcome.COMPLETE,
        provenance="reported",
        count_confidence="exact",
        flags=(FLAG,),
    )
