"""Which names somebody has: on a key, in the rollup, in the organisation."""

import pytest

from gateway.reporting.roster import imported, read_csv
from gateway.storage.directory import Directory, NewKey
from gateway.storage.engine import Database
from gateway.storage.known import Kind, is_known, names
from gateway.storage.ledger import Ledger
from gateway.storage.organisation import OrganisationStore
from tests.storage.conftest import make_entry

pytestmark = pytest.mark.anyio


async def test_a_name_is_known_wherever_it_stands_and_no_other_is(
    database: Database, ledger: Ledger
) -> None:
    made = await Directory(database, b"x" * 32).create(
        NewKey(user="key-user", team="key-team", org="key-org", cost_centre="4100", app="key-app")
    )
    await ledger.append(
        [
            make_entry(
                team="row-team", user="row-user", app="row-app", org="row-org", model="row-model"
            )
        ]
    )
    file = read_csv(
        "team,user,app,cost_centre\nfile-team,,,5200\n,file-user,,5200\n,,file-app,5200\n"
    )
    await OrganisationStore(database).revise(lambda now: imported(now, file), "owner-9000")
    there = {
        Kind.ORG: {"key-org", "row-org"},
        Kind.TEAM: {"key-team", "row-team", "file-team"},
        Kind.USER: {"key-user", "row-user", "file-user"},
        Kind.APP: {"key-app", "row-app", "file-app"},
        Kind.MODEL: {"row-model"},
        Kind.COST_CENTRE: {"4100", "5200"},
        Kind.KEY: {made.key_id},
    }
    assert set(there) == set(Kind)
    for kind, known in there.items():
        assert await names(database, kind) == known
        assert all([await is_known(database, kind, name) for name in known])
        for other in ("nobody", "", *(f"{name}x" for name in known)):
            assert not await is_known(database, kind, other), (kind, other)
