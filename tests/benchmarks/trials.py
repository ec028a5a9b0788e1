"""Trials: a mutant is imported in place of its module by a forked process, which runs the tests meant to notice.

The tree is a copy, so that nobody's edits change the answer midway; the mutant lives in memory only, so that no stale
byte code is ever taken for it. Hypothesis is derandomised and knows no deadline: a slow machine kills no mutant.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType
from typing import Final, NamedTuple

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # the plugin of the house's own `timeout`

COPIED: Final = ("gateway", "tests", "config", "migrations", "pyproject.toml")
BYTES_MAX: Final = 3 * 1024**3  # a mutant that loops must not take the machine with it
# A trial may compute so many times as long as the unmutated tests, and wait for a busy machine so many times longer.
SECONDS_MIN, SLOWER, WAITING = 5, 5, 24
POLL_S: Final = 0.01
NO_TRIAL: Final = 70  # exit code of a child that could not even start its tests
# Imported once, before forking: a trial then starts in a fraction of a second.
PRELOADED: Final = (
    "asyncio", "hypothesis", "hypothesis.strategies", "msgspec", "orjson", "tiktoken",
    "uuid_utils", "zoneinfo",
)  # fmt: skip


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"  # the tests never ended: noticed too
    SURVIVED = "survived"


class Round(NamedTuple):
    """Test files, and of those the tests to ask, in this order; None: all but those ``asked`` before."""

    files: tuple[str, ...]
    tests: tuple[str, ...] | None = None
    asked: tuple[str, ...] = ()


class Trial(NamedTuple):
    """The file to replace, its tree, and the tests in rounds, a later one only if all pass. ``seconds_max``: of computing."""

    file: str
    tree: Callable[[], ast.Module]
    rounds: tuple[Round, ...]
    seconds_max: int


class _Chosen:
    """A plugin: runs the tests of a round, in their order where it names one."""

    def __init__(self, part: Round) -> None:
        self._places = {test: place for place, test in enumerate(part.tests or ())}
        self._asked = frozenset(part.asked)
        self._is_named = part.tests is not None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """After pytest's own ordering by fixtures."""
        if not self._is_named:
            items[:] = [item for item in items if item.nodeid not in self._asked]
            return
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])


class _Replaced(importlib.machinery.SourceFileLoader):
    """Loads one module from a syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType | None:
        return compile(self._tree, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._loader = _Replaced(name, str(path), tree)
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.path, loader=self._loader
        )


@contextmanager
def snapshot(repository: Path) -> Iterator[Path]:
    """A copy of what the tests need, for as long as the run takes."""
    compiled = shutil.ignore_patterns("__pycache__")
    with TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder).resolve()
        for name in COPIED:
            source = repository / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=compiled)
            else:
                shutil.copy2(source, tree / name)
        yield tree


def preload() -> None:
    """Import what every trial needs and no mutant touches."""
    for name in PRELOADED:
        importlib.import_module(name)


def tried(tree: Path, trials: Sequence[Trial], jobs: int) -> Iterator[tuple[int, Verdict]]:
    """Run the trials, so many at once: (place in ``trials``, verdict), as they end."""
    waiting = list(enumerate(trials))[::-1]
    running: dict[int, tuple[int, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                place, trial = waiting.pop()
                running[forked(partial(_try, tree, trial))] = place, time.monotonic()
            yield from _ended(running, trials)
            time.sleep(POLL_S)
    finally:
        for pid in running:
            _kill(pid)


def _ended(
    running: dict[int, tuple[int, float]], trials: Sequence[Trial]
) -> Iterator[tuple[int, Verdict]]:
    for pid, (place, started) in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del running[pid]
            yield place, _verdict(status)
        elif time.monotonic() - started > trials[place].seconds_max * WAITING:
            del running[pid]
            _kill(pid)
            yield place, Verdict.TIMEOUT


def _verdict(status: int) -> Verdict:
    code = os.waitstatus_to_exitcode(status)
    if code == NO_TRIAL:
        raise RuntimeError("a trial could not be set up: neither killed nor survived")
    if code == -signal.SIGXCPU:
        return Verdict.TIMEOUT
    return Verdict.KILLED if code else Verdict.SURVIVED


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):  # what the tests may have started
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def forked(work: Callable[[], int]) -> int:
    """A process that does the work and ends with its answer, or with NO_TRIAL; its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    spoken = os.fdopen(os.dup(2), "w")
    try:
        os.setsid()
        _silence()
        os._exit(work())
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's story
        traceback.print_exc(file=spoken)
        spoken.flush()
    finally:
        os._exit(NO_TRIAL)


def _try(tree: Path, trial: Trial) -> int:
    """In the child: the exit code of the first round that fails, or 0."""
    with suppress(ValueError, OSError):  # not every system bounds memory
        resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX, BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (trial.seconds_max, trial.seconds_max + 1))
    settle_in(tree)
    sys.dont_write_bytecode = True
    module = trial.file.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Finder(module, tree / trial.file, trial.tree()))
    codes = (asked(tree, part) for part in trial.rounds)
    return next((code for code in codes if code), 0)


def asked(tree: Path, part: Round, *plugins: object) -> int:
    """Run the tests of a round, up to the first that fails: the exit code."""
    options = ("-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=0")
    plugins = (pytest_timeout, _Chosen(part), *plugins)
    code = int(pytest.main([*options, *part.files], plugins=list(plugins)))
    if not str(sys.modules["gateway"].__file__).startswith(str(tree)):
        raise RuntimeError("another gateway than the tree's was tested")
    # Nobody left to ask is no verdict; nor is a mutant killed by renaming tests: all others of the file are asked next.
    none_left = code == pytest.ExitCode.NO_TESTS_COLLECTED and (
        part.tests is not None or part.asked
    )
    return 0 if none_left else code


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def settle_in(tree: Path) -> None:
    """As if started in the tree, with nothing of ours imported and nothing left to chance."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("gateway", "tests")]:
        del sys.modules[name]
    checkout = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry not in ("", checkout))]
    os.chdir(tree)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    hypothesis = sys.modules["hypothesis"]
    settings = hypothesis.settings
    phases = (
        hypothesis.Phase.explicit,
        hypothesis.Phase.generate,
    )  # no shrinking: one failure is enough
    settings.register_profile(
        "mutants", derandomize=True, deadline=None, database=None, phases=phases,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutants")
