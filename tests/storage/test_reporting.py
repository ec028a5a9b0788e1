"""What statements are folded from, asked of real databases: spans, late rows, who is counted, whom keys name."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.reporting.fold import Ledgered
from gateway.reporting.organisation import Assignment, Organisation
from gateway.storage import reporting
from gateway.storage.directory import Directory, NewKey
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
MOVED = Organisation(
    {},
    (
        Assignment("team-1", "4100", until_day="2026-11-15"),
        Assignment("team-1", "5200", "2026-11-15"),
        Assignment("user-0009", "6100", kind="user"),
        Assignment("batch-tools", "7100", kind="app"),
    ),
)


def priced(pico: int, **changes: Any) -> dict[str, Any]:
    line = Line("input_text", 10, "p", pico, pico)
    return {"lines": (line,), "list_pico": pico, "net_pico": pico, **changes}


async def test_a_month_is_split_where_a_team_moves_and_user_and_app_go_before_the_team(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    rows = [
        entry(**priced(1, day="2026-11-14")),
        entry(**priced(10, day="2026-11-15")),
        entry(**priced(100, day="2026-11-20", user="user-0009", app="batch-tools")),
        entry(**priced(1000, day="2026-11-20", app="batch-tools")),
        entry(**priced(10_000, day="2026-11-20", team="team-2")),
    ]
    await ledger.append(rows)
    found = await reporting.postings(database, 202611, MOVED.spans())
    sums: dict[str, int] = {}
    for one in found:
        code = MOVED.centre_of(one.team, one.day, user=one.user, app=one.app)
        sums[code] = sums.get(code, 0) + one.net_pico
    assert sums == {"4100": 1, "5200": 10, "6100": 100, "7100": 1000, "": 10_000}
    assert sum(one.net_pico for one in found) == sum(row.net_pico or 0 for row in rows)


async def test_late_rows_are_apart_per_month_and_charged_to_who_paid_then(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    moved = Organisation(
        {},
        (
            Assignment("team-1", "4100", until_day="2026-10-01"),
            Assignment("team-1", "5200", "2026-10-01"),
        ),
    )
    await ledger.append(
        [
            entry(**priced(5, day="2026-09-30")),
            entry(**priced(50, day="2026-10-31")),
            entry(**priced(500)),
        ]
    )
    found = await reporting.postings(database, 202611, moved.spans())
    paid = {
        (one.is_late, one.day[:7], moved.centre_of(one.team, one.day)): one.net_pico
        for one in found
        if one.unit == "input_text"
    }
    assert paid == {
        (True, "2026-09", "4100"): 5,
        (True, "2026-10", "5200"): 50,
        (False, "2026-11", "5200"): 500,
    }


async def test_only_requests_without_a_final_report_are_counted(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    whole = entry(provenance="reported")
    await ledger.append(
        [
            whole,
            entry(provenance="partial", day="2026-11-14"),
            entry(provenance="counted"),
            entry(provenance="estimated", kind=EntryKind.INTERRUPTED, user="user-0009"),
            entry(provenance="counted", kind=EntryKind.REVERSAL, ref_id=whole.id, id=new_id()),
        ]
    )
    assert await reporting.counted(database, 202611, MOVED) == {
        "4100": {"partial": 1},
        "5200": {"counted": 1},
        "6100": {"estimated": 1},
    }
    assert await reporting.counted(database, 202612, MOVED) == {}


async def test_keys_name_a_teams_cost_centre_where_they_agree(database: Database) -> None:
    directory = Directory(database, b"x" * 32)
    for team, centre in (("a", "4100"), ("a", "4100"), ("b", "1"), ("b", "2"), ("c", None)):
        await directory.create(NewKey(user="user-0001", team=team, cost_centre=centre))
    assert await reporting.key_centres(database) == {"a": "4100"}


async def test_earlier_months_are_the_ledgers_own_sums(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await ledger.append(
        [
            entry(**priced(7, day="2026-09-02", period=202609)),
            entry(**priced(70, day="2026-10-02", period=202610, user="user-0009")),
            entry(**priced(700, day="2026-09-30", period=202610)),
        ]
    )
    found = await reporting.history(database, (202609, 202610), MOVED)
    sums = {period: sum(one.net_pico for one in rows) for period, rows in found.items()}
    assert sums == {202609: 7, 202610: 770}
    codes = Ledgered(202610, found[202610], MOVED).codes
    assert codes == ["4100", "6100"]


async def test_sums_past_sixty_four_bits_are_exact(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    most = 2**62
    await ledger.append([entry(**priced(most, user=f"user-{n:04}")) for n in range(5)])
    found = await reporting.postings(database, 202611, MOVED.spans())
    assert sum(one.net_pico for one in found) == 5 * most
    earlier = await reporting.history(database, (202611,), MOVED)
    assert sum(one.net_pico for one in earlier[202611]) == 5 * most
