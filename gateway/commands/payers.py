"""Who pays, as every report asks it: the imported organisation, and a team's keys where it names nobody."""

from collections import Counter
from typing import Final

import msgspec

from gateway.config import Config
from gateway.reporting.allocation import SharedCost
from gateway.reporting.fixed import BY_USE, POOL_KEYS, Used, due, shared
from gateway.reporting.fold import Ledgered, Terms
from gateway.reporting.organisation import Organisation
from gateway.storage import reporting
from gateway.storage.costs import CostStore
from gateway.storage.engine import Database
from gateway.storage.lines import Summed, summed
from gateway.storage.organisation import OrganisationStore

_KEYS: Final = ("day", "user", *POOL_KEYS, "unit")


async def organisation_of(database: Database, given: Organisation | None = None) -> Organisation:
    """The organisation as it stands, or the one that is given instead."""
    known = given or await OrganisationStore(database).organisation()
    return msgspec.structs.replace(known, fallback=await reporting.key_centres(database))


async def ledgered_of(
    database: Database, config: Config, period: int
) -> tuple[Organisation, Ledgered]:
    """A month by cost centre, as its statements are made."""
    known = await organisation_of(database)
    found = await reporting.postings(database, period, known.spans())
    return known, Ledgered(period, found, known, await terms_for(database, config, period, known))


async def terms_for(database: Database, config: Config, period: int, known: Organisation) -> Terms:
    """What is charged beside the calls of a month: as configured, and the fixed costs of that month.

    Raises BadRequest where the rate of a cost's currency is not known.
    """
    shared = await shared_costs(database, period, known)
    return msgspec.structs.replace(terms_of(config), shared=shared)


async def shared_costs(
    database: Database, period: int, known: Organisation
) -> tuple[SharedCost, ...]:
    """The fixed costs of a month with whose part is how large; the rows are read only where a rule asks for them."""
    store = CostStore(database)
    costs = due(await store.costs(), period)
    used: list[Used] = []
    if any(cost.rule in BY_USE for cost in costs):
        keys = [key for key in _KEYS if key != "user" or "user" in known.grain]
        used = [_used(known, one) for one in await summed(database, period, keys)]
    last_day = (
        f"{period // 100}-{period % 100:02}-31"  # as text it sorts behind every day of its month
    )
    made = []
    for cost in costs:
        seats = Counter(
            known.centre_of(team, last_day) for team in (await store.seats(cost)).values()
        )
        made.append(shared(cost, used, seats, period, await store.rate(period, cost.currency)))
    return tuple(made)


def _used(known: Organisation, one: Summed) -> Used:
    names = one.names
    centre = known.centre_of(
        names["team"], names["day"], user=names.get("user", ""), app=names["app"]
    )
    return Used(centre, names, names["unit"], one.quantity, one.list_pico)


def terms_of(config: Config) -> Terms:
    """What is charged beside the calls, as configured."""
    wanted = config.statements
    return Terms(
        share_unallocated=wanted.share_unallocated,
        markup=wanted.markup_basis_points,
        tax=wanted.tax_basis_points,
        tax_name=wanted.tax_name,
    )
