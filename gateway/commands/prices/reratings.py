"""weighbridge prices reratings: who charged which rows again, when, by which book, and what that changed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway import premises, shipped
from gateway.commands.output import CONSOLE, emit, shown_usd, table, usd
from gateway.kernel.clock import instant
from gateway.storage.rerating import Rerating, kept


def reratings(
    *,
    config: Annotated[Path | None, typer.Option("--config", help="configuration file")] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Who re-rated what, the newest last."""
    configured = shipped.configured(config)
    premises.ready_store(configured)

    async def run() -> Sequence[Rerating]:
        async with premises.opened(configured) as database:
            return await kept(database)

    found = asyncio.run(run())
    for one in found if json else ():
        emit(_record(one))
    if json:
        return
    shown = table(
        "Re-ratings",
        (
            ("at", "left"), ("author", "left"), ("since", "left"), ("until", "left"), ("rows", "right"),
            ("repriced", "right"), ("list USD", "right"), ("net USD", "right"), ("catalog", "left"), ("reason", "left"),
        ),
    )  # fmt: skip
    for one in found:
        shown.add_row(
            f"{instant(one.at_us):%Y-%m-%d %H:%M}", one.author, _day(one.since_us) or "",
            _day(one.until_us) or "", f"{one.read:,}", f"{one.repriced:,}", shown_usd(one.list_pico),
            shown_usd(one.net_pico), one.catalog, one.reason,
        )  # fmt: skip
    CONSOLE.print(shown if found else "nothing was re-rated yet: weighbridge prices rerate")


def _day(us: int | None) -> str | None:
    return None if us is None else f"{instant(us):%Y-%m-%d}"


def _record(one: Rerating) -> dict[str, object]:
    return {
        "at": instant(one.at_us).isoformat(timespec="seconds"),
        "author": one.author,
        "reason": one.reason,
        "since": None if one.since_us is None else instant(one.since_us).isoformat(),
        "until": None if one.until_us is None else instant(one.until_us).isoformat(),
        "catalog": one.catalog,
        "rows": one.read,
        "repriced": one.repriced,
        "list_usd": usd(one.list_pico),
        "net_usd": usd(one.net_pico),
    }
