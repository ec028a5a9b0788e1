"""Which tests reach which functions, and how fast: so that a mutant is first shown to the tests that can notice it."""

import json
import os
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

import pytest

from tests.benchmarks.trials import Round, asked, forked, settle_in


class Place(NamedTuple):
    """A function of a file, by its name in words, as mutants have it."""

    file: str
    where: str


class Reach(NamedTuple):
    """Test → the seconds it computes; function → the tests that reach it; and the functions that run on import already."""

    seconds: dict[str, float]
    tests: dict[Place, list[str]]
    imported: set[Place]

    def of(self, place: Place) -> list[str]:
        """The tests that may see a function, the fastest first: those that reach it; all, where it runs on import."""
        tests = self.tests.get(place)
        seen = self.seconds if tests is None or place in self.imported else tests
        return sorted(seen, key=self.seconds.__getitem__)


def within(files: Sequence[str], tests: Iterable[str]) -> tuple[str, ...]:
    """Those of the tests that stand in these files."""
    return tuple(test for test in tests if test.split("::")[0] in files)


class _Watch:
    """A plugin: notes the calls into some files, by the test that makes them."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self._now: set[tuple[str, str]] = set()
        self.imported = self._now
        self.tests: dict[str, tuple[float, set[tuple[str, str]]]] = {}

    def trace(self, frame: FrameType, _event: str, _value: object) -> None:
        """For sys.settrace: called on every call, traces no lines."""
        file = self._files.get(frame.f_code.co_filename)
        if file is not None:
            self._now.add((file, frame.f_code.co_qualname))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """One test with its fixtures."""
        began, self._now = time.process_time(), set()
        found = yield
        self.tests[item.nodeid] = time.process_time() - began, self._now
        self._now = self.imported
        return found


def reached(tree: Path, tests: Sequence[str], files: Sequence[str]) -> Reach | None:
    """Run the tests once on the code as it is; None where one fails."""
    with TemporaryDirectory(prefix="reach-") as folder:
        answer = Path(folder) / "reach.json"
        _pid, status = os.waitpid(forked(partial(_watched, tree, tests, files, answer)), 0)
        return None if status else _read(json.loads(answer.read_text(encoding="utf-8")))


def _watched(tree: Path, tests: Sequence[str], files: Sequence[str], answer: Path) -> int:
    settle_in(tree)
    watch = _Watch({str(tree / file): file for file in files})
    sys.settrace(watch.trace)
    code = asked(tree, Round(tuple(tests)), watch)
    sys.settrace(None)
    found = {test: (took, sorted(places)) for test, (took, places) in watch.tests.items()}
    answer.write_text(json.dumps([found, sorted(watch.imported)]), encoding="utf-8")
    return code


def _read(
    found: tuple[dict[str, tuple[float, list[tuple[str, str]]]], list[tuple[str, str]]],
) -> Reach:
    by_test, imported = found
    tests: dict[Place, list[str]] = {}
    for test, (_took, called) in by_test.items():
        for place in {_place(file, name) for file, name in called}:
            tests.setdefault(place, []).append(test)
    seconds = {test: took for test, (took, _called) in by_test.items()}
    return Reach(seconds, tests, {_place(file, name) for file, name in imported})


def _place(file: str, qualified: str) -> Place:
    """``f.<locals>.g.<locals>.<lambda>`` is f.g, as a mutant is named."""
    words = [word for word in qualified.split(".") if not word.startswith("<")]
    return Place(file, ".".join(words) or "module")
