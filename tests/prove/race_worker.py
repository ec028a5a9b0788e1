"""One process of the quota race: its clients hold, spend and settle; its flusher books what they spent.

What it does is what a serving process does, without HTTP: quotas in front, Ledger.append behind, budgets
from the database. To race another engine: a line in ``engine``.
"""

import asyncio
import random
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway.jobs.attend import Attendant
from gateway.jobs.expire import Extender
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import Unavailable
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line, Outcome
from gateway.ledger.period import day_and_period
from gateway.quota.amount import Estimate
from gateway.quota.budget import Budget, Subject
from gateway.quota.demand import demand, used
from gateway.quota.hold import (
    Balance,
    CounterKey,
    Exhausted,
    Granted,
    Hold,
    HoldLine,
    Stale,
    Verdict,
)
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.quotas_postgres import postgres_quotas
from gateway.storage.quotas_sqlite import sqlite_quotas
from gateway.storage.quotas_valkey import ValkeyQuotas, valkey_quotas

TEAMS: Final = 4
USERS: Final = 40
PICO_PER_TOKEN: Final = 10_000_000
ROWS_PER_FLUSH: Final = 500
FLUSH_S: Final = 0.05
REFUSALS_IN_A_ROW: Final = 12  # of one client: there is no more to be had
VOIDED, SETTLED_TWICE, BOOKED_TWICE = 0.02, 0.05, 0.05


@dataclass(frozen=True)
class Job:
    """What one process is to do."""

    url: str
    engine: str
    clients: int
    seconds: float
    hold_us: int
    seed: int
    valkey: str = ""


@dataclass
class Tally:
    """What one process did."""

    granted: int = 0
    refused: int = 0
    away: int = 0
    voided: int = 0
    booked: int = 0
    failures: int = 0


class Naive:
    """The control: look at what is booked, then let it pass; most gateways do no more."""

    def __init__(self, database: Database, budgets: BudgetStore) -> None:
        self._database = database
        self._budgets = budgets

    async def reserve(self, hold: Hold) -> Verdict:
        balances = await self.balances(hold.lines)
        short = [one for one in balances if one.posted >= one.limit]
        return Exhausted(tuple(short)) if short else Granted(balances)

    async def balances(self, lines: Sequence[HoldLine]) -> tuple[Balance, ...]:
        ids = {line.key.budget for line in lines}
        posted = {one.key: one.posted for one in await self._budgets.counters(ids)}
        return tuple(Balance(one.key, posted.get(one.key, 0), 0, one.limit) for one in lines)

    async def grow(self, request_id: UUID, lines: tuple[HoldLine, ...]) -> Verdict:
        return Granted(())

    def settle(self, request_id: UUID, used: Mapping[CounterKey, int]) -> None:
        """It holds nothing."""

    def void(self, request_id: UUID) -> None:
        """It holds nothing."""

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """It holds nothing."""

    async def run(self) -> None:
        """Nothing is queued."""

    waiting = 0

    async def close(self) -> None:
        """Nothing is open."""


class Quiet:
    """An observer that counts."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def settled(self, entry: Entry) -> None:
        """Not told here."""

    def refused(self, provider: str, code: str) -> None:
        """Not told here."""

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {error}")


def engine(job: Job, database: Database, budgets: BudgetStore, observer: Quiet) -> Any:
    if job.engine == "naive":
        return Naive(database, budgets)
    make = sqlite_quotas if job.engine == "sqlite" else postgres_quotas
    return make(job.url, observer=observer)


class Worker:
    """One process at work."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clock = SystemClock()
        self.observer = Quiet()
        self._database = Database(job.url)
        self._budgets = BudgetStore(self._database)
        self._valkey: ValkeyQuotas | None = None
        self.quotas: Any
        if job.engine == "valkey":
            self._valkey = valkey_quotas(job.valkey, self._database, observer=self.observer)
            self.quotas = self._valkey.quotas
        else:
            self.quotas = engine(job, self._database, self._budgets, self.observer)
        told = self._valkey.truth.posted if self._valkey else None
        self._ledger = Ledger(self._database, on_posted=told)
        self.tally = Tally()
        self._unbooked: list[Entry] = []
        self._live: set[UUID] = set()
        self._is_over = False

    async def run(self) -> Tally:
        await self._budgets.refresh()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.call_later(self._job.seconds, self._end)
        extender = Extender(
            lambda: self._live, self.quotas, self._clock, self.observer, ttl_us=self._job.hold_us
        )
        async with asyncio.TaskGroup() as beside:
            engine_task = beside.create_task(self.quotas.run())
            extending = beside.create_task(extender.run())
            flushing = beside.create_task(self._flush_for_ever())
            attending = beside.create_task(self._attend())
            async with asyncio.TaskGroup() as clients:
                for at in range(self._job.clients):
                    clients.create_task(self._client(random.Random(f"{self._job.seed}/{at}")))
            while self._waiting():  # noqa: ASYNC110 - a harness may poll
                await asyncio.sleep(FLUSH_S)
            for task in (engine_task, extending, flushing, attending):
                task.cancel()
        await self.quotas.close()
        await self._database.close()
        self.tally.failures = len(self.observer.failures)
        return self.tally

    def _waiting(self) -> int:
        untold = self._valkey.truth.waiting if self._valkey else 0
        return int(self.quotas.waiting) + len(self._unbooked) + untold

    async def _attend(self) -> None:
        if self._valkey is not None:
            await Attendant(self._valkey.truth, self.observer).run()

    def _end(self) -> None:
        self._is_over = True

    async def _client(self, chance: random.Random) -> None:
        refusals = 0
        while not self._is_over and refusals < REFUSALS_IN_A_ROW:
            user = int(USERS * chance.random() ** 3)  # a few spend most: their own budgets end too
            subject = Subject("org-1", f"team-{user % TEAMS}", f"user-{user:04}", f"key-{user}")
            try:
                verdict, hold, budgets = await self._ask(subject, chance.randrange(200, 600))
            except Unavailable:
                self.tally.away += 1
                await asyncio.sleep(0.1)
                continue
            if isinstance(verdict, Granted):
                refusals = 0
                self.tally.granted += 1
                await self._spend(chance, hold, budgets, subject)
            else:
                self.tally.refused += 1
                refusals += self._is_final(verdict)
                await asyncio.sleep(chance.uniform(0.02, 0.1))

    def _is_final(self, verdict: Verdict) -> bool:
        """Refused for good: not for requests that are running."""
        return isinstance(verdict, Exhausted) and all(
            one.pending == 0 for one in verdict.balances if one.limit > one.posted
        )

    async def _ask(self, subject: Subject, tokens: int) -> tuple[Verdict, Hold, tuple[Budget, ...]]:
        now = self._clock.wall_us()
        request_id = new_id()
        estimate = Estimate(tokens * PICO_PER_TOKEN, tokens * PICO_PER_TOKEN, tokens, 0)
        while True:
            budgets = self._budgets.over(subject)
            lines = demand(budgets, subject, estimate, now)
            entry = made_entry(request_id, subject, tokens, now)
            text = msgspec.json.encode(entry)
            hold = Hold(request_id, lines, now + self._job.hold_us, text, self._budgets.version)
            verdict = await self.quotas.reserve(hold)
            if not isinstance(verdict, Stale):
                return verdict, hold, budgets
            await self._budgets.refresh()

    async def _spend(
        self, chance: random.Random, hold: Hold, budgets: Sequence[Budget], subject: Subject
    ) -> None:
        self._live.add(hold.request_id)
        await asyncio.sleep(chance.uniform(0.001, 0.02))
        self._live.discard(hold.request_id)
        if chance.random() < VOIDED:
            self.quotas.void(hold.request_id)
            self.tally.voided += 1
            return
        held = msgspec.json.decode(hold.entry, type=Entry)
        tokens = chance.randrange(80, held.lines[0].quantity + 1)
        entry = made_entry(hold.request_id, subject, tokens, held.occurred_us, held.id)
        spent = used(hold.lines, budgets, entry)
        self.quotas.settle(hold.request_id, spent)
        self._unbooked.append(entry)
        if chance.random() < SETTLED_TWICE:
            self.quotas.settle(hold.request_id, spent)
        if chance.random() < BOOKED_TWICE:
            self._unbooked.append(entry)

    async def _flush_for_ever(self) -> None:
        while True:
            batch = self._unbooked[:ROWS_PER_FLUSH]
            try:
                if batch:
                    self.tally.booked += await self._ledger.append(batch)
                    del self._unbooked[: len(batch)]
            except Unavailable:
                self.tally.away += 1
            if len(batch) < ROWS_PER_FLUSH:
                await asyncio.sleep(FLUSH_S)


def made_entry(
    request_id: UUID, subject: Subject, tokens: int, now_us: int, entry_id: UUID | None = None
) -> Entry:
    day, period = day_and_period(now_us)
    pico = tokens * PICO_PER_TOKEN
    return Entry(
        id=entry_id or new_id(),
        request_id=request_id,
        occurred_us=now_us,
        booked_us=now_us,
        day=str(day),
        period=period,
        org=subject.org,
        team=subject.team,
        user=subject.user,
        key_id=subject.key,
        provider="cloud",
        operation="chat",
        upstream="cloud-eu",
        model="model-a",
        status=200,
        outcome=Outcome.COMPLETE,
        provenance="reported",
        lines=(Line("input_text", tokens, "p-input", pico, pico),),
        list_pico=pico,
        net_pico=pico,
        price_status="priced",
    )


def work(job: Job, answers: Any) -> None:
    """The process itself: runs, and puts its tally on the queue."""
    answers.put(asyncio.run(Worker(job).run()))
