"""python -m tests.prove [--quick] [--only NAME]: the promises of the ledger, proved against real failures.

Every proof is bounded in time and ends in figures; a breach is exit status 1. To add a proof: a function
from Bounds to a Result, and its line in ``PROOFS``.
"""

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from gateway.commands.output import CONSOLE, plain, styled, table
from gateway.edge.server import REST_SECONDS
from tests.prove import ambiguous, ending, full, kills, leaving, memory, outage, soak
from tests.prove.books import Verdict
from tests.prove.launch import POINTS
from tests.sim.runs import ran, replay

RACE: Final = "tests.prove.quota_race"
RACE_S_MAX: Final = 1_800
EXIT_LATE_S: Final = 5.0
RESPAWN_S_MAX: Final = 2.0
BACKLOG_S_MAX: Final = 60.0


class Bounds(NamedTuple):
    """How much of everything."""

    kills: int
    power_kills: int
    power_forwarded: int
    away_s: float
    rows: int
    seeds: int
    lost_answers: int
    soak_minutes: float
    is_quick: bool


QUICK: Final = Bounds(12, 8, 0, 10, 10_000, 200, 6, 0.4, is_quick=True)
WHOLE: Final = Bounds(110, 48, 8_000, 600, 100_000, 10_000, 100, 30, is_quick=False)


class Result(NamedTuple):
    """What a proof found, in figures; ``breaches`` in words; ``points``: kills at each named point."""

    figures: str
    breaches: Sequence[str] = ()
    points: Mapping[str, int] = {}


def simulation(bounds: Bounds) -> Result:
    """Seeds of the whole gateway core under every fault, on virtual time."""
    began, failed, rows, deaths = time.monotonic(), [], 0, 0
    for one in ran(range(bounds.seeds)):
        rows += len(one.world.store.rows)
        deaths += len(one.world.dead)
        failed += [f"{replay(one.seed)}: {text}" for text in one.breaches]
    pace = bounds.seeds / (time.monotonic() - began)
    return Result(
        f"{bounds.seeds:,} seeds, {pace:.0f} a second, {deaths:,} deaths, {rows:,} rows", failed
    )


def killed_sqlite(bounds: Bounds) -> Result:
    """kill -9 at named points and at random times, over SQLite."""
    return _killed(kills.proved("sqlite", bounds.kills, seed=1))


def killed_postgres(bounds: Bounds) -> Result:
    """The same over Postgres, which crashes too and stays away."""
    return _killed(kills.proved("postgres", bounds.kills, seed=2))


def killed_valkey(bounds: Bounds) -> Result:
    """The same with holds on Valkey, which is killed too and forgets everything."""
    return _killed(kills.proved("valkey", bounds.kills, seed=4))


def power_cut(bounds: Bounds) -> Result:
    """All workers at once, and of their journals only what was synced."""
    found = kills.proved(
        "sqlite", bounds.power_kills, seed=3, power=True, forwarded=bounds.power_forwarded
    )
    return _killed(found)


def blind(bounds: Bounds) -> Result:
    """The negative control: a queue in memory has to lose rows, else nothing here would see a loss."""
    lost = memory.lost_by_a_queue_in_memory(4 if bounds.is_quick else 10)
    return Result(f"{lost} rows lost, as they must be", () if lost else ["no loss was seen"])


def bounded(bounds: Bounds) -> Result:
    """Memory while the database is away."""
    found = memory.proved(bounds.rows)
    figures = (
        f"{found.rows:,} rows waited in {found.journal_mib} MiB of journal, memory grew "
        f"{found.grown_mib} MiB, booked in {found.drained_s:.1f} s"
    )
    return Result(figures, [str(found)] if found.breaches else ())


def away(bounds: Bounds) -> Result:
    """Postgres away under load."""
    found = outage.proved(bounds.away_s)
    late = [] if found.backlog_s < BACKLOG_S_MAX else [f"backlog took {found.backlog_s:.0f} s"]
    refused = [f"{found.refused} refused or cut"] if found.refused else []
    figures = (
        f"{found.away_s:.0f} s away, {found.served:,} served meanwhile, {found.refused} refused, backlog "
        f"booked {found.backlog_s:.1f} s after, memory grew {found.rss_grown_mib} MiB"
    )
    return Result(figures, [*_broken(found.verdict), *late, *refused])


def commit_answers(bounds: Bounds) -> Result:
    """Commits that are carried out and never answered."""
    found = ambiguous.proved(bounds.lost_answers)
    breaches = _broken(found.verdict)
    if found.lost < bounds.lost_answers:
        breaches.append(f"only {found.lost} answers were lost: nothing is proved")
    if found.broken:
        breaches.append(f"{found.broken} calls refused or cut")
    figures = (
        f"{found.lost} of {found.lost + found.passed} commits carried out and never answered, "
        f"{found.verdict.forwarded:,} forwarded, {found.verdict.rows:,} rows, {found.broken} calls failed"
    )
    return Result(figures, breaches)


def disk_full(bounds: Bounds) -> Result:
    """A full journal: 503 with Retry-After, and recovery without a restart."""
    found = full.proved()
    breaches = _broken(found.verdict)
    if not found.refused or found.unhelpful or found.other:
        breaches.append(f"{found.refused} x 503, {found.unhelpful} unhelpful, {found.other} other")
    if found.recovered_s >= full.RECOVERED_S_MAX:
        breaches.append("it did not take requests again")
    figures = (
        f"{found.how}: {found.served:,} served, then {found.refused} x 503; serving again "
        f"{found.recovered_s:.1f} s after the store was back"
    )
    return Result(figures, breaches)


def drained(bounds: Bounds) -> Result:
    """SIGTERM with a hundred streams."""
    found = leaving.drained()
    breaches = _broken(found.verdict)
    if found.finished < found.streams or found.stalled_cut < leaving.STALLED:
        breaches.append(f"{found.finished} finished, {found.stalled_cut} stalled ones cut")
    if found.exit_s > leaving.DRAIN_S + EXIT_LATE_S or found.exit_code:
        breaches.append(f"gone after {found.exit_s:.1f} s with {found.exit_code}")
    figures = (
        f"{found.finished}/{found.streams} streams finished, {found.stalled_cut} stalled ones cut, "
        f"gone {found.exit_s:.1f} s after SIGTERM (drain {leaving.DRAIN_S} s)"
    )
    return Result(figures, breaches)


def ends(bounds: Bounds) -> Result:
    """SIGTERM with something around it slow, absent or full."""
    breaches: list[str] = []
    slowest, told = 0.0, 0
    for engine, state, loaded in ending.STATES:
        for workers in (1,) if bounds.is_quick else (1, 3):
            found = ending.ended(engine, state, loaded=loaded, workers=workers)
            breaches += _broken(found.verdict)
            if found.code or found.code is None or found.exit_s > ending.DRAIN_S + REST_SECONDS + 1:
                breaches.append(f"{engine}, {state}, {workers}: {found.exit_s:.1f} s, {found.code}")
            breaches += [f"{engine}, {state}: stderr has {line}" for line in found.noise]
            slowest, told = max(slowest, found.exit_s), told + 1
    figures = (
        f"{told} ends, the slowest gone {slowest:.1f} s after SIGTERM (drain {ending.DRAIN_S} s)"
    )
    return Result(figures, breaches)


def respawned(bounds: Bounds) -> Result:
    """kill -9 of one of two workers."""
    found = leaving.respawned()
    breaches = _broken(found.verdict)
    if found.respawn_s > RESPAWN_S_MAX:
        breaches.append(f"respawned after {found.respawn_s:.1f} s")
    if found.failed > found.held_max:
        breaches.append(f"{found.failed} calls failed")
    return Result(
        f"respawned in {found.respawn_s:.2f} s, {found.failed} of {found.calls:,} calls failed",
        breaches,
    )


def races(bounds: Bounds) -> Result:
    """Budgets under concurrency: the proof of the quota engines, in a process of its own."""
    if importlib.util.find_spec(RACE) is None:
        return Result("not there")
    command = [sys.executable, "-m", RACE, *(["--quick"] if bounds.is_quick else [])]
    status = subprocess.run(command, timeout=RACE_S_MAX, check=False).returncode
    return Result("see its own figures above", [f"exit status {status}"] if status else ())


def soaked(bounds: Bounds) -> Result:
    """Everything at once for long: nothing grows, and the books are right at the end."""
    breaches: list[str] = []
    calls = rows = 0
    for engine in ("both",) if bounds.is_quick else ("both", "sqlite"):
        found = soak.soaked(bounds.soak_minutes, engine=engine)
        CONSOLE.print(soak.drawn(found))
        breaches += found.breaches()
        calls, rows = calls + found.verdict.asked, rows + found.verdict.rows
    return Result(f"{bounds.soak_minutes:g} minutes, {calls:,} forwarded, {rows:,} rows", breaches)


PROOFS: Final[dict[str, Callable[[Bounds], Result]]] = {
    "simulation": simulation,
    "kills-sqlite": killed_sqlite,
    "kills-postgres": killed_postgres,
    "kills-valkey": killed_valkey,
    "power-cut": power_cut,
    "memory-queue": blind,
    "memory": bounded,
    "away": away,
    "commit-answers": commit_answers,
    "disk-full": disk_full,
    "drain": drained,
    "ending": ends,
    "respawn": respawned,
    "quota-race": races,
    "soak": soaked,
}


def _killed(found: kills.Killed) -> Result:
    verdict = found.verdict
    figures = (
        f"{found.kills} kills ({found.named} at named points), {found.crashes} database crashes, "
        f"{verdict.forwarded:,} forwarded, {verdict.whole:,} whole, {found.cut_off} cut off, "
        f"{verdict.interrupted} interrupted and {verdict.unconfirmed} unconfirmed rows, "
        f"{verdict.adjusted} adjusted, {found.refused} refused; "
        f"held after expiry: {verdict.held}, overspent: {verdict.overspent}"
    )
    return Result(figures, _broken(verdict), found.points)


def _pointed(found: Mapping[str, Mapping[str, int]]) -> Table:
    """Kills by point and proof."""
    proofs = [name for name, points in found.items() if any(points.values())]
    heads = [*proofs, "together"]
    drawn = table("Kills at named points", (("point", "left"), *((one, "right") for one in heads)))
    rows = [(point, [found[name][point] for name in proofs]) for point in POINTS]
    for point, hits in rows:
        drawn.add_row(point, *map(str, hits), str(sum(hits)))
    drawn.add_section()
    sums = [sum(hits[at] for _, hits in rows) for at in range(len(proofs))]
    drawn.add_row("all", *map(str, sums), str(sum(sums)))
    return drawn


def _broken(verdict: Verdict) -> list[str]:
    return [str(verdict)] if verdict.breaches else []


def _bounds(options: argparse.Namespace) -> Bounds:
    asked = {
        "away_s": options.away_seconds,
        "kills": options.kills,
        "soak_minutes": options.minutes,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return (QUICK if options.quick else WHOLE)._replace(**given)


def main() -> int:
    """Run them; the exit status."""
    asked = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    asked.add_argument("--quick", action="store_true", help="minutes instead of an hour")
    asked.add_argument("--only", choices=sorted(PROOFS), help="one of them")
    asked.add_argument("--away-seconds", type=float, help="how long the database stays away")
    asked.add_argument("--kills", type=int, help="kills over each database")
    asked.add_argument("--minutes", type=float, help="of the soak")
    options = asked.parse_args()
    bounds = _bounds(options)
    drawn = table(
        "Proofs", (("", "left"), ("proof", "left"), ("seconds", "right"), ("found", "left"))
    )
    failed = 0
    points: dict[str, Mapping[str, int]] = {}
    for name in [options.only] if options.only else PROOFS:
        CONSOLE.print(styled("[dim]{} …[/]", name))
        began = time.monotonic()
        result = PROOFS[name](bounds)
        seconds = time.monotonic() - began
        failed += bool(result.breaches)
        if any(result.points.values()):
            points[name] = result.points
        mark = styled("[red]✗[/]") if result.breaches else styled("[green]✓[/]")
        lines = [plain(line) for line in (result.figures, *result.breaches)]
        drawn.add_row(mark, name, f"{seconds:.0f}", Text("\n").join(lines))
    if points:
        CONSOLE.print(_pointed(points))
    CONSOLE.print(drawn)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
