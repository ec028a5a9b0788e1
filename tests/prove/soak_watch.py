"""What the soak looks at, now and then: processes, journal, database, Valkey, metrics; and how fast each grows.

A sample is flat: names to numbers. To watch something further: a line in one of the functions here.
"""

import asyncio
import os
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import orjson

from tests.storage.valkey_server import LiveValkey

KIB: Final = 1024
TOLD_S_MAX: Final = 5.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
_SMAPS: Final = {
    "Rss": "rss_kib",
    "Pss": "pss_kib",
    "Private_Clean": "uss_kib",
    "Private_Dirty": "uss_kib",
}
_TABLES: Final = """
SELECT c.relname, c.reltuples::bigint, s.n_dead_tup, pg_total_relation_size(c.oid)
FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind = 'r' AND pg_total_relation_size(c.oid) > 65536
"""
_ACTIVITY: Final = """
SELECT coalesce(state, 'none'), count(*), coalesce(max(extract(epoch FROM now() - state_change)), 0)::float
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1
"""
_INFO: Final = ("used_memory", "connected_clients", "evicted_keys", "used_memory_scripts")


def process(pid: int) -> dict[str, float]:
    """Memory, descriptors, threads and CPU time of a process; empty where it is gone."""
    found: dict[str, float] = {}
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            if name in _SMAPS:
                found[_SMAPS[name]] = found.get(_SMAPS[name], 0) + int(rest.split()[0])
        found["fds"] = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found["cpu_s"] = (int(stat[11]) + int(stat[12])) / TICKS
        found["threads"] = int(stat[17])
    except (OSError, IndexError):
        return {}
    return found


def children(pid: int) -> list[int]:
    """The children of a process, oldest first."""
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def told(pid: int, folder: Path) -> dict[str, Any]:
    """What a serving process says of its memory; empty where it does not answer. See soak_serve."""
    path = folder / f"{pid}.json"
    path.unlink(missing_ok=True)
    with suppress(OSError):
        os.kill(pid, signal.SIGUSR2)
        end = time.monotonic() + TOLD_S_MAX
        while time.monotonic() < end:
            if path.exists():
                found: dict[str, Any] = orjson.loads(path.read_bytes())
                return found
            time.sleep(0.02)
    return {}


def counted(said: Mapping[str, Any]) -> dict[str, float]:
    """The figures of what a serving process said."""
    if not said:
        return {}
    allocated: dict[str, float] = said["allocated"]
    return allocated | {"objects": said["objects"], "tasks": sum(said["tasks"].values())}


def disk(folder: Path) -> dict[str, float]:
    """The journal and everything else a gateway keeps on its machine."""
    found = {"spool.folders": 0.0, "spool.segments": 0.0, "spool.kib": 0.0, "folder.files": 0.0}
    for path in folder.rglob("*"):
        with suppress(OSError):
            size = path.stat().st_size / KIB
            if path.parent == folder / "spool":
                found["spool.folders"] += 1
            if path.suffix == ".seg":
                found["spool.segments"] += 1
                found["spool.kib"] += size
            elif path.suffix in {".db", ".db-wal"}:
                found["wal.kib" if path.suffix == ".db-wal" else "db.kib"] = size
            if not path.is_dir():
                found["folder.files"] += 1
    return found


def database(url: str) -> dict[str, float]:
    """Sizes, dead rows, connections and locks; empty where it is away."""
    if url.startswith("sqlite"):
        return _sqlite(Path(url.partition("///")[2]))
    with suppress(OSError, asyncpg.PostgresError, TimeoutError):
        return asyncio.run(_postgres(url))
    return {}


def _sqlite(path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    with suppress(sqlite3.Error):
        line = sqlite3.connect(path, timeout=1)
        for name in (
            "usage_ledger",
            "usage_daily",
            "quota_counter",
            "quota_hold",
            "resource_owner",
        ):
            found[f"rows.{name}"] = line.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        line.close()
    return found


async def _postgres(url: str) -> dict[str, float]:
    line = await asyncpg.connect(url, timeout=5)
    try:
        found = {"db.kib": await line.fetchval("SELECT pg_database_size(current_database())") / KIB}
        for name, live, dead, size in await line.fetch(_TABLES):
            found |= {f"rows.{name}": live, f"dead.{name}": dead, f"kib.{name}": size / KIB}
        for name in ("quota_hold", "quota_counter", "resource_owner"):
            found[f"rows.{name}"] = await line.fetchval(f"SELECT count(*) FROM {name}")
        for state, count, longest in await line.fetch(_ACTIVITY):
            found[f"connections.{state}"] = count
            if state.startswith("idle in"):
                found[f"longest_s.{state}"] = longest
        found["locks.waiting"] = await line.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
        )
        return found
    finally:
        await line.close()


def valkey(server: LiveValkey | None) -> dict[str, float]:
    """Keys and memory; empty where there is none, or it is away."""
    if server is None:
        return {}
    found: dict[str, float] = {}
    with suppress(ValueError, IndexError):
        found["valkey.keys"] = int(server.said("DBSIZE").removeprefix(":"))
    for line in server.told("INFO"):
        name, _, value = line.partition(":")
        if name in _INFO:
            found[f"valkey.{name}"] = int(value)
    return found


class Scrape(NamedTuple):
    """One look at /-/metrics. ``series``: how many; ``took_s``: how long it took."""

    series: int
    took_s: float
    values: Mapping[str, float]

    def sum(self, name: str) -> float:
        """Over all workers and labels."""
        return sum(value for key, value in self.values.items() if key.partition("{")[0] == name)


def scraped(port: int) -> Scrape:
    """Raises OSError."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = [
        line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")
    ]
    return Scrape(
        len(lines), time.monotonic() - began, {key: float(value) for key, _, value in lines}
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """0 where there are none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)] if ranked else 0.0


class Growth(NamedTuple):
    """A line through the samples of one name after the warm-up."""

    name: str
    first: float
    last: float
    per_hour: float
    samples: int

    def is_beyond(self, per_hour_max: Mapping[str, float]) -> bool:
        """Whether the oldest worker's figure grew faster than it may."""
        name = self.name.removeprefix("oldest.")
        return name != self.name and self.per_hour > per_hour_max.get(name, float("inf"))


def growths(samples: Sequence[Mapping[str, float]], warm_s: float) -> Iterator[Growth]:
    """By least squares over ``at_s``, for every name that is in three samples or more."""
    names = sorted({name for one in samples for name in one} - {"at_s"})
    for name in names:
        points = [
            (one["at_s"], one[name]) for one in samples if name in one and one["at_s"] >= warm_s
        ]
        if len(points) >= 3:
            yield Growth(name, points[0][1], points[-1][1], 3600 * _slope(points), len(points))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    count = len(points)
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
