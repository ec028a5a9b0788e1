"""A simulated fill: through the real flush, equal to itself, marked on every row, never among real rows unasked."""

from collections.abc import Callable
from datetime import date

import pytest

from gateway import shipped
from gateway.commands.simulate import _refuse_real, filled
from gateway.commands.simulation.month import Shop, day_of
from gateway.commands.simulation.world import FLAG, ORG, world
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import FAILED_OVER, Entry
from gateway.ledger.period import day_and_period
from gateway.ledger.validity import problem
from gateway.providers import installed
from gateway.reporting.organisation import Organisation
from gateway.reporting.roster import read_csv
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio
DAYS = [date(2026, 11, 17), date(2026, 11, 18), date(2026, 11, 21)]


@pytest.fixture(scope="module")
def shop() -> Shop:
    book = shipped.price_book(shipped.configured(None))
    return Shop(world(60, 7), book, "Europe/Berlin", 7, 60, 4)


async def test_a_fill_is_booked_whole_and_verifies_and_again_books_nothing(
    database: Database, shop: Shop
) -> None:
    first = await filled(database, shop, DAYS, SystemClock())
    assert first.new == first.rows > 300
    found = await Ledger(database).verify()
    assert found.is_sound
    assert found.entries == first.rows
    assert (await filled(database, shop, DAYS, SystemClock())).new == 0


async def test_rows_that_are_not_simulated_stop_it_unless_forced(
    database: Database, entry: Callable[..., Entry]
) -> None:
    await _refuse_real(database, force=False)
    await Ledger(database).append([entry()])
    await _refuse_real(database, force=True)
    with pytest.raises(SystemExit):
        await _refuse_real(database, force=False)


def test_every_row_is_marked_bookable_priced_and_within_its_day(shop: Shop) -> None:
    rows = [one for day in DAYS for one in day_of(shop, day)]
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert problem(row) is None
        assert FLAG in row.flags
        assert row.org == ORG
        assert row.price_status in ("priced", "free")
        assert day_and_period(row.occurred_us, shop.zone) == (row.day, row.period)
        assert row.id.int & 1 == 0
        assert row.id.version == 7


def test_a_month_has_what_reports_must_show(shop: Shop) -> None:
    rows = [one for day in DAYS for one in day_of(shop, day)]
    assert {row.provider for row in rows} == {one.name for one in installed()}
    assert {True, False} == {row.stream for row in rows}
    assert any(FAILED_OVER in row.flags for row in rows)
    assert any(line.unit.startswith("cache_read") for row in rows for line in row.lines)
    assert any(row.cost_centre is None for row in rows)
    per_day = [sum(row.day == day.isoformat() for row in rows) for day in DAYS]
    assert per_day[2] * 4 < per_day[0]  # a Saturday
    night = [row for row in rows if row.day == "2026-11-18" and row.app == "contract-review"]
    assert len({row.key_id for row in night}) < len(night) // 10  # one key runs away


def test_the_same_seed_makes_the_same_rows_and_another_others(shop: Shop) -> None:
    again = Shop(world(60, 7), shop.book, shop.zone, 7, 60, 4)
    other = Shop(world(60, 8), shop.book, shop.zone, 8, 60, 4)
    assert day_of(again, DAYS[0]) == day_of(shop, DAYS[0])
    assert day_of(other, DAYS[0]) != day_of(shop, DAYS[0])


def test_its_organisation_is_one_that_chargeback_reads() -> None:
    made = world(5, 1)
    roster = read_csv(made.organisation_csv())
    read = Organisation(roster.centres, roster.assignments)
    assert read.centre_of("contracts", "2026-11-18") == "6100"
    assert read.centre_of("experiments", "2026-11-18") == ""
