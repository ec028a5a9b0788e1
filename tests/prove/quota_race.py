"""The race for a budget: no engine overspends by one unit, whatever the concurrency; a naive one does.

    python -m tests.prove.quota_race --engine sqlite|postgres [--kill] [--restart] [--control]

Several processes of many clients each hold on seven budgets, spend less than they hold, void some, settle
and book some twice. While they do, every counter is sampled; at the end every counter is compared with
the sum of its rows. To add a budget: a line in ``BUDGETS``.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from gateway.jobs.expire import Sweeper
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import Unavailable
from gateway.quota.budget import Budget, Scope
from gateway.quota.hold import CounterKey
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.holds import Holds
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.partitions import Partitions
from tests.prove.database import Postgres, postgres
from tests.prove.race_worker import Job, Quiet, Tally, work

NANO: Final = 1_000_000_000
BUDGETS: Final = (
    Budget(id="org", name="org", scope=Scope(org="org-1"), measure="usd_net", limit=10 * NANO, window="month"),
    Budget(id="team", name="team", scope=Scope(), each="team", measure="usd_net", limit=4 * NANO, window="month"),
    Budget(id="user", name="user", scope=Scope(), each="user", measure="usd_list", limit=3 * NANO // 2, window="week"),
    Budget(id="running", name="running", scope=Scope(), each="key", measure="concurrent", limit=12, window="always"),
    Budget(id="tokens", name="tokens", scope=Scope(org="org-1"), measure="tokens", limit=50_000_000, window="day"),
    Budget(id="requests", name="requests", scope=Scope(), each="team", measure="requests", limit=1_000_000, window="day"),
    Budget(id="minute", name="minute", scope=Scope(), each="user", measure="tokens", limit=6_000_000, window="minute"),
)  # fmt: skip
HOLD_US: Final = 3_000_000
HOLD_MORE_US: Final = 30_000_000  # where nothing is to expire
SAMPLE_S: Final = 0.05
LEFT_FOR_END_S: Final = 60
UTILISATION_MIN: Final = 95  # percent


@dataclass
class Result:
    """What a race showed."""

    engine: str
    tallies: list[Tally] = field(default_factory=list)
    samples: int = 0
    seconds: float = 0
    overspent: int = 0  # the most any counter was ever over its limit, in its own unit
    org_posted: int = 0
    pending: int = 0
    holds: int = 0
    rows: int = 0
    wrong: list[CounterKey] = field(default_factory=list)  # posted is not the sum of the rows
    died: int = 0  # processes, other than by our hand

    @property
    def utilisation(self) -> int:
        """Percent of the org's budget."""
        return 100 * self.org_posted // BUDGETS[0].limit

    @property
    def breaches(self) -> list[str]:
        """What must not be."""
        found = {
            f"overspent by {self.overspent}": self.overspent > 0,
            f"utilisation {self.utilisation} %": self.utilisation < UTILISATION_MIN,
            f"{len(self.wrong)} counters are not their rows": bool(self.wrong),
            f"{self.pending} units pending": self.pending != 0,
            f"{self.holds} holds left": self.holds != 0,
            f"{self.died} processes died": self.died != 0,
        }
        return [what for what, is_so in found.items() if is_so]


class Race:
    """One race on one database."""

    def __init__(self, url: str, engine: str, server: Postgres | None) -> None:
        self._url = url
        self._server = server
        self._database = Database(url)
        self._ledger = Ledger(self._database)
        self._budgets = BudgetStore(self._database)
        self._holds = Holds(self._database, self._ledger)
        self._observer = Quiet()
        self.result = Result(engine)

    async def run(
        self, processes: int, clients: int, seconds: float, *, kill: bool, restart: bool
    ) -> Result:
        await Partitions(self._database).ensure(SystemClock().wall_us())
        for budget in BUDGETS:
            await self._budgets.put(budget, "owner-4100")
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        hold_us = HOLD_US if kill else HOLD_MORE_US
        jobs = [
            Job(self._url, self.result.engine, clients, seconds, hold_us, seed)
            for seed in range(processes)
        ]
        running = [context.Process(target=work, args=(job, answers)) for job in jobs]
        for process in running:
            process.start()
        began = time.monotonic()
        await self._watch(running, began, kill=kill, restart=restart)
        self.result.seconds = time.monotonic() - began
        while not answers.empty():
            self.result.tallies.append(answers.get())
        await self._conclude()
        await self._database.close()
        return self.result

    async def _watch(self, running: list[Any], began: float, *, kill: bool, restart: bool) -> None:
        sweeper = Sweeper(self._holds, self._ledger, SystemClock(), self._observer)
        end = began + LEFT_FOR_END_S + 30
        killed = int(kill)
        while any(process.is_alive() for process in running) and time.monotonic() < end:
            await asyncio.sleep(SAMPLE_S)
            try:
                spent = await self._sample()
                await sweeper.sweep()
            except Unavailable:
                continue
            if 3 * spent > BUDGETS[0].limit:
                if kill:
                    running[0].kill()
                if restart:
                    await asyncio.to_thread(self._restart)
                kill = restart = False
        for process in running:
            process.kill()
            process.join()
        self.result.died = sum(process.exitcode != 0 for process in running) - killed

    def _restart(self) -> None:
        assert self._server is not None, "only Postgres is a server"
        self._server.halt()
        time.sleep(1)
        self._server.start()

    async def _sample(self) -> int:
        """Look at every counter once; what the org has posted."""
        org = 0
        for one in await self._budgets.counters():
            if one.key.budget != "minute":
                over = one.posted + one.pending - one.limit
                self.result.overspent = max(self.result.overspent, over)
            if one.key.budget == "org":
                org = one.posted
        self.result.samples += 1
        return org

    async def _conclude(self) -> None:
        await self._give_up_the_dead()
        self.result.org_posted = await self._sample()
        counters = {one.key: one for one in await self._budgets.counters()}
        await self._budgets.refresh()
        entries = [entry async for entry in self._ledger.usage()]
        sums = self._budgets.current.amounts(entries)
        self.result.rows = len(entries)
        self.result.pending = sum(abs(one.pending) for one in counters.values())
        posted = {key: one.posted for key, one in counters.items()}
        self.result.wrong = [
            key for key in posted.keys() | sums.keys() if posted.get(key, 0) != sums.get(key, 0)
        ]
        late = SystemClock().wall_us() + 10 * HOLD_MORE_US
        self.result.holds = len(await self._holds.expired(late))

    async def _give_up_the_dead(self) -> None:
        sweeper = Sweeper(self._holds, self._ledger, SystemClock(), self._observer)
        end = time.monotonic() + 2 * HOLD_US / 1_000_000
        late = SystemClock().wall_us() + 10 * HOLD_MORE_US
        while time.monotonic() < end and await self._holds.expired(late):
            await sweeper.sweep()
            await asyncio.sleep(SAMPLE_S)


@contextmanager
def arena(engine: str, on: str) -> Iterator[tuple[str, Postgres | None]]:
    """A migrated database for an engine: ``on`` for the naive one."""
    with (
        postgres("sqlite" if (engine, on)[engine == "naive"] == "sqlite" else "postgres") as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = server.url() if server else f"sqlite:///{Path(folder) / 'race.db'}"
        upgrade(url)
        yield url, server


def race(
    engine: str,
    *,
    processes: int = 4,
    clients: int = 200,
    seconds: float = 20,
    kill: bool = False,
    restart: bool = False,
    on: str = "postgres",
) -> Result:
    """Run one race on a database of its own."""
    with arena(engine, on) as (url, server):
        run = Race(url, engine, server)
        return asyncio.run(run.run(processes, clients, seconds, kill=kill, restart=restart))


def report(results: list[Result]) -> Table:
    table = Table("figure", *(one.engine for one in results))
    rows: dict[str, Callable[[Result], str]] = {
        "org posted (limit 10.000)": lambda one: f"{one.org_posted / NANO:.3f}",
        "overspent at any sample": lambda one: f"{one.overspent:,}",
        "utilisation": lambda one: f"{one.utilisation} %",
        "counters unlike their rows": lambda one: f"{len(one.wrong)}",
        "pending / holds at the end": lambda one: f"{one.pending} / {one.holds}",
        "rows": lambda one: f"{one.rows:,}",
        "granted": lambda one: f"{sum(t.granted for t in one.tallies):,}",
        "refused": lambda one: f"{sum(t.refused for t in one.tallies):,}",
        "voided": lambda one: f"{sum(t.voided for t in one.tallies):,}",
        "store away": lambda one: f"{sum(t.away for t in one.tallies):,}",
        "samples": lambda one: f"{one.samples:,}",
        "seconds": lambda one: f"{one.seconds:.1f}",
    }
    for name, figure in rows.items():
        table.add_row(name, *(figure(one) for one in results))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.quota_race")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--kill", action="store_true", help="SIGKILL one process in mid-flight")
    parser.add_argument("--restart", action="store_true", help="stop Postgres and start it again")
    parser.add_argument("--control", action="store_true", help="race the naive engine as well")
    asked = parser.parse_args()
    size = {"processes": asked.processes, "clients": asked.clients, "seconds": asked.seconds}
    results = [race(asked.engine, kill=asked.kill, restart=asked.restart, **size)]
    breaches = results[0].breaches
    if asked.control:
        results.append(race("naive", on=asked.engine, **size))
        if not results[1].overspent:
            breaches.append("the naive engine did not overspend: the race is blind")
    Console().print(report(results))
    for breach in breaches:
        Console(stderr=True).print(f"[red]{breach}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
