"""weighbridge usage: the ledger's rows, as a table or one JSON object per line."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.text import Text

from gateway import app as composition, shipped
from gateway.commands.known import tell_filters
from gateway.commands.moments import span_of
from gateway.commands.output import (
    CONSOLE,
    Listed,
    Table,
    emit,
    fitting,
    shown_usd,
    styled,
    table,
    usd,
)
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import models_of
from gateway.config import Config
from gateway.kernel.clock import instant
from gateway.ledger.entry import Entry
from gateway.metering.units import UNITS
from gateway.storage.ledger import Ledger

HTTP_ERRORS = 400
SHOWN_MAX = 50  # a person reads a screen; programs take all


def usage(
    *,
    since: Annotated[str | None, typer.Option(help="date or time, UTC, inclusive")] = None,
    until: Annotated[str | None, typer.Option(help="date or time, UTC, exclusive")] = None,
    team: Annotated[str | None, typer.Option()] = None,
    user: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str | None, typer.Option(help="canonical model")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="newest rows only")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Rows of the ledger, oldest first."""
    configured = shipped.configured(config)
    first, end = span_of(since, until)
    composition.ready_store(configured)
    bound = limit if json or limit is not None else SHOWN_MAX

    async def run() -> tuple[list[Entry], bool]:
        async with composition.opened(configured) as database:
            found = Ledger(database).usage(
                since_us=first, until_us=end, team=team, user=user, model=model, limit=bound,
                newest_first=bound is not None,
            )  # fmt: skip
            rows, is_empty = [], True
            async for entry in found:
                is_empty = False
                if json and bound is None:
                    emit(record(entry))
                else:
                    rows.append(entry)
            return rows[::-1], is_empty

    rows, is_empty = asyncio.run(run())
    if is_empty:
        _tell(configured, team, user, model)
    if json:
        for entry in rows:
            emit(record(entry))
        return
    CONSOLE.print(drawn(rows) if rows else "no rows: nothing was booked that fits")


def _tell(configured: Config, team: str | None, user: str | None, model: str | None) -> None:
    models = () if model is None else models_of(current_book(configured))
    tell_filters(configured, team=team, user=user, model=model, models=models)


def record(entry: Entry) -> dict[str, object]:
    """A row as programs read it: stable names, money as decimal text in USD."""
    return {
        "id": str(entry.id),
        "request_id": str(entry.request_id),
        "kind": str(entry.kind),
        "occurred_at": instant(entry.occurred_us).isoformat(),
        "booked_at": instant(entry.booked_us).isoformat(),
        "org": entry.org,
        "user": entry.user,
        "team": entry.team,
        "cost_centre": entry.cost_centre,
        "app": entry.app,
        "key_id": entry.key_id,
        "provider": entry.provider,
        "operation": entry.operation,
        "upstream": entry.upstream,
        "model": entry.model,
        "served_model": entry.served_model,
        "deployment": entry.deployment,
        "scope": entry.scope,
        "geo": entry.geo,
        "region": entry.region,
        "tier": entry.tier,
        "status": entry.status,
        "stream": entry.stream,
        "outcome": str(entry.outcome),
        "provenance": entry.provenance,
        "lines": [
            {
                "unit": line.unit,
                "quantity": line.quantity,
                "price_id": line.price_id,
                "list_usd": usd(line.list_pico),
                "net_usd": usd(line.net_pico),
                "role": line.role,
                "model": line.model,
            }
            for line in entry.lines
        ],
        "catalog": entry.catalog,
        "contract": entry.contract,
        "list_usd": usd(entry.list_pico),
        "net_usd": usd(entry.net_pico),
        "price_status": entry.price_status,
        "provider_total": entry.provider_total,
        "counted_input": entry.counted_input,
        "counted_output": entry.counted_output,
        "count_confidence": entry.count_confidence,
        "flags": list(entry.flags),
        "first_byte_ms": entry.first_byte_ms,
        "total_ms": entry.total_ms,
        "provider_request_id": entry.provider_request_id,
        "client_call_id": entry.client_call_id,
        "client_attempt": entry.client_attempt,
        "ref_id": None if entry.ref_id is None else str(entry.ref_id),
        "usage_raw": None if entry.usage_raw is None else _raw(entry.usage_raw),
    }


def drawn(rows: list[Entry], title: str = "Usage, newest last") -> Table:
    """Rows for people: who, what, how many tokens by direction, what it costs, how we know."""
    days = sorted({instant(entry.occurred_us).strftime("%Y-%m-%d") for entry in rows})
    when = f", {days[0]}" if len(days) == 1 else ""
    heading = f"{title}{when}"
    form = "%H:%M:%S" if when else "%m-%d %H:%M:%S"
    return fitting(*(partial(_laid_out, rows, heading, form, left_out) for left_out in _LEFT_OUT))


# What stays away on a narrower terminal, in the order of how little it is missed: names are never cut for it.
_LEFT_OUT: Final = (
    frozenset[str](),
    frozenset({"provider"}),
    frozenset({"provider", "team"}),
    frozenset({"provider", "team", "cached"}),
    frozenset({"provider", "team", "time UTC", "cached"}),
)


def _laid_out(rows: list[Entry], title: str, form: str, left_out: frozenset[str]) -> Table:
    columns = [column for column in _COLUMNS if column not in left_out]
    counted = ("input", "cached", "output", "net USD")
    shown = table(title, ((name, "right" if name in counted else "left") for name in columns))
    for entry in rows:
        cells: dict[str, str | Text] = {
            "time UTC": instant(entry.occurred_us).strftime(form),
            "team": entry.team,
            "user": entry.user,
            "provider": entry.provider,
            "model": entry.model or entry.deployment or "unknown",
            "input": f"{_sum(entry, 'input', ''):,}",
            "cached": f"{_sum(entry, 'input', 'read'):,}",
            "output": f"{_sum(entry, 'output', ''):,}",
            "net USD": shown_usd(entry.net_pico, 9),
            "how known": _known(entry),
        }
        shown.add_row(*(cells[column] for column in columns))
    return shown


_COLUMNS: Final = ("time UTC", "team", "user", "provider", "model", "input", "cached", "output", "net USD", "how known")  # fmt: skip


def _known(entry: Entry) -> Text:
    parts: list[Text | str] = [entry.provenance]
    if entry.outcome != "complete":
        parts.append(str(entry.outcome))
    if entry.status >= HTTP_ERRORS:
        parts.append(str(entry.status))
    if entry.price_status not in ("priced", "free"):
        parts.append(styled("[yellow]{}[/]", entry.price_status))
    return Listed(*parts, between=" · ")


def _sum(entry: Entry, direction: str, cache: str) -> int:
    """Tokens of a direction; cache writes count as input, cache reads on their own."""
    total = 0
    for line in entry.lines:
        unit = UNITS.get(line.unit)
        if unit is None or not unit.is_token or unit.direction != direction:
            continue
        if (unit.cache == "read") == (cache == "read"):
            total += line.quantity
    return total


def _raw(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
