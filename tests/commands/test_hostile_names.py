"""Names that a spreadsheet would run, that look like numbers, paths or our own words, through everything that is written."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, strategies as st

from gateway.commands.statement import chargeback, files
from gateway.kernel.money import parse_usd
from gateway.reporting.tabular import inert
from gateway.storage.directory import Directory, NewKey
from gateway.storage.engine import Database
from gateway.storage.migrate import upgrade
from tests.commands.lines import Run, ran
from tests.commands.test_close import book

MONTH, USD = "2024-05", 10**12
CODES = (
    "=1+1", "'=1+1", "-5", "@x", "+49", "007", "7", "1E5", "../../up", "a/b", "CON", "platform", "summary", "ABC", "abc", "Caf\u00e9",
    "Cafe\u0301", "a,b;c\"d'e", "\uff1d1", "名前", "مرحبا", "😀", "<b>&", "{account}", "x" * 40,
)  # fmt: skip
COSTS = ("=cmd|' /C calc'!A0", "usage", "corrections", "Seats", "seats", "seats-2", ",")
Row = dict[str, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month in which every code has one team with one user of its name, and seven shared costs."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "c.toml").write_text(f'[storage]\nfolder = "{folder / "var"}"\n[statements]\nrecharge_account = "=R"\n', encoding="utf-8")  # fmt: skip
    file = folder / "var" / "weighbridge.db"
    upgrade(f"sqlite:///{file}")
    book(file, [{"team": f"team {code}", "user": code, "app": code, "provider": "azure"} for code in CODES])  # fmt: skip
    with (folder / "people.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["team", "cost_centre", "name", "gl_account"])
        writer.writerows([f"team {code}", code, f"={code}", f"={code}"] for code in CODES)
    weighbridge(folder, "people", "import", str(folder / "people.csv"))
    for name in COSTS:
        weighbridge(folder, "fixed-costs", "add", name, "--kind", "own", "--amount", "10", "--from", MONTH, "--source", "s")  # fmt: skip
    return folder


def weighbridge(folder: Path, *words: str) -> SimpleNamespace:
    found = ran(*words, "--config", str(folder / "c.toml"))
    assert found.status == 0, found.err
    return found


def read(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def as_it_was(cell: str) -> str:
    """What a reader that knows our apostrophe makes of a cell."""
    return cell[1:] if cell[:1] == "'" and inert(cell[1:]) == cell else cell


def run_by_a_spreadsheet(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        for cell in row.values():
            if cell[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20") and not _is_number(cell):
                yield cell


def _is_number(cell: str) -> bool:
    try:
        parse_usd(cell)
    except ValueError:
        return False
    return True


@given(st.text(), st.text())
@example("=1", "'=1")
@example("''=1", "'=1")
@example("\uff1d1", "\n=1")
def test_a_text_is_kept_from_spreadsheets_and_two_stay_two(one: str, other: str) -> None:
    assert as_it_was(inert(one)) == one
    assert (inert(one) == inert(other)) == (one == other)
    assert inert(one)[:1] not in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def test_focus_says_every_name_in_every_form_and_nothing_of_it_is_run(folder: Path) -> None:
    for name in ("cau.csv", "cau.parquet"):
        weighbridge(folder, "focus", MONTH, "--out", str(folder / name))
    weighbridge(folder, "focus", MONTH, "--dataset", "invoice-detail", "--out", str(folder / "detail.csv"))  # fmt: skip
    rows, details = read(folder / "cau.csv"), read(folder / "detail.csv")
    assert [*run_by_a_spreadsheet(rows), *run_by_a_spreadsheet(details)] == []
    told = {as_it_was(row["x_CostCenterId"]) for row in rows}
    packed = pq.read_table(folder / "cau.parquet").to_pylist()
    assert told == {row["x_CostCenterId"] for row in packed} == {*CODES}
    usage = [parse_usd(row["BilledCost"]) for row in rows if row["ChargeCategory"] == "Usage"]
    assert sum(usage) == len(CODES) * USD


def test_a_line_of_an_invoice_has_an_id_of_its_own_whatever_it_is_called(folder: Path) -> None:
    weighbridge(folder, "focus", MONTH, "--out", str(folder / "lines.csv"))
    weighbridge(folder, "focus", MONTH, "--dataset", "invoice-detail", "--out", str(folder / "ids.csv"))  # fmt: skip
    details = read(folder / "ids.csv")
    counted = Counter(row["InvoiceDetailId"] for row in details)
    assert [one for one, count in counted.items() if count > 1] == []
    sums = dict.fromkeys(counted, 0)
    for row in read(folder / "lines.csv"):
        sums[row["InvoiceDetailId"]] += parse_usd(row["BilledCost"])
    assert sums == {row["InvoiceDetailId"]: parse_usd(row["BilledCost"]) for row in details}


@pytest.mark.parametrize("form", ["generic", "netsuite", "sap"])
def test_a_journal_names_every_cost_centre_and_nothing_of_it_is_run(
    folder: Path, form: str
) -> None:
    out = folder / f"{form}.csv"
    weighbridge(folder, "journal", MONTH, "--draft", "--form", form, "--company-code", "=1", "--out", str(out))  # fmt: skip
    rows = read(out)
    assert list(run_by_a_spreadsheet(rows)) == []
    column = {"generic": "cost_centre", "netsuite": "Line: Department", "sap": "Cost Centre"}[form]
    assert {as_it_was(row[column]) for row in rows} == {*CODES}


def test_the_summary_and_the_ledgers_rows_say_every_name(folder: Path) -> None:
    weighbridge(folder, "chargeback", MONTH, "--to", str(folder / "sum.csv"))
    rows = [row for row in read(folder / "sum.csv") if row["line"] == "cost_centre"]
    assert {as_it_was(row["cost_centre"]) for row in rows} == {*CODES}
    assert [as_it_was(row["text"]) for row in rows] == [f"={as_it_was(row['cost_centre'])}" for row in rows]  # fmt: skip
    told = weighbridge(folder, "usage", "--since", "2026-01-01", "--json").out
    assert len(told.splitlines()) == len(CODES)


def test_a_folder_has_every_statement_and_the_summary_of_a_month(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chargeback, "available", lambda: (".csv",))  # the others take their time
    to = folder / "all"
    weighbridge(folder, "chargeback", MONTH, "--to", str(to))
    written = [read(file) for file in to.glob("*.csv")]
    told = Counter(as_it_was(rows[0]["cost_centre"]) for rows in written if rows[0]["statement"])
    assert told == Counter(CODES)
    assert len(written) == len(told) + 1
    sums = [row for rows in written for row in rows if row["line"] == "total"]
    charged = [row for rows in written for row in rows if row["line"] == "charged"]
    assert sum(parse_usd(row["usd"]) for row in charged) == parse_usd(sums[0]["usd"])


def test_a_statement_is_written_in_the_folder_that_was_asked_for(folder: Path) -> None:
    if files.weasyprint() is None:
        pytest.skip("no libpango: the PDF cannot be made here")
    to = folder / "deep" / "er"
    weighbridge(folder, "statement", MONTH, "--cost-centre", "../../up", "--to", str(to))
    assert [file.name for file in to.iterdir()] == ["2024-05-..%2F..%2Fup.pdf"]


@pytest.mark.parametrize("code", ["*", "unallocated", "Unallocated"])
def test_a_word_of_the_reports_themselves_is_no_cost_centre(
    run: Run, config: str, tmp_path: Path, code: str
) -> None:
    (tmp_path / "p.csv").write_text(f"team,cost_centre\ncare,{code}\n")
    said = f"cost centre '{code}' is a word of the reports themselves"
    for words in (
        ("people", "import", str(tmp_path / "p.csv")),
        ("keys", "create", "--user", "u", "--team", "t", "--cost-centre", code),
        ("fixed-costs", "add", "Seats", "--kind", "own", "--amount", "1", "--from", MONTH, "--rule", "direct", "--cost-centre", code, "--source", "s"),
    ):  # fmt: skip
        found = run(*words, "--config", config)
        assert (found.status, said in " ".join(found.err.split())) == (2, True), found.err


def test_bytes_of_a_csv_are_those_of_an_independent_writer(folder: Path) -> None:
    weighbridge(folder, "focus", MONTH, "--out", str(folder / "again.csv"))
    text = (folder / "again.csv").read_bytes().decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    again = io.StringIO(newline="")
    csv.writer(again).writerows(rows)
    assert again.getvalue() == text


def test_a_key_of_before_with_such_a_code_stops_the_close_until_its_team_is_assigned(
    run: Run, config: str, tmp_path: Path
) -> None:
    file = tmp_path / "var" / "weighbridge.db"
    upgrade(f"sqlite:///{file}")
    book(file, [{"team": "old"}])

    async def old_key() -> None:
        database = Database(f"sqlite:///{file}")
        new = NewKey(user="u", team="old", org="o", cost_centre="*")
        await Directory(database, b"m" * 32).create(new)
        await database.close()

    asyncio.run(old_key())
    step = ("close", MONTH, "--to", "provisional", "--author", "a", "--config", config)
    refused = run(*step)
    assert (refused.status, "people import" in refused.err) == (2, True), refused.err
    (tmp_path / "p.csv").write_text("team,cost_centre\nold,4100\n")
    assert run("people", "import", str(tmp_path / "p.csv"), "--config", config).status == 0
    assert run(*step).status == 0
    assert '"4100"' in run("chargeback", MONTH, "--json", "--config", config).out
