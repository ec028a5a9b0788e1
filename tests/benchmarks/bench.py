"""python -m tests.benchmarks.bench: the gateway beside nginx, beside itself unmetered, and beside nothing.

One core for the target, the other for mock and driver; interleaved rounds; paired ratios. The books are checked
after every run, and a run that lost a row is void. ``--quick`` takes under a minute, ``--json`` is for programs.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from tests.benchmarks import plan, report
from tests.benchmarks.measure import Bench
from tests.benchmarks.rating import rated_us
from tests.benchmarks.targets import fleet, nginx_binary

CONSOLE = Console(stderr=True)
COLOURS = {"stretch": "green", "met": "green", "missed": "red", report.NOT_MEASURED: "yellow"}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    asked.add_argument("--json", action="store_true", help="one object on standard output")
    options = asked.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    target, load = cores[-1], cores[0]
    os.sched_setaffinity(0, {load})
    if nginx_binary() is None:
        CONSOLE.print("[yellow]no nginx on this machine: ratios to it are not measured[/]")
    before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        CONSOLE.status("starting …") as status,
        fleet(Path(folder), target, load) as (port, targets),
    ):
        bench = Bench(port, targets)
        scale = plan.QUICK if options.quick else plan.FULL
        samples = uvloop.run(plan.run(bench, scale, status.update))
    machine = f"{platform.machine()} · {len(cores)} cores · Python {platform.python_version()} · load {before:.1f} → {os.getloadavg()[0]:.1f}"
    show(report.lines(samples, rated_us()), samples, machine, as_json=options.json)


def show(lines: list[report.Line], samples: plan.Samples, machine: str, *, as_json: bool) -> None:
    """The verdicts as a table, or everything as one object."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(record(lines, samples, machine)) + b"\n")
        return
    table = Table(
        title="Targets: median of the rounds (range)",
        title_justify="left",
        box=None,
        header_style="dim",
    )
    for heading, justify in (
        ("", "left"),
        ("target", "right"),
        ("measured", "right"),
        ("range", "right"),
        ("", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # rich's own words
    for line in lines:
        verdict = line.verdict()
        spread = f"{min(line.values):,.2f} to {max(line.values):,.2f}" if line.values else ""
        measured = "" if line.measured is None else f"{line.measured:,.2f} {line.unit}"
        sign = "≤" if line.lower else "≥"
        table.add_row(
            line.what,
            f"{sign} {line.bar:,g}",
            measured,
            spread,
            f"[{COLOURS[verdict]}]{verdict}[/]",
        )
    out = Console(width=None if sys.stdout.isatty() else 140)
    out.print(table)
    out.print(figures(samples))
    out.print(f"[dim]{machine}[/]")


def figures(samples: plan.Samples) -> Table:
    """What the calls cost as they are, beside the verdicts."""
    table = Table(
        title="CPU per call, closed loop: 1 KB by 32 clients, an agent's turn of 64 KB by 8",
        title_justify="left",
        box=None,
        header_style="dim",
    )
    for heading in ("", "1 KB, us", "calls/s", "64 KB, us", "calls/s"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, small in samples.saturation.items():
        row = [median(getattr(run, what) for run in runs)
               for runs in (small, samples.turns[name]) for what in ("cpu_us", "per_second")]  # fmt: skip
        table.add_row(name, *(f"{figure:,.0f}" for figure in row))
    return table


def record(lines: list[report.Line], samples: plan.Samples, machine: str) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "machine": machine,
        "targets": [
            {"what": line.what, "unit": line.unit, "bar": line.bar, "measured": line.measured,
             "values": list(line.values), "verdict": line.verdict()}
            for line in lines
        ],
        "cpu_us": {name: [run.cpu_us for run in runs] for name, runs in samples.saturation.items()},
        "turn_cpu_us": {name: [run.cpu_us for run in runs] for name, runs in samples.turns.items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
