"""Three small sources in the form of the real ones, and price lines over them."""

import json
from collections.abc import Mapping

from gateway.catalog import lines as text
from gateway.catalog.genai import GenaiPrices
from gateway.catalog.litellm import LiteLlm
from gateway.catalog.retail import Retail
from gateway.catalog.sources import Sources
from gateway.pricing import load

HEADER = ",".join(load.COLUMNS)
REGIONS = b"provider,region,geo,partition\ncloud,north,eu,commercial\ncloud,south,eu,commercial\ncloud,west,us,commercial\n"

GENAI = """
import datetime
providers: list[Provider] = [
    Provider(id='maker', models=[
        ModelInfo(id='m-1', prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=TieredPrices(
            base=Decimal('8'), tiers=[Tier(start=200000, price=Decimal('12'))]))),
        ModelInfo(id='m-2', prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('1'))),
            ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2027, 1, 1)),
                prices=ModelPrice(input_mtok=Decimal('3'))),
            ConditionalPrice(constraint=TimeOfDateConstraint(start_time=datetime.time(1), end_time=datetime.time(2)),
                prices=ModelPrice(input_mtok=Decimal('99'))),
        ], price_variants=[
            PriceVariant(when={'processing': 'batch'}, prices=ModelPrice(input_mtok=Decimal('0.5')),
                constraint=StartDateConstraint(start_date=datetime.date(2026, 10, 14))),
        ]),
    ]),
]
"""


def litellm(table: Mapping[str, Mapping[str, object]], version: str = "1") -> LiteLlm:
    return LiteLlm(version, json.dumps(table).encode())


def genai(module: str = GENAI) -> GenaiPrices:
    return GenaiPrices("1", module.encode())


def meter(
    name: str, price: float, regions: list[str], since: str = "2026-01-01", unit: str = "1M"
) -> dict[str, object]:
    return {
        "meterName": name,
        "productName": "p",
        "regions": regions,
        "retailPrice": price,
        "unitOfMeasure": unit,
        "effectiveStartDate": f"{since}T00:00:00Z",
    }


def retail(*meters: Mapping[str, object]) -> Retail:
    return Retail("retail list", [json.dumps({"items": meters}).encode()])


def sources(
    table: Mapping[str, Mapping[str, object]] | None = None, *meters: Mapping[str, object]
) -> Sources:
    return Sources(litellm(table or {}), genai(), retail(*meters))


def line(
    price: str,
    reference: str,
    evidence: str = "single",
    *,
    unit: str = "input_text",
    scope: str = "global",
    geo: str = "",
    region: str = "",
    tier: str = "standard",
    above: int = 0,
    since: str = "2026-01-01",
    until: str = "",
    model: str = "m-1",
    source: str = "before",
) -> str:
    return (
        f"cloud,{model},{scope},{geo},{region},{tier},{unit},{above},{price},1000000,USD,"
        f"{since},{until},{source},{reference},{evidence}"
    )


def files(*lines: str) -> dict[str, bytes]:
    unsorted = "\n".join((HEADER, *lines, "")).encode()
    return {"cloud.csv": text.write(text.read(unsorted)), load.REGIONS: REGIONS}
