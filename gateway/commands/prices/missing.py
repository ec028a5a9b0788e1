"""weighbridge prices missing: what was used without a price, and the row that would cure it."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from gateway import premises, shipped
from gateway.commands.moments import instant_of
from gateway.commands.output import CONSOLE, emit, styled, table, visible
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.records import place
from gateway.config import Config
from gateway.kernel.clock import SystemClock, instant
from gateway.ledger.missing import Gaps, Missed, Wanted
from gateway.metering.units import UNITS
from gateway.pricing.book import Book
from gateway.pricing.cover import covers, cure_row, lacking
from gateway.pricing.load import COLUMNS
from gateway.pricing.rate import Status
from gateway.storage.ledger import Ledger

_DAYS: Final = 31
_DAY_US: Final = 86_400_000_000
_CURES: Final = {
    Status.PRICED: "has a price now: weighbridge prices rerate",
    Status.AMBIGUOUS: "set region on its deployment or upstream",
}


class Gap(msgspec.Struct, frozen=True):
    """A missing price as it stands now. ``now``: priced | ambiguous | unpriced, by the current book.

    row  what cures it, where it is unpriced at any of those times
    """

    wanted: Wanted
    missed: Missed
    now: Status
    row: str

    def named(self) -> str:
        """Model and unit in words, with the prompts it is missing for."""
        above = self.wanted.context_gt
        said = f" of prompts above {above:,} tokens" if above else ""
        return f"{self.wanted.model or '?'} {self.wanted.unit}{said}"


def missing_prices(
    *,
    since: Annotated[str | None, typer.Option(help="date, UTC; else 31 days ago")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="only the rows to fill, as a file")] = False,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What was booked without a price, how often and how much, with a row to fill for each."""
    configured = shipped.configured(config)
    since_us = (
        SystemClock().wall_us() - _DAYS * _DAY_US if since is None else instant_of(since, "--since")
    )
    premises.ready_store(configured)
    gaps, unknown = missing(configured, current_book(configured), since_us)
    if csv:
        lines = [",".join(COLUMNS), *(gap.row for gap in gaps if gap.now is Status.UNPRICED)]
        typer.echo("\n".join(map(visible, lines) if sys.stdout.isatty() else lines))
    elif json:
        for gap in gaps:
            emit(_record(gap))
    else:
        _show(gaps, unknown, since_us)


def missing(configured: Config, book: Book, since_us: int) -> tuple[list[Gap], int]:
    """What has no price since then, the most frequent first; and the rows of which nobody knows the usage.

    ``book``: what has a price now. Nothing is made or migrated. Raises Unavailable.
    """

    async def run() -> Gaps:
        async with premises.opened(configured) as database:
            return await Ledger(database).gaps(book, since_us)

    found = asyncio.run(run())
    return [_gap(book, wanted, missed) for wanted, missed in found.found()], found.unknown


def _gap(book: Book, wanted: Wanted, missed: Missed) -> Gap:
    """The gap as it stands. Its row begins with the first time, so that a re-rating prices every one of them."""
    first = wanted.circumstances(book, missed.first_us)
    # The tier's shortest prompt: while the book has no such tier, a price of the lowest one is enough.
    tokens = wanted.context_gt + 1 if wanted.context_gt else 0
    span = lacking(book, first, missed.last_us, wanted.unit, tokens)
    if span is None:
        last = msgspec.structs.replace(first, at_us=missed.last_us)
        return Gap(wanted, missed, covers(book, last, (wanted.unit,), tokens).status, "")
    since = msgspec.structs.replace(first, at_us=span[0])
    row = cure_row(since, wanted.unit, span[1], wanted.context_gt)
    return Gap(wanted, missed, Status.UNPRICED, row)


def _record(gap: Gap) -> dict[str, object]:
    named = {name: value or None for name, value in msgspec.structs.asdict(gap.wanted).items()}
    return named | {
        "context_gt": gap.wanted.context_gt,
        "lines": gap.missed.lines,
        "quantity": gap.missed.quantity,
        "first_at": instant(gap.missed.first_us).isoformat(timespec="seconds"),
        "last_at": instant(gap.missed.last_us).isoformat(timespec="seconds"),
        "now": str(gap.now),
        "row": gap.row if gap.now is Status.UNPRICED else None,
    }


def _show(gaps: list[Gap], unknown: int, since_us: int) -> None:
    day = f"{instant(since_us):%Y-%m-%d}"
    if not gaps:
        CONSOLE.print(styled("[green]✓[/] everything since {} has its price", day), highlight=False)
    else:
        _show_gaps(gaps, day)
    if unknown:
        CONSOLE.print(
            styled(
                "[yellow]![/] {:,} rows tell no usage at all: weighbridge usage shows their flags",
                unknown,
            ),
            highlight=False,
        )


def _show_gaps(gaps: list[Gap], day: str) -> None:
    shown = table(
        f"Without a price since {day}",
        (
            ("provider", "left"), ("model", "left"), ("scope", "left"), ("place", "left"), ("tier", "left"),
            ("unit", "left"), ("context", "right"), ("times", "right"), ("quantity", "right"), ("last", "left"), ("now", "left"),
        ),
    )  # fmt: skip
    for gap in gaps:
        wanted, missed = gap.wanted, gap.missed
        shown.add_row(
            wanted.provider, wanted.model or "?", wanted.scope or "?", place((wanted.geo, wanted.region)),
            wanted.tier, wanted.unit, f"> {wanted.context_gt:,}" if wanted.context_gt else "", f"{missed.lines:,}",
            f"{missed.quantity:,}{' tokens' if UNITS[wanted.unit].is_token else ''}",
            f"{instant(missed.last_us):%Y-%m-%d %H:%M}", _CURES.get(gap.now, "no row"),
        )  # fmt: skip
    CONSOLE.print(shown)
    rows = [gap.row for gap in gaps if gap.now is Status.UNPRICED]
    if rows:
        CONSOLE.print(
            "\nRows to fill (--csv writes them as a file), then: weighbridge prices import"
        )
        for row in rows:
            typer.echo(visible(row))
