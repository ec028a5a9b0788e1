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
    figures = Table(
        title="CPU per 1 KB request, closed loop of 32",
        title_justify="left",
        box=None,
        header_style="dim",
    )
    for heading in ("", "us", "requests/s"):
        figures.add_column(heading, justify="left" if not heading else "right")
    for name, runs in samples.saturation.items():
        cpu = sorted(run.cpu_us for run in runs)[len(runs) // 2]
        rate = sorted(run.per_second for run in runs)[len(runs) // 2]
        figures.add_row(name, f"{cpu:,.0f}", f"{rate:,.0f}")
    out.print(figures)
    out.print(f"[dim]{machine}[/]")


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
    }  # fmt: skip


if __name__ == "__main__":
    main()
