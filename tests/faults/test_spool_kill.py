"""kill -9 at any moment: what was finished is booked once, what was sent has a row, nothing else has.

Workers say what they do in a file that outlives them; that is the truth the ledger is compared with. The
negative control proves that the harness sees losses where there are some.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from gateway.jobs.adopt import Adopter
from gateway.jobs.flush import Flusher
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.storage.backlog import Pending
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.orphans import orphans
from gateway.storage.spool import Spool

CLIENTS = 10
NOW_US = 1_795_392_000_000_000
Say = Callable[[str, Entry], None]


class Silent:
    """An observer for workers that die anyway."""

    def settled(self, entry: Entry) -> None: ...

    def refused(self, provider: str, code: str) -> None: ...

    def failed(self, what: str, error: BaseException) -> None: ...


def make_entry(chance: random.Random) -> Entry:
    cost = chance.randrange(1, 10**9)
    identifier = new_id()
    return Entry(
        id=identifier,
        request_id=identifier,
        occurred_us=NOW_US,
        booked_us=NOW_US,
        day="2026-11-23",
        period=202611,
        org="org-1",
        team=f"team-{chance.randrange(3)}",
        user=f"user-{chance.randrange(9):04}",
        key_id="key-1",
        provider="cloud",
        operation="chat",
        upstream="cloud-eu",
        model="model-a",
        status=200,
        outcome=Outcome.COMPLETE,
        provenance="reported",
        lines=(Line("input_text", 10, "p", cost, cost),),
        list_pico=cost,
        net_pico=cost,
        price_status="priced",
    )


async def serve_one(spool: Spool, say: Say, chance: random.Random) -> None:
    one = make_entry(chance)
    say("intended", one)
    spool.intent(one)
    say("forwarded", one)
    await asyncio.sleep(chance.random() / 50)
    if chance.random() < 0.05:
        say("voiding", one)
        spool.void(one.id)
        say("voided", one)
        return
    await spool.settle(one)
    say("finished", one)


async def serve_in_memory(queue: list[Entry], say: Say, chance: random.Random) -> None:
    one = make_entry(chance)
    say("intended", one)
    say("forwarded", one)
    await asyncio.sleep(chance.random() / 50)
    queue.append(one)
    say("finished", one)


async def client(serve: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await serve()


async def work(url: str, root: Path, log: int, seed: int) -> None:
    """A worker: clients, a flusher, an adopter; on SIGTERM it leaves in order."""

    def say(what: str, one: Entry) -> None:
        os.write(log, f"{what} {one.id} {one.net_pico}\n".encode())

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    database, chance, spool = Database(url), random.Random(seed), Spool(root)
    ledger = Ledger(database)
    flusher: Flusher[Pending] = Flusher(spool, ledger, Silent())
    adopter = Adopter(lambda: orphans(root, own=spool.name), ledger, Silent())
    async with asyncio.TaskGroup() as jobs:
        running = [jobs.create_task(flusher.run()), jobs.create_task(adopter.run())]
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(client(lambda: serve_one(spool, say, chance), stopping))
        for job in running:
            job.cancel()
    await flusher.drain()
    spool.close()
    await database.close()


async def work_in_memory(url: str, root: Path, log: int, seed: int) -> None:
    """The control: the same clients over a queue in memory, flushed every 50 ms."""

    def say(what: str, one: Entry) -> None:
        os.write(log, f"{what} {one.id} {one.net_pico}\n".encode())

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    database, chance, queue = Database(url), random.Random(seed), list[Entry]()
    ledger = Ledger(database)

    async def flush() -> None:
        while queue or not stopping.is_set():
            batch = queue[:]
            await ledger.append(batch)
            del queue[: len(batch)]
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(flush())
        for _ in range(CLIENTS):
            group.create_task(client(lambda: serve_in_memory(queue, say, chance), stopping))
    await database.close()


class Round:
    """Two workers, one of which is killed and replaced again and again."""

    def __init__(self, folder: Path, worker: Callable[..., Awaitable[None]], seed: int) -> None:
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        self.spools = folder / "spool"
        self.log = folder / "said"
        self._worker = worker
        self._seed = seed
        self._children: list[BaseProcess] = []
        upgrade(self.url)
        self._file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(self) -> None:
        self._seed += 1
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=self._run, args=(self._seed,))
        child.start()
        self._children.append(child)

    def _run(self, seed: int) -> None:  # pragma: no cover - in the child
        async def run() -> None:
            await self._worker(self.url, self.spools, self._file, seed)

        asyncio.run(run())

    def kill_one(self) -> None:
        victim = self._children.pop(0)
        victim.kill()
        victim.join()

    def finish(self) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.join(30)
            assert child.exitcode == 0
        os.close(self._file)

    def said(self) -> dict[str, dict[str, int]]:
        """What was said → id → cost."""
        found: dict[str, dict[str, int]] = {}
        for line in self.log.read_text().splitlines():
            what, identifier, cost = line.split()
            found.setdefault(what, {})[identifier] = int(cost)
        return found


def run_rounds(rounds: Round, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    rounds.start()
    rounds.start()
    for _ in range(kills):
        time.sleep(0.2 + chance.random() / 3)
        rounds.kill_one()
        rounds.start()
    time.sleep(0.3)
    rounds.finish()


async def settle_up(rounds: Round) -> list[Entry]:
    """Adopt what is left; the ledger's rows, after checking them against its rollup."""
    database = Database(rounds.url)
    ledger = Ledger(database)
    await Adopter(lambda: orphans(rounds.spools, own=""), ledger, Silent()).adopt()
    assert (await ledger.verify()).is_sound
    rows = [row async for row in ledger.usage()]
    await database.close()
    return rows


@pytest.mark.parametrize("seed", [20261122])
def test_ten_kills_lose_nothing_double_nothing_and_invent_nothing(
    tmp_path: Path, seed: int
) -> None:
    rounds = Round(tmp_path, work, seed)
    run_rounds(rounds, 10, seed)
    rows = asyncio.run(settle_up(rounds))
    said = rounds.said()
    booked = Counter(str(row.id) for row in rows)
    costs = {str(row.id): row.net_pico for row in rows}
    kinds = {str(row.id): row.kind for row in rows}
    finished, voided = said["finished"], said.get("voided", {})
    assert len(finished) > 200
    assert {one: kinds[one] for one in finished} == dict.fromkeys(finished, EntryKind.USAGE)
    assert {one: costs[one] for one in finished} == finished
    assert set(said["forwarded"]) - set(said.get("voiding", {})) <= set(booked)
    assert not set(voided) & set(booked)
    assert set(booked) <= set(said["intended"])
    assert set(booked.values()) == {1}
    assert {kinds[one] for one in set(booked) - set(finished)} <= {
        EntryKind.INTERRUPTED,
        EntryKind.USAGE,  # durable, killed before it could say so
    }
    assert list(rounds.spools.iterdir()) == []


def test_the_harness_sees_what_a_queue_in_memory_loses(tmp_path: Path) -> None:
    rounds = Round(tmp_path, work_in_memory, 7)
    run_rounds(rounds, 4, 7)
    rounds.spools.mkdir()
    rows = asyncio.run(settle_up(rounds))
    lost = set(rounds.said()["finished"]) - {str(row.id) for row in rows}
    assert lost
