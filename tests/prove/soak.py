"""Hours of everything at once: what grows, what drifts, and whether the books are right at the end.

    python -m tests.prove --only soak [--quick] [--minutes N]
    python -m tests.prove.soak [--minutes N] [--engine both|sqlite] [--rate N] [--out FILE]

A real gateway under a mixed load (soak_load, soak_sdk) while keys, budgets and prices change and reports are read
(soak_people), and workers, database, Valkey and disk fail. Every look is a line of JSON in FILE. The oldest worker is
never killed: its growth is looked at. To break something else: a line in ``_faults``.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.table import Table

from gateway.commands.output import CONSOLE, table
from tests.faults.gateways import ENVIRONMENT, Process
from tests.prove import soak_watch as watch
from tests.prove.soak_books import Verdict, judged
from tests.prove.soak_load import Load
from tests.prove.soak_people import Meanwhile
from tests.prove.soak_place import Place, placed

RATE: Final = 60.0
SCRAPE_S: Final = 5.0
STEADY: Final = 40
WARM: Final = 0.25  # of the whole time
AWAY_S: Final = 6.0
FULL_S: Final = 60.0
LONG_MIN: Final = 20.0  # a slope of less says nothing
EVERY_S: Final = 30.0
HOLD_S: Final = 60
QUIET_S_MAX: Final = 90.0
KILLS: Final = (0.3, 0.55, 0.85)
SDK_USER: Final = "user-0901"
IN_HAND: Final = (
    "spool_pending", "orphan_spools", "open_exchanges", "open_holds", "quota_waiting", "claims_waiting",
)  # fmt: skip
GAUGES: Final = (
    *IN_HAND, "spool_bytes", "spool_lag_seconds", "failures_total", "refusals_total", "entries_total", "open_breakers",
)  # fmt: skip
TOLD: Final = (
    "uss_kib", "heap_used_kib", "blocks", "objects", "fds", "threads", "tasks", "spool.kib", "spool.segments", "db.kib",
    "wal.kib", "dead.quota_counter", "rows.quota_counter", "rows.quota_hold", "connections.idle", "valkey.keys",
    "valkey.used_memory", "scrape.series", "cpu.ms_per_call", "json.p50_ms", "json.p99_ms",
)  # fmt: skip
PER_HOUR_MAX: Final = {"uss_kib": 48 * 1024.0, "fds": 60.0, "threads": 6.0, "tasks": 60.0}


class Found(NamedTuple):
    """``left``: what the gateway still had in hand after the load had ended and the holds of the dead had expired.

    ``problems``: commands and scrapes that did not succeed, as some may not while something is away.
    """

    verdict: Verdict
    growths: Sequence[watch.Growth]
    left: Mapping[str, float]
    problems: Sequence[str]
    minutes: float
    code: int
    answers: Mapping[str, int]
    sdk: Mapping[str, int]

    def breaches(self) -> list[str]:
        """In words."""
        found = [str(self.verdict)] if self.verdict.breaches else []
        found += [f"left in hand: {name} {value:g}" for name, value in self.left.items()]
        found += [f"ended with {self.code}"] if self.code else []
        if self.minutes >= LONG_MIN:
            found += [str(one) for one in self.growths if one.is_beyond(PER_HOUR_MAX)]
        return found


class Serving(Process):
    """The gateway with a handler that tells of its memory."""

    def __init__(self, place: Place) -> None:
        self.port = place.port
        self.log = place.folder / "log"
        self._file = self.log.open("ab")
        words = ["-m", "tests.prove.soak_serve", str(place.path), str(place.folder)]
        self._process = subprocess.Popen(
            [sys.executable, *words], env={**os.environ, **ENVIRONMENT}, cwd=Path(__file__).parents[2],
            stdout=self._file, stderr=self._file,
        )  # fmt: skip

    def workers(self) -> list[int]:
        """Those that serve, the oldest first."""
        return watch.children(self.pid) or [self.pid]


class Soak:
    """One run over a place that is served."""

    def __init__(self, place: Place, serving: Serving, load: Load, out: Path | None) -> None:
        self.samples: list[dict[str, float]] = []
        self.problems: list[str] = []
        self._place = place
        self._serving = serving
        self._load = load
        self._out = out
        self._began = time.monotonic()
        self._oldest = serving.workers()[0]
        self._scrape = watch.Scrape(0, 0, {})
        self._scrapes_s: list[float] = []
        self._stop = threading.Event()
        self._meanwhile = Meanwhile(place, load)
        self._before: tuple[float, float, int] | None = None

    def run(self, seconds: float) -> None:
        """All of it, for so long."""
        every_s = min(EVERY_S, max(2.0, seconds / 20))
        threads = [
            threading.Thread(target=self._repeated, args=(SCRAPE_S, self._look_at_metrics)),
            threading.Thread(target=self._repeated, args=(every_s / 2, self._meanwhile.next)),
        ]
        for one in threads:
            one.start()
        faults = self._faults(seconds)
        try:
            while self._at_s() < seconds:
                self._stop.wait(every_s)
                self._sample()
                while faults and self._at_s() >= faults[0][0]:
                    _, fault = faults.pop(0)
                    self._write({"at_s": self._at_s(), "fault": fault.__name__})
                    fault()
        finally:
            self._stop.set()
            for one in threads:
                one.join()
            self.problems += self._meanwhile.problems

    def settled(self) -> dict[str, float]:
        """What is still in hand once nobody calls any more, and the holds of dead workers have expired."""
        end = time.monotonic() + QUIET_S_MAX
        while True:
            with suppress(OSError, KeyError):
                scrape = watch.scraped(self._place.port)
                left = {name: scrape.sum(f"weighbridge_{name}") for name in IN_HAND}
                left["holds"] = watch.database(self._place.config.database_url())["rows.quota_hold"]
                left = {name: value for name, value in left.items() if value}
                if not left or time.monotonic() > end:
                    return left
            if time.monotonic() > end:
                return {"nobody answers": 1}
            time.sleep(0.5)

    def _at_s(self) -> float:
        return time.monotonic() - self._began

    def _faults(self, seconds: float) -> list[tuple[float, Callable[[], None]]]:
        """When, and what."""
        found: list[tuple[float, Callable[[], None]]] = []
        if len(self._serving.workers()) > 1:
            found += [(part * seconds, self._worker_killed) for part in KILLS]
        if self._place.store is not None:
            found.append((0.4 * seconds, self._store_restarted))
        if self._place.valkey is not None:
            found.append((0.5 * seconds, self._valkey_restarted))
        if self._place.is_small:
            found.append((0.7 * seconds, self._disk_filled))
        return sorted(found, key=lambda one: one[0])

    def _worker_killed(self) -> None:
        os.kill(self._serving.workers()[-1], signal.SIGKILL)

    def _store_restarted(self) -> None:
        assert self._place.store is not None
        self._place.store.halt()
        self._stop.wait(min(AWAY_S, 0.1 * self._at_s()))
        self._place.store.start()

    def _valkey_restarted(self) -> None:
        assert self._place.valkey is not None
        self._place.valkey.crash()
        self._stop.wait(min(AWAY_S, 0.1 * self._at_s()))
        self._place.valkey.start()

    def _disk_filled(self) -> None:
        ballast = self._place.var / "spool" / ".ballast"
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(65_536))
                file.flush()
        self._stop.wait(min(FULL_S, 0.1 * self._at_s()))
        ballast.unlink()

    def _repeated(self, every_s: float, deed: Callable[[], None]) -> None:
        while not self._stop.wait(every_s):
            deed()

    def _look_at_metrics(self) -> None:
        try:
            self._scrape = watch.scraped(self._place.port)
            self._scrapes_s.append(self._scrape.took_s)
        except OSError as error:
            self.problems.append(f"scrape: {error}")

    def _sample(self) -> None:
        place = self._place
        one: dict[str, float] = {"at_s": self._at_s()}
        details: dict[str, Any] = {}
        cpu_s = 0.0
        for pid in self._serving.workers():
            figures = watch.process(pid)
            cpu_s += figures.get("cpu_s", 0)
            details[str(pid)] = found = watch.told(pid, place.folder)
            figures |= watch.counted(found)
            name = "oldest" if pid == self._oldest else f"worker.{pid}"
            one |= {f"{name}.{key}": value for key, value in figures.items()}
        one |= watch.disk(place.var)
        one |= watch.database(place.config.database_url())
        one |= watch.valkey(place.valkey)
        one |= self._heard() | self._paced(one["at_s"], cpu_s)
        self.samples.append(one)
        self._write(
            {**one, "details": details, "answers": self._load.answers, "cut": self._load.cut}
        )

    def _heard(self) -> dict[str, float]:
        """What clients and the scrape say."""
        took, self._load.took_s = self._load.took_s, []
        scrapes_s, self._scrapes_s = self._scrapes_s, []
        said = {name: self._scrape.sum(f"weighbridge_{name}") for name in GAUGES}
        return said | {
            "json.p50_ms": 1e3 * watch.percentile(took, 50),
            "json.p99_ms": 1e3 * watch.percentile(took, 99),
            "scrape.series": self._scrape.series,
            "scrape.p50_ms": 1e3 * watch.percentile(scrapes_s, 50),
        }

    def _paced(self, at_s: float, cpu_s: float) -> dict[str, float]:
        """Calls a second since the last look, and what one costs; nothing where a worker has gone since."""
        calls = len(self._place.origin.truth.asked)
        before, self._before = self._before, (at_s, cpu_s, calls)
        if before is None or cpu_s <= before[1] or calls <= before[2]:
            return {}
        return {
            "cpu.ms_per_call": 1e3 * (cpu_s - before[1]) / (calls - before[2]),
            "calls.per_s": (calls - before[2]) / (at_s - before[0]),
        }

    def _write(self, one: Mapping[str, Any]) -> None:
        if self._out is not None:
            with self._out.open("ab") as file:
                file.write(orjson.dumps(one) + b"\n")


def soaked(
    minutes: float, *, engine: str = "both", rate: float = RATE, out: Path | None = None
) -> Found:
    """So many minutes, then the books. ``engine``: "both" (two workers, Valkey over Postgres) or "sqlite"."""
    hold_s = HOLD_S if minutes >= LONG_MIN else max(4, int(10 * minutes))
    with placed(engine, workers=2 if engine == "both" else 1, hold_s=hold_s) as place:
        keys, unpriced, sdk = place.prepared(SDK_USER)
        load = Load(place.port, [one.key for one in keys], unpriced.key)
        with _served(place) as serving:
            soak = Soak(place, serving, load, out)
            told = {"url": f"http://127.0.0.1:{place.port}", "pause_s": RATE / rate, **sdk}
            with _sdks(told) as beside:
                asyncio.run(_under(load, rate, lambda: soak.run(60 * minutes)))
                said, _ = beside.communicate(timeout=120)
            left = soak.settled()
            serving.signal(signal.SIGTERM)
            code = serving.wait(40)
        verdict = judged(place, load.whole, sdk_user=SDK_USER)
    growths = tuple(watch.growths(soak.samples, WARM * 60 * minutes))
    answers = load.answers + load.cut
    found = Found(verdict, growths, left, soak.problems, minutes, code, answers, orjson.loads(said))
    if out is not None:
        with out.open("ab") as file:
            file.write(orjson.dumps({"found": found}, default=lambda one: one._asdict()) + b"\n")
    return found


def drawn(found: Found) -> Table:
    """What grew, after the warm-up, by a line through the samples."""
    heads = ("first", "last", "an hour", "samples")
    made = table(f"{found.minutes:g} minutes", (("", "left"), *((head, "right") for head in heads)))
    for name in TOLD:
        for one in found.growths:
            if one.name in {name, f"oldest.{name}"}:
                figures = (f"{one.first:,.0f}", f"{one.last:,.0f}", f"{one.per_hour:+,.0f}")
                made.add_row(one.name, *figures, str(one.samples))
    return made


@contextmanager
def _served(place: Place) -> Iterator[Serving]:
    serving = Serving(place)
    try:
        serving.until_ready()
        yield serving
    finally:
        serving.end()


def _sdks(told: Mapping[str, Any]) -> "subprocess.Popen[str]":
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.prove.soak_sdk"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert started.stdin is not None
    started.stdin.write(orjson.dumps(told).decode() + "\n")
    started.stdin.flush()
    return started


async def _under(load: Load, rate: float, rounds: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(STEADY, rate))
        try:
            await asyncio.to_thread(rounds)
        finally:
            load.stop.set()


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.prove.soak", description=__doc__)
    asked.add_argument("--minutes", type=float, default=60)
    asked.add_argument("--engine", choices=("both", "sqlite"), default="both")
    asked.add_argument("--rate", type=float, default=RATE, help="calls a second")
    asked.add_argument("--out", type=Path, help="a line of JSON for every look")
    told = asked.parse_args()
    found = soaked(told.minutes, engine=told.engine, rate=told.rate, out=told.out)
    CONSOLE.print(drawn(found))
    CONSOLE.print(found._replace(growths=()))
    sys.exit(1 if found.breaches() else 0)


if __name__ == "__main__":
    main()
