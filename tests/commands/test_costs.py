"""Rates and fixed costs on the command line, and on the statements they are part of."""

import json
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.commands.lines import Run

MONTH = "2026-10"


@pytest.fixture
def run(run: Run, config: str) -> Run:
    def command(*words: str) -> SimpleNamespace:
        done = run(*words, "--config", config)
        done.records = [json.loads(one) for one in done.out.splitlines() if one.startswith("{")]
        done.err = done.err.replace("\n", " ")
        return done

    return command


def test_a_cost_in_a_currency_without_cents_is_shown_without(run: Run) -> None:
    add = (
        "fixed-costs",
        "add",
        "--kind",
        "ptu",
        "--from",
        MONTH,
        "--source",
        "s",
        "--rule",
        "even",
    )
    for name, amount, currency, shown in (
        ("yen", "1500", "JPY", "1500 JPY"),
        ("fils", "2.5", "KWD", "2.500 KWD"),
        ("seats", "19.5", "EUR", "19.50 EUR"),
    ):
        made = run(*add[:2], name, *add[2:], "--amount", amount, "--currency", currency)
        assert (made.status, f"{shown} a month" in made.out) == (0, True), made.out
    assert "1500 " in run("fixed-costs", "list").out
    assert "1500.00" not in run("fixed-costs", "list").out


def test_a_rate_is_set_and_listed(run: Run) -> None:
    assert run("fx", "set", MONTH, "EUR", "0.9215", "--source", "the central bank").status == 0
    (rate,) = run("fx", "list", "--json").records
    assert (rate["month"], rate["currency"], rate["rate"]) == (MONTH, "EUR", "0.9215")
    assert "0.9215" in run("fx", "list", "--month", MONTH).out
    for words, said in (
        ((MONTH, "eur", "1"), "a currency of ISO 4217 such as EUR, found 'eur': write it EUR"),
        ((MONTH, "EUX", "1"), "a currency of ISO 4217 such as EUR"),
        ((MONTH, "EUR", "one"), "a rate is a decimal above zero"),
        (("October", "EUR", "1"), "MONTH is a month such as 2026-11"),
    ):
        wrong = run("fx", "set", *words, "--source", "s")
        assert wrong.status == 2
        assert said in " ".join(wrong.err.split())


@pytest.mark.parametrize("amount", ["1e30", "-5", "NaN", "1000000000001", "lots", "Infinity"])
def test_an_amount_no_statement_could_hold_is_refused_with_what_is_expected(
    run: Run, amount: str
) -> None:
    add = ("fixed-costs", "add", "x", "--kind", "ptu", "--from", MONTH, "--source", "s")
    wrong = run(*add, f"--amount={amount}")
    assert wrong.status == 2
    said = " ".join(wrong.err.split())
    assert "--amount: expected a figure from 0 to 1,000,000,000,000 such as 73000" in said
    assert f"found {amount!r}" in said
    assert run("fixed-costs", "list", "--json").records == []


def test_the_largest_amount_reaches_the_statements_whole(run: Run) -> None:
    add = ("fixed-costs", "add", "x", "--kind", "ptu", "--from", MONTH, "--source", "s")
    direct = ("--rule", "direct", "--cost-centre", "4100=1,4200=999999999999999")
    assert run(*add, "--amount", "999999999999.99", *direct).status == 0
    (shown,) = run("fixed-costs", "show", MONTH, "--json").records
    assert shown["usd"] == "999999999999.99"
    centres = run("chargeback", MONTH, "--json").records
    assert "999999999999" in json.dumps(centres)


def test_a_missing_rate_is_told_with_its_month(run: Run) -> None:
    add = ("fixed-costs", "add", "x", "--kind", "ptu", "--amount", "1", "--source", "s")
    run(*add, "--from", MONTH, "--currency", "EUR")
    wrong = run("chargeback", MONTH)
    assert f"weighbridge fx set {MONTH} EUR RATE" in " ".join(wrong.err.split())


def test_a_time_that_ends_before_it_begins_is_refused(run: Run) -> None:
    for command in (("prices", "rerate"), ("usage",), ("drift",)):
        for until in ("2026-10-01", "2026-10-02"):
            wrong = run(*command, "--since", "2026-10-02", "--until", until)
            assert wrong.status == 2
            assert f"--until {until} is not after --since 2026-10-02" in wrong.err


def test_mistakes_of_a_cost_are_told_all_at_once(run: Run) -> None:
    wrong = run("fixed-costs", "add", "x", "--kind", "lorry", "--amount", "1", "--from", MONTH, "--rule", "seat")  # fmt: skip
    assert wrong.status == 2
    for said in (
        "--kind: expected one of ptu",
        "--seats: the rule seat",
        "--source: expected where",
    ):
        assert said in wrong.err


def test_costs_are_part_of_the_month_and_its_statements_tie(run: Run, tmp_path: Path) -> None:
    simulated = ("--users", "20", "--per-day", "5", "--days", "3", "--until", "2026-10-20")
    assert run("simulate", *simulated, "--json").status == 0
    before = run("chargeback", MONTH, "--json").records
    run("fx", "set", MONTH, "EUR", "0.5", "--source", "the central bank")
    add = ("--from", MONTH, "--source", "contract 7")
    assert run("fixed-costs", "add", "capacity", "--kind", "ptu", "--amount", "100", "--rule", "tokens", *add).status == 0  # fmt: skip
    seats = tmp_path / "seats.csv"
    seats.write_text(
        "seat,team\nuser-0001,nobody-knows\nuser-0002,nobody-knows\n", encoding="utf-8"
    )
    licences = (
        "--kind",
        "seat",
        "--amount",
        "19",
        "--per-seat",
        "--currency",
        "EUR",
        "--rule",
        "seat",
    )
    assert run("fixed-costs", "add", "licences", *licences, "--capacity", "3", "--seats", str(seats), *add).status == 0  # fmt: skip
    capacity, seated = run("fixed-costs", "show", MONTH, "--json").records
    assert capacity["usd"] == "100"
    assert (seated["usd"], seated["idle_usd"], seated["idle"]) == ("114", "38", 1)
    assert seated["parts"] == {"unallocated": "76"}
    after = run("chargeback", MONTH, "--json").records
    assert before != after
    assert "capacity" in run("fixed-costs", "show", MONTH).out
    assert [one["name"] for one in run("fixed-costs", "list", "--json").records] == [
        "capacity", "licences",
    ]  # fmt: skip
    assert run("fixed-costs", "remove", "capacity", "--from", MONTH).status == 0
    assert [one["name"] for one in run("fixed-costs", "show", MONTH, "--json").records] == ["licences"]  # fmt: skip


def test_list_cost_is_said_in_usd_used_and_idle(run: Run) -> None:
    simulated = ("--users", "20", "--per-day", "5", "--days", "3", "--until", "2026-10-20")
    assert run("simulate", *simulated, "--json").status == 0
    months = ("--by", "month", "--since", f"{MONTH}-01", "--until", "2026-11-01", "--json")
    spent = Decimal(run("explore", *months).records[-1]["list_usd"])
    pool = ("--kind", "ptu", "--amount", "100", "--rule", "list_cost", "--capacity", "1000")
    add = ("--from", MONTH, "--source", "contract 7")
    assert run("fixed-costs", "add", "pool", *pool, *add).status == 0
    (made,) = run("fixed-costs", "show", MONTH, "--json").records
    assert abs(Decimal(made["idle"]) - (1000 - spent)) < Decimal("0.001")
    assert f"{made['idle']} " in run("fixed-costs", "show", MONTH).out


def test_a_file_of_costs_is_added_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    head = "name,kind,amount,currency,from,to,pool,rule,capacity,cost_centres,source"
    good = 'own,own,250,USD,2026-10,,,direct,,"4100=3,4200=1",budget 2026'
    path = tmp_path / "costs.csv"
    path.write_text(f"{head}\n{good}\nbad,lorry,1,USD,2026-10,,,even,,,s\n", encoding="utf-8")
    wrong = run("fixed-costs", "import", str(path))
    assert wrong.status == 2
    assert "costs.csv:3: --kind" in wrong.err
    assert run("fixed-costs", "list", "--json").records == []
    path.write_text(f"{head}\n{good}\n", encoding="utf-8")
    assert run("fixed-costs", "import", str(path)).status == 0
    (made,) = run("fixed-costs", "show", MONTH, "--json").records
    assert made["parts"] == {"4100": "187.5", "4200": "62.5"}


def test_a_contracts_currency_is_shown_on_the_statements_of_its_months(
    run: Run, config: str
) -> None:
    simulated = ("--users", "20", "--per-day", "5", "--days", "3", "--until", "2026-10-20")
    assert run("simulate", *simulated).status == 0
    with Path(config).open("a", encoding="utf-8") as file:
        file.write('[[contracts]]\nname = "ours"\nvalid_from = 2026-10-01\ncurrency = "EUR"\n')
        file.write('[[contracts]]\nname = "theirs"\nteam = "t"\ncurrency = "GBP"\n')
    code = next(one["cost_centre"] for one in run("chargeback", MONTH, "--json").records if one["cost_centre"])  # fmt: skip
    statement = ("statement", MONTH, "--cost-centre", code)
    assert "No rate of EUR is set for October 2026" in " ".join(run(*statement).out.split())
    run("fx", "set", MONTH, "EUR", "0.5", "--source", "the central bank")
    shown = " ".join(run(*statement).out.split())
    assert "EUR " in shown
    assert "0.5 for one USD" in shown
    assert "EUR" not in run("statement", "2026-09", "--cost-centre", code).out
