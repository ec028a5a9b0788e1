"""weighbridge fx: the rates of other currencies, a month each."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway import premises, shipped
from gateway.commands.authors import Author, author_of
from gateway.commands.moments import month_of, period_of
from gateway.commands.names import name_of
from gateway.commands.output import CONSOLE, emit, styled, table
from gateway.config import Config
from gateway.kernel.clock import instant
from gateway.kernel.money import format_usd
from gateway.ledger.currency import Rate, standing
from gateway.storage.costs import CostStore

T = TypeVar("T")
Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]

fx = typer.Typer(help="Rates of other currencies, a month each.", no_args_is_help=True)


def with_costs(configured: Config, work: Callable[[CostStore], Awaitable[T]]) -> T:
    """Do something with rates and fixed costs."""
    premises.ready_store(configured)

    async def run() -> T:
        async with premises.opened(configured) as database:
            return await work(CostStore(database))

    return asyncio.run(run())


@fx.command("set")
def set_rate(
    month: Annotated[str, typer.Argument(help="such as 2026-11")],
    currency: Annotated[str, typer.Argument(help="such as EUR")],
    rate: Annotated[str, typer.Argument(help="units of it for one USD, such as 0.9215")],
    *,
    source: Annotated[str, typer.Option(help="where it is from")],
    author: Author = None,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """Set the rate of a month, until its close freezes it; the newest holds."""
    period = period_of(month)
    name_of(source, "--source")

    async def put(store: CostStore) -> Rate:
        return await store.set_rate(period, currency, rate, source, author_of(author))

    made = with_costs(shipped.configured(config), put)
    if json:
        emit(_record(made))
    else:
        CONSOLE.print(
            styled(
                "[green]✓[/] {}: 1 USD = {} {}", month_of(period), format_usd(made.pico), currency
            ),
            highlight=False,
        )


@fx.command("list")
def list_rates(
    *,
    month: Annotated[str | None, typer.Option(help="of this month only, such as 2026-11")] = None,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """The rates that hold, the newest month first."""
    wanted = None if month is None else period_of(month, "--month")

    async def all_of(store: CostStore) -> list[Rate]:
        return await store.rates()

    newest = standing(with_costs(shipped.configured(config), all_of))
    rates = [newest[key] for key in sorted(newest, reverse=True) if wanted in {None, key[0]}]
    if json:
        for one in rates:
            emit(_record(one))
        return
    if newest and not rates:
        CONSOLE.print(styled("no rate of {} yet: weighbridge fx set {} EUR 0.9215 --source …", month, month))  # fmt: skip
        return
    shown = table(
        "Rates for one USD",
        (
            ("month", "left"), ("currency", "left"), ("rate", "right"), ("source", "left"),
            ("author", "left"), ("set", "left"),
        ),
    )  # fmt: skip
    for one in rates:
        shown.add_row(
            month_of(one.period), one.currency, format_usd(one.pico), one.source, one.author,
            f"{instant(one.at_us):%Y-%m-%d %H:%M}",
        )  # fmt: skip
    CONSOLE.print(shown if rates else "no rates yet: weighbridge fx set 2026-11 EUR 0.9215 --source …")  # fmt: skip


def _record(rate: Rate) -> dict[str, object]:
    return {
        "month": month_of(rate.period),
        "currency": rate.currency,
        "rate": format_usd(rate.pico),
        "source": rate.source,
        "author": rate.author,
        "at": instant(rate.at_us).isoformat(timespec="seconds"),
    }
