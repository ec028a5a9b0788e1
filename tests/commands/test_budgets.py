"""weighbridge budgets and apply: what goes in, what comes out, and what is said when something is wrong."""

import asyncio
import io
import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from gateway.commands.budgets import pictures as budget_pictures
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line, Outcome
from gateway.quota.budget import Budget, Scope
from gateway.quota.counters import Counter as CounterOf
from gateway.quota.form import KEYS
from gateway.quota.hold import CounterKey
from gateway.quota.standing import standing
from gateway.quota.window import window_of
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.standings import Stand
from tests.commands.lines import Run

ROOT = Path(__file__).resolve().parents[2]
SEARCH = ("--team", "search", "--usd", "500", "--window", "month")
NAME = "team search · usd · month"


@pytest.fixture
def run(run: Run, config: str) -> Run:
    def command(*words: str) -> SimpleNamespace:
        done = run(*words, "--config", config)
        done.found = (
            [json.loads(line) for line in done.out.splitlines()] if "--json" in words else []
        )
        done.err = " ".join(done.err.split())
        return done

    return command


def book(tmp_path: Path, *rows: dict[str, Any]) -> None:
    """Rows that were used just now."""

    async def append() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'var' / 'weighbridge.db'}")
        await Ledger(database).append([an_entry(**row) for row in rows])
        await database.close()

    asyncio.run(append())


def an_entry(**changes: Any) -> Entry:
    now_us = SystemClock().wall_us()
    net = changes.get("net_pico", 0)
    fields: dict[str, Any] = {
        "id": new_id(), "request_id": new_id(), "occurred_us": now_us, "booked_us": now_us,
        "day": instant(now_us).strftime("%Y-%m-%d"), "period": int(instant(now_us).strftime("%Y%m")),
        "org": "default", "team": "search", "user": "user-0001", "key_id": "key-1", "provider": "cloud",
        "operation": "chat", "upstream": "cloud-eu", "model": "model-a", "status": 200,
        "outcome": Outcome.COMPLETE, "provenance": "reported",
        "lines": (Line("input_text", 100, "p-1", net, net),), "list_pico": net, "net_pico": net,
        "price_status": "priced",
    }  # fmt: skip
    return Entry(**(fields | changes))


def test_a_budget_is_made_changed_listed_and_removed(run: Run) -> None:
    made = run("budgets", "set", *SEARCH, "--tz", "Europe/Berlin", "--hard", "--alert", "50,80,100", "--json")  # fmt: skip
    assert (made.status, made.found[0]["action"], made.found[0]["budget"]) == (0, "add", NAME)
    (listed,) = run("budgets", "list", "--json").found
    assert (listed["usd"], listed["tz"], listed["mode"], listed["alert"], listed["store_down"]) == (
        "500", "Europe/Berlin", "hard", [50, 80, 100], "deny",
    )  # fmt: skip
    (changed,) = run("budgets", "set", "--name", NAME, "--usd", "600", "--alert", "none", "--json").found  # fmt: skip
    assert changed["changes"] == [
        {"key": "usd", "before": "500", "after": "600"},
        {"key": "alert", "before": [50, 80, 100], "after": []},
        {"key": "alert_forecast", "before": [100], "after": []},
    ]
    assert run("budgets", "set", "--name", NAME, "--usd", "600", "--json").found == [
        {"action": "none"}
    ]
    renamed = run("budgets", "set", "--name", NAME, "--rename", "search", "--json").found[0]
    assert renamed["id"] == listed["id"]
    assert run("budgets", "remove", "search", "--json").found[0]["action"] == "remove"
    assert run("budgets", "list", "--json").found == []
    told = run("budgets", "history", listed["id"], "--json").found
    assert [one["action"] for one in told] == ["set", "set", "set", "remove"]


def test_every_mistake_of_a_set_is_said_at_once_with_its_option(run: Run) -> None:
    ended = run(
        "budgets", "set", "--usd", "x", "--window", "minute", "--tz", "Mars", "--soft", "--shadow", "--provider",
        "nobody", "--alert", "half", "--carry-over", "5",
    )  # fmt: skip
    assert ended.status == 2
    for option in ("--usd", "--tz", "--soft", "--provider", "--alert", "--carry-over"):
        assert f"✗ {option}: " in ended.err, option
    assert run("budgets", "list", "--json").found == []


def test_what_is_not_there_is_said_with_its_cure(run: Run) -> None:
    for words in (
        ("show", "x"),
        ("remove", "x"),
        ("history", "x"),
        ("alerts", "x"),
        ("raise", "x", "--by", "1", "--until", "2099-01-01", "--reason", "r"),
        ("set", "--name", "x", "--rename", "y", *SEARCH),
    ):
        ended = run("budgets", *words)
        assert ended.status == 2, words
        assert "budgets list" in ended.err


def test_a_budget_shows_what_is_spent_held_and_left(run: Run, tmp_path: Path) -> None:
    run("budgets", "set", *SEARCH)
    book(tmp_path, {"net_pico": 412 * 10**12}, {"net_pico": 10**12, "team": "other"})
    (shown,) = run("budgets", "show", NAME, "--json").found
    assert (shown["spent"], shown["held"], shown["limit"], shown["left"]) == ("412", "0", "500", "88")  # fmt: skip
    assert (shown["used_percent"], shown["level"], shown["window"]) == (82, "near", "month")
    ends = datetime.fromisoformat(shown["window_end"])
    assert (ends.day, ends.hour) == (1, 0)
    for words in ((), (NAME,)):
        drawn = run("budgets", "show", *words).out
        assert "412.00" in drawn
        assert "82 %" in drawn
        assert "near" in drawn
        assert "━" in drawn


def test_a_raise_adds_to_the_limit_until_it_ends_and_says_who_and_why(run: Run) -> None:
    run("budgets", "set", *SEARCH)
    until = (datetime.now(UTC) + timedelta(days=40)).date().isoformat()
    words = ("--by", "100", "--until", until, "--reason", "quarter end", "--author", "owner-4100")
    assert run("budgets", "raise", NAME, *words).status == 0
    (shown,) = run("budgets", "show", NAME, "--json").found
    assert (shown["limit"], shown["own_limit"], shown["raised"]) == ("600", "500", "100")
    assert "quarter end" in run("budgets", "show", NAME).out
    run("budgets", "set", *SEARCH, "--alert", "80")  # an edit of something else keeps it
    assert run("budgets", "show", NAME, "--json").found[0]["raised"] == "100"
    (_, raised, _) = run("budgets", "history", NAME, "--json").found
    assert (raised["author"], raised["action"]) == ("owner-4100", "raise")
    wrong = run("budgets", "raise", NAME, "--by", "-1", "--until", "2020-01-01", "--reason", "")
    assert wrong.status == 2
    assert all(f"✗ --{option}: " in wrong.err for option in ("by", "until", "reason"))


def test_a_split_budget_shows_its_fullest_counters(run: Run, tmp_path: Path) -> None:
    run("budgets", "set", "--each", "user", "--requests", "10", "--window", "month")
    book(tmp_path, *({"user": f"user-{n % 4:04}"} for n in range(9)), {"user": "user-0003"})
    found = run("budgets", "show", "--top", "2", "--json").found
    assert [(one["subject"], one["spent"]) for one in found] == [("user-0000", 3), ("user-0003", 3)]
    assert "4 users, top 2" in run("budgets", "show", "--top", "2").out


def test_a_file_is_applied_whole_twice_and_pruned(run: Run, tmp_path: Path) -> None:
    example = str(ROOT / "config" / "budgets.toml")
    run("budgets", "set", *SEARCH)
    dry = run("apply", "-f", example, "--dry-run", "--prune", "--json").found
    assert [one["action"] for one in dry[:-1]] == ["add"] * 4 + ["remove"]
    assert all(one["dry_run"] for one in dry)
    assert len(run("budgets", "list", "--json").found) == 1
    assert run("apply", "-f", example, "--json").found[-1] == {
        "added": 4, "changed": 0, "removed": 0, "unchanged": 0, "dry_run": False,
    }  # fmt: skip
    again = run("apply", "-f", example, "--json")
    assert (again.status, len(again.found), again.found[0]["unchanged"]) == (0, 1, 4)
    until = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    run("budgets", "raise", "team search, month", "--by", "1", "--until", until, "--reason", "r")
    assert (
        run("apply", "-f", example, "--json").found[0]["changed"] == 0
    )  # a raise outlives the file
    assert run("apply", "-f", example, "--prune", "--json").found[-1]["removed"] == 1
    written = tmp_path / "written.toml"
    written.write_text(run("budgets", "list", "--toml").out, encoding="utf-8")
    assert run("apply", "-f", str(written), "--prune", "--json").found[0]["unchanged"] == 4


def test_an_edit_of_the_file_is_a_diff_key_by_key(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "b.toml"
    text = '[[budgets]]\nname = "b"\nteam = "t"\nusd = "5"\nwindow = "day"\n'
    file.write_text(text)
    run("apply", "-f", str(file))
    file.write_text(text.replace('"5"', '"7"') + "clamp = true\n")
    shown = run("apply", "-f", str(file), "--dry-run").out
    assert "~ b would be changed" in shown
    assert "usd 5 → 7" in shown
    assert "clamp no → yes" in shown
    assert "dry run" in shown


MISTAKES = """
colour = "blue"
[[budgets]]
name = "a"
usd = 0.5
window = "day"
[[budgets]]
name = "b"
window = "fortnight"
tokens = 5
zone = "UTC"
[[budgets]]
name = "c"
usd = 5
window = "day"
[[budgets]]
name = "c"
usd = 6
window = "day"
"""


def test_every_mistake_of_a_file_is_said_at_once_and_nothing_is_applied(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "five.toml"
    file.write_text(MISTAKES)
    ended = run("apply", "-f", str(file))
    assert ended.status == 2
    said = ended.err.replace(" ", "")
    places = ("colour", "budgets[0].usd", "budgets[1].window", "budgets[1].zone", "budgets[3].name")
    assert [f"{file}:{place}:" in said for place in places] == [True] * 5
    assert said.count("✗") == 5
    assert run("budgets", "list", "--json").found == []
    for text in ("[budgets", "budgets = 3"):
        file.write_text(text)
        assert run("apply", "-f", str(file)).status == 2
    assert run("apply", "-f", str(tmp_path / "none.toml")).status == 2


def test_every_key_of_the_file_is_described_and_no_other() -> None:
    page = (ROOT / "docs" / "budgets.md").read_text(encoding="utf-8")
    part = page.split("## As a file")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    described = [word for cell in rows for word in re.findall(r"`([^`]+)`", cell)]
    assert sorted(described) == sorted(KEYS)
    assert tomllib.loads((ROOT / "config" / "budgets.toml").read_text())["budgets"]


def budget_findings(run: Run) -> list[tuple[str, str]]:
    found = run("doctor", "--json").found
    return [(one["state"], one["found"]) for one in found if one["check"] == "budget"]


def test_the_doctor_says_what_is_held_for_what_nobody_can_see(run: Run, tmp_path: Path) -> None:
    def held() -> list[str]:
        return [one["found"] for one in run("doctor", "--json").found if one["check"] == "holds"]

    assert held() == ["a prompt with parts out of sight is held at its model's whole context"]
    settings = tmp_path / "c.toml"
    plain = settings.read_text()
    settings.write_text(plain + "\n[quotas]\nunseen_tokens = 65_536\n")
    assert held() == [
        "a part of a prompt out of sight is held at 65,536 tokens: what weighs more overruns a limit"
    ]


def test_the_doctor_names_budgets_near_their_limit_and_those_no_key_matches(
    run: Run, tmp_path: Path
) -> None:
    run("keys", "create", "--user", "user-0001", "--team", "search")
    assert budget_findings(run) == []
    run("budgets", "set", *SEARCH)
    run("budgets", "set", "--team", "search", "--model", "gpt-*", "--requests", "6", "--window", "minute")  # fmt: skip
    assert budget_findings(run) == [("ok", "2, none near its limit")]
    run("budgets", "set", "--team", "serach", "--usd", "5", "--window", "month")
    book(tmp_path, {"net_pico": 450 * 10**12})
    near, stray = budget_findings(run)
    assert near[0] == "warn"
    assert near[1].startswith(f"{NAME} is near its limit: 450.00 of 500.00 USD, frees in ")
    assert stray == ("warn", "team serach · usd · month")
    book(tmp_path, {"net_pico": 51 * 10**12})
    assert "is over its limit: 501.00 of 500.00 USD" in budget_findings(run)[0][1]


@pytest.mark.parametrize("columns", [80, 100, 130, 160])
def test_a_narrow_terminal_cuts_names_and_never_a_figure(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Long names, and figures of every length."""
    console = Console(width=columns, record=True, file=io.StringIO())
    monkeypatch.setattr(budget_pictures, "CONSOLE", console)
    now_us = 1_795_392_000_000_000
    stands = []
    for n, limit in enumerate((1, 50, 7_777, 1_234_567)):
        one = Budget(
            id=f"b{n}", name=f"a long name that nobody would read to its end, number {n}", scope=Scope(),
            measure="usd_net", limit=limit * 10**9, window="month", shadow=True,
        )  # fmt: skip
        key = CounterKey(one.id, "", window_of(one, now_us).start_us)
        posted = one.limit * 81 // 100
        stood = standing(one, "", now_us, {key: CounterOf(posted, one.limit // 100)})
        stands.append(Stand(one, (stood,), 1))
    console.print(budget_pictures.overview(stands))
    drawn = console.export_text()
    assert all(len(line) <= columns for line in drawn.splitlines())
    for figure in (
        "0.81",
        "40.50",
        "6,299.37",
        "999,999.27",
        "1,234,567.00",
        "82 %",
        "near · shadow",
    ):
        assert figure in drawn, figure
