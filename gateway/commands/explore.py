"""weighbridge explore: spend by any dimensions and days, from the rollup: quick on any number of rows.

To add a dimension: a name in ``NAMES`` and how a cell is named by it in ``_namer``.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.known import tell_unknown
from gateway.commands.output import CONSOLE, Table, emit, stop, styled, table, usd
from gateway.commands.payers import organisation_of
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.money import round_cents
from gateway.ledger.period import zone
from gateway.reporting.amounts import in_cents, in_words, percent, tokens
from gateway.reporting.organisation import KINDS, Organisation
from gateway.reporting.outlook import Cell, Totals, grouped
from gateway.reporting.statement import NO_PRICE
from gateway.storage import outlook
from gateway.storage.known import Kind

NAMES: Final = ("day", "week", "month", "org", "cost-centre", "team", "user", "app", "provider", "model")  # fmt: skip
TOP: Final = 20
_TIMES: Final = ("day", "week", "month")
_NONE: Final = {"model": NO_PRICE, "app": "no application"}
_OTHER: Final = "others"


class Found(msgspec.Struct, frozen=True):
    """Rows by name, most expensive first (times in their own order); ``others``: how many rows are one."""

    rows: tuple[tuple[tuple[str, ...], Totals], ...]
    others: int
    rest: Totals
    total: Totals


def explore(
    *,
    by: Annotated[str, typer.Option(help=f"one or more of {', '.join(NAMES)}")] = "team",
    since: Annotated[
        str | None, typer.Option(help="first day; the month's first by default")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="the day after the last; today counts by default")
    ] = None,
    team: Annotated[list[str] | None, typer.Option(help="only this team; repeatable")] = None,
    top: Annotated[int, typer.Option(help="rows before the others are one", min=1)] = TOP,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Requests, tokens and spend by any dimensions, e.g. --by team,model; the rows sum to the total."""
    names = _names(by)
    configured = shipped.configured(config)
    composition.ready_store(configured)
    today = instant(SystemClock().wall_us()).astimezone(zone(configured.org.timezone)).date()
    last = _day(until, "--until") or today + timedelta(days=1)
    first = _day(since, "--since") or (last - timedelta(days=1)).replace(day=1)
    if first >= last:
        stop(f"--since {first} is not before --until {last}")

    async def run() -> Found:
        async with composition.opened(configured) as database:
            await tell_unknown(database, Kind.TEAM, team or ())
            known = await organisation_of(database)
            cells = await outlook.cells(database, f"{first}", f"{last}", _keys(names, known), team or ())  # fmt: skip
            return folded(cells, names, known, top)

    found = asyncio.run(run())
    if json:
        for record in records(found, names):
            emit(record)
    else:
        CONSOLE.print(drawn(found, names, f"{first} to {last - timedelta(days=1)}"))


def _names(by: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in by.split(",") if part.strip()))
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        stop(f"--by takes {', '.join(NAMES)}, separated by commas; found {by!r}")
    return names


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        stop(f"{option} is a date such as 2026-11-22, found {text!r}")


def _keys(names: Sequence[str], known: Organisation) -> list[str]:
    """The rollup's columns that these names are made of; provider and model say which prices are compared."""
    wanted = {"provider", "model", "unit"} | {name for name in names if name in outlook.DIMENSIONS}
    if set(names) & set(_TIMES):
        wanted.add("day")
    if "cost-centre" in names:
        wanted |= {"day", *(kind for kind in KINDS if kind in known.grain)}
    return sorted(wanted)


def folded(cells: Sequence[Cell], names: Sequence[str], known: Organisation, top: int) -> Found:
    """Cells under names, the most expensive ``top`` of them by themselves."""
    namer = [_namer(name, known) for name in names]
    by_name = grouped(cells, lambda cell: tuple([one(cell.names) for one in namer]))
    rows = sorted(by_name.items(), key=lambda each: (-each[1].pico, each[0]))
    rest = {name for name, _ in rows[top:]}
    shown = sorted(rows[:top]) if names[0] in _TIMES else rows[:top]
    others, total = Totals(), Totals()
    for cell in cells:
        model = f"{cell.names['provider']}/{cell.names['model']}"
        total.add(cell, model)
        if rest and tuple([one(cell.names) for one in namer]) in rest:
            others.add(cell, model)
    return Found(tuple(shown), len(rest), others, total)


def _namer(name: str, known: Organisation) -> Callable[[Mapping[str, str]], str]:
    if name == "week":
        return lambda cell: "{}-W{:02}".format(*date.fromisoformat(cell["day"]).isocalendar()[:2])
    if name == "month":
        return lambda cell: cell["day"][: len("2026-11")]
    if name == "cost-centre":
        return lambda cell: (
            known.centre_of(
                cell.get("team", ""),
                cell["day"],
                user=cell.get("user", ""),
                app=cell.get("app", ""),
            )
            or "unallocated"
        )
    return lambda cell: cell[name]


def drawn(found: Found, names: Sequence[str], days: str) -> Table:
    """Rows for people; shares of the whole, the others as one row, the total."""
    heads = ("requests", "input", "cached", "output", "spend", "share", "per 1,000")
    columns = (*((name, "left") for name in names), *((head, "right") for head in heads))
    shown = table(
        f"Spend by {', '.join(names)}, {days}",
        columns,
        ("output", "cached", "input", "share", "per 1,000"),
    )
    rows = [*found.rows]
    if found.others:
        rows.append(((f"{found.others} {_OTHER}", *(" " for _ in names[1:])), found.rest))
    whole = found.total.pico
    cents = in_cents([totals.pico for _, totals in rows], round_cents(whole))
    for (name, totals), amount in zip(rows, cents, strict=True):
        named = (part or _NONE.get(one, "none") for one, part in zip(names, name, strict=True))
        shown.add_row(*named, *_cells(totals, amount, whole))
    shown.add_section()
    blank = ("",) * (len(names) - 1)
    cells = _cells(found.total, round_cents(whole), whole)
    shown.add_row(
        styled("[bold]total[/]"), *blank, *(styled("[bold]{}[/]", cell) for cell in cells)
    )
    return shown


def _cells(totals: Totals, cents: int, whole: int) -> tuple[str, ...]:
    per = totals.per_thousand
    return (
        f"{totals.requests:,}",
        tokens(totals.input),
        "n/a" if totals.cached_share is None else f"{totals.cached_share} %",
        tokens(totals.output),
        in_words(cents),
        percent(totals.pico, whole) or "n/a",
        "n/a" if per is None else in_words(round_cents(per)),
    )


def records(found: Found, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Rows, the others, the total; money as decimal text in USD."""
    for name, totals in found.rows:
        keys = {one.replace("-", "_"): part for one, part in zip(names, name, strict=True)}
        yield {"line": "row", **keys, **_sums(totals)}
    if found.others:
        yield {"line": "others", "count": found.others, **_sums(found.rest)}
    yield {"line": "total", **_sums(found.total)}


def _sums(totals: Totals) -> dict[str, object]:
    return {
        "requests": totals.requests,
        "unpriced_requests": totals.unpriced,
        "uncached_input": totals.uncached,
        "cache_read": totals.cached,
        "cache_write": totals.written,
        "output": totals.output,
        "list_usd": usd(totals.list_pico),
        "net_usd": usd(totals.pico),
        "per_1000_requests_usd": usd(totals.per_thousand),
        "per_1m_tokens_usd": usd(totals.per_million),
        "cache_saved_usd": usd(totals.cache_saved()),
    }
