"""The organisation in the database: imports, moves, history, and people that can be forgotten."""

import asyncio

import pytest

from gateway.kernel.errors import BadRequest, NotFound
from gateway.reporting.organisation import Assignment, CostCentre
from gateway.reporting.roster import Roster, imported, read_csv
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.organisation import OrganisationStore

pytestmark = pytest.mark.anyio
FILE = """team,user,cost_centre,name,owner,gl_account,currency,post,valid_from,person,email
care,,4100,Customer Operations,owner-4100,652310,eur,yes,,,
lab,,5200,Software,owner-5200,652320,,no,,,
,user-0001,5200,Software,owner-5200,652320,,no,2026-10-10,Person One,one@org.example
,user-0002,,,,,,,,Person Two,
"""


async def put(store: OrganisationStore, text: str, *, prune: bool = False) -> list[str]:
    file = read_csv(text)
    found = await store.revise(lambda now: imported(now, file, prune=prune), "owner-9000")
    return [f"{one.action} {one.kind} {one.name}" for one in found]


async def test_a_file_is_read_back_and_importing_it_twice_changes_nothing(
    database: Database,
) -> None:
    store = OrganisationStore(database)
    assert len(await put(store, FILE)) == 7
    assert await store.roster() == read_csv(FILE)
    assert await put(store, FILE) == []
    known = await store.organisation()
    assert known.centre("4100") == CostCentre("4100", "Customer Operations", "owner-4100", "652310", "EUR")  # fmt: skip
    assert not known.centre("5200").posts
    assert known.centre_of("care", "2026-10-09", user="user-0001") == "4100"
    assert known.centre_of("care", "2026-10-10", user="user-0001") == "5200"


async def test_a_move_ends_what_was_without_end_and_history_keeps_who_did_it(
    database: Database,
) -> None:
    store = OrganisationStore(database)
    await put(store, FILE)
    moved = "team,cost_centre,name,owner,gl_account,valid_from\ncare,5200,Software,owner-5200,652320,2026-10-15\n"
    found = await put(store, moved)
    assert found == [
        "change cost centre 5200",
        "end assignment team care from the beginning",
        "add assignment team care from 2026-10-15",
    ]
    known = await store.organisation()
    assert known.centre_of("care", "2026-10-14") == "4100"
    assert known.centre_of("care", "2026-10-15") == "5200"
    newest = (await store.history(3))[0]
    assert newest.author == "owner-9000"
    assert len(await store.history()) == 10


async def test_a_dry_run_changes_nothing_and_prune_removes_what_the_file_does_not_name(
    database: Database,
) -> None:
    store = OrganisationStore(database)
    await put(store, FILE)
    short = read_csv("team,cost_centre,name,owner,gl_account,currency\ncare,4100,Customer Operations,owner-4100,652310,EUR\n")  # fmt: skip

    def plan(now: Roster) -> Roster:
        return imported(now, short, prune=True)

    found = await store.revise(plan, "owner-9000", dry_run=True)
    assert {one.action for one in found} == {"remove"}
    assert len(found) == 5
    assert await store.roster() == read_csv(FILE)
    await store.revise(plan, "owner-9000")
    assert await store.roster() == short


async def test_an_erased_person_leaves_nothing_behind_but_the_surrogate_id(
    database: Database,
) -> None:
    store = OrganisationStore(database)
    await put(store, FILE)
    assert await store.names(["user-0001", "user-0009"]) == {"user-0001": "Person One"}
    await store.erase("user-0001", "owner-9000")
    assert await store.names(["user-0001"]) == {}
    with pytest.raises(NotFound, match="people list"):
        await store.erase("user-0001", "owner-9000")
    kept = repr(await store.history()) + repr(await store.roster())
    assert "user-0001" in kept
    assert "Person One" not in kept
    assert "one@org.example" not in kept


async def test_history_cannot_be_edited(database: Database) -> None:
    await put(OrganisationStore(database), FILE)
    for statement in ("UPDATE org_change SET author = 'x'", "DELETE FROM org_change"):
        with pytest.raises(RowRefused):
            async with database.write() as connection:
                await connection.exec_driver_sql(statement)


async def test_editors_that_race_lose_nothing_of_each_other(database: Database) -> None:
    store = OrganisationStore(database)
    files = [f"team,cost_centre\nteam-{n},41{n:02}\n" for n in range(8)]
    await asyncio.gather(*(put(store, text) for text in files))
    roster = await store.roster()
    assert len(roster.centres) == len(roster.assignments) == 8


def test_every_mistake_of_the_file_is_said_with_its_line() -> None:
    text = (
        "team,user,app,cost_centre,valid_from,valid_until,post,currency,person\nvoice,,,,,,,,\ncare,,,4100,october,,,,\n"
        "lab,,,1,,2026-10-02,,,\nlab,,,2,2026-10-01,,,,\nlab,u,,1,,,,,\nx,,,1,,,maybe,,\ny,,,1,,,,E1,\nz,,,1,,,,,Somebody\n"
        "w,,,1,2026-10-02,2026-10-01,,,\n"
    )
    with pytest.raises(BadRequest) as refused:
        read_csv(text)
    for said in (
        "line 2: cost_centre is empty",
        "line 3: valid_from is written like",
        "team lab belongs to 1 and 2 on 2026-10-01",
        "line 6: one of user, app, team is named, found user and team",
        "line 7: post is yes or no",
        "line 8: currency: expected a currency of ISO 4217 such as EUR",
        "line 9: person and email are of a user",
        "line 10: valid_until is not after valid_from",
    ):
        assert said in refused.value.message
    with pytest.raises(BadRequest, match=r"'cost_centre' is missing.*'colour' is unknown"):
        read_csv("team,colour\n")


def test_a_later_row_of_the_same_file_ends_an_earlier_one_without_end() -> None:
    """The example of docs/statements.md: a move is two rows of one file."""
    made = read_csv(
        "team,cost_centre,valid_from\nsearch,4100,\nsearch,5200,2026-10-15\n"
    ).assignments
    assert made == (
        Assignment("search", "4100", until_day="2026-10-15"),
        Assignment("search", "5200", "2026-10-15"),
    )
    with pytest.raises(BadRequest, match=r"team search belongs to 4100 and 5200$"):
        read_csv("team,cost_centre\nsearch,4100\nsearch,5200\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("team,cost_centre,name\na,1,Legal, Tax\n", "line 2: more cells than columns"),
        ("team,cost_centre,name\n\n\na,1,Legal, Tax\n", "line 4: more cells than columns"),
        ('team,cost_centre,name\na,1,"Legal\nb,2,Tax\n', "is a quotation mark closed"),
        ("team,cost_centre,cost_centre\na,1,2\n", "column 'cost_centre' is there twice"),
        ("team;cost_centre\na;1\n", "separated by semicolons: separate them by commas"),
        (f"team,cost_centre,name\na,1,{'x' * 121}\n", "line 2: name has 121 characters"),
        (f"team,cost_centre\na,{'4' * 41}\n", "line 2: cost_centre has 41 characters"),
        (
            "team,cost_centre,name\na,1,Le\0gal\n",
            "line 2: name holds the invisible character U.0000",
        ),
    ],
)
def test_a_file_whose_cells_could_be_read_differently_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        read_csv(text)


def test_an_import_that_would_leave_an_overlap_is_refused() -> None:
    before = Roster({}, (Assignment("care", "1", "2026-01-01", "2026-06-01"),))
    file = Roster({}, (Assignment("care", "2", "2025-12-01", "2026-02-01"),))
    with pytest.raises(BadRequest, match="team care belongs to 2 and 1"):
        imported(before, file)
