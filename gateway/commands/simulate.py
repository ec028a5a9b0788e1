"""weighbridge simulate: fill a ledger with a plausible organisation's usage, for trials, benchmarks and pictures.

Rows go through the ledger's own flush, so that rollup, counters and chain are what they are in earnest.
"""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway import app as composition, shipped
from gateway.commands.output import CONSOLE, ERRORS, emit, stop
from gateway.commands.simulation.month import Shop, day_of
from gateway.commands.simulation.world import ORG, World, world
from gateway.kernel.clock import Clock, SystemClock, epoch_us, instant
from gateway.reporting.roster import imported, read_csv
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.organisation import OrganisationStore
from gateway.storage.outlook import organisations
from gateway.storage.partitions import Partitions

BATCH_ROWS: Final = 10_000  # one transaction; larger ones touch each rollup cell less often
USERS_MAX, PER_DAY_MAX, DAYS_MAX = 20_000, 1_000, 800


class Filled(msgspec.Struct, frozen=True):
    """What a fill did. ``new``: rows that were not in the ledger before."""

    rows: int
    new: int
    first: date
    last: date
    ms: int


def simulate(
    *,
    users: Annotated[int, typer.Option(help="people", min=1, max=USERS_MAX)] = 1000,
    per_day: Annotated[
        int, typer.Option(help="requests of a person on the mean day", min=1, max=PER_DAY_MAX)
    ] = 50,
    days: Annotated[int, typer.Option(help="how many, up to --until", min=1, max=DAYS_MAX)] = 30,
    seed: Annotated[int, typer.Option(help="the same seed makes the same rows")] = 1,
    until: Annotated[
        str | None, typer.Option(help="the day after the last, e.g. 2026-11-22; today by default")
    ] = None,
    organisation: Annotated[
        Path | None, typer.Option(help="write its teams and cost centres as CSV")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="also into a ledger that holds real rows")
    ] = False,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Fill a ledger with simulated usage, marked as such on every row. The same again books nothing twice."""
    configured = shipped.configured(config)
    composition.ready_store(configured)
    end = _end(until)
    made = world(users, seed)
    shop = Shop(made, shipped.price_book(configured), configured.org.timezone, seed, users, per_day)
    wanted = [end - timedelta(days=back) for back in range(days, 0, -1)]

    async def run() -> Filled:
        async with composition.opened(configured) as database:
            is_alone = await _refuse_real(database, force=force)
            found = await filled(database, shop, wanted, SystemClock())
            if is_alone:
                await _keep_organisation(database, made)
            return found

    found = asyncio.run(run())
    if organisation is not None:
        organisation.write_text(made.organisation_csv(), encoding="utf-8")
    _say(found, json=json)


async def filled(database: Database, shop: Shop, days: list[date], clock: Clock) -> Filled:
    """Book the entries of these days."""
    ledger, partitions = Ledger(database), Partitions(database)
    began_ns, rows, new = clock.ticks_ns(), 0, 0
    with _progress() as bar:
        task = bar.add_task("simulated days", total=len(days))
        for day in days:
            if day.day == 1 or day is days[0]:
                await partitions.ensure(epoch_us(datetime(day.year, day.month, 1, tzinfo=UTC)))
            entries = day_of(shop, day)
            for start in range(0, len(entries), BATCH_ROWS):
                new += await ledger.append(entries[start : start + BATCH_ROWS])
            rows += len(entries)
            bar.update(task, advance=1)
    return Filled(rows, new, days[0], days[-1], (clock.ticks_ns() - began_ns) // 1_000_000)


async def _keep_organisation(database: Database, made: World) -> None:
    roster = read_csv(made.organisation_csv())
    await OrganisationStore(database).revise(lambda before: imported(before, roster), ORG)


async def _refuse_real(database: Database, *, force: bool) -> bool:
    """Whether only simulated rows are there."""
    real = [org for org in await organisations(database) if org != ORG]
    if real and not force:
        stop(
            f"the ledger holds rows of {', '.join(real[:3])}: simulated rows would stand among real ones. "
            "Name another folder or database in --config, or say --force"
        )
    return not real


def _progress() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=ERRORS, transient=True)


def _end(until: str | None) -> date:
    if until is None:
        return instant(SystemClock().wall_us()).date()
    try:
        return date.fromisoformat(until)
    except ValueError:
        stop(f"--until is a date such as 2026-11-22, found {until!r}")


def _say(found: Filled, *, json: bool) -> None:
    per_second = found.rows * 1000 // max(found.ms, 1)
    if json:
        emit(
            {
                "rows": found.rows,
                "new": found.new,
                "first": found.first.isoformat(),
                "last": found.last.isoformat(),
                "rows_per_second": per_second,
            }
        )
        return
    CONSOLE.print(
        f"✓ {found.rows:,} simulated rows, {found.first} to {found.last} ({found.new:,} new), "
        f"{per_second:,} rows a second. Every row says org {ORG!r} and the flag {ORG!r}.",
        highlight=False,
    )
