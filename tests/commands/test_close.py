"""weighbridge close: a month from open to posted, what it keeps, what it refuses, and how tampering is told."""

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.ledger.entry import Line
from gateway.storage.closing import ClosingStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from tests.commands.lines import Run
from tests.storage.conftest import make_entry

MONTH, PERIOD, USD = "2024-05", 202405, 10**12
PEOPLE = (
    "team,cost_centre,name,owner,gl_account\nteam-1,4100,Customer Operations,owner-4100,652310\n"
)


@pytest.fixture
def store(config: str, tmp_path: Path) -> Path:
    """A ledger with a month long over."""
    file = tmp_path / "var" / "weighbridge.db"
    upgrade(f"sqlite:///{file}")
    book(file, [{"user": f"user-{n:04}", "app": "search"} for n in range(12)])
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    text = Path(config).read_text(encoding="utf-8")
    Path(config).write_text(f'{text}[statements]\nsigning_key = "{tmp_path / "key.pem"}"\n')
    (tmp_path / "people.csv").write_text(PEOPLE)
    return file


def book(file: Path, changes: list[dict[str, Any]]) -> None:
    async def append() -> None:
        database = Database(f"sqlite:///{file}")
        line = Line("input_text", 1200, "p", USD, USD)
        priced = {"lines": (line,), "list_pico": USD, "net_pico": USD}
        fields: dict[str, Any] = {"day": "2024-05-07", "period": PERIOD, **priced}
        rows = [make_entry(**(fields | one)) for one in changes]
        await Ledger(database).append(rows)
        await database.close()

    asyncio.run(append())


def records(ended: SimpleNamespace) -> list[dict[str, Any]]:
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def close(run: Run, config: str, to: str, *more: str) -> SimpleNamespace:
    return run("close", MONTH, "--to", to, *more, "--author", f"{to}-author", "--config", config)


def posted(run: Run, config: str) -> None:
    note = ("--note", "Metered and invoiced amounts are equal.")
    journal = ("--journal", "1000482291")
    for to, more in (("provisional", ()), ("reconciled", note), ("approved", ()), ("posted", journal)):  # fmt: skip
        ended = close(run, config, to, *more)
        assert ended.status == 0, ended.err


def test_a_month_goes_from_open_to_posted_and_says_so_everywhere(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    run("people", "import", str(tmp_path / "people.csv"), "--config", config)
    assert "● open" in run("close", MONTH, "--config", config).out
    posted(run, config)
    steps = records(run("close", MONTH, "--json", "--config", config))
    assert [one["state"] for one in steps] == ["provisional", "reconciled", "approved", "posted"]
    assert {one["rows"] for one in steps} == {12}
    assert len({one["rows_sha256"] for one in steps}) == 1
    assert steps[-1]["signature"]
    (tmp_path / "out").mkdir()
    page = tmp_path / "out" / "s.html"
    run("statement", MONTH, "--cost-centre", "4100", "--to", str(page), "--config", config)
    text = page.read_text(encoding="utf-8")
    for said in (
        "Approved and posted", "rev. 4", "Approved by approved-author", "Posted by posted-author", "journal 1000482291",
        steps[0]["rows_sha256"], "Metered and invoiced amounts are equal.", "2024-05-4100",
    ):  # fmt: skip
        assert said in text
    assert "✓ posted, revision 4" in run("verify", "--period", MONTH, "--config", config).out


def test_a_posted_statement_gives_the_same_bytes_whatever_happens_afterwards(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    run("people", "import", str(tmp_path / "people.csv"), "--config", config)
    posted(run, config)

    def written(name: str) -> list[bytes]:
        run("chargeback", MONTH, "--to", str(tmp_path / name), "--config", config)
        return [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]

    before = written("before")
    assert len(before) > 5
    book(store, [{"user": "user-0099"}, {"user": "user-0098"}])
    moved = "team,cost_centre,name,owner\nteam-1,5200,Software,owner-5200\n"
    (tmp_path / "people.csv").write_text(moved)
    run("people", "import", str(tmp_path / "people.csv"), "--config", config)
    assert written("after") == before
    late = records(run("chargeback", "2024-06", "--json", "--config", config))
    walk = records(run("statement", "2024-06", "--cost-centre", "5200", "--json", "--config", config))  # fmt: skip
    assert [one["usd"] for one in late if one["line"] == "total"] != ["0.00"]
    assert "Correction for May 2024" in [one.get("text") for one in walk if one["line"] == "walk"]
    assert run("verify", "--config", config).status == 0


def test_what_may_not_be_done_is_refused_with_its_cure(run: Run, config: str, store: Path) -> None:
    def said(ended: SimpleNamespace) -> str:
        assert ended.status == 2
        return " ".join(ended.err.split())

    assert "approved follows reconciled" in said(close(run, config, "approved"))
    assert "one of" in said(close(run, config, "open"))
    assert "not over" in said(run("close", "2099-12", "--to", "provisional", "--config", config))
    close(run, config, "provisional")
    assert "--note" in said(close(run, config, "reconciled"))
    close(run, config, "reconciled", "--note", "equal")
    close(run, config, "approved")
    assert "--journal" in said(close(run, config, "posted"))


def test_programs_are_told_where_a_month_is_whatever_it_is_and_why_a_step_was_not_taken(
    run: Run, config: str, store: Path
) -> None:
    def refused(*words: str) -> dict[str, Any]:
        ended = run("close", *words, "--json", "--config", config)
        assert ended.status == 2
        last = json.loads(ended.out.splitlines()[-1])
        assert last["refused"] in " ".join(ended.err.split())
        return {name: last[name] for name in ("month", "state", "revision", "finished")}

    (opened,) = records(run("close", MONTH, "--json", "--config", config))
    known = {"month": MONTH, "revision": 0, "state": "open", "finished": True}
    assert opened == {**dict.fromkeys(opened), **known}
    assert refused(MONTH, "--to", "approved") == known
    assert refused("2099-12", "--to", "provisional") == {**known, "month": "2099-12"}
    made = run("close", MONTH, "--to", "provisional", "--json", "--config", config)
    (step,) = records(made)
    assert (step["state"], step["finished"], step["refused"]) == ("provisional", True, None)
    assert list(step) == list(opened)
    assert refused(MONTH, "--to", "posted")["state"] == "provisional"
    died = "UPDATE period_close SET state = 'reconciled', revision = 2, is_kept = 0"
    with sqlite3.connect(store) as connection:
        connection.execute(died)  # the next step was begun, and its process died
    was, begun = records(run("close", MONTH, "--json", "--config", config))
    assert was == step
    assert (begun["state"], begun["revision"], begun["finished"]) == ("reconciled", 2, False)
    assert list(begun) == list(step)


def test_rows_that_came_after_a_provisional_statement_are_told_and_taken_in(
    run: Run, config: str, store: Path
) -> None:
    close(run, config, "provisional")
    book(store, [{"user": "user-0050", "catalog": "book-2"}])
    asked = ("chargeback", MONTH, "--json", "--config", config)
    told = run(*asked)
    assert "1 request came since revision 1" in " ".join(told.err.split())
    assert [one["usd"] for one in records(told) if one["line"] == "total"] == ["12.00"]
    close(run, config, "provisional")
    again = run(*asked)
    assert again.err == ""
    assert [one["usd"] for one in records(again) if one["line"] == "total"] == ["13.00"]
    said = records(run("statement", MONTH, "--cost-centre", "unallocated", "--json", "--config", config))  # fmt: skip
    assert "price book book-2" in " ".join(one["text"] for one in said if one["line"] == "method")


def test_evidence_is_written_and_its_digests_are_kept(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    close(run, config, "provisional", "--evidence", str(tmp_path / "rows"))
    (kept,) = records(run("close", MONTH, "--json", "--config", config))
    assert sorted(kept["evidence"]) == ["2024-05-rows.csv.gz", "2024-05-rows.parquet"]
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == sorted(kept["evidence"])


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE usage_ledger SET net_pico = net_pico + 1 WHERE id = (SELECT min(id) FROM usage_ledger)", "not those that were sealed"),
        ("DELETE FROM usage_ledger WHERE id = (SELECT min(id) FROM usage_ledger)", "not those that were sealed"),
        ("UPDATE period_document SET document = CAST(document || ' ' AS BLOB) WHERE name = '*'", "kept statement of"),
        ("UPDATE period_change SET sealed = replace(sealed, '\"rows\":12', '\"rows\":11')", "signature"),
        ("DELETE FROM period_change", "posted, and what its steps kept is not there: revision 1, revision 2, revision 3, revision 4"),
        ("DELETE FROM period_change WHERE revision = 4", "not there: revision 4"),
        ("UPDATE ledger_chain SET digest = x'00'", "link 1 is not the one it sealed"),
    ],
)  # fmt: skip
def test_whatever_is_changed_behind_its_back_is_told(
    run: Run, config: str, store: Path, statement: str, fault: str
) -> None:
    posted(run, config)
    connection = sqlite3.connect(store)
    for table in ("usage_ledger", "ledger_chain", "period_document", "period_change"):
        connection.execute(f"DROP TRIGGER {table}_no_update")
        connection.execute(f"DROP TRIGGER {table}_no_delete")
    connection.execute(statement)
    connection.commit()
    connection.close()
    ended = run("verify", "--period", MONTH, "--config", config)
    assert ended.status == 1
    assert fault in " ".join(ended.out.split())


def test_a_row_that_comes_while_a_month_goes_back_does_not_hold_up_its_close(
    run: Run, config: str, store: Path
) -> None:
    close(run, config, "provisional")
    close(run, config, "reconciled", "--note", "equal")

    async def goes_back() -> None:
        database = Database(f"sqlite:///{store}")
        await ClosingStore(database).begin(PERIOD, "provisional", "an invoice came")
        await database.close()

    asyncio.run(goes_back())
    book(store, [{"user": "user-0099"}])
    late = run("verify", "--period", MONTH, "--config", config)
    assert (late.status, "+1 rows since it was reconciled" in late.out) == (0, True)
    back = close(run, config, "provisional", "--note", "an invoice came")
    assert back.status == 0, back.err
    for to, more in (("reconciled", ("--note", "equal")), ("approved", ()), ("posted", ("--journal", "1"))):  # fmt: skip
        assert close(run, config, to, *more).status == 0
    assert "13 rows" in run("verify", "--period", MONTH, "--config", config).out


def test_a_chain_that_was_cut_behind_a_close_is_told_although_it_is_whole_in_itself(
    run: Run, config: str, store: Path
) -> None:
    june = {"day": "2024-06-07", "period": 202406}
    book(store, [june])
    posted(run, config)
    unsealed = ("usage_ledger", "usage_daily", "usage_monthly")
    connection = sqlite3.connect(store)
    connection.execute("DROP TRIGGER usage_ledger_no_delete")
    for table in unsealed:
        connection.execute(f"DELETE FROM {table} WHERE period = 202406")
    connection.execute("DROP TRIGGER ledger_chain_no_delete")
    connection.execute("DELETE FROM ledger_chain WHERE seq = 2")
    connection.commit()
    connection.close()
    ended = run("verify", "--config", config)
    assert ended.status == 1
    said = " ".join(ended.out.split())
    assert "close of 2024-05, revision 1: link 2 is missing" in said
    assert run("verify", "--period", MONTH, "--config", config).status == 1
    assert run("verify", "--period", "2024-06", "--config", config).status == 0


def test_rows_that_changed_after_they_were_sealed_stop_the_next_step(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    close(run, config, "provisional")
    close(run, config, "reconciled", "--note", "equal")
    connection = sqlite3.connect(store)
    connection.execute("DROP TRIGGER usage_ledger_no_delete")
    connection.execute("DELETE FROM usage_ledger WHERE id = (SELECT min(id) FROM usage_ledger)")
    connection.commit()
    connection.close()
    ended = close(run, config, "approved", "--evidence", str(tmp_path / "rows"))
    assert ended.status == 2
    assert "not those that were sealed" in " ".join(ended.err.split())


def test_names_are_for_the_owner_and_never_kept(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "team,user,cost_centre,name,owner,person\nteam-1,,4100,Customer Operations,owner-4100,\n,user-0001,4100,Customer Operations,owner-4100,Person One\n"
    )
    run("people", "import", str(file), "--config", config)
    posted(run, config)
    asked = ("statement", MONTH, "--cost-centre", "4100", "--config", config)
    assert "Person One" not in run(*asked).out
    assert "Person One" in run(*asked, "--owner", "owner-4100").out
    refused = run(*asked, "--owner", "owner-5200")
    assert refused.status == 2
    run("people", "erase", "user-0001", "--config", config)
    assert "Person One" not in run(*asked, "--owner", "owner-4100").out
    connection = sqlite3.connect(store)
    documents = b"".join(row[0] for row in connection.execute("SELECT document FROM period_document"))  # fmt: skip
    connection.close()
    assert b"user-0001" in documents
    assert b"Person One" not in documents


def test_the_entry_of_a_charge_has_one_number_at_every_step_and_another_only_when_it_changed(
    run: Run, config: str, store: Path, tmp_path: Path
) -> None:
    run("people", "import", str(tmp_path / "people.csv"), "--config", config)

    def exported(*more: str) -> tuple[SimpleNamespace, list[tuple[str, str | None]]]:
        done = run("journal", MONTH, "--out", str(tmp_path / "j.csv"), "--json", *more, "--config", config)  # fmt: skip
        made = [json.loads(line) for line in done.out.splitlines()]
        return done, [(one["entry"], one["replaces"]) for one in made]

    close(run, config, "provisional")
    refused, nothing = exported()
    assert (refused.status, nothing) == (2, [])
    assert f"{MONTH} is provisional" in refused.err
    assert exported("--draft")[1] == [(f"{MONTH}-4100-draft", None)]
    note = ("--note", "Equal.")
    close(run, config, "reconciled", *note)
    assert exported()[1] == [(f"{MONTH}-4100", None)]
    close(run, config, "approved")
    assert exported()[1] == [(f"{MONTH}-4100", None)]
    close(run, config, "provisional", "--note", "another row came")
    book(store, [{"user": "user-0099", "app": "search"}])
    close(run, config, "provisional")
    close(run, config, "reconciled", *note)
    again, entries = exported()
    assert entries == [(f"{MONTH}-4100-r2", f"{MONTH}-4100")]
    said = " ".join(again.err.split())
    assert f"{MONTH}-4100 no longer holds" in said
    assert f"before {MONTH}-4100-r2 is booked" in said
    close(run, config, "approved")
    close(run, config, "posted", "--journal", "1000482291")
    assert exported()[1] == entries
