"""The world of one seed: workers, clients, a store, a nemesis, and one order in which everything happens.

Everything random comes from the seed, so that a seed is a test case. To add a fault: a method of Nemesis
and its line in ``DEEDS``.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Final
from uuid import UUID

from gateway.edge import proxy
from gateway.exchange import trying
from gateway.storage import backlog, spool
from tests.sim.cloud import CASES, Fault, Plan, SimUpstreams
from tests.sim.loop import VirtualLoop
from tests.sim.store import SimStore
from tests.sim.worker import Got, Parts, Tools, Worker

BEGAN_US: Final = 1_796_083_200_000_000  # 2026-12-01
PLAYED_S: Final = 14.0
ENDED_S_MAX: Final = 3_000.0
STEPS_MAX: Final = 400_000
CALLS: Final = 14
PLUGS_PULLED: Final = 0.04  # share of whole answers right after which the power goes, or the worker
HOUR_US: Final = 3_600_000_000
EXPIRED_US: Final = (
    100 * 24 * HOUR_US
)  # past the end of every hold, wherever the clock had jumped to


class WorldClock:
    """Ticks are the world's time; the wall clock is somewhere else, and may jump."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.jumped_us = 0

    def now(self) -> float:
        return self.seconds

    def wall_us(self) -> int:
        return BEGAN_US + self.jumped_us + int(self.seconds * 1e6)

    def ticks_ns(self) -> int:
        return int(self.seconds * 1e9)


class World:
    """Play it with ``play``; what happened is in the fields afterwards."""

    def __init__(self, seed: int, root: Path, tools: Tools, parts: Parts = Parts()) -> None:  # noqa: B008 - frozen
        self.seed = seed
        self.chance = Random(seed)
        self.root = root
        self.tools = tools
        self.parts = parts
        self.clock = WorldClock()
        self.store = SimStore(self.chance)
        self.plans: dict[str, Plan] = {}
        self.upstreams = SimUpstreams(self.plans)
        self.truth: dict[str, Got] = {}
        self.workers: list[Worker] = []
        self.dead: list[Worker] = []
        self.oddities: list[str] = []
        self.cut_power_s: list[float] = []
        self.excused: set[str] = set()  # open when their worker lost power
        self.is_late = (
            False  # something may have kept adopters from their work for the life of a hold
        )
        self.story: list[str] = []
        self._agenda: list[tuple[float, int, Any]] = []

    # The run.

    def play(self) -> None:
        """From the first worker to the last row."""
        with _seeded(self.chance), _generators(self):
            self._plan()
            for _ in range(2):
                self.start()
            self._run(PLAYED_S)
            self._end()
            for worker in self.dead:
                worker.bury()

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock.seconds:9.4f} {what}")

    def later(self, seconds: float, act: Any) -> None:
        """Do something at a time of the world's."""
        self._agenda.append((seconds, len(self._agenda), act))
        self._agenda.sort(key=lambda item: item[:2])

    def start(self) -> Worker:
        """One more worker."""
        loop = VirtualLoop(self.clock.now, self.oddities.append)  # type: ignore[abstract]  # what it lacks raises
        worker = Worker(
            self.root,
            tools=self.tools,
            loop=loop,
            clock=self.clock,
            store=self.store,
            upstreams=self.upstreams,
            truth=self.truth,
            chance=self.chance,
            parts=self.parts,
            now_whole=self._promised,
        )
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.dead.append(worker)
        worker.kill()

    def _run(self, until_s: float) -> bool:
        """Step by step in the order of time; False where nothing is left to do before ``until_s``."""
        for _ in range(STEPS_MAX):
            due = [
                (at, n) for n, one in enumerate(self.workers) if (at := one.loop.due()) is not None
            ]
            at, number = min(due, default=(until_s, -1))
            if self._agenda and self._agenda[0][0] <= at:
                at, _, act = self._agenda.pop(0)
                self.clock.seconds = max(self.clock.seconds, at)
                act()
                continue
            if number < 0 or at > until_s:
                self.clock.seconds = max(self.clock.seconds, until_s)
                return number >= 0
            self.clock.seconds = max(self.clock.seconds, at)
            self.workers[number].loop.step()
            self.chance_to_die(self.workers[number])
        raise AssertionError(f"seed {self.seed}: the world does not come to its end")

    def chance_to_die(self, worker: Worker) -> None:
        """Between any two steps of a worker."""
        if worker.loop.steps == worker.dies_at:
            self.tell(f"kill -9 of {worker.spool.name[:4]} at step {worker.loop.steps}")
            self.kill(worker)
            self.later(self.clock.seconds + self.chance.random(), self.reborn)

    def reborn(self) -> None:
        worker = self.start()
        self.doom(worker)

    def _promised(self, worker: Worker) -> None:
        """A client has its answer whole, which is a promise: a good moment to pull a plug."""
        die = self.chance.random()
        if die < PLUGS_PULLED and self.clock.seconds < PLAYED_S:
            self.later(self.clock.seconds, self.power_cut)
        elif die < 2 * PLUGS_PULLED and self.clock.seconds < PLAYED_S:
            worker.dies_at = worker.loop.steps + self.chance.randint(0, 3)

    def doom(self, worker: Worker) -> None:
        """Choose the step a worker dies at, if it does: early ones are dense, so any await is hit."""
        if self.chance.random() < 0.5 and self.clock.seconds < PLAYED_S:
            worker.dies_at = worker.loop.steps + self.chance.randint(1, 1_500)

    # What happens in it.

    def _plan(self) -> None:
        chance = self.chance
        for number in range(CALLS):
            plan = _plan(chance, f"call-{number:03}")
            self.plans[plan.call] = plan
            self.later(chance.random() * PLAYED_S * 0.8, lambda plan=plan: self._call(plan))
        for _ in range(chance.randint(0, 4)):
            self.later(chance.random() * PLAYED_S, chance.choice(DEEDS).__get__(self))
        self.later(0.0, self._doom_all)

    def _doom_all(self) -> None:
        for worker in self.workers:
            self.doom(worker)

    def _call(self, plan: Plan) -> None:
        listening = [worker for worker in self.workers if not worker.is_leaving]
        if listening:
            worker = self.chance.choice(listening)
            self.tell(
                f"{plan.call} {plan.case} {plan.fault.kind} {plan.first} → {worker.spool.name[:4]}"
            )
            worker.call(plan)

    def store_away(self) -> None:
        self.tell("store away")
        self.is_late = True
        self.store.away = True
        self.later(self.clock.seconds + self.chance.random() * 5, self._store_back)

    def _store_back(self) -> None:
        self.store.away = False

    def answers_lost(self) -> None:
        self.tell("commits are ambiguous")
        self.is_late = True
        self.store.ambiguous = 0.5
        self.later(self.clock.seconds + self.chance.random() * 5, self._answers_back)

    def _answers_back(self) -> None:
        self.store.ambiguous = 0.0

    def clock_jump(self) -> None:
        self.clock.jumped_us += self.chance.choice((-1, 1)) * self.chance.randint(1, 48) * HOUR_US
        self.tell("the wall clock jumped")
        self.is_late = True

    def disk_full(self) -> None:
        for worker in self.workers:
            worker.disk.is_full = True
        self.tell("disk full")
        self.later(self.clock.seconds + self.chance.random() * 3, self._disk_free)

    def _disk_free(self) -> None:
        for worker in self.workers:
            worker.disk.is_full = False

    def disk_fails(self) -> None:
        """EIO at one sync: the worker takes nothing more, and is replaced when it is done."""
        if self.workers:
            worker = self.chance.choice(self.workers)
            worker.disk.cannot_sync = True
            self.tell(f"the next sync of {worker.spool.name[:4]} fails")

    def power_cut(self) -> None:
        """Every worker at once, and what was not synced with them."""
        self.tell("power cut")
        self.cut_power_s.append(self.clock.seconds)
        for worker in list(self.workers):
            self.excused |= worker.open | {
                plan.call for plan in self.plans.values() if plan.cancelled_s is not None
            }
            self.kill(worker)
            worker.disk.lose_power(self.chance)
        for _ in range(2):
            self.later(self.clock.seconds + self.chance.random(), self.reborn)

    def rolling_restart(self) -> None:
        self.tell("SIGTERM, and a new one")
        if self.workers:
            self.chance.choice(self.workers).leave()
            self.start()

    # The end.

    def _end(self) -> None:
        """All is well again; everybody leaves in order, and one last worker adopts what is left."""
        self._agenda.clear()
        self._store_back()
        self._answers_back()
        self._disk_free()
        for worker in self.workers:
            worker.dies_at = 0
        if not self.workers:
            self.start()
        self._run(
            self.clock.seconds + 3.0
        )  # who died a moment ago is adopted, its holds still living
        for worker in self.workers:
            worker.leave()
        self._run(self.clock.seconds + ENDED_S_MAX)
        last = self.start()
        self._run(
            self.clock.seconds + 5.0
        )  # what has a journal is adopted, before any hold expires
        self.clock.jumped_us += EXPIRED_US
        self._run(self.clock.seconds + 20.0)
        last.leave()
        self._run(self.clock.seconds + 100.0)


DEEDS: Final = (
    World.store_away,
    World.store_away,
    World.answers_lost,
    World.clock_jump,
    World.disk_full,
    World.disk_fails,
    World.power_cut,
    World.power_cut,
    World.rolling_restart,
)


def _plan(chance: Random, call: str) -> Plan:
    case = chance.choice(tuple(CASES))
    fault, leaves, cancelled = Fault(), None, None
    trouble = chance.random()
    pause_s = chance.choice((0.001, 0.02, 0.3))
    if trouble < 0.2:
        kind = chance.choice(("unreachable", "reset", "stall", "garbage"))
        fault = Fault(kind, chance.randint(0, 8))
    elif trouble < 0.4:
        leaves = chance.random() * pause_s * 12
    elif trouble < 0.45:
        cancelled = chance.random() * pause_s * 12
    first = chance.choice(("refused", "refused", "unreachable")) if chance.random() < 0.3 else ""
    return Plan(call, case, pause_s, fault, leaves, cancelled, first)


@contextmanager
def _seeded(chance: Random) -> Iterator[None]:
    """Identifiers from the seed: their order decides the order of rows and directories. Bounds made small."""

    def new_id() -> UUID:
        return UUID(int=(BEGAN_US // 1000) << 80 | 7 << 76 | 2 << 62 | chance.getrandbits(60) << 1)

    replaced: tuple[tuple[ModuleType, str, object], ...] = (
        (proxy, "new_id", new_id),
        (trying, "new_id", new_id),
        (spool, "uuid4", new_id),
        # Small bounds, so that a short run crosses them.
        (spool, "SEGMENT_BYTES_MAX", chance.choice((4_000, 20_000, spool.SEGMENT_BYTES_MAX))),
        (backlog, "READY_MAX", chance.choice((2, backlog.READY_MAX))),
    )
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(replaced, before, strict=True):
            setattr(module, name, value)


@contextmanager
def _generators(world: World) -> Iterator[None]:
    """Asynchronous generators nobody iterates any more are closed on the loop that began them."""
    loops: dict[int, VirtualLoop] = {}

    def begun(generator: Any) -> None:
        running = [one.loop for one in (*world.workers, *world.dead) if one.loop.is_stepping]
        if running:
            loops[id(generator)] = running[0]

    def dropped(generator: Any) -> None:
        loop = loops.pop(id(generator), None)
        if loop is not None:
            loop.aclose_later(generator)

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(begun, dropped)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*before)
