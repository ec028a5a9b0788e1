"""Every recorded call, booked and re-rated: unchanged by the prices it was booked at, as booked anew by others."""

from functools import cache

import msgspec
import pytest

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Outcome
from gateway.ledger.reprice import SPILLED_OVER, PartsUnproved, Tariff, repriced
from gateway.metering.usage import MAIN, are_several
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.rate import rate_components
from gateway.pricing.row import Row
from tests.laws.test_bounds import BOOK, CASES, NOW_US, SEED, Booked

STEP = 10  # tokens of a prompt: beyond it everything is dearer in the steep book
Sums = dict[tuple[str, str, str | None], tuple[int, int, int]]


def dearer(row: Row) -> Row:
    return row if row.as_unit else msgspec.structs.replace(row, pico=row.pico * 3 + row.per)


@cache
def other(name: str) -> Tariff:
    """A book of other prices: all ``dearer``; ``steep``: and dearer still beyond a short prompt."""
    listing = load.read({path.name: path.read_bytes() for path in SEED.glob("*.csv")})
    rows = [dearer(row) for row in listing.rows]
    if name == "steep":
        rows += [
            msgspec.structs.replace(row, pico=row.pico * 2, context_gt=STEP)
            for row in rows
            if not row.context_gt and not row.as_unit
        ]
    return Tariff(Book.compile(rows, aliases=listing.aliases, regions=listing.regions))


def entry(found: Booked, book: Book) -> Entry:
    """A recorded call as the row it is booked as by a book."""
    at = found.circumstances
    charge = rate_components(book, at, found.components)
    flags = (
        *([SPILLED_OVER] if at.provisioned is False else []),
        *(["several_parts"] if are_several(found.components) else []),
    )
    return Entry(
        id=new_id(), request_id=new_id(), occurred_us=at.at_us, booked_us=at.at_us, day="2026-11-22", period=202611,
        org="org-1", team="team-1", user="user-0001", key_id="key-1", provider=at.provider, operation="o", upstream="u",
        model=at.model, scope=at.scope, geo=at.geo, region=at.region, tier=at.tier, status=200, flags=flags,
        outcome=Outcome.COMPLETE, provenance="reported", lines=charge.lines, list_pico=charge.list_pico,
        net_pico=charge.net_pico, price_status=str(charge.status),
    )  # fmt: skip


def sums(*entries: Entry) -> Sums:
    """Unit → quantity, of it unpriced, net."""
    found: Sums = {}
    for line in (line for one in entries for line in one.lines):
        key = (line.unit, line.role, line.model)
        had = found.get(key, (0, 0, 0))
        lacking = line.quantity if line.net_pico is None else 0
        found[key] = had[0] + line.quantity, had[1] + lacking, had[2] + (line.net_pico or 0)
    return {key: cell for key, cell in found.items() if any(cell)}


@pytest.mark.parametrize("name", CASES)
def test_no_recorded_call_is_changed_by_the_prices_it_was_booked_at(name: str) -> None:
    assert repriced(entry(CASES[name], BOOK), [], Tariff(BOOK), NOW_US) == ()


@pytest.mark.parametrize("prices", ["dearer", "steep"])
@pytest.mark.parametrize("name", CASES)
def test_a_recorded_call_is_charged_as_it_would_be_booked_by_other_prices(
    name: str, prices: str
) -> None:
    tariff, base = other(prices), entry(CASES[name], BOOK)
    try:
        made = repriced(base, [], tariff, NOW_US)
    except PartsUnproved:
        beside = [part for part in CASES[name].components if part.role != MAIN or part.model]
        assert prices == "steep"
        assert beside or are_several(CASES[name].components)
        return
    wanted = entry(CASES[name], tariff.book)
    assert sums(base, *made) == sums(wanted)


def test_other_prices_really_change_what_most_calls_cost() -> None:
    changed = {
        prices: sum(
            entry(found, BOOK).net_pico != entry(found, other(prices).book).net_pico
            for found in CASES.values()
        )
        for prices in ("dearer", "steep")
    }
    assert min(changed.values()) > len(CASES) // 2
    assert any(len(found.components) > 1 for found in CASES.values())
