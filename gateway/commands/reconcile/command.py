"""weighbridge reconcile: the providers' bills against the ledger, every difference with a cause.

To add a cloud: its bill's option, and its layouts in reporting/bills.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from gateway import app as composition, shipped
from gateway.commands.authors import author_of
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, ERRORS, emit, stop
from gateway.commands.reconcile.bills import read_bill
from gateway.commands.reconcile.tables import drawn, records
from gateway.config import Config
from gateway.metering.units import UNITS
from gateway.metering.usage import Provenance
from gateway.pricing.book import Book
from gateway.providers import installed
from gateway.providers.contract import Provider
from gateway.reporting.bills.invoice import Bill
from gateway.reporting.reconciliation import (
    OUTSIDE,
    Known,
    Ledgered,
    Metered,
    Reconciled,
    reconciled,
)
from gateway.storage.confirmations import (
    ACCOUNT,
    DIFFERENCE,
    METER,
    Confirmation,
    ConfirmationStore,
)
from gateway.storage.engine import Database
from gateway.storage.lines import Summed, summed
from gateway.storage.outlook import retried

_KEYS: Final = ("day", "provider", "upstream", "model", "unit", "scope", "tier", "provenance")
_TOLD_EVERY: Final = 10_000
Files = Annotated[
    list[Path] | None, typer.Option(help="its bill: .csv, .csv.gz or .parquet; repeatable")
]
Statements = Annotated[
    list[str] | None,
    typer.Option(help="meter:WORDS=MODEL, account:ID=UPSTREAM,… or outside, difference:KEY=reason"),
]


class Side(msgspec.Struct, frozen=True):
    """What the store says of a month."""

    lines: list[Summed]
    retried: Mapping[tuple[str, str], int]
    confirmed: Mapping[tuple[str, str], Confirmation]


def reconcile(
    month: Annotated[str, typer.Argument(help="e.g. 2026-10")],
    *,
    aws: Files = None,
    azure: Files = None,
    google: Files = None,
    daily: Annotated[bool, typer.Option("--daily", help="compare days, not the month")] = False,
    confirm: Statements = None,
    author: Annotated[str | None, typer.Option(help="who confirms; else the system's user")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="matched lines, too")] = False,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Compare providers' bills with the ledger. Status 1 where a difference is open or a meter is unread."""
    files = {"aws": aws or [], "entra": azure or [], "adc": google or []}
    if not any(files.values()) and not confirm:
        stop("name at least one bill: --aws, --azure or --google")
    configured = shipped.configured(config)
    composition.ready_store(configured)
    period = period_of(month)

    async def run() -> Side:
        async with composition.opened(configured) as database:
            await ConfirmationStore(database).confirm(confirm or [], author_of(author))
            async with database.moment() as now:
                return await _side(now, period)

    found = _compared(asyncio.run(run()), _bills(files, month), configured, daily=daily)
    _say(found, month, json=json, show_all=show_all)
    if any(not is_settled(one) for one in found):
        raise SystemExit(1)


def _compared(
    side: Side, bills: Mapping[str, Bill], config: Config, *, daily: bool
) -> list[Reconciled]:
    book, known = shipped.price_book(config), _known(side)
    return [
        reconciled(bills[one.ambient], ledgered(side, one, config, book), known, daily=daily)
        for one in installed()
        if one.ambient in bills
    ]


def is_settled(found: Reconciled) -> bool:
    """Whether every difference is explained or confirmed, and every meter read."""
    return not found.bill.unread and all(
        line.is_confirmed or line.cause not in ("open", "unread") for line in found.lines
    )


async def _side(database: Database, period: int) -> Side:
    return Side(
        await summed(database, period, _KEYS),
        await retried(database, period),
        await ConfirmationStore(database).standing(),
    )


def ledgered(side: Side, provider: Provider, config: Config, book: Book) -> Ledgered:
    """One provider's part of the ledger, tokens only."""
    metered = [
        _metered(one)
        for one in side.lines
        if one.names["provider"] == provider.name and UNITS[one.names["unit"]].is_token
    ]
    projects = {one.name: one.project for one in config.upstreams if one.provider == provider.name and one.project}  # fmt: skip
    again = {model: count for (name, model), count in side.retried.items() if name == provider.name}
    return Ledgered(metered, projects, again, sorted(book.models(provider.name)))


def _metered(one: Summed) -> Metered:
    names, unit = one.names, UNITS[one.names["unit"]]
    is_sure = names["provenance"] == Provenance.REPORTED.value
    return Metered(
        upstream=names["upstream"],
        day=names["day"],
        model=names["model"],
        direction=unit.direction,
        cache=unit.cache,
        scope=names["scope"],
        tier=names["tier"],
        tokens=one.quantity,
        unpriced=one.unpriced,
        uncertain=0 if is_sure else one.quantity,
        pico=one.net_pico,
    )


def _known(side: Side) -> Known:
    by_kind: dict[str, dict[str, str]] = {METER: {}, ACCOUNT: {}, DIFFERENCE: {}}
    for (kind, subject), one in side.confirmed.items():
        by_kind[kind][subject] = one.value
    accounts = {
        account: () if value == OUTSIDE else tuple(part.strip() for part in value.split(","))
        for account, value in by_kind[ACCOUNT].items()
    }
    return Known(by_kind[METER], accounts, by_kind[DIFFERENCE])


def _bills(files: Mapping[str, Sequence[Path]], month: str) -> dict[str, Bill]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=ERRORS, transient=True) as bar:
        task = bar.add_task("bills")

        def told(count: int) -> None:
            if count % _TOLD_EVERY == 0:
                bar.update(task, description=f"{count:,} rows of bills")

        return {
            cloud: read_bill(cloud, paths, month, told) for cloud, paths in files.items() if paths
        }


def _say(found: Iterable[Reconciled], month: str, *, json: bool, show_all: bool) -> None:
    found = list(found)
    if json:
        for record in records(found, month):
            emit(record)
        return
    for part in drawn(found, month, show_all=show_all):
        CONSOLE.print(part)
