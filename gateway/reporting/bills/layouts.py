"""The exports we read: AWS CUR 2.0, FOCUS of Azure and Google, Azure cost details, Google's detailed export.

To add one: a function from cells to a Charge and its Layout in ``LAYOUTS`` of its cloud.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from gateway.ledger.currency import USD
from gateway.reporting.bills import aws, azure, google
from gateway.reporting.bills.charge import (
    ADJUSTMENT,
    CREDIT,
    ELSEWHERE,
    PURCHASE,
    TAX,
    USAGE,
    Cells,
    Charge,
    Layout,
    amount,
    block,
    first,
    number,
)

_CODES: Final = frozenset(
    {"AmazonBedrock", "AmazonBedrockService", "AmazonBedrockFoundationModels"}
)
_THOUSAND, _MILLION = 1_000, 1_000_000
_PRODUCTS_MAX: Final = 4096  # distinct product records of a bill
_DAY: Final = 10  # characters of a date
_LINE_KINDS: Final = {
    "Usage": USAGE,
    "Tax": TAX,
    "Credit": CREDIT,
    "Refund": CREDIT,
    "Fee": PURCHASE,
    "RIFee": PURCHASE,
    "SavingsPlanCoveredUsage": USAGE,
    "DiscountedUsage": USAGE,
}
_CATEGORIES: Final = {
    "usage": USAGE,
    "tax": TAX,
    "credit": CREDIT,
    "purchase": PURCHASE,
    "adjustment": ADJUSTMENT,
    "refund": CREDIT,
}
_AI: Final = re.compile(
    "openai|cognitive|foundry|ai services|bedrock|vertex|gemini|generative language|claude|anthropic|machine learning"
)


def _in_usd(charge: Charge, currency: str, cost: Decimal | None = None) -> Charge:
    """A row whose amounts are USD: as it is where its currency is, else with ``cost``, in USD by the provider itself.

    Its unit price is then of another currency, and ties to nothing. Raises ValueError where the row names another
    currency and no amount in USD: taken for dollars it would be a difference nobody finds.
    """
    if currency in ("", USD) or charge.kind == ELSEWHERE:
        return charge
    if cost is None:
        raise ValueError(
            f"its cost is in {currency}, and bills are compared in USD: "
            "export it with the amounts in USD, or a bill of a billing account in USD"
        )
    return msgspec.structs.replace(charge, cost=cost, unit_price=None)


def _cur(cells: Cells) -> Charge:
    quantity = number(cells.get("line_item_usage_amount", ""))
    product = _product(cells.get("product", ""))
    described = cells.get("line_item_line_item_description", "")
    name = first(cells, "product_product_name", "product.product_name") or product.get("product_name", "")  # fmt: skip
    kind = _LINE_KINDS.get(cells.get("line_item_line_item_type", "Usage"), ADJUSTMENT)
    code = cells.get("line_item_product_code", "")
    # A marketplace model has a code of its own: only its name says what it is sold through.
    inference = code in _CODES or _is_ai(f"{code} {name}")
    made = Charge(
        kind=kind if inference else ELSEWHERE,
        account=cells.get("line_item_usage_account_id", ""),
        day=cells.get("line_item_usage_start_date", "")[:_DAY],
        meter=cells.get("line_item_usage_type", ""),
        description=name or described,
        region=first(cells, "product_region_code", "product_region", "product.region") or product.get("region", ""),
        invoice=cells.get("bill_invoice_id", ""),
        quantity=quantity,
        unit_price=number(cells.get("line_item_unblended_rate", "")),
        tokens=(quantity or Decimal(0)) * _block(first(cells, "pricing_unit", "product_unit"), described),
        cost=amount(cells.get("line_item_unblended_cost", "")),
    )  # fmt: skip
    return _in_usd(made, cells.get("line_item_currency_code", ""))


@lru_cache(maxsize=_PRODUCTS_MAX)
def _product(text: str) -> Mapping[str, str]:
    """CUR 2.0's product: a record as JSON text in CSV; in Parquet its fields came by themselves."""
    try:
        return msgspec.json.decode(text, type=dict[str, str]) if text else {}
    except (msgspec.DecodeError, msgspec.ValidationError):
        return {}


def _block(unit: str, described: str) -> int:
    """A meter counts blocks of tokens; the unit says of how many, else the description, else they are thousands."""
    said = block(unit)
    if said > 1:
        return said
    return _MILLION if "million" in described.lower() else _THOUSAND


def _focus(cells: Cells) -> Charge:
    kind = _CATEGORIES.get(cells.get("ChargeCategory", "").lower(), ADJUSTMENT)
    service = " ".join(
        (cells.get("ServiceName", ""), cells.get("x_SkuMeterCategory", ""), cells.get("ServiceSubcategory", ""))
    )  # fmt: skip
    made = Charge(
        kind=kind if _is_ai(service) else ELSEWHERE,
        account=first(cells, "SubAccountId", "BillingAccountId").rsplit("/", 1)[-1],
        day=cells.get("ChargePeriodStart", "")[:_DAY],
        meter=first(cells, "SkuMeter", "x_SkuMeterName", "x_SkuDescription", "ChargeDescription"),
        description=cells.get("ChargeDescription", ""),
        region=first(cells, "RegionId", "RegionName"),
        invoice=first(cells, "InvoiceId", "x_InvoiceId"),
        quantity=number(cells.get("PricingQuantity", "")),
        unit_price=number(first(cells, "ContractedUnitPrice", "x_EffectiveUnitPrice", "ListUnitPrice")),
        # Already in single tokens; the block size belongs to the price only: never multiply again.
        tokens=amount(cells.get("ConsumedQuantity", "")),
        cost=amount(first(cells, "ContractedCost", "BilledCost", "EffectiveCost")),
    )  # fmt: skip
    dollars = number(
        first(cells, "x_ContractedCostInUsd", "x_BilledCostInUsd", "x_EffectiveCostInUsd")
    )
    return _in_usd(made, cells.get("BillingCurrency", ""), dollars)


def _azure_cost(given: Cells) -> Charge:
    cells = {name.lower().replace(" ", ""): value for name, value in given.items()}
    quantity = number(cells.get("quantity", ""))
    kind = _CATEGORIES.get(cells.get("chargetype", "usage").lower(), ADJUSTMENT)
    is_ai = _is_ai(f"{cells.get('metercategory', '')} {cells.get('consumedservice', '')}")
    made = Charge(
        kind=kind if is_ai else ELSEWHERE,
        account=first(cells, "subscriptionid", "subscriptionguid"),
        day=_iso_day(first(cells, "date", "usagedate")),
        meter=cells.get("metername", ""),
        description=first(cells, "productname", "product"),
        region=first(cells, "resourcelocation", "location", "meterregion"),
        invoice=first(cells, "invoiceid", "invoiceno"),
        quantity=quantity,
        unit_price=number(first(cells, "effectiveprice", "unitprice")),
        tokens=(quantity or Decimal(0)) * block(cells.get("unitofmeasure", "")),
        cost=amount(first(cells, "costinbillingcurrency", "cost", "pretaxcost", "costinusd")),
    )
    currency = first(cells, "billingcurrency", "billingcurrencycode", "currency")
    return _in_usd(made, currency, number(cells.get("costinusd", "")))


def _google_detailed(cells: Cells) -> Charge:
    kind = {"regular": USAGE, "tax": TAX, "adjustment": ADJUSTMENT, "rounding_error": ADJUSTMENT}.get(
        first(cells, "cost_type") or "regular", ADJUSTMENT
    )  # fmt: skip
    service = first(cells, "service.description", "service_description", "Service description")
    made = Charge(
        kind=kind if _is_ai(service) else ELSEWHERE,
        account=first(cells, "project.id", "project_id", "Project ID"),
        day=first(cells, "usage_start_time", "Usage start date")[:_DAY],
        meter=first(cells, "sku.description", "sku_description", "SKU description"),
        description=first(cells, "sku.id", "sku_id", "SKU ID"),
        region=first(cells, "location.region", "location_region", "Region"),
        invoice=first(cells, "invoice.month", "invoice_month"),
        quantity=number(first(cells, "usage.amount_in_pricing_units", "usage_amount_in_pricing_units")),
        unit_price=number(first(cells, "price.effective_price", "price_effective_price")),
        # The unit says "requests" or "count" and means tokens.
        tokens=amount(first(cells, "usage.amount", "usage_amount", "Usage amount")),
        cost=amount(first(cells, "cost", "Cost ($)")),
    )  # fmt: skip
    rate = number(cells.get("currency_conversion_rate", ""))  # units of it for one USD
    return _in_usd(made, cells.get("currency", ""), made.cost / rate if rate else None)


def _is_ai(service: str) -> bool:
    return _AI.search(service.lower()) is not None


def _iso_day(text: str) -> str:
    """10/14/2026 as 2026-10-14; other forms begin with the date as it is."""
    parts = text.split(" ", maxsplit=1)[0].split("/")
    if len(parts) != len(("month", "day", "year")):
        return text[:_DAY]
    return f"{parts[2]}-{int(parts[0]):02}-{int(parts[1]):02}"


_FOCUS_NEEDS: Final = (frozenset({"ChargeCategory", "BilledCost", "ChargePeriodStart"}),)
_COST_NEEDS: Final = (
    frozenset({"MeterName", "Quantity", "UnitOfMeasure"}),
    frozenset({"meterName", "quantity", "unitOfMeasure"}),
)
_DETAILED_NEEDS: Final = (
    frozenset({"sku.description", "usage_start_time"}),
    frozenset({"sku_description", "usage_start_time"}),
    frozenset({"SKU description", "Usage start date"}),
)
# By the identity a provider's own machines have: that is how a cloud is known elsewhere, too.
LAYOUTS: Final[Mapping[str, tuple[Layout, ...]]] = {
    "aws": (Layout("AWS CUR 2.0", (frozenset({"line_item_usage_type"}),), _cur, aws.read),),
    "entra": (
        Layout("Azure FOCUS", _FOCUS_NEEDS, _focus, azure.read),
        Layout("Azure cost details", _COST_NEEDS, _azure_cost, azure.read),
    ),
    "adc": (
        Layout("Google FOCUS", _FOCUS_NEEDS, _focus, google.read),
        Layout("Google detailed export", _DETAILED_NEEDS, _google_detailed, google.read),
    ),
}
