"""weighbridge journal as finance uses it: files that balance and sum to the statements, and refusals that say the cure."""

import csv
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from gateway import shipped
from gateway.commands.simulate import filled
from gateway.commands.simulation.month import Shop
from gateway.commands.simulation.world import world
from gateway.commands.statement.asked import Asked, gathered
from gateway.kernel.clock import SystemClock
from gateway.premises import opened, ready_store
from gateway.reporting.roster import imported, read_csv
from gateway.storage.organisation import OrganisationStore
from tests.commands.lines import ran


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journal")
    path = folder / "c.toml"
    path.write_text(f'[storage]\nfolder = "{folder / "var"}"\n', encoding="utf-8")
    configured = shipped.configured(path)
    ready_store(configured)
    people = world(60, 5)
    shop = Shop(people, shipped.price_book(configured), "UTC", 5, 60, 4)

    async def fill() -> None:
        async with opened(configured) as database:
            await filled(database, shop, [date(2026, 10, 13)], SystemClock())
            roster = read_csv(people.organisation_csv())
            await OrganisationStore(database).revise(lambda one: imported(one, roster), "test")

    anyio.run(fill)
    return path


def journal(config: Path, *words: str) -> SimpleNamespace:
    return ran("journal", "2026-10", *words, "--draft", "--config", str(config))


def test_a_month_that_is_not_frozen_has_drafts_only(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "j.csv"
    refused = ran("journal", "2026-10", "--out", str(out), "--config", str(config))
    assert (refused.status, out.exists()) == (2, False)
    assert "2026-10 is open: its charges may still change" in " ".join(refused.err.split())
    done = journal(config, "--out", str(out), "--json")
    said = [json.loads(line) for line in done.out.splitlines()]
    assert said
    assert all(one["entry"].endswith("-draft") and one["replaces"] is None for one in said)


def test_a_file_balances_and_debits_what_the_statements_charge(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "j.csv"
    done = journal(config, "--out", str(out), "--json")
    assert done.status == 0, done.err
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    debit, credit = (sum(Decimal(row[side]) for row in rows) for side in ("debit", "credit"))
    assert debit == credit > 0
    configured = shipped.configured(config)

    async def charged() -> int:
        async with opened(configured) as database:
            found = await gathered(database, configured, Asked(period=202610))
            return sum(found.statement(code).cents for code in found.codes if code)

    assert debit * 100 == anyio.run(charged)
    said = [json.loads(line) for line in done.out.splitlines()]
    assert sum(Decimal(one["debit_usd"]) for one in said) == debit


def test_sap_and_a_template_of_ones_own(config: Path, tmp_path: Path) -> None:
    out, template = tmp_path / "sap.csv", tmp_path / "t.csv"
    done = journal(config, "--form", "sap", "--company-code", "1000", "--out", str(out))
    assert done.status == 0, done.err
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(Decimal(row["Amount"]) for row in rows) == 0
    assert {row["Posting Date"] for row in rows} == {"20261031"}
    template.write_text("Konto;x,Betrag\n{account},{amount}\n", encoding="utf-8")
    mine = tmp_path / "mine.csv"
    done = journal(config, "--form", "template", "--template", str(template), "--out", str(mine))
    assert done.status == 0, done.err
    assert mine.read_text().splitlines()[0] == "Konto;x,Betrag"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--form", "sap"], "give --company-code"),
        (["--form", "oracle"], "--form is one of"),
        (["--form", "template"], "go together"),
        (["--posted", "31.10."], "--posted is a date"),
    ],
)
def test_what_is_missing_is_said_with_its_cure(
    config: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = journal(config, "--out", str(tmp_path / "j.csv"), *words)
    assert done.status == 2
    assert said in " ".join(done.err.split())
