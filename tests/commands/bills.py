"""Providers' bills written from a ledger's own lines, in the forms and with the meter names providers use."""

import csv
import gzip
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.metering.units import UNITS
from gateway.storage.lines import Summed

Row = dict[str, str]
AZURE_ACCOUNT, AWS_ACCOUNT, GOOGLE_PROJECT = "5b6c-subscription", "111122223333", "weighbridge-eu"
AZURE_WORDS = {
    ("input", ""): "inp",
    ("input", "read"): "cd inp",
    ("input", "write"): "Cd Wr",
    ("output", ""): "opt",
}
AWS_WORDS = {
    ("input", ""): "input-tokens",
    ("input", "read"): "cache-read-input-token-count",
    ("input", "write"): "cache-write-input-token-count",
    ("output", ""): "output-tokens",
}
GOOGLE_WORDS = {
    ("input", ""): "Text Input - Predictions",
    ("input", "read"): "Text Input Caching",
    ("output", ""): "Text Output - Predictions",
}
MODELS = {
    "gpt-5.4": "5.4", "gpt-5.4-mini": "5.4 mini", "anthropic.claude-sonnet-4-6": "Claude4.6Sonnet",
    "anthropic.claude-haiku-4-5": "Claude4.5Haiku", "amazon.nova-2-lite": "Nova2.0Lite",
    "gemini-2.5-pro": "Gemini 2.5 Pro", "gemini-3.1-flash-lite": "Gemini 3.1 Flash Lite",
}  # fmt: skip


def usd(pico: int) -> Decimal:
    return Decimal(pico).scaleb(-12)


def words(one: Summed) -> tuple[str, str]:
    unit = UNITS[one.names["unit"]]
    return unit.direction, unit.cache


def azure_rows(lines: Iterable[Summed]) -> list[Row]:
    """FOCUS 1.2 as Azure exports it: tokens consumed, a million priced."""
    return [
        {
            "ChargeCategory": "Usage",
            "ChargePeriodStart": f"{one.names['day']}T00:00:00Z",
            "BilledCost": f"{usd(one.net_pico):f}",
            "ContractedCost": f"{usd(one.net_pico):f}",
            "ContractedUnitPrice": f"{usd(one.net_pico) * 1_000_000 / one.quantity:f}",
            "PricingQuantity": f"{Decimal(one.quantity) / 1_000_000:f}",
            "ConsumedQuantity": str(one.quantity),
            "SkuMeter": f"{MODELS[one.names['model']]} {AZURE_WORDS[words(one)]} DZ 1M Tokens",
            "ServiceName": "Foundry Models",
            "SubAccountId": f"/subscriptions/{AZURE_ACCOUNT}",
            "InvoiceId": "E0800WQ7KX",
        }
        for one in lines
    ]


def aws_rows(lines: Iterable[Summed]) -> list[Row]:
    """CUR 2.0: thousands of tokens."""
    return [
        {
            "line_item_line_item_type": "Usage",
            "line_item_product_code": "AmazonBedrock",
            "line_item_usage_account_id": AWS_ACCOUNT,
            "line_item_usage_start_date": f"{one.names['day']} 00:00:00",
            "line_item_usage_type": f"EUC1-{MODELS[one.names['model']]}-{AWS_WORDS[words(one)]}-cross-region-eu",
            "line_item_usage_amount": f"{Decimal(one.quantity) / 1000:f}",
            "line_item_unblended_rate": f"{usd(one.net_pico) * 1000 / one.quantity:f}",
            "line_item_unblended_cost": f"{usd(one.net_pico):f}",
            "pricing_unit": "1K tokens",
            "bill_invoice_id": "2418836501",
        }
        for one in lines
    ]


def google_rows(lines: Iterable[Summed]) -> list[Row]:
    """The detailed export, its records flattened."""
    return [
        {
            "service.description": "Vertex AI",
            "sku.description": f"{MODELS[one.names['model']]} Regional {GOOGLE_WORDS[words(one)]}",
            "usage_start_time": f"{one.names['day']} 00:00:00 UTC",
            "project.id": GOOGLE_PROJECT,
            "usage.amount": str(one.quantity),
            "usage.amount_in_pricing_units": f"{Decimal(one.quantity) / 1_000_000:f}",
            "price.effective_price": f"{usd(one.net_pico) * 1_000_000 / one.quantity:f}",
            "cost": f"{usd(one.net_pico):f}",
            "cost_type": "regular",
            "invoice.month": "202610",
        }
        for one in lines
    ]


MAKERS: dict[str, Callable[[Iterable[Summed]], list[Row]]] = {
    "azure": azure_rows, "bedrock": aws_rows, "google": google_rows,
}  # fmt: skip


def written(path: Path, rows: list[Row]) -> Path:
    """A file in the form of its suffix."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


FILES = {"azure": "azure.csv", "bedrock": "cur.parquet", "google": "google.csv.gz"}


def bills(folder: Path, lines: Iterable[Summed]) -> dict[str, tuple[Path, list[Row]]]:
    """One bill per provider, and the rows it holds."""
    lines = [one for one in lines if one.quantity and UNITS[one.names["unit"]].is_token]
    made = {}
    for provider, maker in MAKERS.items():
        rows = maker(one for one in lines if one.names["provider"] == provider)
        made[provider] = (written(folder / FILES[provider], rows), rows)
    return made
