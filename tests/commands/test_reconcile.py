"""Reconciliation: a bill made from the ledger is zero off; what is injected is found, named, and never lost."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway import shipped
from gateway.commands.simulate import filled
from gateway.commands.simulation.month import Shop
from gateway.commands.simulation.world import world
from gateway.kernel.clock import SystemClock
from gateway.premises import opened, ready_store
from gateway.storage.lines import Summed, summed
from tests.commands import bills
from tests.commands.bills import AWS_ACCOUNT, Row, written
from tests.commands.lines import ran

Found = list[dict[str, Any]]
KEYS = ("day", "provider", "model", "unit")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose ledger holds three simulated days."""
    folder = tmp_path_factory.mktemp("reconcile")
    path = folder / "c.toml"
    path.write_text(f'[storage]\nfolder = "{folder / "var"}"\n', encoding="utf-8")
    configured = shipped.configured(path)
    ready_store(configured)
    shop = Shop(world(60, 5), shipped.price_book(configured), "UTC", 5, 60, 4)

    async def fill() -> None:
        async with opened(configured) as database:
            days = [date(2026, 10, day) for day in (13, 14, 15)]
            await filled(database, shop, days, SystemClock())

    anyio.run(fill)
    return path


@pytest.fixture(scope="module")
def lines(config: Path) -> list[Summed]:
    async def reading() -> list[Summed]:
        async with opened(shipped.configured(config)) as database:
            return await summed(database, 202610, KEYS)

    return anyio.run(reading)


def reconcile(config: Path, *words: str, status: int = 0) -> Found:
    found = ran("reconcile", "2026-10", *words, "--json", "--config", str(config))
    assert found.status == status, found.err + found.out
    return [json.loads(line) for line in found.out.splitlines()]


def of(found: Found, line: str) -> Found:
    return [one for one in found if one["line"] == line]


def total(found: Found) -> dict[str, Any]:
    (one,) = of(found, "total")
    return one


def test_bills_made_from_the_ledger_reconcile_to_zero_in_every_form(
    config: Path, lines: list[Summed], tmp_path: Path
) -> None:
    made = bills.bills(tmp_path, lines)
    found = reconcile(
        config, "--azure", str(made["azure"][0]), "--aws", str(made["bedrock"][0]), "--google", str(made["google"][0]), "--daily",
    )  # fmt: skip
    totals = of(found, "total")
    assert [one["difference_usd"] for one in totals] == ["0", "0", "0"]
    assert sum(Decimal(one["metered_usd"]) for one in totals) == sum(
        bills.usd(one.net_pico) for one in lines
    )
    pairs = of(found, "pair")
    assert {pair["cause"] for pair in pairs} == {"matched"}
    (note,) = of(found, "note")
    assert "every token class agrees" in note["text"]
    assert "E0800WQ7KX, 2418836501, 202610" in note["text"]
    assert all(pair["metered_tokens"] == pair["invoiced_tokens"] for pair in pairs)
    assert len({pair["day"] for pair in pairs}) == 3


def test_a_dollar_put_on_the_invoice_is_found_and_named(
    config: Path, lines: list[Summed], tmp_path: Path
) -> None:
    _, rows = bills.bills(tmp_path, lines)["bedrock"]
    row = max(rows, key=lambda one: Decimal(one["line_item_unblended_cost"]))
    dearer = Decimal(row["line_item_unblended_cost"]) + 1
    row["line_item_unblended_cost"] = f"{dearer:f}"
    row["line_item_unblended_rate"] = f"{dearer / Decimal(row['line_item_usage_amount']):f}"
    found = reconcile(config, "--aws", str(written(tmp_path / "cur.parquet", rows)), "--daily")
    assert total(found)["difference_usd"] == "1"
    (off,) = [pair for pair in of(found, "pair") if pair["cause"] != "matched"]
    assert (off["cause"], off["difference_usd"]) == ("price", "1")
    assert off["day"] == row["line_item_usage_start_date"][:10]
    assert "a million invoiced" in off["note"]


def test_a_cost_that_is_not_quantity_times_price_is_refused_and_still_counted(
    config: Path, lines: list[Summed], tmp_path: Path
) -> None:
    _, rows = bills.bills(tmp_path, lines)["google"]
    rows[0]["cost"] = f"{Decimal(rows[0]['cost']) + 1:f}"
    found = reconcile(config, "--google", str(written(tmp_path / "g.csv", rows)), status=1)
    (apart,) = of(found, "apart")
    assert apart["why"] == "refused"
    assert len(of(found, "refused")) == 1
    assert whole(found) == Decimal(total(found)["bill_usd"])


def whole(found: Found) -> Decimal:
    return sum(
        (Decimal(one["invoiced_usd"]) for one in found if one["line"] in ("pair", "apart")),
        Decimal(0),
    )


def test_dark_spend_taxes_credits_and_unread_meters_are_each_told_apart(
    config: Path, lines: list[Summed], tmp_path: Path
) -> None:
    _, rows = bills.bills(tmp_path, lines)["bedrock"]
    like = dict(rows[0])

    def more(**changes: str) -> Row:
        return like | {"line_item_unblended_rate": "", **changes}

    usage = "line_item_usage_type"
    rows += [
        more(line_item_usage_account_id="999900001111", line_item_unblended_cost="31.45"),
        more(line_item_usage_type="EUC1-Claude9.9Opus-input-tokens", line_item_unblended_cost="2"),
        more(line_item_line_item_type="Tax", line_item_unblended_cost="3"),
        more(line_item_line_item_type="Credit", line_item_unblended_cost="-5"),
        more(**{usage: "EUC1-ProvisionedThroughput-Sonnet", "line_item_unblended_cost": "24"}),
        more(**{usage: "EUC1-NewThing-sorts-of-things", "line_item_unblended_cost": "7"}),
        more(line_item_product_code="AmazonEC2", line_item_unblended_cost="1000"),
    ]
    account = f"account:{AWS_ACCOUNT}=bedrock-frankfurt"
    path = str(written(tmp_path / "cur.csv.gz", rows))
    found = reconcile(config, "--aws", path, "--confirm", account, status=1)
    why = {one["why"]: one["invoiced_usd"] for one in of(found, "apart")}
    assert why == {"tax": "3", "credit": "-5", "other": "24", "unread": "7"}
    causes = {p["cause"]: p for p in of(found, "pair") if p["cause"] != "matched"}
    assert causes.keys() == {"outside the gateway", "unread"}
    assert causes["outside the gateway"]["account"] == "999900001111"
    assert total(found)["rows_of_other_services"] == 1
    assert whole(found) == Decimal(total(found)["bill_usd"])


def test_a_person_names_a_meter_and_explains_a_difference_once(
    config: Path, lines: list[Summed], tmp_path: Path
) -> None:
    _, rows = bills.bills(tmp_path, lines)["bedrock"]
    for row in rows:
        row["line_item_usage_type"] = row["line_item_usage_type"].replace("Nova2.0Lite", "NL2")
    extra = dict(rows[-1])
    extra["line_item_usage_amount"] = str(Decimal(extra["line_item_usage_amount"]) * 2)
    extra["line_item_unblended_cost"] = str(Decimal(extra["line_item_unblended_cost"]) * 2)
    rows.append(extra)
    path = str(written(tmp_path / "cur.csv", rows))
    assert any(
        p["cause"] == "unread" for p in of(reconcile(config, "--aws", path, status=1), "pair")
    )
    named = "meter:NL2=amazon.nova-2-lite"
    found = reconcile(config, "--aws", path, "--confirm", named, "--author", "user-0001", status=1)
    (off,) = [pair for pair in of(found, "pair") if pair["cause"] != "matched"]
    assert off["cause"] in ("retry billed twice", "open", "stream cut")
    found = reconcile(config, "--aws", path, "--confirm", f"difference:{off['key']}=ticket 4711")
    (again,) = [pair for pair in of(found, "pair") if pair["cause"] != "matched"]
    assert (again["confirmed"], again["note"]) == (True, "ticket 4711")
    assert again["difference_usd"] == off["difference_usd"]  # an explanation changes no amount


def test_what_cannot_be_read_says_what_to_do(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    heads = "date,meterName,meterCategory,quantity,unitOfMeasure,costInBillingCurrency,billingCurrency\n"
    abroad = tmp_path / "abroad.csv"
    abroad.write_text(f"{heads}14/10/2026,5.4 inp Gl 1M Tokens,Azure OpenAI,1,1M,2,USD\n")
    comma = tmp_path / "comma.csv"
    comma.write_text(f'{heads}10/14/2026,5.4 inp Gl 1M Tokens,Azure OpenAI,1,1M,"1.234,56",USD\n')
    for words, said in (
        (["--azure", str(abroad)], "row 1: expected a date such as 2026-10-31, found '2026-14-10'"),
        (["--azure", str(comma)], "row 1: '1.234,56' is not a number"),
        (["--aws", str(path)], "has the columns of none of: AWS CUR 2.0"),
        (["--aws", str(tmp_path / "none.csv")], "cannot be read"),
        (["--aws", str(tmp_path / "x.xlsx")], "a bill is read as"),
        ([], "name at least one bill"),
        (["--confirm", "meter 5"], "KIND:SUBJECT=VALUE"),
    ):
        found = ran("reconcile", "2026-10", *words, "--config", str(config))
        assert found.status == 2
        assert said in " ".join(found.err.split())
