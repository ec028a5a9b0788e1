"""kill -9, power cuts and database crashes, again and again, under load: 0 lost, 0 doubled, 0 without a row.

Real processes, real sockets, a real SQLite file or Postgres server. The truth is the provider's own list of
what it was asked and the clients' of what they got to the end. To add a kind of round: a method of Killing
and its line in ``deed``.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from gateway.config import Config
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from tests.faults.gateways import free_port, prepared, settings
from tests.faults.origin import Origin, standing
from tests.prove.books import Verdict, judged
from tests.prove.database import Postgres, postgres
from tests.prove.launch import NEVER, POINTS, Launcher, launcher
from tests.prove.load import Load, answer
from tests.storage.valkey_server import LiveValkey, valkey

CLIENTS: Final = 50  # 25 a worker
WORKERS: Final = 2
UNARMED: Final = 0.1
KILL_EVERY_S: Final = (0.1, 0.25)  # at least, and so much more by chance
CUT_EVERY_S: Final = (1.2, 1.5)
HOLD_S: Final = 4
TIGHT: Final = 300
NTH_MAX: Final = {
    "segment": 3,
    "adopt": 1,
    "flush": 12,
    "sync": 20,
}  # as often as it comes in a life
POINT_S_MAX: Final = 6.0  # a point that is not reached by then: killed from outside
ROOMY: Final = 10**15  # no call is refused by it
AWAY_S_MAX: Final = 2.0
ADOPTED_S_MAX: Final = 30.0


class Killed(NamedTuple):
    """What a proof of kills found. ``points``: kills at each named point."""

    verdict: Verdict
    kills: int
    points: dict[str, int]
    crashes: int
    cut_off: int
    refused: int
    seconds: float

    @property
    def named(self) -> int:
        """Kills at a named point."""
        return sum(self.points.values())


class Place(NamedTuple):
    """A gateway's folder, its port, and what stands around it."""

    folder: Path
    port: int
    config: Config
    path: Path
    key: str
    origin: Origin
    store: Postgres | None
    valkey: LiveValkey | None = None

    def asked(self) -> list[str]:
        """The calls the provider was asked, in order."""
        return [one.header("x-call") or "" for one in self.origin.asked]


@contextmanager
def place(engine: str, *, tight: int = 0) -> Iterator[Place]:
    """A provider, a store and a configured gateway that nobody serves yet.

    ``engine``: "sqlite", "postgres", "valkey" over SQLite, or "both": Valkey over Postgres. ``tight``: how many requests to Gemini a hard budget has room for; 0: it has none.
    """
    with (
        tempfile.TemporaryDirectory(prefix="wb-prove-") as name,
        postgres("postgres" if engine in {"postgres", "both"} else "sqlite") as store,
        valkey() if engine in {"valkey", "both"} else nullcontext() as beside,
    ):
        folder, port = Path(name), free_port()
        with standing(lambda: Origin(answer).running()) as origin:
            path = settings(folder, origin.port, port=port, abandon="drain", server_drain_s=8)
            text = path.read_text() + f"\n[quotas]\nhold_seconds = {HOLD_S}\n"
            if store is not None:
                at = f'[storage]\nurl = "{store.url()}"'
                text = text.replace("[storage]", at, 1)
            if beside is not None:
                text += f'engine = "valkey"\nvalkey = "{beside.url}"\n'
            path.write_text(text)
            config, key = prepared(path)
            asyncio.run(_with_budgets(config, tight))
            yield Place(folder, port, config, path, key.key, origin, store, beside)


async def _with_budgets(config: Config, tight: int) -> None:
    """Roomy budgets: what every row posts on them is compared with the rows at the end; and a tight one."""
    database = Database(config.database_url())
    budgets = BudgetStore(database)
    for measure in ("usd_net", "tokens", "requests", "concurrent"):
        await budgets.put(_roomy(measure), "owner-4100")
    if tight:
        scope = Scope(model="gemini*")
        budget = Budget(
            id="tight", name="tight", scope=scope, measure="requests", limit=tight, window="month"
        )
        await budgets.put(budget, "owner-4100")
    await database.close()


def _roomy(measure: str) -> Budget:
    name = f"team-{measure}"
    return Budget(
        id=name,
        name=name,
        scope=Scope(),
        each="team",
        measure=measure,
        limit=ROOMY,
        window="always" if measure == "concurrent" else "month",
        store_down="allow",
    )


class Killing:
    """Rounds of deaths over one place."""

    def __init__(self, where: Place, serving: Launcher, seed: int, synced: Path) -> None:
        self._where = where
        self._serving = serving
        self._chance = random.Random(seed)
        self._synced = synced
        self._armed: dict[int, str] = {}
        self.kills = 0
        self.points = dict.fromkeys(POINTS, 0)
        self.crashes = 0

    def start(self, count: int, *, armed: bool = True) -> None:
        """Serving processes, each with a point to die at, or none."""
        for _ in range(count):
            point = self._point() if armed else NEVER
            room = next((n for name, n in NTH_MAX.items() if point.startswith(name)), 60)
            pid = self._serving.begin(point, self._chance.randint(1, room))
            self._armed[pid] = point
            self._until_serving(pid)

    def _point(self) -> str:
        """The one that was hit least, so that none is left out; now and then none at all."""
        if self._chance.random() < UNARMED:
            return NEVER
        armed = [self._armed.get(pid) for pid in self._serving.alive]
        return min(
            POINTS,
            key=lambda point: (self.points[point] + armed.count(point), self._chance.random()),
        )

    def _until_serving(self, pid: int) -> None:
        """It may die at its point before it listens: then the next one is started by the next round."""
        try:
            self._serving.until_listening(pid)
        except AssertionError:
            if _lives(pid):
                raise

    def one_dies(self) -> None:
        """Wait for a death of its own hand; else kill one from outside, whatever it is doing."""
        wait_s = POINT_S_MAX * self._chance.random() ** 2
        end = time.monotonic() + wait_s
        while time.monotonic() < end and not self._fallen():
            time.sleep(0.02)
        fallen = self._fallen()
        for pid in fallen:
            self._serving.alive.remove(pid)
            self._hit(pid)
        self.kills += len(fallen)
        if not fallen:
            self._kill(self._chance.choice(self._serving.alive))
        self.start(WORKERS - len(self._serving.alive))

    def all_but_the_last_die(self) -> None:
        """The last lives on and adopts what the others left."""
        for pid in list(self._serving.alive)[:-1]:
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        """SIGKILL, where it has not died by its own hand already."""
        self.kills += 1
        try:
            self._serving.kill(pid)
        except ProcessLookupError:
            self._hit(pid)

    def _hit(self, pid: int) -> None:
        point = self._armed[pid]
        assert point != NEVER, f"{pid} died by itself"
        self.points[point] += 1

    def _fallen(self) -> list[int]:
        return [pid for pid in self._serving.alive if not _lives(pid)]

    def store_crashes(self) -> None:
        """SIGQUIT to Postgres, or SIGKILL to Valkey, which forgets everything; away for up to two seconds."""
        store = self._where.store or self._where.valkey
        assert store is not None
        store.crash()
        time.sleep(self._chance.random() * AWAY_S_MAX)
        store.start()
        self.crashes += 1

    def power_cut(self) -> None:
        """All at once, and of every journal only what was synced is left."""
        for pid in list(self._serving.alive):
            self._kill(pid)
        lengths: dict[str, int] = {}
        for line in self._synced.read_text().splitlines() if self._synced.exists() else ():
            size, _, path = line.partition(" ")
            lengths[path] = int(size)
        for segment in (self._where.folder / "var" / "spool").glob("*/*.seg"):
            laid = segment.stat().st_size
            os.truncate(segment, lengths.get(str(segment), 0))
            os.truncate(
                segment, laid
            )  # behind what was synced are the zeros that were there before
        self.start(WORKERS)

    def rounds(self, kills: int, *, power: bool, forwarded: int) -> None:
        """Until so many have died (at a named point, but where the power is cut) and so much was forwarded."""
        number = 0
        while self._died(power=power) < kills or len(self._where.origin.asked) < forwarded:
            number += 1
            least_s, more_s = CUT_EVERY_S if power else KILL_EVERY_S
            time.sleep(least_s + self._chance.random() * more_s)
            if (self._where.store or self._where.valkey) and number % 4 == 0:
                self.store_crashes()
            if power:
                self.power_cut()
            else:
                self.one_dies()
        self.start(1, armed=False)
        time.sleep(0.5)

    def _died(self, *, power: bool) -> int:
        return self.kills if power else sum(self.points.values())


def proved(
    engine: str, kills: int, *, seed: int = 1, power: bool = False, forwarded: int = 0
) -> Killed:
    """So many deaths over one engine, and so many calls forwarded; ``power``: with power cuts."""
    began = time.monotonic()
    with place(engine, tight=TIGHT) as where:
        synced = where.folder / "synced"
        load = Load(where.port, where.key, seed, pause_s=0.06)
        with launcher(where.path, where.folder / "log", synced) as serving:
            killing = Killing(where, serving, seed, synced)
            killing.start(WORKERS)
            rounds = partial(killing.rounds, kills, power=power, forwarded=forwarded)
            asyncio.run(_under_load(load, rounds))
            killing.all_but_the_last_die()
            _until_adopted(where)
        # Holds of the last moment go with Postgres, which is not asked to sync them; of those on Valkey go
        # what dead workers had held. SQLite keeps them.
        excess = CLIENTS * killing.crashes
        verdict = judged(where.config, where.asked(), load.whole, excess=excess)
        refused = sum(load.refused.values())
        assert not load.wrong, f"bytes were changed: {load.wrong}"
    seconds = time.monotonic() - began
    return Killed(
        verdict, killing.kills, killing.points, killing.crashes, load.broken, refused, seconds
    )


async def _under_load(load: Load, rounds: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CLIENTS))
        try:
            await asyncio.to_thread(rounds)
        finally:
            load.stopping = True


def _until_adopted(where: Place) -> None:
    """The last one has its own journal only."""
    end = time.monotonic() + ADOPTED_S_MAX
    folder = where.folder / "var" / "spool"
    while len(list(folder.iterdir())) > 1 and time.monotonic() < end:
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
