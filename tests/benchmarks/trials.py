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
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType
from typing import Final, NamedTuple

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # the plugin of the house's own `timeout`

COPIED: Final = ("gateway", "tests", "config", "migrations", "pyproject.toml")
BYTES_MAX: Final = 3 * 1024**3  # a mutant that loops must not take the machine with it
SECONDS_MIN, SLOWER = 30, 10  # a trial may take so many times what the unmutated tests took
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


class Trial(NamedTuple):
    """The file to replace, its tree (None: as it is), and the tests in rounds; a later one only if all pass."""

    file: str
    tree: Callable[[], ast.Module] | None
    rounds: tuple[tuple[str, ...], ...]
    seconds_max: float


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


def tried(tree: Path, trials: Sequence[Trial], jobs: int) -> Iterator[tuple[int, Verdict, float]]:
    """Run the trials, so many at once: (place in ``trials``, verdict, seconds), as they end."""
    waiting = list(enumerate(trials))[::-1]
    running: dict[int, tuple[int, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                place, trial = waiting.pop()
                running[_fork(tree, trial)] = place, time.monotonic()
            yield from _ended(running, trials)
            time.sleep(POLL_S)
    finally:
        for pid in running:
            _kill(pid)


def _ended(
    running: dict[int, tuple[int, float]], trials: Sequence[Trial]
) -> Iterator[tuple[int, Verdict, float]]:
    for pid, (place, started) in list(running.items()):
        seconds = time.monotonic() - started
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del running[pid]
            yield place, _verdict(status), seconds
        elif seconds > trials[place].seconds_max:
            del running[pid]
            _kill(pid)
            yield place, Verdict.TIMEOUT, seconds


def _verdict(status: int) -> Verdict:
    if os.waitstatus_to_exitcode(status) == NO_TRIAL:
        raise RuntimeError("a trial could not be set up: neither killed nor survived")
    return Verdict.KILLED if status else Verdict.SURVIVED


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):  # what the tests may have started
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _fork(tree: Path, trial: Trial) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    spoken = os.fdopen(os.dup(2), "w")
    try:
        os._exit(_try(tree, trial))
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's story
        traceback.print_exc(file=spoken)
        spoken.flush()
    finally:
        os._exit(NO_TRIAL)


def _try(tree: Path, trial: Trial) -> int:
    """In the child: the exit code of the first round that fails, or 0."""
    os.setsid()
    with suppress(ValueError, OSError):  # not every system bounds memory
        resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX, BYTES_MAX))
    _silence()
    _settle_in(tree)
    sys.dont_write_bytecode = trial.tree is not None
    if trial.tree is not None:
        module = trial.file.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _Finder(module, tree / trial.file, trial.tree()))
    codes = (_run(tests) for tests in trial.rounds)
    code = next((code for code in codes if code), 0)
    if not str(sys.modules["gateway"].__file__).startswith(str(tree)):
        raise RuntimeError("another gateway than the tree's was tested")
    return code


def _run(tests: tuple[str, ...]) -> int:
    options = ("-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=0")
    return int(pytest.main([*options, *tests], plugins=[pytest_timeout]))


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _settle_in(tree: Path) -> None:
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
