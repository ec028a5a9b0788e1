"""FOCUS from a simulated month: valid by the toolkit, tied to the statements, in three file forms with one content."""

import csv
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pyarrow.parquet as pq
import pytest
from focus_data_toolkit.model.validator import lint_focus_1_4_structure

from gateway import shipped
from gateway.commands.focus import Bundle, bundle
from gateway.commands.payers import ledgered_of
from gateway.commands.simulate import filled
from gateway.commands.simulation.month import Shop
from gateway.commands.simulation.world import world
from gateway.kernel.clock import SystemClock
from gateway.kernel.money import format_usd, parse_usd
from gateway.ledger.entry import EntryKind
from gateway.premises import opened, ready_store
from gateway.reporting.focus import Used, cost_and_usage, invoice_id
from gateway.reporting.focus_columns import BILLING_PERIOD, INVOICE_DETAIL, cost_and_usage_columns
from gateway.reporting.focus_laws import broken
from gateway.reporting.roster import imported, read_csv
from gateway.storage.ledger import Ledger
from gateway.storage.organisation import OrganisationStore
from tests.commands.lines import ran

Row = dict[str, str]
PERIOD = 202610


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("focus")


@pytest.fixture(scope="module")
def config(folder: Path) -> str:
    """A ledger of two simulated days with an organisation, and a file that names it."""
    path = folder / "c.toml"
    path.write_text(f'[storage]\nfolder = "{folder / "var"}"\n', encoding="utf-8")
    configured = shipped.configured(path)
    ready_store(configured)
    people = world(60, 3)
    shop = Shop(people, shipped.price_book(configured), "UTC", 3, 60, 4)

    async def fill() -> None:
        async with opened(configured) as database:
            await filled(database, shop, [date(2026, 10, 14), date(2026, 10, 17)], SystemClock())
            roster = read_csv(people.organisation_csv())
            store = OrganisationStore(database, SystemClock())
            await store.revise(lambda before: imported(before, roster), "test")

    anyio.run(fill)
    return str(path)


@pytest.fixture(scope="module")
def made(config: str) -> Bundle:
    return read(config, "1.4", "chargeback")


def read(config: str, version: str, profile: str) -> Bundle:
    configured = shipped.configured(Path(config))

    async def reading() -> Bundle:
        async with opened(configured) as database:
            return await bundle(database, configured, PERIOD, (version, profile))

    return anyio.run(reading)


def whole(rows: Iterator[Row], columns: tuple[str, ...]) -> list[Row]:
    return [{name: row.get(name, "") for name in columns} for row in rows]


def weighbridge(config: str, *words: str) -> str:
    found = ran(*words, "--config", config)
    assert found.status == 0, found.err
    return str(found.out)


def test_the_rows_are_valid_by_the_toolkit_and_by_our_own_laws(made: Bundle) -> None:
    rows = whole(made.rows("cost-and-usage"), cost_and_usage_columns("1.4"))
    assert len(rows) > 100
    report = lint_focus_1_4_structure("Cost and Usage", rows)
    assert report.ok, report.messages()[:5]
    assert made.faults() == []


@pytest.mark.parametrize(
    ("dataset", "name"), [("billing-period", "Billing Period"), ("invoice-detail", "Invoice Detail")]
)  # fmt: skip
def test_the_datasets_beside_it_are_valid(made: Bundle, dataset: str, name: str) -> None:
    columns = BILLING_PERIOD if dataset == "billing-period" else INVOICE_DETAIL
    report = lint_focus_1_4_structure(name, whole(made.rows(dataset), columns))
    assert report.ok, report.messages()[:5]


def test_an_invoice_sums_to_its_statement_and_the_rows_to_the_ledger(
    config: str, made: Bundle
) -> None:
    configured = shipped.configured(Path(config))

    async def reading() -> tuple[dict[str, int], int]:
        async with opened(configured) as database:
            _, ledgered = await ledgered_of(database, configured, PERIOD)
            statement = await Ledger(database).statement(PERIOD)
            assert statement.total.net_pico is not None
            return {c: ledgered.cents(c) for c in ledgered.codes}, statement.total.net_pico

    cents, net = anyio.run(reading)
    billed: dict[str, int] = {}
    for row in made.rows("cost-and-usage"):
        code = row["x_CostCenterId"]
        billed[code] = billed.get(code, 0) + parse_usd(row["BilledCost"])
    assert billed == {code or "unallocated": amount * 10**10 for code, amount in cents.items()}
    assert sum(one.net_pico for one in made.used) == net


def test_a_dollar_moved_between_rows_and_invoice_is_told(made: Bundle) -> None:
    rows, details = list(made.rows("cost-and-usage")), list(made.rows("invoice-detail"))
    stated = {invoice_id(PERIOD, code): cents for code, cents in made.cents.items()}
    assert broken(rows, details, stated, PERIOD) == []
    details[0]["BilledCost"] = format_usd(parse_usd(details[0]["BilledCost"]) + 10**12)
    of_invoice, of_line = broken(rows, details, stated, PERIOD)
    assert "details sum to" in of_invoice
    assert "the detail says" in of_line
    details[1]["InvoiceDetailId"] = details[0]["InvoiceDetailId"]
    assert any("2 times in Invoice Detail" in one for one in broken(rows, details, stated, PERIOD))


Mutation = Callable[[Row], object]
CAUGHT: dict[str, Mutation] = {
    "no host": lambda row: row.pop("HostProviderName"),
    "currency in lower case": lambda row: row.update(BillingCurrency="usd"),
    "a subcategory that is none": lambda row: row.update(ServiceSubcategory="Tokens"),
    "list cost": lambda row: row.update(ListCost=f"{Decimal(row['ListCost']) + 1}"),
    "contracted cost": lambda row: row.update(
        ContractedCost=f"{Decimal(row['ContractedCost']) + 1}"
    ),
    "no quantity": lambda row: row.update(PricingQuantity=""),
    "broken tags": lambda row: row.update(Tags="{"),
    "a category that is none": lambda row: row.update(ChargeCategory="Use"),
    "a draft key without its prefix": lambda row: row.update(
        SkuPriceDetails='{"TokenDirection":"Input"}'
    ),
}


@pytest.mark.parametrize("mutation", CAUGHT.values(), ids=CAUGHT)
def test_the_toolkit_catches_what_the_sheet_says_it_catches(
    made: Bundle, mutation: Mutation
) -> None:
    rows = whole(made.rows("cost-and-usage"), cost_and_usage_columns("1.4"))[:3]
    mutation(rows[0])
    assert not lint_focus_1_4_structure("Cost and Usage", rows).ok


def test_our_laws_catch_the_two_it_misses(made: Bundle) -> None:
    rows = list(made.rows("cost-and-usage"))
    details = list(made.rows("invoice-detail"))
    rows[0]["ChargePeriodStart"] = "2026-10-20T00:00:00Z"
    rows[1]["BillingPeriodEnd"] = "2026-10-02T00:00:00Z"
    said = broken(rows, details, {}, PERIOD)
    assert any("not before its end" in one for one in said)
    assert any("calendar month" in one for one in said)


def test_the_overlay_splits_each_meter_and_adds_up_to_it(config: str) -> None:
    overlay = read(config, "1.4", "overlay")
    rows = whole(overlay.rows("cost-and-usage"), cost_and_usage_columns("1.4"))
    assert lint_focus_1_4_structure("Cost and Usage", rows).ok
    assert {row["ServiceProviderName"] for row in rows} == {"Microsoft", "AWS", "Google Cloud"}
    assert all(row["InvoiceIssuerName"] == row["ServiceProviderName"] for row in rows)
    assert sum(parse_usd(row["BilledCost"]) for row in rows) == sum(
        one.net_pico for one in overlay.used
    )


def test_files_of_every_form_say_the_same(config: str, folder: Path, made: Bundle) -> None:
    for suffix in (".csv", ".csv.gz", ".parquet"):
        weighbridge(config, "focus", "2026-10", "--out", str(folder / f"cau{suffix}"))
    with (folder / "cau.csv").open(encoding="utf-8", newline="") as file:
        plain = list(csv.DictReader(file))
    with gzip.open(folder / "cau.csv.gz", "rt", encoding="utf-8", newline="") as packed:
        assert list(csv.DictReader(packed)) == plain
    table: list[dict[str, Any]] = pq.read_table(folder / "cau.parquet").to_pylist()
    assert len(table) == len(plain) == sum(1 for _ in made.rows("cost-and-usage"))
    for there, row in zip(table, plain, strict=True):
        assert there["BilledCost"] == Decimal(row["BilledCost"])
        assert (there["SkuPriceId"] or "") == row["SkuPriceId"]


def test_the_bundle_of_three_validates_and_version_1_2_has_its_57_columns(
    config: str, folder: Path
) -> None:
    names = {"cost-and-usage": "cu", "billing-period": "bp", "invoice-detail": "id"}
    for dataset, short in names.items():
        weighbridge(config, "focus", "2026-10", "--dataset", dataset, "--out", str(folder / f"{short}.csv"))  # fmt: skip
    toolkit = subprocess.run(
        [
            sys.executable, "-m", "focus_data_toolkit", "validate-bundle",
            *(part for dataset, short in names.items() for part in (f"--{dataset}", str(folder / f"{short}.csv"))),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert toolkit.returncode == 0, toolkit.stdout + toolkit.stderr
    weighbridge(config, "focus", "2026-10", "--version", "1.2", "--out", str(folder / "old.csv"))
    columns = (folder / "old.csv").read_text().splitlines()[0].split(",")
    assert len([name for name in columns if not name.startswith("x_")]) == 57
    assert {"ProviderName", "PublisherName"} <= set(columns)
    assert "HostProviderName" not in columns


def test_what_has_no_price_is_listed_without_one_and_never_lost(made: Bundle) -> None:
    one = made.used[0]
    fields = {name: getattr(one, name) for name in Used.__struct_fields__}
    unpriced = Used(**(fields | {"unpriced": one.quantity, "list_pico": 0, "net_pico": 0}))
    (row,) = cost_and_usage(made.book, [unpriced])
    assert (row["x_PriceStatus"], row["BilledCost"]) == ("unpriced", "0.0")
    assert "ListUnitPrice" not in row
    assert row["ConsumedQuantity"] == f"{one.quantity}.0"
    assert "no price yet" in row["ChargeDescription"]


@pytest.mark.parametrize(("version", "profile"), [("1.4", "chargeback"), ("1.4", "overlay")])
def test_one_token_of_a_years_money_has_a_price_and_a_share(
    config: str, version: str, profile: str
) -> None:
    made = read(config, version, profile)
    fields = {name: getattr(made.used[0], name) for name in Used.__struct_fields__}
    sums = {"unpriced": 0, "list_pico": 2**60, "net_pico": 2**60}
    much = Used(**(fields | sums | {"quantity": 10**15}))
    back = Used(**(fields | sums | {"quantity": 2 - 10**15}))
    left = Used(**(fields | sums | {"quantity": 1, "day": "2026-10-02"}))
    rows = list(cost_and_usage(made.book, [much, back, left]))
    for row, one in zip(rows, (much, back, left), strict=True):
        off = Decimal(row["ListUnitPrice"]) * one.quantity / 10**6 - Decimal(row["ListCost"])
        assert abs(off) <= Decimal(abs(one.quantity)).scaleb(-22) + Decimal("1e-12")


def test_late_and_correcting_rows_are_corrections(made: Bundle) -> None:
    fields = {name: getattr(made.used[0], name) for name in Used.__struct_fields__}
    late = Used(**(fields | {"day": "2026-09-30"}))
    fixed = Used(**(fields | {"kind": EntryKind.ADJUSTMENT.value}))
    rows = list(cost_and_usage(made.book, [late, fixed]))
    assert [row["ChargeClass"] for row in rows] == ["Correction", "Correction"]


def test_a_posted_month_is_exported_from_its_kept_statements_the_same_bytes_again(
    config: str, folder: Path
) -> None:
    copied = folder / "posted"
    shutil.copytree(folder / "var", copied)
    path = folder / "posted.toml"
    path.write_text(f'[storage]\nfolder = "{copied}"\n', encoding="utf-8")
    config = str(path)
    for step in (["provisional"], ["reconciled", "--note", "agreed"], ["approved"], ["posted", "--journal", "4711"]):  # fmt: skip
        weighbridge(config, "close", "2026-10", "--to", *step, "--author", "user-0001")
    found = []
    for n in range(2):
        for dataset in ("cost-and-usage", "invoice-detail", "billing-period"):
            path = folder / f"posted-{n}-{dataset}.csv.gz"
            weighbridge(config, "focus", "2026-10", "--dataset", dataset, "--out", str(path))
            found.append(path.read_bytes())
    assert found[:3] == found[3:]
    with gzip.open(folder / "posted-0-billing-period.csv.gz", "rt", encoding="utf-8") as file:
        assert [row["BillingPeriodStatus"] for row in csv.DictReader(file)] == ["Closed"]
    with gzip.open(folder / "posted-0-invoice-detail.csv.gz", "rt", encoding="utf-8") as file:
        assert {row["InvoiceIssueStatus"] for row in csv.DictReader(file)} == {"Issued"}
    with gzip.open(folder / "posted-0-cost-and-usage.csv.gz", "rt", encoding="utf-8") as file:
        said = {row["x_ReconciliationStatus"] for row in csv.DictReader(file)}
    assert said == {"reconciled", ""}  # adjustments are nobody's meter


def test_markup_and_tax_are_rows_of_their_own_and_still_sum(config: str, folder: Path) -> None:
    path = folder / "dear.toml"
    path.write_text(
        f'[storage]\nfolder = "{folder / "var"}"\n[statements]\nmarkup_basis_points = 250\ntax_basis_points = 1900\n',
        encoding="utf-8",
    )
    dear = read(str(path), "1.4", "chargeback")
    rows = whole(dear.rows("cost-and-usage"), cost_and_usage_columns("1.4"))
    assert lint_focus_1_4_structure("Cost and Usage", rows).ok
    assert dear.faults() == []
    assert {"Tax", "Adjustment"} <= {row["ChargeCategory"] for row in rows}
