"""Who pays, as every report asks it: the imported organisation, and a team's keys where it names nobody."""

import msgspec

from gateway.config import Config
from gateway.reporting.fold import Ledgered, Terms
from gateway.reporting.organisation import Organisation
from gateway.storage import reporting
from gateway.storage.engine import Database
from gateway.storage.organisation import OrganisationStore


async def organisation_of(database: Database, given: Organisation | None = None) -> Organisation:
    """The organisation as it stands, or the one that is given instead."""
    known = given or await OrganisationStore(database).organisation()
    return msgspec.structs.replace(known, fallback=await reporting.key_centres(database))


async def ledgered_of(
    database: Database, period: int, terms: Terms
) -> tuple[Organisation, Ledgered]:
    """A month by cost centre, as its statements are made."""
    known = await organisation_of(database)
    found = await reporting.postings(database, period, known.spans())
    return known, Ledgered(period, found, known, terms)


def terms_of(config: Config) -> Terms:
    """What is charged beside the calls, as configured."""
    wanted = config.statements
    return Terms(
        share_unallocated=wanted.share_unallocated,
        markup=wanted.markup_basis_points,
        tax=wanted.tax_basis_points,
        tax_name=wanted.tax_name,
    )
