"""The race for a budget: no engine overspends by one unit, whatever the concurrency; a naive one does.

    python -m tests.prove.quota_race [--engine sqlite postgres valkey] [--trouble killed slow restarted forgotten]

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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.jobs.expire import Sweeper
from gateway.jobs.ports import Holds as Expiring
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
from gateway.storage.quotas_valkey import valkey_quotas
from tests.prove.database import postgres
from tests.prove.race_faults import BY_ENGINE, TROUBLES, Troubles
from tests.prove.race_worker import Job, Quiet, Tally, work
from tests.storage.valkey_server import LiveValkey, valkey

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
LIMITS: Final = {budget.id: budget.limit for budget in BUDGETS}
HOLD_US: Final = 3_000_000
HOLD_MORE_US: Final = 30_000_000  # where nothing is to expire
SAMPLE_S: Final = 0.05
LEFT_FOR_END_S: Final = 60
UTILISATION_MIN: Final = 95  # percent
COLUMNS: Final = 4  # of results side by side


@dataclass
class Result:
    """What a race showed."""

    engine: str
    troubles: tuple[str, ...] = ()
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
    endless: int = 0  # processes that still ran when all should have ended

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
            f"{self.endless} processes did not end": self.endless != 0,
        }
        return [what for what, is_so in found.items() if is_so]


class Race:
    """One race on one database."""

    def __init__(self, engine: str, troubles: Troubles, valkey: LiveValkey | None) -> None:
        self._troubles = troubles
        self._database = Database(troubles.url)
        self._observer = Quiet()
        self._url = valkey.url if valkey else ""
        self._valkey = valkey_quotas(self._url, self._database) if valkey else None
        told = self._valkey.truth.posted if self._valkey else None
        self._ledger = Ledger(self._database, on_posted=told)
        self._budgets = BudgetStore(self._database)
        self._holds = Holds(self._database, self._ledger)
        self.result = Result(engine, troubles.words)

    async def run(self, processes: int, clients: int, seconds: float) -> Result:
        await Partitions(self._database).ensure(SystemClock().wall_us())
        for budget in BUDGETS:
            await self._budgets.put(budget, "owner-4100")
        if self._valkey:  # nobody holds anything yet: there is nothing to wait for
            first = valkey_quotas(self._url, self._database, grace_ms=0)
            await first.epoch.begun()
            await first.quotas.close()
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        hold_us = HOLD_US if "killed" in self._troubles.words else HOLD_MORE_US
        with self._troubles.lasting() as url:
            jobs = [
                Job(url, self.result.engine, clients, seconds, hold_us, seed, self._url)
                for seed in range(processes)
            ]
            running = [context.Process(target=work, args=(job, answers)) for job in jobs]
            for process in running:
                process.start()
            began = time.monotonic()
            await self._watch(running, began)
            self.result.seconds = time.monotonic() - began
        while not answers.empty():
            self.result.tallies.append(answers.get())
        await self._conclude()
        if self._valkey:
            await self._valkey.quotas.close()
        await self._database.close()
        return self.result

    async def _watch(self, running: list[Any], began: float) -> None:
        end = began + LEFT_FOR_END_S + 30
        is_struck = not self._troubles.words
        while any(process.is_alive() for process in running) and time.monotonic() < end:
            await asyncio.sleep(SAMPLE_S)
            try:
                spent = await self._sample()
                await self._sweep()
            except Unavailable:
                continue
            if not is_struck and 3 * spent > BUDGETS[0].limit:
                is_struck = True
                if "killed" in self._troubles.words:
                    running[0].kill()
                await asyncio.to_thread(self._troubles.strike)
        endless = [process for process in running if process.is_alive()]
        for process in running:
            process.kill()
            process.join()
        self.result.endless = len(endless)
        killed = int("killed" in self._troubles.words and is_struck)
        self.result.died = sum(one.exitcode != 0 for one in running) - len(endless) - killed

    async def _sweep(self) -> None:
        """What every serving process does, for those that died."""
        kept: list[Expiring] = [self._holds, *([self._valkey.holds] if self._valkey else [])]
        for holds in kept:
            await Sweeper(holds, self._ledger, SystemClock(), self._observer).sweep()
        if self._valkey:
            await self._valkey.truth.told()

    async def _sample(self) -> int:
        """Look at every counter once; what the org has posted."""
        org = 0
        for one in await self._budgets.counters():
            if one.key.budget != "minute":
                over = one.posted + one.pending - one.limit
                self.result.overspent = max(self.result.overspent, over)
            if one.key.budget == "org":
                org = one.posted
        if self._valkey:
            # What is spent is in SQL; of what is held on Valkey a part may just have become that. What
            # runs at a time is only held.
            for key, held in (await self._valkey.truth.all_states()).items():
                if key.budget == "running":
                    over = held.pending - LIMITS[key.budget]
                    self.result.overspent = max(self.result.overspent, over)
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
        self.result.holds = await self._held()
        if self._valkey:
            await self._valkey.truth.resync()
            states = await self._valkey.truth.all_states()
            self.result.pending += sum(abs(one.pending) for one in states.values())
            self.result.wrong += [
                key for key, one in states.items() if one.posted != sums.get(key, 0)
            ]

    async def _held(self) -> int:
        late = SystemClock().wall_us() + 10 * HOLD_MORE_US
        found = len(await self._holds.expired(late))
        return found + (len(await self._valkey.holds.expired(late)) if self._valkey else 0)

    async def _give_up_the_dead(self) -> None:
        end = time.monotonic() + 2 * HOLD_US / 1_000_000
        while time.monotonic() < end and await self._held():
            await self._sweep()
            await asyncio.sleep(SAMPLE_S)


@contextmanager
def arena(
    engine: str, on: str, words: tuple[str, ...]
) -> Iterator[tuple[Troubles, LiveValkey | None]]:
    """A migrated database for an engine, and a Valkey where it is that: ``on`` for the naive one."""
    dialect = {"naive": on, "sqlite": "sqlite"}.get(engine, "postgres")
    with (
        postgres(dialect) as server,
        valkey() if engine == "valkey" else nullcontext() as beside,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = server.url() if server else f"sqlite:///{Path(folder) / 'race.db'}"
        upgrade(url)
        yield Troubles(words, url, server, beside), beside


def race(
    engine: str,
    *troubles: str,
    processes: int = 4,
    clients: int = 200,
    seconds: float = 40,
    on: str = "postgres",
) -> Result:
    """Run one race on a database of its own."""
    with arena(engine, on, troubles) as (around, beside):
        return asyncio.run(Race(engine, around, beside).run(processes, clients, seconds))


def report(results: list[Result]) -> Table:
    table = Table("figure", *(_heading(one) for one in results))
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


def _heading(one: Result) -> str:
    return "\n".join([one.engine, *(one.troubles or ("calm",))])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.quota_race", description=__doc__)
    parser.add_argument("--engine", nargs="+", choices=tuple(BY_ENGINE), default=tuple(BY_ENGINE))
    parser.add_argument(
        "--trouble", nargs="*", choices=TROUBLES, help="else all an engine may have"
    )
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--quick", action="store_true", help="2 processes of 60 clients")
    asked = parser.parse_args()
    size = {"processes": asked.processes, "clients": asked.clients, "seconds": asked.seconds}
    if asked.quick:
        size |= {"processes": 2, "clients": 60}
    results = []
    for engine in asked.engine:
        for words in BY_ENGINE[engine] if asked.trouble is None else (tuple(asked.trouble),):
            results.append(race(engine, *words, **size))
            breached = results[-1].breaches
            print(f"{engine:9} {', '.join(words) or 'calm':16} {breached or 'sound'}", flush=True)
    control = race("naive", on="sqlite", **{**size, "seconds": 8})
    breaches = [
        f"{_heading(one)}: {what}".replace("\n", " ") for one in results for what in one.breaches
    ]
    if not control.overspent:
        breaches.append("the naive engine did not overspend: the race is blind")
    for start in range(0, len(results), COLUMNS):
        Console().print(report([*results[start : start + COLUMNS], control]))
    for breach in breaches:
        Console(stderr=True).print(Text(breach, "red"))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
