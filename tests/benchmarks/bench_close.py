"""What a month costs finance: a statement from the rollup, the rows' digest, the evidence in both forms; time and memory.

    python -m tests.benchmarks.bench_close [--users 1000] [--per-day 50] [--config FILE --month 2026-10]

Without --config a month of so many simulated people is booked first. Seconds on the processor are beside those on
the clock: on a busy machine they are what counts, divided by two for the two processes that read. To add a
figure: a row in ``figures``.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway import shipped
from gateway.app import opened, ready_store
from gateway.commands.moments import period_of
from gateway.commands.simulate import simulate
from gateway.commands.statement.asked import Asked, live
from gateway.config import Config
from gateway.storage.evidence import read_rows
from gateway.storage.evidence_parquet import parquet
from gateway.storage.reporting import requests_of

TARGETS = {"a statement": "< 1 s", "close: evidence and both files": "< 60 s on two idle cores"}


def spent(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, seconds on the clock, seconds on the processor (children too)."""
    began, used = time.perf_counter(), _processor()
    found = work()
    return found, time.perf_counter() - began, _processor() - used


def _processor() -> float:
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, whom))


@contextmanager
def configured(given: Path | None, users: int, per_day: int) -> Iterator[Config]:
    """A configuration whose ledger holds a month."""
    if given is not None:
        yield shipped.configured(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.toml"
        file.write_text(f'[storage]\nfolder = "{folder}"\n', encoding="utf-8")
        simulate(users=users, per_day=per_day, days=31, until="2026-11-01", config=file)
        yield shipped.configured(file)


def figures(config: Config, period: int) -> Iterator[tuple[str, str, str, str]]:
    """Name, clock, processor, remark of each."""

    async def statement() -> int:
        async with opened(config) as database:
            month = await live(database, config, Asked(period=period))
            return sum(month.statement(code).cents for code in month.codes)

    async def rows() -> int:
        async with opened(config) as database:
            return await requests_of(database, period)

    ready_store(config)
    expected = asyncio.run(rows())
    _, clock, used = spent(lambda: asyncio.run(statement()))
    yield "a statement", f"{clock:.2f} s", f"{used:.2f} s", f"{expected:,} rows, every cost centre"
    url, zone = config.database_url(), config.org.timezone
    _, clock, used = spent(lambda: read_rows(url, period, zone=zone, expected=expected))
    yield (
        "close: digest of the rows",
        f"{clock:.1f} s",
        f"{used:.1f} s",
        f"{used / expected * 1e6:.0f} us a row",
    )
    with tempfile.TemporaryDirectory() as folder:
        packed, columns = Path(folder) / "rows.csv.gz", Path(folder) / "rows.parquet"

        def evidence() -> None:
            read_rows(url, period, zone=zone, expected=expected, to=packed)
            parquet(packed, columns)

        _, clock, used = spent(evidence)
        sizes = (
            f"{packed.stat().st_size >> 20} MiB CSV.gz, {columns.stat().st_size >> 20} MiB Parquet"
        )
    yield "close: evidence and both files", f"{clock:.1f} s", f"{used:.1f} s", sizes
    kib = (
        resource.getrusage(whom).ru_maxrss
        for whom in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    ours, workers = (f"{size >> 10} MiB" for size in kib)
    yield "most memory", ours, workers, "this process, then a worker"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--per-day", type=int, default=50)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--month", default="2026-10")
    asked = parser.parse_args()
    shown = Table(title="A month's close", title_justify="left", box=None)
    for head in ("", "clock", "processor", "", "target"):
        shown.add_column(head)
    with configured(asked.config, asked.users, asked.per_day) as config:
        for name, clock, used, remark in figures(config, period_of(asked.month)):
            shown.add_row(name, clock, used, remark, TARGETS.get(name, ""))
    Console(width=130).print(shown)


if __name__ == "__main__":
    main()
