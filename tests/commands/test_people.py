"""weighbridge people: what a file would change, what it changed, who may see names, and who is forgotten."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.commands.lines import Run

FILE = """team,user,cost_centre,name,owner,gl_account,valid_from,person
care,,4100,Customer Operations,owner-4100,652310,,
,user-0001,4100,Customer Operations,owner-4100,652310,2026-10-10,Person One
"""


def records(ended: SimpleNamespace) -> list[dict[str, Any]]:
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "organisation.csv"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def test_a_dry_run_says_what_the_import_then_does(run: Run, config: str, file: str) -> None:
    said = run("people", "import", file, "--dry-run", "--config", config)
    assert "Would change" in said.out
    assert "Customer Operations" in said.out
    assert records(run("people", "list", "--json", "--config", config)) == []
    done = records(run("people", "import", file, "--author", "owner-9000", "--json", "--config", config))  # fmt: skip
    assert [(one["action"], one["kind"], one["name"]) for one in done] == [
        ("add", "cost centre", "4100"),
        ("add", "assignment", "team care from the beginning"),
        ("add", "assignment", "user user-0001 from 2026-10-10"),
        ("add", "person", "user-0001"),
    ]
    assert "it is so already" in run("people", "import", file, "--config", config).out
    kept = records(run("people", "history", "--json", "--config", config))
    assert {one["author"] for one in kept} == {"owner-9000"}
    assert "owner-9000" in run("people", "history", "--config", config).out


def test_names_are_for_the_owner_and_an_erased_one_is_for_nobody(
    run: Run, config: str, file: str
) -> None:
    run("people", "import", file, "--config", config)

    def names(*owner: str) -> list[str]:
        found = records(run("people", "list", *owner, "--json", "--config", config))
        return [one["name"] for one in found if one.get("kind") == "user"]

    assert names() == [None]
    assert names("--owner", "owner-5200") == [None]
    assert names("--owner", "owner-4100") == ["Person One"]
    assert "Person One" not in run("people", "list", "--config", config).out
    assert "Person One" in run("people", "list", "--owner", "owner-4100", "--config", config).out
    assert run("people", "erase", "user-0001", "--config", config).status == 0
    assert names("--owner", "owner-4100") == [None]
    gone = run("people", "erase", "user-0001", "--config", config)
    assert (gone.status, "people list" in " ".join(gone.err.split())) == (2, True)


def test_a_file_with_mistakes_changes_nothing(run: Run, config: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("team,cost_centre,valid_from\ncare,4100,\nlab,4100,soon\n", encoding="utf-8")
    ended = run("people", "import", str(wrong), "--config", config)
    assert ended.status == 2
    assert "line 3: valid_from" in " ".join(ended.err.split())
    assert run("people", "import", str(tmp_path / "none.csv"), "--config", config).status == 2
    assert records(run("people", "list", "--json", "--config", config)) == []
