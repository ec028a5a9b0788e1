"""weighbridge prices rerate: what was booked, charged again by the book and the contracts of now."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway import premises, shipped
from gateway.commands.authors import author_of
from gateway.commands.moments import span_of
from gateway.commands.names import name_of
from gateway.commands.output import CONSOLE, ERRORS, emit, shown_usd, styled, table, usd
from gateway.commands.prices.imports import imported
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.ledger.adjust import ESTIMATES
from gateway.ledger.entry import Entry, EntryKind
from gateway.ledger.reprice import PartsUnproved, Tariff, repriced
from gateway.pricing.contract import Contracts
from gateway.storage.rerating import Rerating, alone, keep, rerated, rows_between

_SHOWN_MAX: Final = 5
_SETTLING_US: Final = 86_400_000_000  # so long the truth about an estimate may still arrive
Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]


class Change(msgspec.Struct):
    """What a re-rating does to the rows of a model in a month, in pico-USD."""

    rows: int = 0
    repriced: int = 0
    priced: int = 0  # that had no whole price before
    list_pico: int = 0
    net_pico: int = 0
    unproved: list[
        str
    ] = []  # ids of rows that are left alone: what they were charged in cannot be told

    def add(self, row: Entry, corrections: Sequence[Entry], made: Sequence[Entry]) -> None:
        """Count a row with the corrections it gets."""
        self.rows += 1
        if not made:
            return
        self.repriced += 1
        self.priced += any("adjusts_unpriced" in one.flags and one.price_status == "priced" for one in made)  # fmt: skip
        for line in (line for one in made for line in one.lines):
            self.list_pico += line.list_pico or 0
            self.net_pico += line.net_pico or 0


Key = tuple[int, str, str]  # period, provider, model


def rerate_prices(
    *,
    since: Annotated[str, typer.Option(help="date or time, UTC, inclusive")],
    until: Annotated[str | None, typer.Option(help="date or time, UTC, exclusive")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change")] = False,
    author: Annotated[str | None, typer.Option(help="who does it; else the system's user")] = None,
    reason: Annotated[str, typer.Option(help="why, for whoever reads it in a year")] = "",
    config: Path_ = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Charge booked rows again by the book of now; differences are booked as `reprice` rows, once."""
    name_of(reason or None, "--reason")
    configured = shipped.configured(config)
    span = span_of(since, until)
    premises.ready_store(configured)
    book = shipped.price_book(configured, imported(configured))
    tariff = Tariff(book, Contracts(configured.contracts), spilling(configured))
    now_us = SystemClock().wall_us()
    unproved: list[Entry] = []
    reprice = _repricing(tariff, now_us, unproved)
    changes = asyncio.run(_run(configured, span, reprice, dry_run=dry_run, quiet=json))
    for row in unproved:
        changes[_key(row)].unproved.append(str(row.id))
    done = _total(changes.values())
    if not dry_run:
        record = Rerating(
            now_us, author_of(author), reason, *span, book.catalog, done.rows, done.repriced,
            done.list_pico, done.net_pico,
        )  # fmt: skip
        asyncio.run(_keep(configured, record))
    if json:
        for key, change in sorted(changes.items()):
            emit(_record(key, change) | {"catalog": book.catalog, "dry_run": dry_run})
    else:
        _show(changes, book.catalog, dry_run=dry_run)


def spilling(configured: Config) -> dict[tuple[str, str], str]:
    """Deployment and upstream → the scope behind the provisioned capacity there."""
    places = (place for one in configured.deployments for place in (one, *one.also))
    return {
        (place.wire, place.upstream): place.spill
        for place in places
        if place.scope == "provisioned"
    }


def _repricing(
    tariff: Tariff, now_us: int, unproved: list[Entry]
) -> Callable[[Entry, Sequence[Entry]], Sequence[Entry]]:
    def reprice(row: Entry, corrections: Sequence[Entry]) -> Sequence[Entry]:
        waiting = row.kind in ESTIMATES and not any(
            one.kind is EntryKind.ADJUSTMENT for one in corrections
        )
        if waiting and now_us - row.occurred_us < _SETTLING_US:
            return ()
        try:
            return repriced(row, corrections, tariff, now_us)
        except PartsUnproved:
            unproved.append(row)
            return ()

    return reprice


async def _run(
    configured: Config,
    span: tuple[int, int | None],
    reprice: Callable[[Entry, Sequence[Entry]], Sequence[Entry]],
    *,
    dry_run: bool,
    quiet: bool,
) -> dict[Key, Change]:
    changes: dict[Key, Change] = defaultdict(Change)
    columns = (
        TextColumn("re-rating", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    async with premises.opened(configured) as database, nullcontext() if dry_run else alone(database):  # fmt: skip
        whole = await rows_between(database, *span)
        with Progress(*columns, console=ERRORS, transient=True, disable=quiet) as progress:
            task = progress.add_task("", total=whole)
            found = rerated(database, reprice, *span, dry_run=dry_run)
            async for row, corrections, made in found:
                changes[_key(row)].add(row, corrections, made)
                progress.advance(task, 1 + len(corrections))
    return changes


def _key(row: Entry) -> Key:
    return row.period, row.provider, row.model or ""


async def _keep(configured: Config, record: Rerating) -> None:
    async with premises.opened(configured) as database:
        await keep(database, record)


def _total(changes: Iterable[Change]) -> Change:
    total = Change()
    for change in changes:
        for name in Change.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(change, name))
    return total


def _record(key: Key, change: Change) -> dict[str, object]:
    period, provider, model = key
    return {
        "period": f"{period // 100}-{period % 100:02}",
        "provider": provider,
        "model": model or None,
        "rows": change.rows,
        "repriced": change.repriced,
        "newly_priced": change.priced,
        "unproved": change.unproved,
        "list_usd": usd(change.list_pico),
        "net_usd": usd(change.net_pico),
    }


def _show(changes: dict[Key, Change], catalog: str, *, dry_run: bool) -> None:
    moved = {key: change for key, change in changes.items() if change.repriced}
    total = _total(changes.values())
    if total.unproved:
        _show_unproved(total.unproved)
    if not moved:
        right = total.rows - len(total.unproved)
        CONSOLE.print(
            styled("[green]✓[/] {:,} rows are charged as catalog {} says", right, catalog),
            highlight=False,
        )
        return
    shown = table(
        f"{'Would be re-rated' if dry_run else 'Re-rated'} by catalog {catalog}",
        (
            ("month", "left"), ("provider", "left"), ("model", "left"), ("rows", "right"),
            ("repriced", "right"), ("newly priced", "right"), ("list USD", "right"), ("net USD", "right"),
        ),
    )  # fmt: skip
    for (period, provider, model), change in sorted(moved.items()):
        shown.add_row(f"{period // 100}-{period % 100:02}", provider, model or "?", *_cells(change))
    shown.add_section()
    shown.add_row("total", "", "", *_cells(total))
    CONSOLE.print(shown)


def _show_unproved(ids: Sequence[str]) -> None:
    more = (
        f" and {len(ids) - _SHOWN_MAX:,} more (--json names all)" if len(ids) > _SHOWN_MAX else ""
    )
    CONSOLE.print(
        styled(
            "[yellow]▲[/] left as they are, {:,}: used in several parts, priced by how long each one's prompt was, and their lines do not prove which was which: {}{}",
            len(ids),
            ", ".join(ids[:_SHOWN_MAX]),
            more,
        ),
        highlight=False,
    )


def _cells(change: Change) -> tuple[str, ...]:
    return (
        f"{change.rows:,}", f"{change.repriced:,}", f"{change.priced:,}",
        shown_usd(change.list_pico), shown_usd(change.net_pico),
    )  # fmt: skip
