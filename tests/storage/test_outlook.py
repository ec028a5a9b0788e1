"""The outlook's queries on both engines, from a simulated ledger whose answers are known by a plain fold."""

from collections import Counter
from datetime import date

import pytest

from gateway import shipped
from gateway.commands.explore import folded
from gateway.commands.simulate import filled
from gateway.commands.simulation.month import Shop, day_of
from gateway.commands.simulation.world import world
from gateway.commands.spend.asked import gathered
from gateway.commands.spend.records import records
from gateway.kernel.clock import SystemClock
from gateway.kernel.money import parse_usd
from gateway.ledger.entry import FAILED_OVER, Entry
from gateway.ledger.period import day_bounds_us
from gateway.reporting.organisation import Organisation
from gateway.reporting.outlook import paces
from gateway.reporting.roster import imported, read_csv
from gateway.storage import outlook
from gateway.storage.engine import Database
from gateway.storage.lines import summed
from gateway.storage.organisation import OrganisationStore

pytestmark = pytest.mark.anyio
DAYS = [date(2026, 10, day) for day in (6, 7, 8)] + [date(2026, 11, day) for day in (10, 18)]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(world(60, 9), shipped.price_book(shipped.configured(None)), "UTC", 9, 60, 3)


@pytest.fixture(scope="module")
def entries(shop: Shop) -> list[Entry]:
    return [one for day in DAYS for one in day_of(shop, day)]


@pytest.fixture
async def ledger_of(database: Database, shop: Shop) -> Database:
    await filled(database, shop, DAYS, SystemClock())
    roster = read_csv(shop.world.organisation_csv())
    await OrganisationStore(database).revise(lambda before: imported(before, roster), "test")
    return database


async def test_cells_people_lines_and_retries_are_those_of_a_plain_fold(
    ledger_of: Database, entries: list[Entry]
) -> None:
    november = [one for one in entries if one.period == 202611]
    found = await outlook.cells(ledger_of, "2026-11-01", "2026-12-01", ("team", "unit"))
    spend = Counter[str]()
    for one in november:
        spend[one.team] += one.net_pico or 0
    sums = Counter[str]()
    for cell in found:
        sums[cell.names["team"]] += cell.net_pico
    assert sums == spend
    assert await outlook.people(ledger_of, "2026-11-01", "2026-12-01") == len({one.user for one in november})  # fmt: skip
    lines = await summed(ledger_of, 202611, ("provider", "unit", "region"))
    assert sum(one.net_pico for one in lines) == sum(spend.values())
    assert sum(one.quantity for one in lines) == sum(line.quantity for one in november for line in one.lines)  # fmt: skip
    again = Counter((one.provider, one.model) for one in november if FAILED_OVER in one.flags)
    assert await outlook.retried(ledger_of, 202611) == again
    with pytest.raises(KeyError):
        await outlook.cells(ledger_of, "2026-11-01", "2026-12-01", ("colour",))


async def test_speeds_are_those_of_the_rows(ledger_of: Database, entries: list[Entry]) -> None:
    bounds = day_bounds_us("2026-11-01")[0], day_bounds_us("2026-11-30")[1]
    found = paces(await outlook.speeds(ledger_of, *bounds))
    november = [one for one in entries if one.period == 202611]
    for (provider, model), pace in found.items():
        own = [one for one in november if (one.provider, one.model) == (provider, model)]
        assert pace.attempts == len(own)
        streamed = sorted(one.first_byte_ms or 0 for one in own if one.stream and one.status < 400)
        if streamed:
            middle = streamed[-(-len(streamed) * 50 // 100) - 1]
            assert pace.first_p50_ms == middle // 10 * 10
        failed = sum(one.status >= 400 for one in own)
        assert pace.errors_bp == (failed * 10_000 + len(own) // 2) // len(own)


async def test_the_screen_sums_by_cost_centre_model_and_ledger(
    ledger_of: Database, entries: list[Entry]
) -> None:
    found = await gathered(ledger_of, shipped.configured(None), date(2026, 11, 19))
    whole = sum(one.net_pico or 0 for one in entries if one.period == 202611)
    assert found.simulated
    assert found.totals.pico == whole == sum(one.pico for one in found.centres)
    assert sum(totals.pico for totals in found.models.values()) == whole
    assert sum(one.forecast_pico for one in found.centres) == found.forecast.pico
    assert found.centres[-1].code == ""  # unallocated is the last row
    october = sum(one.net_pico or 0 for one in entries if one.period == 202610)
    assert sum(one.months[-2] for one in found.centres) == october == found.before.pico
    assert sum(one.before_pico for one in found.centres) == october
    said = list(records(found))
    total = said[-1]
    assert parse_usd(str(total["spend_usd"])) == whole
    centres = [parse_usd(str(one["spend_usd"])) for one in said if one["line"] == "cost_centre"]
    assert sum(centres) == whole
    changes = [one for one in said if one["line"] == "change"]
    for one in changes:
        parts = [parse_usd(str(one[f"{part}_usd"])) for part in ("volume", "mix", "price")]
        assert sum(parts) == parse_usd(str(one["change_usd"]))


async def test_what_today_cost_so_far_stands_beside_and_in_no_sum(
    ledger_of: Database, entries: list[Entry]
) -> None:
    config, day = shipped.configured(None), date(2026, 11, 18)
    found = await gathered(ledger_of, config, day, with_speeds=False, with_today=True)
    assert found.so_far_pico == sum(one.net_pico or 0 for one in entries if one.day == f"{day}")
    assert found.totals.pico == sum(one.net_pico or 0 for one in entries if one.day == "2026-11-10")
    nothing = await gathered(ledger_of, config, date(2027, 3, 2), with_today=True)
    assert (nothing.so_far_pico, nothing.totals.pico, nothing.people) == (0, 0, 0)


async def test_the_hours_of_a_runaway_name_its_key(
    ledger_of: Database, entries: list[Entry]
) -> None:
    night = Counter((one.key_id, one.team, one.app, one.model) for one in entries if one.day == "2026-11-18")  # fmt: skip
    (key_id, team, app, model), _ = night.most_common(1)[0]
    hours = await outlook.hours(ledger_of, day_bounds_us("2026-11-18"), team, app or "", model or "")  # fmt: skip
    assert {one.key_id for one in hours[:3]} == {key_id}
    own = [one for one in entries if (one.day, one.team, one.app, one.model) == ("2026-11-18", team, app, model)]  # fmt: skip
    assert sum(one.requests for one in hours) == len(own)
    assert sum(one.pico for one in hours) == sum(one.net_pico or 0 for one in own)
    assert all(0 <= one.slot < 48 for one in hours)


async def test_explored_rows_and_others_sum_to_the_total(ledger_of: Database) -> None:
    known = Organisation()
    found_cells = await outlook.cells(
        ledger_of, "2026-10-01", "2026-12-01", ("day", "team", "provider", "model", "unit")
    )
    for names in (("team", "model"), ("week",), ("month", "provider"), ("cost-centre",)):
        found = folded(found_cells, names, known, 3)
        rows = sum(totals.pico for _, totals in found.rows)
        assert rows + found.rest.pico == found.total.pico
        assert len(found.rows) <= 3
        assert sum(t.requests for _, t in found.rows) + found.rest.requests == found.total.requests
