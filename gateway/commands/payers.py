"""Who pays, as every report asks it: the imported organisation, and a team's keys where it names nobody."""

import msgspec

from gateway.reporting.organisation import Organisation
from gateway.reporting.statement import Ledgered
from gateway.storage import reporting
from gateway.storage.engine import Database
from gateway.storage.organisation import OrganisationStore


async def organisation_of(database: Database) -> Organisation:
    """The organisation as it stands."""
    known = await OrganisationStore(database).organisation()
    return msgspec.structs.replace(known, fallback=await reporting.key_centres(database))


async def ledgered_of(database: Database, period: int) -> tuple[Organisation, Ledgered]:
    """A month by cost centre, as its statements are made."""
    known = await organisation_of(database)
    found = await reporting.postings(database, period, known.spans())
    return known, Ledgered(period, found, known)
