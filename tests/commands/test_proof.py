"""weighbridge verify and rebuild: equal or where not, in words, as JSON and by exit status."""

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line, Outcome
from gateway.quota.budget import Budget, Scope
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from tests.commands.lines import Run


def an_entry(**changes: object) -> Entry:
    fields: dict[str, object] = {
        "id": new_id(),
        "request_id": new_id(),
        "occurred_us": 1_795_392_000_000_000,
        "booked_us": 1_795_392_000_000_001,
        "day": "2026-11-23",
        "period": 202611,
        "org": "org-1",
        "team": "team-1",
        "user": "user-0001",
        "key_id": "key-1",
        "provider": "cloud",
        "operation": "chat",
        "upstream": "cloud-eu",
        "model": "model-a",
        "status": 200,
        "outcome": Outcome.COMPLETE,
        "provenance": "reported",
        "lines": (Line("input_text", 100, "p-1", 5_000, 4_000),),
        "list_pico": 5_000,
        "net_pico": 4_000,
        "price_status": "priced",
    }
    return Entry(**(fields | changes))  # type: ignore[arg-type]  # a dict of fields has one type


@pytest.fixture
def books(tmp_path: Path) -> SimpleNamespace:
    """A folder with five rows and a budget over them."""
    folder = tmp_path / "var"
    folder.mkdir()
    file = folder / "weighbridge.db"
    url = f"sqlite+aiosqlite:///{file}"
    config = tmp_path / "c.toml"
    config.write_text(f'[storage]\nfolder = "{folder}"\nurl = "{url}"\n', encoding="utf-8")
    upgrade(url)

    async def fill() -> None:
        database = Database(url)
        budget = Budget(
            id="b1", name="b1", scope=Scope(), measure="tokens", limit=9, window="always"
        )
        await BudgetStore(database).put(budget, "owner-4100")
        await Ledger(database).append([an_entry() for _ in range(5)])
        await database.close()

    asyncio.run(fill())
    return SimpleNamespace(config=str(config), file=file)


def change(file: Path, *statements: str) -> None:
    """What somebody with the database's file can do, past every trigger."""
    connection = sqlite3.connect(file)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_sound_books_are_equal(run: Run, books: SimpleNamespace) -> None:
    done = run("verify", "--config", books.config)
    assert (done.status, done.out.strip()) == (
        0,
        "✓ equal: 5 rows, 4 rollup cells, 1 counters, 1 links",
    )
    (record,) = map(json.loads, run("verify", "--json", "--config", books.config).out.splitlines())
    assert record == {"equal": True, "rows": 5, "cells": 4, "counters": 1, "links": 1}
    assert run("verify", "--period", "2026-11", "--config", books.config).status == 0
    assert run("verify", "--period", "november", "--config", books.config).status == 2


def test_a_unit_that_was_changed_is_named_with_its_month(run: Run, books: SimpleNamespace) -> None:
    change(books.file, "UPDATE usage_ledger SET lines = replace(lines, '100', '101')")
    done = run("verify", "--config", books.config)
    assert done.status == 1
    assert "✗ 2026-11 rollup 2026-11-23 team-1/user-0001 model-a input_text (usage)" in done.out
    assert "✗ 2026-11 rollup 2026-11 team-1/user-0001 model-a input_text (usage)" in done.out
    assert "✗ link 1: a row of it (or the link itself) was changed: 5 rows of 2026-11" in done.out
    assert "✗ budget b1 from 0: posted 500, rows 505" in done.out
    faults = [
        json.loads(line)
        for line in run("verify", "--json", "--config", books.config).out.splitlines()
    ]
    assert [one.get("fault") for one in faults] == ["rollup", "rollup", "chain", "posted", None]
    assert faults[-1]["equal"] is False
    assert run("verify", "--period", "2026-11", "--config", books.config).status == 1
    assert run("verify", "--period", "2026-10", "--config", books.config).status == 0


def test_what_is_derived_is_rebuilt(run: Run, books: SimpleNamespace) -> None:
    change(
        books.file,
        "DELETE FROM usage_daily",
        "UPDATE usage_monthly SET quantity = quantity + 1",
        "UPDATE quota_counter SET posted = 1, pending = 3",
    )
    assert run("verify", "--config", books.config).status == 1
    done = run("rebuild", "rollup", "--json", "--config", books.config)
    assert json.loads(done.out) == {"rebuilt": "rollup", "cells": 4, "posted": 0, "pending": 0}
    done = run("rebuild", "counters", "--config", books.config)
    assert "posted of 1 counters, pending of 1" in done.out
    assert run("verify", "--config", books.config).status == 0
    assert "nothing differed" in run("rebuild", "--config", books.config).out


def test_a_role_is_for_postgres(run: Run, books: SimpleNamespace) -> None:
    done = run("migrate", "--role", "gateway", "--config", books.config)
    assert done.status == 2
    assert "SQLite knows no roles" in done.err
