"""weighbridge prices import and imports: prices brought into the database, on every worker within seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from gateway import premises, shipped
from gateway.commands.authors import author_of
from gateway.commands.names import name_of
from gateway.commands.output import CONSOLE, ERRORS, emit, stop_all, styled, table
from gateway.commands.prices.records import dated, figure, row_record, where
from gateway.config import Config
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.charged import Price
from gateway.pricing.importing import Plan, planned, standing
from gateway.pricing.lint import lint
from gateway.pricing.row import BookInvalid, Row, complaints
from gateway.storage.migrate import is_made
from gateway.storage.prices import Import, Imported, PriceStore

T = TypeVar("T")
_SHOWN_MAX: Final = 40
Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]


def with_prices(configured: Config, work: Callable[[PriceStore], Awaitable[T]]) -> T:
    """Do something with the imported prices of a configuration."""
    premises.ready_store(configured)

    async def run() -> T:
        async with premises.opened(configured) as database:
            return await work(PriceStore(database))

    return asyncio.run(run())


def imported(configured: Config) -> tuple[Row, ...]:
    """The imported rows as the database has them now; () where no database was made yet.

    Nothing is made or migrated. Raises Unavailable.
    """
    if not is_made(configured.database_url()):
        return ()

    async def rows() -> tuple[Row, ...]:
        async with premises.opened(configured) as database:
            store = PriceStore(database)
            await store.refresh()
            return store.current.rows

    return asyncio.run(rows())


def current_book(configured: Config) -> Book:
    """The book that a worker of this configuration charges by; without the imported rows where they cannot be read."""
    try:
        if is_made(configured.database_url()):
            premises.ready_store(configured)
        rows = imported(configured)
    except Unavailable as error:
        ERRORS.print(
            styled("[yellow]![/] without imported prices: {}", error.message), highlight=False
        )
        rows = ()
    return shipped.price_book(configured, rows)


def import_prices(
    file: Annotated[Path, typer.Argument(help="a price file, as under [prices] files")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change")] = False,
    author: Annotated[str | None, typer.Option(help="who does it; else the system's user")] = None,
    reason: Annotated[str, typer.Option(help="why, for whoever reads it in a year")] = "",
    config: Path_ = None,
    json: Json = False,
) -> None:
    """Bring the rows of a file into the database; every worker charges by them within five seconds."""
    name_of(reason or None, "--reason")
    configured = shipped.configured(config)
    listing = shipped.price_files(configured)
    rows = _read(file)
    before: list[Book] = []

    def plan(there: Imported) -> tuple[Plan, str]:
        """The plan, and the version of the book that it makes: it must make one."""
        made = planned(there.rows, rows, there.version + 1)
        before.append(listing.book(there.rows))
        return made, listing.book(standing(there.rows, made)).catalog

    async def bring(store: PriceStore) -> Plan:
        if dry_run:
            await store.refresh()
            return plan(store.current)[0]
        now_us = SystemClock().wall_us()
        return await store.bring(
            plan, at_us=now_us, author=author_of(author), reason=reason, file=file.name
        )

    try:
        done = with_prices(configured, bring)
    except BookInvalid as error:
        raise ConfigurationError(error.problems) from error
    for text in lint(done.added, before[-1].rows):
        ERRORS.print(styled("[yellow]![/] {}: check the unit", text), highlight=False)
    _tell(done, _stood(before[-1], done.added), dry_run=dry_run, json=json)


def imports(*, config: Path_ = None, json: Json = False) -> None:
    """Who brought which prices when, the newest last."""

    async def all_of(store: PriceStore) -> list[Import]:
        return list(await store.imports())

    found = with_prices(shipped.configured(config), all_of)
    if json:
        for one in found:
            emit(_record(one))
        return
    shown = table(
        "Imports of prices",
        (
            ("", "right"), ("at", "left"), ("author", "left"), ("file", "left"), ("rows", "right"),
            ("ended", "right"), ("catalog", "left"), ("reason", "left"),
        ),
    )  # fmt: skip
    for one in found:
        shown.add_row(
            str(one.issue), f"{instant(one.at_us):%Y-%m-%d %H:%M}", one.author, one.file,
            f"{one.added:,}", f"{len(one.closed):,}", one.catalog, one.reason,
        )  # fmt: skip
    CONSOLE.print(shown if found else "no prices were imported yet: weighbridge prices import FILE")


def _read(file: Path) -> tuple[Row, ...]:
    if not file.is_file():
        stop_all((f"no such file: {file}",))
    rows, problems = load.rows(file.name, file.read_bytes(), shipped.provider_names())
    # Here and not by the book alone: that never sees a row that ends before it begins.
    problems += tuple(text for row in rows for text in complaints(row))
    if problems:
        stop_all(problems)
    return rows


def _stood(book: Book, rows: tuple[Row, ...]) -> Mapping[str, Price]:
    """The price that stood at each row's key when it begins, by the row's id."""
    wanted = {(row.terms, row.unit, row.context_gt): row for row in rows}
    found: dict[str, Price] = {}
    for one in book.listed():
        named = one.named
        geo, region = one.place
        provider, model, scope, tier = named.values()
        row = wanted.get(
            ((provider, model, scope, geo, region, tier), one.unit, one.price.context_gt)
        )
        if row is not None and one.price.since_us <= row.since_us < one.price.until_us:
            found[row.price_id()] = one.price
    return found


def _record(one: Import) -> dict[str, object]:
    return {
        "import": one.issue,
        "at": instant(one.at_us).isoformat(timespec="seconds"),
        "author": one.author,
        "reason": one.reason,
        "file": one.file,
        "rows": one.added,
        "ended": [price_id for price_id, _, _ in one.closed],
        "catalog": one.catalog,
    }


def _tell(plan: Plan, was: Mapping[str, Price], *, dry_run: bool, json: bool) -> None:
    for row in plan.added if json else ():
        emit(row_record(row) | {"was": figure(was.get(row.price_id())), "dry_run": dry_run})
    if not json:
        _show(plan, was, dry_run=dry_run)


def _show(plan: Plan, was: Mapping[str, Price], *, dry_run: bool) -> None:
    if not plan.added and not plan.closed:
        CONSOLE.print(f"nothing new: all {plan.same} rows are there already", highlight=False)
        return
    shown = table(
        "Would be imported" if dry_run else "Imported",
        (
            ("model", "left"), ("scope", "left"), ("place", "left"), ("tier", "left"),
            ("unit", "left"), ("context", "right"), ("was USD", "right"), ("is USD", "right"),
            ("from", "left"), ("to", "left"),
        ),
    )  # fmt: skip
    for row in plan.added[:_SHOWN_MAX]:
        _, model, scope, _, _, tier = row.terms
        shown.add_row(
            model, scope, where(row), tier, row.unit, f"> {row.context_gt:,}" if row.context_gt else "",
            figure(was.get(row.price_id())), figure(row), dated(row.since_us), dated(row.until_us) or "",
        )  # fmt: skip
    CONSOLE.print(shown)
    more = len(plan.added) - _SHOWN_MAX
    if more > 0:
        CONSOLE.print(f"… and {more:,} more rows (--json shows all)", highlight=False)
    CONSOLE.print(
        f"{len(plan.added):,} rows, {len(plan.closed):,} earlier ones end, {plan.same:,} were there already"
        + ("" if dry_run else "; every worker charges by them within five seconds"),
        highlight=False,
    )
