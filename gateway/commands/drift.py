"""weighbridge drift: what providers report against what was counted, what was served against what was asked."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import app as composition, shipped
from gateway.commands.moments import span_of
from gateway.commands.output import CONSOLE, emit, styled, table
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.reporting.amounts import MINUS
from gateway.reporting.drift import MILLION, Alarm, Drift, Watch
from gateway.storage.ledger import Ledger

WEEK_US: Final = 7 * 86_400_000_000


def drift(
    *,
    since: Annotated[
        str | None, typer.Option(help="date or time, UTC; a week before --until by default")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="date or time, UTC, exclusive; now by default")
    ] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Reported against counted tokens per model, and every sign that a bill may not fit; status 1 with any."""
    configured = shipped.configured(config)
    start, end = span_of(since, until)
    if start is None:
        start = (SystemClock().wall_us() if end is None else end) - WEEK_US
    composition.ready_store(configured)
    made = asyncio.run(watched(configured, start, end))
    found = sorted(made.watches.items(), key=lambda item: (-item[1].rows, item[0]))
    alarms = [(name, alarm) for name, watch in found for alarm in watch.alarms()]
    if json:
        for name, watch in found:
            emit(_record(name, watch))
    else:
        _show(found, alarms)
    if alarms:
        raise SystemExit(1)


async def watched(configured: Config, since_us: int, until_us: int | None = None) -> Drift:
    """The rows of a time, folded oldest first."""
    made = Drift()
    async with composition.opened(configured) as database:
        async for entry in Ledger(database).usage(since_us=since_us, until_us=until_us):
            made.add(entry)
    return made


async def newest(configured: Config, rows: int) -> Drift:
    """The newest rows, however old, folded oldest first."""
    made = Drift()
    async with composition.opened(configured) as database:
        found = [e async for e in Ledger(database).usage(limit=rows, newest_first=True)]
    for entry in reversed(found):
        made.add(entry)
    return made


def _record(name: tuple[str, str], watch: Watch) -> dict[str, object]:
    return {
        "provider": name[0],
        "model": name[1],
        "rows": watch.rows,
        "compared": watch.compared,
        "counted_input": watch.counted,
        "reported_input": watch.reported,
        "ratio_ppm": watch.ratio_ppm(),
        "recent_ratio_ppm": watch.recent_ppm(),
        "drift_ppm": watch.drift_ppm(),
        "exact": watch.exact,
        "exact_off": watch.exact_off,
        "alarms": [alarm._asdict() for alarm in watch.alarms()],
    }


def _show(
    found: list[tuple[tuple[str, str], Watch]], alarms: list[tuple[tuple[str, str], Alarm]]
) -> None:
    shown = table(
        "Reported against counted input",
        (
            ("model", "left"), ("rows", "right"), ("counted", "right"), ("reported", "right"),
            ("ratio", "right"), ("lately", "right"), ("drift", "right"), ("exact", "right"), ("off", "right"),
        ),
        ("ratio", "lately", "counted", "exact"),
    )  # fmt: skip
    for (provider, model), watch in found:
        shown.add_row(
            f"{provider}/{model}", f"{watch.rows:,}", f"{watch.counted:,}", f"{watch.reported:,}",
            _ratio(watch.ratio_ppm()), _ratio(watch.recent_ppm()), _drifted(watch.drift_ppm()),
            f"{watch.exact:,}", f"{watch.exact_off:,}",
        )  # fmt: skip
    if not found:
        CONSOLE.print("no rows: an earlier --since")
        return
    CONSOLE.print(shown)
    if not alarms:
        CONSOLE.print(
            styled("[green]✓[/] nothing drifts: what is reported fits what was counted and asked")
        )
        return
    listed = table(
        "To look at", (("model", "left"), ("rows", "right"), ("found", "left"), ("cure", "left"))
    )
    for (provider, model), alarm in alarms:
        listed.add_row(f"{provider}/{model}", f"{alarm.rows:,}", alarm.found, alarm.cure)
    CONSOLE.print(listed)


def _ratio(ppm: int | None) -> str:
    return "n/a" if ppm is None else f"{ppm // MILLION}.{ppm % MILLION // 1000:03}"


def _drifted(ppm: int | None) -> str:
    if ppm is None:
        return "n/a"
    tenths = abs(ppm) // 1000
    return f"{MINUS if ppm < 0 else '+'}{tenths // 10}.{tenths % 10} %"
