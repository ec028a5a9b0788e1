"""weighbridge backup: a copy that is the books, what to keep beside it, and what it refuses."""

import json
import sqlite3
from pathlib import Path

from gateway.storage.migrate import upgrade
from tests.commands.lines import Run


def test_a_backup_put_in_the_place_of_the_books_is_the_books(
    run: Run, config: str, tmp_path: Path
) -> None:
    books, copy = tmp_path / "var" / "weighbridge.db", tmp_path / "copy.db"
    run("keys", "create", "--user", "user-0001", "--team", "search", "--config", config)
    run("simulate", "--users", "3", "--per-day", "2", "--days", "2", "--until", "2026-11-20", "--config", config)  # fmt: skip
    before = run("verify", "--json", "--config", config).out
    done = run("backup", "--to", str(copy), "--json", "--config", config)
    (said,) = map(json.loads, done.out.splitlines())
    assert said["keep_too"] == [config, str(tmp_path / "var" / "master.key")]
    assert said["links"] == json.loads(before)["links"] > 0
    assert len(said["chain_sha256"]) == 64
    for path in books.parent.glob("weighbridge.db*"):
        path.unlink()
    copy.rename(books)
    assert run("verify", "--json", "--config", config).out == before
    assert "user-0001" in run("keys", "list", "--config", config).out


def test_what_cannot_be_backed_up_is_said_with_its_cure(
    run: Run, config: str, tmp_path: Path
) -> None:
    nothing = run("backup", "--to", str(tmp_path / "copy.db"), "--config", config)
    assert (nothing.status, "nothing was booked" in " ".join(nothing.err.split())) == (2, True)
    file = tmp_path / "var" / "weighbridge.db"
    upgrade(f"sqlite:///{file}")
    (tmp_path / "there.db").write_text("another")
    there = run("backup", "--to", str(tmp_path / "there.db"), "--config", config)
    assert (there.status, "is there; name a file" in " ".join(there.err.split())) == (2, True)
    nowhere = run("backup", "--to", str(tmp_path / "no" / "copy.db"), "--config", config)
    assert (nowhere.status, "No such file" in " ".join(nowhere.err.split())) == (2, True)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    with file.open("r+b") as damaged:
        damaged.seek(36)  # of the header: how many pages are free
        damaged.write((7).to_bytes(4, "big"))
    broken = run("backup", "--to", str(tmp_path / "copy.db"), "--config", config)
    assert (broken.status, "is damaged" in " ".join(broken.err.split())) == (2, True)
    assert not (tmp_path / "copy.db").exists()
    told = run("verify", "--config", config)
    assert (told.status, "file is damaged" in " ".join(told.out.split())) == (1, True)


def test_postgres_is_named_its_own_tools(run: Run, config: str, tmp_path: Path) -> None:
    text = Path(config).read_text(encoding="utf-8")
    Path(config).write_text(f'{text}url = "postgresql://owner@127.0.0.1:1/books"\n')
    told = run("backup", "--to", str(tmp_path / "copy.db"), "--config", config)
    assert (told.status, "pg_dump" in told.err) == (2, True)
