"""FOCUS: the month as rows of the FinOps Open Cost and Usage Specification, one per token class and day.

Never one row per request or per model: only a row per token class reconciles with the clouds' invoices.
Amounts are exact; what rounding to whole cents and shares add is a row of its own, so that the rows of an
invoice sum to its statement. To add a column: ``focus_columns`` and its value in ``_row``.
"""

import calendar
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import Final

import msgspec

from gateway.kernel.money import PICO_PER_USD, format_usd
from gateway.metering.units import UNITS, Unit

CHARGEBACK: Final = "chargeback"
OVERLAY: Final = "overlay"
PROFILES: Final = (CHARGEBACK, OVERLAY)
_MILLION: Final = 1_000_000
USD: Final = "USD"
_PLACES: Final = Decimal(1).scaleb(-16)
_ROOMY: Final = Context(prec=80)
_ATTEMPTS: Final = frozenset({"usage", "interrupted", "unconfirmed"})
_METERS: Final = {
    ("input", ""): "Input Tokens",
    ("input", "read"): "Cache Read Input Tokens",
    ("input", "write"): "Cache Write Input Tokens",
    ("output", ""): "Output Tokens",
}
_ACTIONS: Final = {"": "Uncached", "read": "Read", "write": "Write"}


class Cloud(msgspec.Struct, frozen=True):
    """How FOCUS names a provider: who hosts, and the service."""

    host: str
    service: str


class Used(msgspec.Struct, frozen=True):
    """Charge lines of one kind on one day under one price. Amounts in pico-USD."""

    day: str
    code: str  # the cost centre's, '' for unallocated
    team: str
    app: str
    provider: str
    upstream: str
    model: str
    unit: str
    scope: str
    place: str  # region, else geo, else ''
    tier: str
    price_id: str
    kind: str
    rows: int
    quantity: int
    unpriced: int
    list_pico: int
    net_pico: int


class Extra(msgspec.Struct, frozen=True):
    """A line of a statement that is no usage: a share, a tax, a rounding difference."""

    code: str
    text: str
    pico: int
    category: str = "Adjustment"  # or Tax
    detail: str = ""  # the end of its id in the invoice; '' for its text's


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of a file share. ``issuer``: the organisation's name of this gateway's bill.

    state  how far the month's close is: open, provisional, reconciled, approved, posted
    at     when the file was made, or the month was posted: the same month then makes the same bytes
    """

    version: str
    profile: str
    period: int
    account: str
    issuer: str
    clouds: Mapping[str, Cloud]
    at: str
    state: str = "open"

    @property
    def closed(self) -> bool:
        """Whether it is posted."""
        return self.state == "posted"


def invoice_id(period: int, code: str) -> str:
    """The statement's number: 2026-10-4100."""
    return f"{period // 100}-{period % 100:02}-{code or 'unallocated'}"


def cost_and_usage(
    book: Book, used: Iterable[Used], others: Iterable[Extra] = ()
) -> Iterator[dict[str, str]]:
    """The rows of Cost and Usage; of the overlay only usage, each as its share of the provider's meter."""
    used = list(used)
    whole: dict[tuple[str, ...], int] = defaultdict(int)
    if book.profile == OVERLAY:
        for one in used:
            whole[_meter_of(one)] += one.quantity
    for one in used:
        row = _row(book, one)
        if book.profile == OVERLAY:
            _allocate(row, one, whole[_meter_of(one)])
        yield _finished(row)
    for other in others if book.profile == CHARGEBACK else ():
        yield _finished(_extra_row(book, other))


def bounds(period: int) -> tuple[str, str]:
    """The first instant of a calendar month and the one after its last."""
    first = date(period // 100, period % 100, 1)
    after = first + timedelta(days=calendar.monthrange(first.year, first.month)[1])
    return _midnight(first), _midnight(after)


def _row(book: Book, one: Used) -> dict[str, str]:
    unit, cloud = UNITS[one.unit], book.clouds[one.provider]
    day = date.fromisoformat(one.day)
    region = one.place
    sku = f"{one.provider}:{one.model or 'unknown'}:{one.unit}"
    consumed = _quantity(one.quantity)
    corrected = is_correction(book, one)
    return {
        **_shared(book, one.code, cloud),
        "BilledCost": money(one.net_pico),
        "EffectiveCost": money(one.net_pico),
        "ContractedCost": money(one.net_pico),
        "ListCost": money(one.list_pico),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if corrected else "",
        "ChargeDescription": f"{_meter(unit)}, {one.model or 'unknown model'}"
        + (", no price yet" if one.unpriced else ""),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _midnight(day),
        "ChargePeriodEnd": _midnight(day + timedelta(days=1)),
        "ConsumedQuantity": consumed,
        "ConsumedUnit": "Tokens" if unit.is_token else _counted(unit),
        "InvoiceDetailId": f"{invoice_id(book.period, one.code)}/{'corrections' if corrected else 'usage'}",
        **_priced(one, unit),
        "PricingCategory": "Standard",
        "RegionId": region,
        "RegionName": region,
        "ResourceId": one.upstream,
        "ResourceName": one.upstream,
        "ResourceType": "Inference endpoint",
        "SkuId": sku,
        "SkuMeter": _meter(unit),
        "SkuPriceId": f"{sku}:{region or one.scope or '-'}:{one.tier}:{one.price_id or 'unpriced'}",
        "SkuPriceDetails": _details(one, unit),
        "SubAccountId": one.upstream,
        "SubAccountName": one.upstream,
        "SubAccountType": "Upstream",
        "Tags": _json(_tags(one.code, one.team, one.app)),
        **_ours(book, one, unit, cloud),
    }


def _shared(book: Book, code: str, cloud: Cloud | None) -> dict[str, str]:
    start, end = bounds(book.period)
    host = "" if cloud is None else cloud.host
    provider = book.issuer if book.profile == CHARGEBACK else host
    return {
        "BillingAccountId": book.account,
        "BillingAccountName": book.account,
        "BillingAccountType": "Organisation",
        "BillingCurrency": USD,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "HostProviderName": host,
        "InvoiceId": invoice_id(book.period, code),
        "InvoiceIssuerName": provider,
        "PricingCurrency": USD,
        "ProviderName": provider,
        "PublisherName": host or book.issuer,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": book.issuer if cloud is None else cloud.service,
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "x_CostCenterId": code or "unallocated",
        "x_HostProviderName": host,
    }


def _priced(one: Used, unit: Unit) -> dict[str, str]:
    """Quantity and prices in the unit that is priced; without any price none are stated."""
    per = _MILLION if unit.is_token else 1
    quantity = Decimal(one.quantity) / per
    found = {
        "PricingQuantity": _plain(quantity),
        "PricingUnit": "1000000 Tokens" if unit.is_token else _counted(unit),
    }
    if not one.unpriced and one.quantity:
        listed, net = (_unit_price(p, one.quantity, per) for p in (one.list_pico, one.net_pico))
        found |= {
            "ListUnitPrice": listed,
            "ContractedUnitPrice": net,
            "PricingCurrencyListUnitPrice": listed,
            "PricingCurrencyContractedUnitPrice": net,
        }
    return found | {"PricingCurrencyEffectiveCost": money(one.net_pico)}


def _unit_price(pico: int, quantity: int, per: int) -> str:
    exact, rest = divmod(pico * per, quantity)
    if rest == 0:
        return money(exact)
    return _plain(_rounded(pico * per, quantity * PICO_PER_USD))


def _rounded(part: int, whole: int) -> Decimal:
    """A ratio to sixteen places, however large: corrections may leave one token of a year's money."""
    return _ROOMY.quantize(_ROOMY.divide(Decimal(part), Decimal(whole)), _PLACES)


def _details(one: Used, unit: Unit) -> str:
    found = {"x_ModelId": one.model, "x_Scope": one.scope, "x_ServiceTier": one.tier}
    return _json({name: value for name, value in (found | _token(unit)).items() if value})


def _token(unit: Unit) -> dict[str, str]:
    """The token properties of the 1.5 draft, under x_ until it is ratified."""
    if not unit.is_token:
        return {}
    found = {"x_TokenDirection": unit.direction.capitalize(), "x_Modality": unit.modality}
    return found | (
        {"x_TokenCacheAction": _ACTIONS[unit.cache]} if unit.direction == "input" else {}
    )


def _ours(book: Book, one: Used, unit: Unit, cloud: Cloud) -> dict[str, str]:
    token = _token(unit)
    return {
        "x_Model": one.model,
        "x_ModelId": one.model,
        "x_PriceStatus": "unpriced" if one.unpriced else "priced",
        "x_ReconciliationStatus": "open" if book.state in ("open", "provisional") else "reconciled",
        "x_RequestCount": str(one.rows),
        "x_ServiceTier": one.tier,
        "x_TokenCacheAction": token.get("x_TokenCacheAction", ""),
        "x_TokenClass": one.unit,
        "x_TokenDirection": token.get("x_TokenDirection", ""),
    }


def _extra_row(book: Book, other: Extra) -> dict[str, str]:
    start, end = bounds(book.period)
    amount = money(other.pico)
    head = invoice_id(book.period, other.code)
    costs = ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost")
    return {
        **_shared(book, other.code, None),
        **dict.fromkeys((*costs, "PricingCurrencyEffectiveCost"), amount),
        "HostProviderName": book.issuer,
        "ChargeCategory": other.category,
        "ChargeDescription": other.text,
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "InvoiceDetailId": f"{head}/{other.detail or slug(other.text)}",
        "Tags": _json(_tags(other.code, "", "")),
        "x_PriceStatus": "priced",
    }


def _allocate(row: dict[str, str], one: Used, whole: int) -> None:
    """The share of a provider's meter that this row is; nothing is counted beside the provider's own rows."""
    ratio = _rounded(one.quantity, whole) if whole else Decimal(0)
    part = {
        "AllocatedRatio": float(ratio),
        "UsageUnit": row["ConsumedUnit"],
        "UsageQuantity": one.quantity,
    }
    row["AllocatedMethodId"] = "metered-by-gateway"
    row["AllocatedMethodDetails"] = msgspec.json.encode({"Elements": [part]}).decode()
    row["AllocatedResourceId"] = one.code or "unallocated"
    row["AllocatedResourceName"] = one.code or "unallocated"
    row["AllocatedTags"] = row["Tags"]
    row["InvoiceId"] = row["InvoiceDetailId"] = ""


def _finished(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


def is_correction(book: Book, one: Used) -> bool:
    """Whether it changes an earlier period: a late row, or an entry that corrects another."""
    late = one.day < f"{book.period // 100}-{book.period % 100:02}-01"
    return late or one.kind not in _ATTEMPTS


def _meter_of(one: Used) -> tuple[str, ...]:
    return one.day, one.provider, one.upstream, one.model, one.unit, one.scope, one.place, one.tier


def _meter(unit: Unit) -> str:
    if unit.is_token:
        return _METERS[unit.direction, unit.cache]
    return unit.name.replace("_", " ").title()


def _counted(unit: Unit) -> str:
    """The unit of what is no token: Seconds, Characters, Images, Hours, Sessions, Units (of a guardrail), else Requests."""
    words = ("seconds", "characters", "images", "hours", "sessions", "units")
    return next((word.capitalize() for word in words if word in unit.name), "Requests")


def _tags(code: str, team: str, app: str) -> dict[str, str]:
    found = {"CostCenter": code, "Team": team, "App": app}
    return {f"weighbridge/{name}": value for name, value in found.items() if value}


def slug(text: str) -> str:
    """A text as part of an id: 'Unallocated, share' → 'unallocated-share'."""
    return "-".join(text.lower().replace(",", " ").split())


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def money(pico: int) -> str:
    """Exact decimal USD, always with a point: a column of whole numbers only would be read as integers."""
    text = format_usd(pico)
    return text if "." in text else f"{text}.0"


def _quantity(count: int) -> str:
    return f"{count}.0"  # readers that guess a column's type must see a decimal


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text if "." in text else f"{text}.0"


def _json(value: Mapping[str, str]) -> str:
    return msgspec.json.encode(value).decode() if value else ""
