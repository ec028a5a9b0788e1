"""The mutation gate of the money rooms: every small change to them must fail a test, or be listed with its reason.

    python -m tests.benchmarks.mutate [--only FILE] [--sample N --seed S] [--jobs N] [--json]

Ends with 1 where a survivor is not listed in ``equivalent.toml``, and where a listed one is killed or no longer exists.
To gate another file: its name in ``ROOMS``, and a test module of the same name (``tests_of``). Ours rather than mutmut 3.8, which was
tried: it leaves tables, class bodies and decorated functions (``Book.compile``) alone, and numbers its mutants, so that
a list of equivalent ones does not outlive an edit.
"""

import argparse
import ast
import json
import os
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tests.benchmarks import trials
from tests.benchmarks.mutants import Mutant, mutants_of, mutated
from tests.benchmarks.reach import Place, Reach, reached, within
from tests.benchmarks.trials import Round, Trial, Verdict

REPOSITORY: Final = Path(__file__).resolve().parents[2]
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
# room → its gated modules. A module's own tests are asked first, then those of the rest of its room.
ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "kernel": ("money", "names"),
    "metering": (
        "usage", "inclusive", "choices", "iterations", "transcription", "guardrails", "marks", "segment",
        "tally", "estimate", "unread", "pictures", "invocation",
    ),
    "pricing": (
        "rate", "book", "shelf", "charged", "dimensions", "resolve", "atlas", "cover", "row",
        "contract", "importing", "ladder", "ceilings",
    ),
    "ledger": (
        "rollup", "adjust", "statement", "period", "reprice", "currency", "closing", "validity",
        "missing", "parts", "digest", "entry",
    ),
    "exchange": ("booking", "margins"),
    "quota": (
        "gcra", "amount", "counters", "demand", "forecast", "alert", "window", "standing", "plan", "hold",
    ),
    "reporting": (
        "amounts", "allocation", "fixed", "reconciliation", "causes", "drift", "whatif", "outlook", "forecast", "fold",
        "journal", "focus",
    ),
    "wire": ("twins", "jsonbounds", "eventstream", "sse"),
    "identity": ("sigv4", "claim"),
}  # fmt: skip
OWN_FOLDER: Final = frozenset({"wire"})  # rooms whose tests stand in a folder of their own
FILES: Final = tuple(f"gateway/{room}/{name}.py" for room, names in ROOMS.items() for name in names)
TOLD_EVERY: Final = 100  # mutants, where no bar can be drawn

Key: TypeAlias = tuple[str, str, str, str, int]


class Tried(NamedTuple):
    """A mutant and what became of it."""

    mutant: Mutant
    verdict: Verdict


def room_of(file: str) -> str:
    """The room of a file."""
    return file.split("/")[1]


def tests_of(room: str, name: str) -> str:
    """The test module of a module."""
    return (
        f"tests/{room}/test_{name}.py"
        if room in OWN_FOLDER
        else f"tests/unit/test_{room}_{name}.py"
    )


def rounds_of(file: str) -> tuple[tuple[str, ...], ...]:
    """The tests that are asked about a file, in rounds."""
    room, name = room_of(file), Path(file).stem
    own = tests_of(room, name)
    others = tuple(tests_of(room, other) for other in ROOMS[room] if other != name)
    return ((own,), others) if others else ((own,),)


def listed() -> dict[Key, str]:
    """The equivalent mutants: key → reason. Raises ValueError on one without a reason or listed twice."""
    found: dict[Key, str] = {}
    for item in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", []):
        key = (item["file"], item["where"], item["old"], item["new"], item.get("nth", 1))
        if not item["reason"].strip() or key in found:
            raise ValueError(f"no reason, or listed twice: {key}")
        found[key] = item["reason"]
    return found


def every_mutant(files: Iterable[str], root: Path = REPOSITORY) -> list[Mutant]:
    """The mutants of the files, in order."""
    return [
        mutant
        for file in files
        for mutant in mutants_of(file, (root / file).read_text(encoding="utf-8"))
    ]


def reach(tree: Path, files: Sequence[str], jobs: int) -> dict[str, Reach]:
    """Room → what its tests reach; proves that they pass, and that each file's own import the mutant.

    Raises SystemExit where they do not: no verdict would mean anything.
    """
    found: dict[str, Reach] = {}
    for room in dict.fromkeys(map(room_of, files)):
        tests = [tests_of(room, name) for name in ROOMS[room]]
        of_room = reached(tree, tests, [file for file in files if room_of(file) == room])
        if of_room is None:
            raise SystemExit(f"{room}: its tests fail on the code as it is: {' '.join(tests)}")
        found[room] = of_room
    broken = partial(ast.parse, "raise RuntimeError('this module is broken on purpose')")
    canaries = [Trial(file, broken, (Round(rounds_of(file)[0]),), 600) for file in files]
    for place, verdict in trials.tried(tree, canaries, jobs):
        if verdict is Verdict.SURVIVED:
            raise SystemExit(f"{files[place]}: its tests do not notice a broken module")
    return found


def rounds(mutant: Mutant, found: Reach) -> tuple[Round, ...]:
    """Whom a mutant is shown to: its own file's tests, those that reach it first; then others of its room that do.

    A test that never calls a function cannot tell what was changed in it, and all of the own ones are asked anyway.
    """
    own, *others = rounds_of(mutant.file)
    reaching = found.of(Place(mutant.file, mutant.where))
    first, *then = [within(files, reaching) for files in (own, *others)]
    later = [Round(tuple({test.split("::")[0]: None for test in tests}), tests) for tests in then]
    return (Round(own, first), Round(own, asked=first), *(part for part in later if part.tests))


def _trial(mutant: Mutant, source: str, found: Reach) -> Trial:
    parts = rounds(mutant, found)
    asked = {test for part in parts for test in part.tests or within(part.files, found.seconds)}
    seconds = trials.SECONDS_MIN + trials.SLOWER * sum(found.seconds[test] for test in asked)
    return Trial(mutant.file, partial(mutated, source, mutant.number), parts, int(seconds))


def gate(mutants: Sequence[Mutant], tree: Path, jobs: int, console: Console) -> list[Tried]:
    """Try every mutant; in their order, however they end."""
    files = sorted({mutant.file for mutant in mutants}, key=FILES.index)
    console.print(f"first the tests on the code as it is, and on {len(files)} broken modules ...")
    sources = {file: (tree / file).read_text(encoding="utf-8") for file in files}
    found = reach(tree, files, jobs)
    made = [_trial(one, sources[one.file], found[room_of(one.file)]) for one in mutants]
    verdicts: dict[int, Verdict] = {}
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    # Refreshed by hand: a thread of the bar's own would be lost, with what it locks, in every fork.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("mutants", total=len(made))
        for place, verdict in trials.tried(tree, made, jobs):
            verdicts[place] = verdict
            progress.update(task, advance=1, description=mutants[place].file, refresh=True)
            if not console.is_terminal and len(verdicts) % TOLD_EVERY == 0:
                console.print(f"{len(verdicts)} of {len(made)} mutants tried")
    return [Tried(mutant, verdicts[place]) for place, mutant in enumerate(mutants)]


def faults(tried: Sequence[Tried], known: dict[Key, str], existing: set[Key]) -> list[str]:
    """What fails the gate, one sentence each."""
    files = {key[0] for key in existing}
    found = [
        f"survived: {mutant}"
        for mutant, verdict in tried
        if verdict is Verdict.SURVIVED and mutant.key not in known
    ]
    found += [
        f"listed as equivalent, but killed (take it off the list): {mutant}"
        for mutant, verdict in tried
        if verdict is not Verdict.SURVIVED and mutant.key in known
    ]
    gone = [key for key in known if key[0] in files and key not in existing]
    return found + [f"listed as equivalent, but no such mutant exists: {key}" for key in gone]


def table(tried: Sequence[Tried], known: dict[Key, str]) -> Table:
    """Per file: mutants, killed, survived, and which of those are listed."""
    drawn = Table("file", box=None)
    for title in ("mutants", "killed", "survived", "listed"):
        drawn.add_column(title, justify="right")
    files = list(dict.fromkeys(mutant.file for mutant, _ in tried))
    for file in [*files, ""]:
        drawn.add_row(file or "all", *map(str, _figures(tried, known, file)))
    return drawn


def _figures(tried: Sequence[Tried], known: dict[Key, str], file: str) -> tuple[int, ...]:
    own = [item for item in tried if file in ("", item.mutant.file)]
    survived = [mutant for mutant, verdict in own if verdict is Verdict.SURVIVED]
    listed_ones = sum(mutant.key in known for mutant in survived)
    return len(own), len(own) - len(survived), len(survived), listed_ones


def as_json(tried: Sequence[Tried], known: dict[Key, str], found: Sequence[str]) -> str:
    """The same for machines."""
    files = dict.fromkeys(mutant.file for mutant, _ in tried)
    names = ("mutants", "killed", "survived", "listed")
    verdicts = Counter(verdict.value for _, verdict in tried)
    return json.dumps(
        {
            "files": {
                file: dict(zip(names, _figures(tried, known, file), strict=True)) for file in files
            },
            "verdicts": dict(verdicts),
            "survivors": [
                {"mutant": str(mutant), "reason": known.get(mutant.key)}
                for mutant, verdict in tried
                if verdict is Verdict.SURVIVED
            ],
            "faults": list(found),
        },
        indent=1,
        ensure_ascii=False,
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the mutation gate of the money rooms")
    parser.add_argument("--only", action="append", metavar="FILE", help="a gated file, by its end")
    parser.add_argument("--sample", type=int, metavar="N", help="try so many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


def _chosen(only: Sequence[str] | None) -> list[str]:
    files = [file for file in FILES if not only or any(file.endswith(end) for end in only)]
    if not files:
        raise SystemExit(f"--only names none of: {', '.join(FILES)}")
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate; the exit code."""
    options = _options(arguments)
    console, bar = Console(), Console(stderr=True)
    files, known = _chosen(options.only), listed()
    with trials.snapshot(REPOSITORY) as tree:
        mutants = every_mutant(files, tree)
        existing = {mutant.key for mutant in mutants}
        if options.sample is not None and options.sample < len(mutants):
            places = random.Random(options.seed).sample(range(len(mutants)), options.sample)
            mutants = [mutants[place] for place in sorted(places)]
        trials.preload()
        tried = gate(mutants, tree, options.jobs, bar)
    found = faults(tried, known, existing)
    if options.json:
        console.file.write(as_json(tried, known, found) + "\n")
        return bool(found)
    console.print(table(tried, known))
    for sentence in found:
        console.print(Text(sentence), soft_wrap=True)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
