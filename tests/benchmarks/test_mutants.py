"""The mutator itself: what it changes, what it leaves alone, and that its list of equivalent mutants is true to the code."""

import ast
from pathlib import Path

import pytest

from tests.benchmarks.mutants import Mutant, mutants_of, mutated
from tests.benchmarks.mutate import FILES, REPOSITORY, every_mutant, listed, rounds, rounds_of
from tests.benchmarks.reach import Place, Reach


def changes(source: str) -> list[str]:
    return [f"{mutant.old} → {mutant.new}" for mutant in mutants_of("x.py", source)]


OR_ZERO = [
    f"{name} or 0 → {after}"
    for name in "cd"
    for after in (f"{name} and 0", "None or 0", f"{name} or None", f"{name} or 1", f"{name} or -1")
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b → a <= b", "a < b → a >= b"]),
        ("a == b", ["a == b → a != b"]),
        ("a is not b", ["a is not b → a is b"]),
        ("a // b", ["a // b → a * b"]),
        ("a - b", ["a - b → a + b"]),
        ("a and b", ["a and b → a or b", "a and b → True and b", "a and b → a and True"]),
        ("a or b", ["a or b → a and b", "a or b → None or b", "a or b → a or None"]),
        ("not a", ["not a → not not a"]),
        ("-a", ["-a → +a"]),
        ("a = 7", ["a = 7 → a = 8", "a = 7 → a = 6"]),
        ("a = True", ["a = True → a = False"]),
        ("if a: b", ["if a: → if False:", "if a: → if True:"]),
        ("a if b else c", ["a if b else c → a if False else c", "a if b else c → a if True else c"]),
        ("while a: b", ["while a: → while False:"]),
        ("[a for a in b if a]", ["for a in b if a → for a in b"]),
        ("a(b, c)", ["a(b, c) → pass", "a(b, c) → a(c, b)"]),
        ("a(b=c, d=e)", ["a(b=c, d=e) → pass", "a(b=c, d=e) → a(b=e, d=c)"]),
        ("a = b(c or 0, d or 0)", ["b(c or 0, d or 0) → b(d or 0, c or 0)", *OR_ZERO]),
        ("a = min(b, c)", ["min(b, c) → max(b, c)"]),
        ("a += b", ["a += b → pass", "a += b → a -= b"]),
        ("def f(): return a", ["return a → return None"]),
        ("for a in b: continue", ["continue → break"]),
    ],
)  # fmt: skip
def test_every_operator_makes_its_changes(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""',
        "def f(a: int | None) -> int | None: return None",
        "A: TypeAlias = int | None",
        "@cache(7)\ndef f(): return None",
        "class A(B, frozen=True): pass",
        "raise A(f'{b - 1} is too few')",
        "a(b, b)[c]",
    ],
)
def test_words_types_and_hints_are_left_alone(source: str) -> None:
    assert changes(source) == []


def test_a_mutant_is_the_change_it_says_and_no_other() -> None:
    source = "def f(a, b):\n    if a < b and a:\n        return a - 1\n    g(a, b)\n    return min(a, b)\n"
    before = ast.unparse(ast.parse(source)).splitlines()
    mutants = mutants_of("x.py", source)
    assert len({mutant.key for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        after = ast.unparse(mutated(source, mutant.number)).splitlines()
        ((old, new),) = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
        assert mutant.old in old
        assert mutant.new in new
        assert before.index(old) + 1 == mutant.line


OWN, OTHER = "tests/unit/test_ledger_period.py", "tests/unit/test_ledger_rollup.py"
REACHED = Reach(
    seconds={f"{OWN}::slow": 2.0, f"{OWN}::fast": 0.1, f"{OTHER}::far": 1.0, f"{OTHER}::deaf": 0.2},
    tests={
        Place("gateway/ledger/period.py", "zone"): [
            f"{OWN}::slow",
            f"{OTHER}::far",
            f"{OWN}::fast",
        ],
        Place("gateway/ledger/period.py", "early"): [f"{OTHER}::far"],
    },
    imported={Place("gateway/ledger/period.py", "early")},
)


def asked(where: str) -> list[tuple[str, ...] | None]:
    mutant = Mutant("gateway/ledger/period.py", 1, where, "a", "b", 1, 0)
    return [part.tests for part in rounds(mutant, REACHED)]


def test_a_mutant_is_shown_to_the_fastest_that_reach_it_then_to_all_of_its_own_then_to_others() -> None:  # fmt: skip
    assert asked("zone") == [(f"{OWN}::fast", f"{OWN}::slow"), None, (f"{OTHER}::far",)]


@pytest.mark.parametrize("where", ["module", "early", "Class"])
def test_what_runs_on_import_is_shown_to_every_test(where: str) -> None:
    everything = [(f"{OWN}::fast", f"{OWN}::slow"), None, (f"{OTHER}::deaf", f"{OTHER}::far")]
    assert asked(where) == everything


def test_every_gated_file_has_its_own_tests() -> None:
    for file in FILES:
        for tests in rounds_of(file):
            for name in tests:
                assert (REPOSITORY / name).is_file(), name


def test_every_listed_mutant_exists_and_says_why_it_changes_nothing() -> None:
    existing = {mutant.key for mutant in every_mutant(FILES)}
    assert set(listed()) <= existing, "a listed mutant no longer exists: take it off the list"
    assert all(len(reason.split()) > 2 for reason in listed().values())


def test_the_list_names_files_as_they_are() -> None:
    assert {Path(key[0]) for key in listed()} <= {Path(file) for file in FILES}
